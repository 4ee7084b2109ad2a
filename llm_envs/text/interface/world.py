"""Games as worlds: `games_world` for any games, and `text_game`, which makes a builder of a generator of games."""

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache, wraps
from typing import Any, Protocol, cast

import numpy as np
from numba import njit

from llm_envs.text.compiler.pool import Pool, compile_games
from llm_envs.text.interface.actions import reset_game, reset_listed, step_index, step_listed, step_word
from llm_envs.text.interface.expert import Solutions
from llm_envs.text.interface.masks import mask_commands, mask_list, mask_nothing, mask_words
from llm_envs.text.interface.pools import Pools
from llm_envs.text.interface.strings import StringInterface
from llm_envs.text.interface.transcript import write_state, write_turn, write_word
from llm_envs.text.interface.typed_actions import COMMAND, step_text
from llm_envs.text.interface.validity import game_is_valid, listed_game_is_valid
from llm_envs.text.language.pieces import TranscriptReader, tokenizer
from llm_envs.text.language.render import SHOW_DESCRIPTION, SHOW_INVENTORY
from llm_envs.text.language.turn_length import longest_turn
from llm_envs.text.model.game import Game
from llm_envs.text.model.validation import check
from llm_envs.text.records import codes
from llm_envs.text.records.state import state_kind
from llm_envs.text.rules import table
from llm_envs.validation import check_choice, check_range, check_switch, power_of_two, quote
from llm_envs.world import Display, Row, Rules, TextInterface, Transcript, World, record, values

OBSERVATIONS, ACTIONS = ("tokens", "text", "state"), ("tokens", "index", "admissible", "text")
MASKS = ("admissible", "none")
SHOWS = {"description": SHOW_DESCRIPTION, "inventory": SHOW_INVENTORY}
SIGNALS = {"score": 1.0, "win": 0.0, "lose": 0.0, "turn": 0.0, "invalid": 0.0}
PARAMS = record(include_in_reply=np.int32, longest_turn=np.int32, longest_command=np.int32, free_mask=np.int32)
SMALLEST_WINDOW, LARGEST_WINDOW = 1024, 16_384
LARGEST_POOL = 2**20
LEAST_TYPED = 24  # words that may be typed, even where all of a game's commands are shorter; more are not understood


def games_world(
    games: Sequence[Game] | Pool,
    *,
    observation: str = "tokens",
    action: str = "tokens",
    mask: str = "admissible",
    shows: Sequence[str] = (),
    facts: bool = False,
    window: int = 0,
    max_steps: int = 50,
    custom_levels: bool = False,
) -> World:
    """Return the world of these games; the docstring of Text/World-v0 explains the arguments.

    Raises:
        ValueError: an argument out of range, or a game that the layout has no space for.
        TypeError: an argument of another type.
    """
    check_interface(observation, action, mask, shows, facts, window, max_steps)
    if not isinstance(games, Pool):
        for k, game in enumerate(games):  # compiled rules trust what they read: nothing reaches them unchecked
            check(game, f"games[{k}]")
    pool = games if isinstance(games, Pool) else compile_games(games)
    included = sum(bit for name, bit in SHOWS.items() if name in shows)
    # Sizes come from the whole pool: every row of a batch may play any of its games.
    words = int(pool.levels["command_words"].max())  # of the longest command
    longest_command = max(LEAST_TYPED, words)
    # A turn in the transcript: the command, the reply and what it includes.
    longest = longest_turn(pool.levels, included) + longest_command
    window = checked_window(window, longest)
    vocabulary, listed = pool.vocabulary, most_admissible(pool) if action == "admissible" else 0
    strings = StringInterface(pool, facts) if "text" in (observation, action) else None
    state = state_kind(pool.size, listed)
    transcript = None if observation == "state" else Transcript(window, len(vocabulary.pieces), authors=True)
    fields, bounds = (transcript.fields, transcript.bounds) if transcript else state_fields(state)
    actions: Any = {
        "tokens": len(vocabulary.pieces),
        "index": command_count(pool),
        "admissible": listed,
        "text": COMMAND,
    }[action]
    choices: dict[str, Any] = {}  # in front of the rest: a record must be no beginning of another
    if action == "admissible":
        choices["commands"], bounds["commands"] = (np.int32, (listed, words)), (0, len(vocabulary.pieces) - 1)
    if action != "text":
        choices["action_mask"], bounds["action_mask"] = (np.int8, (actions,)), (0, 1)
    return World(
        rules=rules_for(action, "state" if observation == "state" else "tokens"),
        params=values(
            PARAMS,
            include_in_reply=included,
            longest_turn=longest,
            longest_command=longest_command,
            free_mask=mask == "none",
        ),
        levels=pool.levels,
        custom_levels=custom_levels,
        state=state,
        transcript=transcript,
        observation=record(**choices, **fields),
        bounds=bounds,
        actions=actions,
        signals=SIGNALS,
        # The limit is in commands; a command typed word by word takes its words and <end>.
        max_steps=max_steps * (words + 1 if action == "tokens" else 1),
        text=TextInterface(
            tokenizer=tokenizer(vocabulary.pieces),
            actions_are_tokens=action == "tokens",
            observe_text=observation == "text",
            decode=describe_fields if observation == "state" else TranscriptReader(vocabulary).decode,
            parse=strings.parse if strings and action == "text" else None,
            info=strings.info if strings else None,
        ),
        display=Display(action_names=tuple(next(iter(pool.symbols.values())).commands) if action == "text" else ()),
        solution=Solutions(pool, action, listed),
    )


