"""Coin: find the one coin in a building of connected rooms, and take it. TextWorld's coin collector.

Description:  Rooms are joined north, south, east and west; the coin lies at the end of a chain of `level` rooms that
              begins at the start. The opposite direction leads back, but the map need not fit on paper: going around a
              block leads to a new room. Each turn appends "> command" and the reply to one transcript.
Observation:  tokens: int32 (window,), the transcript, padded on the right with <pad> (0). length: int32 (1,), how many
              they are. token_mask: int8 (window,), 1 for the words of commands. action_mask: int8 (A,), 1 for what
              TextWorld calls admissible: look and inventory always, go through exits, take and examine where the coin
              lies. When the next turn would not fit, the oldest window / 2 tokens are dropped in one block.
              With observation="text": the transcript as a string, a line a command and a line a reply.
Action:       Discrete(8): go north, go south, go east, go west, take coin, examine coin, look, inventory. What is not
              admissible changes nothing but the clock and is answered by a refusal. With action="text": a string, with
              the synonyms TextWorld takes ("n", "get the coin", "x coin", "l", "i"); all else is a ninth action, which
              the transcript shows as "?" and which the mask never allows.
Reward:       score: 1 for taking the coin. step: 1 every step, invalid: 1 for what is not admissible (both weight 0
              unless asked for).
Termination:  The coin is taken.
Truncation:   After max_steps steps (50).
Arguments:    level (int, 5): rooms on the shortest path, start and coin included, 1 to 100; mode (int, 1): rooms in all
              for each of these, 1 (no wrong turn), 2 or 3 (dead ends), at most 100 rooms; observation ("tokens",
              "text"); action ("index", "text"); pool (int, 4096): number of games; max_steps (int, 50): time limit, 0
              for none; window (int, 256): even, 64 to 16,384, or to 1,024 for text; levels: games of your own, a list
              of {"exits": [{"north": 1}, {"south": 0}], "coin": 1, "start": 0, "names": ["Old Mill", "Pier"]} with an
              entry of exits and names for each room; start (0) and names may be left out; level, mode and pool then
              mean nothing.
Vocabulary:   <pad>, <end> (unused), the game's words and the words of 100 room names; those of your own names follow.
Levels:       The chain takes a random free exit each time; dead ends hang on its rooms in turn; names are drawn without
              repetition. TextWorld's own number of a difficulty is 100 (mode - 1) + level.
Source:       TextWorld 1.7.0 (Cote et al., 2018), challenges/tw_coin_collector; after Yuan et al. (2018), "Counting to
              Explore and Generalize in Text-based Games". Rules and maps are TextWorld's, the words are not. Its "drop
              coin" is no action: it is admissible only after the end.

    Boiler Room. Exits: south east.
    > go north
    You see no way there.
    > go east
    Quarry. Exits: west. A coin lies here.
    > examine coin
    It is small and golden.
    > inventory
    You carry nothing.
    > take coin
    Taken. You have won.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numba import njit

from llm_envs.engine.transcript import POLICY, WORLD, append, clear, make_room
from llm_envs.text.games.coin import words
from llm_envs.text.games.coin.maps import MOST_ROOMS, own_maps, random_maps, solution
from llm_envs.validation import check_choice, check_range
from llm_envs.vocabulary import SPECIAL, word_tokenizer
from llm_envs.world import Display, Row, Rules, TextInterface, Transcript, World, record, state_record, values

PARAMS = record(window=np.int32)  # tokens of the transcript
STATE = state_record(
    room=np.int32,
    won=np.int32,  # 0 or 1
    action=np.int32,  # the last one
    reply=np.int32,  # to it: a phrase, or DESCRIPTION
)
SMALLEST_WINDOW = 64  # holds the longest turn twice: one fits after the oldest half was dropped
SIGNALS = {"score": 1.0, "step": 0.0, "invalid": 0.0}


@njit
def reset(state, level, params):
    """Enter the first room."""
    state.room, state.won, state.action, state.reply = level.start, 0, words.LOOK, words.DESCRIPTION


@njit
def step(state, level, params, action, signals):
    """Carry out a command, and choose the reply."""
    state.action, state.reply = action, carry_out(state, level, action)
    signals.step = 1.0
    if state.reply == words.TAKEN:
        signals.score = 1.0
    if state.reply >= words.NO_WAY:
        signals.invalid = 1.0
    return state.won == 1


@njit
def carry_out(state, level, action):
    """Change the state by a command, and return the reply: a phrase, or DESCRIPTION."""
    if action < words.TAKE:
        target = level.exits[state.room, action]
        if target < 0:
            return words.NO_WAY
        state.room = target
        return words.DESCRIPTION
    if action == words.TAKE and coin_here(state, level):
        state.won = 1
        return words.TAKEN
    if action == words.EXAMINE and (coin_here(state, level) or state.won):
        return words.EXAMINED
    if action in (words.TAKE, words.EXAMINE):
        return words.NO_COIN
    if action == words.INVENTORY:
        return words.COIN_HELD if state.won else words.NOTHING
    return words.DESCRIPTION if action == words.LOOK else words.UNKNOWN


@njit
def coin_here(state, level):
    """Return whether the coin lies in the room."""
    return state.room == level.coin and state.won == 0


@njit
def observe(state, level, params, observation):
    """Append the command and the reply to the transcript, and write what is admissible."""
    if state.t == 0:
        clear(observation)
    else:
        # The exact length, not the longest: the oldest half is dropped only when the turn does not fit.
        turn = words.COUNTS[words.PROMPT] + words.COUNTS[state.action] + reply_length(state, level)
        make_room(observation, turn)
        say(observation, words.PROMPT, WORLD)
        say(observation, state.action, POLICY)
    if state.reply == words.DESCRIPTION:
        describe(state, level, observation)
    else:
        say(observation, state.reply, WORLD)
    mask = observation.action_mask
    for action in range(mask.shape[0]):
        mask[action] = action in (words.LOOK, words.INVENTORY)
    for direction in range(4):
        mask[direction] = level.exits[state.room, direction] >= 0
    mask[words.TAKE] = coin_here(state, level)
    mask[words.EXAMINE] = coin_here(state, level) or state.won == 1


@njit
def say(observation, phrase, author):
    """Append a phrase."""
    for k in range(words.COUNTS[phrase]):
        append(observation, words.TOKENS[phrase, k], author)


@njit
def describe(state, level, observation):
    """Append the room's name, its exits, and the coin if it lies here."""
    for k in range(words.LONGEST_NAME):
        if level.names[state.room, k] != 0:
            append(observation, level.names[state.room, k], WORLD)
    say(observation, words.EXITS + open_ways(state, level), WORLD)
    if coin_here(state, level):
        say(observation, words.COIN_HERE, WORLD)


