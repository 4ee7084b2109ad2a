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

from llm_envs.text.games.coin.maps import MOST_ROOMS, own_maps, random_maps, solution
from llm_envs.text.games.coin.words import (
    COIN_HELD,
    COIN_HERE,
    COMMANDS,
    COUNTS,
    EXAMINE,
    EXITS,
    INVENTORY,
    LONGEST_TURN,
    LOOK,
    LOOKS,
    NO_COIN,
    NO_SENSE,
    NO_WAY,
    NOTHING,
    PROMPT,
    TAKE,
    TAKEN,
    TOKENS,
    WORDS,
    as_text,
    describe_state,
    parse,
)
from llm_envs.validation import check_choice, check_range
from llm_envs.vocabulary import SPECIAL, word_tokenizer
from llm_envs.world import Display, Row, Rules, TextInterface, World, record, state_record, values

PARAMS = record(window=np.int32)
SIGNALS = {"score": 1.0, "step": 0.0, "invalid": 0.0}
ROOM = -1  # the reply that is no phrase: the room's description


@njit
def reset(state, level, params):
    """Enter the first room."""
    for j in range(state.tokens.shape[0]):
        state.tokens[j] = 0
        state.token_mask[j] = 0
    state.length = 0
    state.reply = 0
    state.won = 0
    state.room = level.start
    describe(state, level)


@njit
def step(state, level, params, action, signals):
    """Write the command, carry it out, write the reply."""
    signals.step = 1.0
    reply = ROOM if action == LOOK else NO_SENSE
    if action < TAKE:
        target = level.exits[state.room, action]
        reply = NO_WAY
        if target >= 0:
            state.room = target
            reply = ROOM
    elif action == TAKE:
        reply = NO_COIN
        if coin_here(state, level):
            state.won = 1
            signals.score = 1.0
            reply = TAKEN
    elif action == EXAMINE:
        reply = LOOKS if coin_here(state, level) or state.won else NO_COIN
    elif action == INVENTORY:
        reply = COIN_HELD if state.won else NOTHING
    if reply >= NO_WAY:
        signals.invalid = 1.0
    say(state, PROMPT, 0)
    say(state, action, 1)
    state.reply = state.length
    if reply == ROOM:
        describe(state, level)
    else:
        say(state, reply, 0)
    if state.length > params.window:
        drop(state, params.window // 2)
    return state.won == 1


@njit
def coin_here(state, level):
    """Say whether the coin lies in the room."""
    return state.room == level.coin and state.won == 0


@njit
def describe(state, level):
    """Append the room's name, its exits and the coin if it lies here."""
    for k in range(level.names.shape[1]):
        if level.names[state.room, k] != 0:
            state.tokens[state.length] = level.names[state.room, k]
            state.length += 1
    say(state, EXITS + open_ways(state, level), 0)
    if coin_here(state, level):
        say(state, COIN_HERE, 0)


@njit
def open_ways(state, level):
    """Return the room's exits as bits: 1 for north, 2 south, 4 east, 8 west."""
    ways = 0
    for direction in range(4):
        if level.exits[state.room, direction] >= 0:
            ways += 1 << direction
    return ways


@njit
def say(state, phrase, typed):
    """Append a phrase; `typed` is 1 for a command. The state has space for one turn beyond the window."""
    for k in range(COUNTS[phrase]):
        state.tokens[state.length] = TOKENS[phrase, k]
        state.token_mask[state.length] = typed
        state.length += 1


@njit
def drop(state, count):
    """Drop the oldest `count` tokens and pad on the right."""
    total = state.tokens.shape[0]
    for j in range(total):
        state.tokens[j] = state.tokens[j + count] if j + count < total else 0
        state.token_mask[j] = state.token_mask[j + count] if j + count < total else 0
    state.length -= count
    state.reply -= count


@njit
def observe(state, level, params, observation):
    """Show the transcript and what is admissible."""
    for j in range(observation.tokens.shape[0]):
        observation.tokens[j] = state.tokens[j]
        observation.token_mask[j] = state.token_mask[j]
    observation.length = state.length
    for action in range(observation.action_mask.shape[0]):
        observation.action_mask[action] = action in (LOOK, INVENTORY)
    for direction in range(4):
        observation.action_mask[direction] = level.exits[state.room, direction] >= 0
    observation.action_mask[TAKE] = coin_here(state, level)
    observation.action_mask[EXAMINE] = coin_here(state, level) or state.won == 1


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
    check_range("window", window, 64, 1024 if observation == "text" else 16_384)
    if window % 2:
        raise ValueError(f"window is {window}; it must be even")
    if levels is None and level * mode > 100:
        raise ValueError(f"level={level} with mode={mode} needs {level * mode} rooms; there may be at most 100")
    if levels is None and 0 < max_steps < level:
        raise ValueError(f"max_steps is {max_steps}; no game of level={level} can be won in fewer than {level} steps")
    maps, new_words = (random_maps(pool, level, mode), ()) if levels is None else own_maps(levels)
    words = WORDS + new_words
    num_actions = len(COMMANDS) + (action == "text")

    def decode(row: Row) -> str:
        length = int(row.observation["length"][0])
        return as_text(row.observation["tokens"][:length], row.observation["token_mask"][:length], words)

    def info(row: Row) -> dict[str, Any]:
        return describe_state(row.state, row.level, words)

    def parse_row(text: str, row: Row) -> int:
        return parse(text)

    transcript = (np.int16, (window + LONGEST_TURN,))
    return World(
        rules=Rules(reset, step, observe),
        params=values(PARAMS, window=window),
        levels=maps,
        custom_levels=levels is not None,
        state=state_record(
            room=np.int32,
            won=np.int32,  # 0 or 1
            length=np.int32,  # tokens of the transcript
            reply=np.int32,  # where the last reply begins
            tokens=transcript,
            token_mask=(np.int8, transcript[1]),
        ),
        observation=record(
            token_mask=(np.int8, (window,)),
            tokens=(np.int32, (window,)),
            length=np.int32,
            action_mask=(np.int8, (num_actions,)),
        ),
        bounds={
            "tokens": (0, len(words) - 1),
            "length": (0, window),
            "reply": (-window, window),
            "token_mask": (0, 1),
            "action_mask": (0, 1),
            "room": (0, MOST_ROOMS - 1),
            "won": (0, 1),
        },
        actions=num_actions,
        signals=SIGNALS,
        max_steps=max_steps,
        text=TextInterface(
            tokenizer=word_tokenizer(list(words[len(SPECIAL) :])),
            observe_text=observation == "text",
            decode=decode,
            parse=parse_row if action == "text" else None,
            info=info,
        ),
        display=Display(action_names=(*COMMANDS, "?")[:num_actions]),
        solution=solution,
    )