def check_interface(
    observation: Any, action: Any, mask: Any, shows: Any, facts: Any, window: Any, max_steps: Any
) -> None:
    """Raise unless the arguments that all text games share are right; this needs no games, and takes no time."""
    check_choice("observation", observation, OBSERVATIONS)
    check_choice("action", action, ACTIONS)
    check_choice("mask", mask, MASKS)
    if mask == "none" and action not in ("tokens", "index"):
        raise ValueError(f"mask='none' is for actions 'tokens' and 'index'; action is {action!r}")
    check_switch("facts", facts)
    if facts and "text" not in (observation, action):
        raise ValueError("facts are reported in `info`, which needs observation='text' or action='text'")
    check_range("window", window, 0, LARGEST_WINDOW)
    check_range("max_steps", max_steps, 0, 2**24)
    if not isinstance(shows, Collection) or isinstance(shows, (Mapping, bytes, np.ndarray)):
        raise TypeError(f"shows is {quote(shows)}; it must be a list of {' and '.join(map(repr, SHOWS))}, or empty")
    for name in (shows,) if isinstance(shows, str) else shows:
        check_choice("shows", name, tuple(SHOWS))


def checked_window(window: int, longest: int) -> int:
    """Return the transcript's length in tokens; 0 stands for the smallest power of two that holds two turns."""
    # The transcript drops its older half when it is full, and a whole turn must fit into the other.
    least = 2 * longest
    if window == 0:
        window = max(SMALLEST_WINDOW, power_of_two(least))
    check_range("window", window, 64, LARGEST_WINDOW)
    if window < least or window % 2:
        turn = f"a turn of these games can take {longest} tokens"
        raise ValueError(f"window is {window}; it must be even, and at least {least}: {turn}")
    return window


INTERFACE_FIELDS = ("typed", "low", "high")  # of the command that is being typed: words, and which commands begin so
STATE_FIELDS = (
    *("room", "ending", "score", "turns", "free_slots", "used_slots"),
    *INTERFACE_FIELDS,
    *("holder", "lock", "food", "cut"),
)
NUMBERS = {"score": 2**24, "turns": 2**24, "low": 2**15 - 1, "high": 2**15 - 1}  # bounds of those that are no byte


def state_fields(state: np.dtype) -> tuple[dict[str, Any], dict[str, tuple[float, float]]]:
    """Return the fields of the typed state and their bounds."""
    fields: dict[str, Any] = {}
    for name in STATE_FIELDS:
        part = state["interface" if name in INTERFACE_FIELDS else "game"]
        fields[name] = (np.int32, part[name].shape) if part[name].shape else np.int32
    return fields, {name: (-NUMBERS[name] if name == "score" else 0, NUMBERS.get(name, 255)) for name in STATE_FIELDS}


def describe_fields(row: Row) -> str:
    """Return the typed state as text, field by field."""
    return ", ".join(f"{name} {row.observation[name].tolist()}" for name in STATE_FIELDS)


def command_count(pool: Pool) -> int:
    """Return how many commands the mask has space for."""
    return power_of_two(max(int(pool.levels["num_commands"].max()), 16))


