"""Names and lists of things, as tokens: the parts of every text.

The rules that begin with `add_` write tokens from observation.tokens[n] on and return where they end.
"""

import numpy as np
from numba import njit

from llm_envs.text.language.pieces import FIXED_IDS
from llm_envs.text.records.codes import (
    BURNED,
    CHOPPED,
    COOKING,
    CUT,
    DICED,
    FRIED,
    GRILLED,
    HEAT,
    NEEDS_COOKING,
    NONE,
    ROASTED,
    SLICED,
)


def fixed_tokens(*pieces: str) -> np.ndarray:
    """Return the tokens of fixed pieces, 0 for empty ones."""
    return np.array([FIXED_IDS[piece] if piece else 0 for piece in pieces], np.int16)


A, AN, AND, NOTHING, RAW, BURNT = map(int, fixed_tokens("a", "an", "and", "nothing", "raw", "burned"))
COMMA = FIXED_IDS["##,"]
HEAT_TOKENS = fixed_tokens(
    *({GRILLED: "grilled", ROASTED: "roasted", FRIED: "fried"}.get(k << 6, "") for k in range(4))
)
CUT_TOKENS = fixed_tokens(*({SLICED: "sliced", DICED: "diced", CHOPPED: "chopped"}.get(k, "") for k in range(CUT + 1)))


@njit
def add_literal(level, observation, n, start, count):
    """Add `count` tokens of the level. Unsigned numbers spare Numba's test for negative ones: a third of the time."""
    target, source = np.uint64(n), np.uint64(start)
    for k in range(np.uint64(count)):
        observation.tokens[target + k] = level.tokens[source + k]
    return n + count


@njit
def add_name(level, observation, n, number):
    """Add the name of a thing or room."""
    return add_literal(level, observation, n, level.name[number], level.name_words[number])


@njit
def add_printed_name(state, level, observation, n, thing):
    """Add a thing's name, in cooking games with what became of the food."""
    if level.theme >= COOKING and thing < level.portables:
        word = cut_word(state, thing)
        observation.tokens[n] = word
        n += word != 0
        word = heat_word(state, thing)
        observation.tokens[n] = word
        n += word != 0
    return add_name(level, observation, n, thing)


@njit
def cut_word(state, portable):
    """Return the token for how a portable is cut, or 0."""
    return CUT_TOKENS[state.cut[portable] & CUT]


@njit
def heat_word(state, portable):
    """Return the token for how a portable is cooked, or 0."""
    food = state.food[portable]
    if food & NEEDS_COOKING:
        return RAW
    if food & BURNED:
        return BURNT
    return HEAT_TOKENS[(food & HEAT) >> 6]


@njit
def add_listed(state, level, observation, n, portable):
    """Add a portable's printed name with its article."""
    article = level.article[portable]
    if article != 0:
        changed = level.theme >= COOKING and (cut_word(state, portable) or heat_word(state, portable))
        observation.tokens[n] = A if article == AN and changed else article
        n += 1
    return add_printed_name(state, level, observation, n, portable)


@njit
def add_list(state, level, observation, n, holder):
    """Add "a key, a bed and some milk", or "nothing"."""
    portable = np.int64(state.first[holder])
    if portable == NONE:
        observation.tokens[n] = NOTHING
        return n + 1
    while True:
        n = add_listed(state, level, observation, n, portable)
        portable = np.int64(state.after[portable])
        if portable == NONE:
            return n
        observation.tokens[n] = AND if state.after[portable] == NONE else COMMA
        n += 1