@njit
def reply_length(state, level):
    """Return how many tokens the reply has."""
    if state.reply != words.DESCRIPTION:
        return np.int64(words.COUNTS[state.reply])
    count = np.int64(words.COUNTS[words.EXITS + open_ways(state, level)])
    if coin_here(state, level):
        count += words.COUNTS[words.COIN_HERE]
    for k in range(words.LONGEST_NAME):
        count += level.names[state.room, k] != 0
    return count


@njit
def open_ways(state, level):
    """Return the room's exits as bits: 1 for north, 2 south, 4 east, 8 west."""
    ways = 0
    for direction in range(4):
        if level.exits[state.room, direction] >= 0:
            ways += 1 << direction
    return ways


def coin(
    level: int = 5,
    mode: int = 1,
    observation: str = "tokens",
    action: str = "index",
    pool: int = 4096,
    max_steps: int = 50,
    window: int = 256,
    levels: Sequence[Mapping[str, Any]] | None = None,
) -> World:
    """Build the world; see the module for the arguments."""
    check_range("level", level, 1, 100)
    check_range("mode", mode, 1, 3)
    check_choice("observation", observation, ("tokens", "text"))
    check_choice("action", action, ("index", "text"))
    check_range("pool", pool, 1, 2**20)
    check_range("max_steps", max_steps, 0, 2**30)
    check_range("window", window, SMALLEST_WINDOW, 1024 if observation == "text" else 16_384)
    if window % 2:
        raise ValueError(f"window is {window}; it must be even")
    if levels is None and level * mode > 100:
        raise ValueError(f"level={level} with mode={mode} needs {level * mode} rooms; there may be at most 100")
    if levels is None and 0 < max_steps < level:
        raise ValueError(f"max_steps is {max_steps}; no game of level={level} can be won in fewer than {level} steps")
    maps, new_words = (random_maps(pool, level, mode), ()) if levels is None else own_maps(levels)
    vocabulary = words.WORDS + new_words
    num_actions = len(words.COMMANDS) + (action == "text")
    transcript = Transcript(window, len(vocabulary), authors=True)

    def decode(row: Row) -> str:
        length = int(row.observation["length"][0])
        return words.as_text(row.observation["tokens"][:length], row.observation["token_mask"][:length], vocabulary)

    def info(row: Row) -> dict[str, Any]:
        return words.describe_state(row.state, row.level, vocabulary)

    def parse(text: str, row: Row) -> int:
        return words.parse(text)

    return World(
        rules=Rules(reset, step, observe),
        params=values(PARAMS, window=window),
        levels=maps,
        custom_levels=levels is not None,
        state=STATE,
        transcript=transcript,
        observation=record(action_mask=(np.int8, (num_actions,)), **transcript.fields),
        bounds={
            **transcript.bounds,
            "action_mask": (0, 1),
            "room": (0, MOST_ROOMS - 1),
            "won": (0, 1),
            "action": (0, num_actions - 1),
            "reply": (words.DESCRIPTION, words.UNKNOWN),
        },
        actions=num_actions,
        signals=SIGNALS,
        max_steps=max_steps,
        text=TextInterface(
            tokenizer=word_tokenizer(list(vocabulary[len(SPECIAL) :])),
            observe_text=observation == "text",
            decode=decode,
            parse=parse if action == "text" else None,
            info=info,
        ),
        display=Display(action_names=(*words.COMMANDS, "?")[:num_actions]),
        solution=solution,
    )