def most_admissible(pool: Pool) -> int:
    """Return an upper bound, a power of two, on the commands that are admissible at once in any of the games."""
    # Whatever the state is: the verbs that are always admissible, prepare, four directions.
    most, everywhere = 0, sum(verb.always for verb in table.VERBS) + 1 + 4
    for level in pool.levels:
        places = level["place"][: level["fixed"]]
        here = int(np.bincount(places).max()) if len(places) else 0
        doors = int((level["exit_doors"][: level["rooms"]] != codes.NONE).sum(1).max()) if level["rooms"] else 0
        # A portable: examine, take or drop, eat, drink; put and cook with each fixed thing; three cuts with each blade.
        each = 4 + 2 * here + 3 * int((level["traits"] & codes.SHARP != 0).sum())
        # Three commands for each door and each fixed thing here.
        most = max(most, everywhere + 3 * doors + 3 * here + each * int(level["portables"]))
    return power_of_two(most)


class GameBuilder(Protocol):
    """A builder of worlds that knows the generator of their games."""

    generate: Callable[..., Game]

    def __call__(self, **options: Any) -> World:
        """Return the world of these options."""


def text_game(pool: int = 100, max_steps: int = 50) -> Callable[[Callable[..., Game]], GameBuilder]:
    """Return a decorator that makes a builder of `generate(seed, ...) -> Game`.

    The builder takes the generator's arguments but for `seed`, and the common ones; the decorated generator itself is
    its attribute `generate`.

    Args:
        pool: the default number of games.
        max_steps: the default time limit, in commands.
    """
    # The common options and their defaults are those of `games_world`: stated once, there.
    given = inspect.signature(games_world).parameters
    common = {name: one.default for name, one in given.items() if name not in ("games", "custom_levels")}
    common = {"pool": pool, **common, "max_steps": max_steps}

    def decorate(generate: Callable[..., Game]) -> GameBuilder:
        # Without `seed`, which counts the games of the pool.
        own = list(inspect.signature(generate).parameters.values())[1:]
        shared = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=value) for name, value in common.items()
        ]

        @wraps(generate)
        def builder(**options: Any) -> World:
            # What is left in `options` are the generator's own.
            settings = {name: options.pop(name, value) for name, value in common.items()}
            count = settings.pop("pool")
            check_interface(**settings)
            return games_world(made(generate, count, **options), **settings)

        builder.__doc__ = "Build the world; see the module for the arguments."
        # Of **options, `registration.build` could not tell a misspelt keyword from a right one.
        vars(builder).update(__signature__=inspect.Signature(own + shared), generate=generate)
        return cast(GameBuilder, builder)

    return decorate


_pools = Pools()


def made(generate: Callable[..., Game], count: int, **options: Any) -> Pool:
    """Return the compiled games of seeds 0 .. count - 1; a larger pool begins with the smaller one.

    Raises:
        TypeError, ValueError: `count`, which users call `pool`, or an option of the generator is wrong.
    """
    check_range("pool", count, 1, LARGEST_POOL)
    for name, value in options.items():
        if not isinstance(value, (str, int, float, np.generic)):
            raise TypeError(f"{name} is {quote(value)}; it must be a number, a truth value or a string")
    # With their types: 1 and True are equal but not the same option to a generator that checks types.
    key = (generate, int(count), *sorted((name, type(value).__name__, value) for name, value in options.items()))
    return _pools.get(key, lambda: compile_games([generate(seed, **options) for seed in range(count)]))


INTERFACES = {  # action -> reset, step, what is appended to the transcript, mask, validity
    "tokens": (reset_game, step_word, write_word, mask_words, game_is_valid),
    "index": (reset_game, step_index, write_turn, mask_commands, game_is_valid),
    "admissible": (reset_listed, step_listed, write_turn, mask_list, listed_game_is_valid),
    "text": (reset_game, step_text, write_turn, mask_nothing, game_is_valid),
}


# Cached: worlds with the same interfaces share one set of rules, and so what is compiled of it.
@cache
def rules_for(action: str, observation: str) -> Rules:
    """Return the rules for an action interface and an observation ("tokens" or "state")."""
    reset, step, write, mask, valid = INTERFACES[action]
    if observation == "state":
        write = write_state

    @njit
    def observe(state, level, params, observation):
        write(state, level, params, observation)
        mask(state, level, params, observation)

    return Rules(reset, step, observe, valid)
