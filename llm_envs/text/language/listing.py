"""Names and lists of things, as tokens: the parts of every text. The rules are called as those of `writing` are."""

import numpy as np
from numba import njit

from llm_envs.text.language.pieces import FIXED_IDS, fixed_tokens
from llm_envs.text.language.writing import write, write_run
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

A, AN, AND, NOTHING, RAW, BURNT = map(int, fixed_tokens("a", "an", "and", "nothing", "raw", "burned"))
COMMA = FIXED_IDS["##,"]
HEAT_TOKENS = fixed_tokens(
    *({GRILLED: "grilled", ROASTED: "roasted", FRIED: "fried"}.get(k << 6, "") for k in range(4))
)
CUT_TOKENS = fixed_tokens(*({SLICED: "sliced", DICED: "diced", CHOPPED: "chopped"}.get(k, "") for k in range(CUT + 1)))


@njit
def add_name(level, observation, n, number):
    """Write the name of a thing or room."""
    return write_run(level, observation, n, level.name[number], level.name_words[number])


@njit
def add_printed_name(state, level, observation, n, thing):
    """Write a thing's name, in cooking games with what became of the food."""
    if level.theme >= COOKING and thing < level.portables:
        word = cut_word(state, thing)
        if word != 0:
            n = write(observation, n, word)
        word = heat_word(state, thing)
        if word != 0:
            n = write(observation, n, word)
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
    """Write a portable's printed name with its article."""
    article = level.article[portable]
    if article != 0:
        changed = level.theme >= COOKING and (cut_word(state, portable) or heat_word(state, portable))
        n = write(observation, n, A if article == AN and changed else article)  # "an apple", "a raw apple"
    return add_printed_name(state, level, observation, n, portable)


@njit
def add_list(state, level, observation, n, holder):
    """Write "a key, a bed and some milk", or "nothing"."""
    portable = np.int64(state.first[holder])
    if portable == NONE:
        return write(observation, n, NOTHING)
    while True:
        n = add_listed(state, level, observation, n, portable)
        portable = np.int64(state.after[portable])
        if portable == NONE:
            return n
        n = write(observation, n, AND if state.after[portable] == NONE else COMMA)
