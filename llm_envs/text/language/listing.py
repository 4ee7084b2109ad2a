"""Names and lists of things, as tokens: the parts of every text. The rules are called as those of `writing` are."""

import numpy as np
from numba import njit

from llm_envs.text.language.pieces import FIXED_IDS, fixed_tokens
from llm_envs.text.language.writing import write, write_run
from llm_envs.text.records import codes

A, AN, AND, NOTHING, RAW, BURNT = map(int, fixed_tokens("a", "an", "and", "nothing", "raw", "burned"))
COMMA = FIXED_IDS["##,"]
# Tables by the value of a field of bits: `codes.HEAT` is bits 6 and 7, `codes.CUT` begins at bit 0.
HEAT_TOKENS = fixed_tokens(
    *({codes.GRILLED: "grilled", codes.ROASTED: "roasted", codes.FRIED: "fried"}.get(k << 6, "") for k in range(4))
)
CUT_TOKENS = fixed_tokens(
    *({codes.SLICED: "sliced", codes.DICED: "diced", codes.CHOPPED: "chopped"}.get(k, "") for k in range(codes.CUT + 1))
)


@njit
def add_name(level, observation, n, number):
    """Write the name of a thing or room."""
    return write_run(level, observation, n, level.name[number], level.name_words[number])


@njit
def add_printed_name(state, level, observation, n, thing):
    """Write a thing's name, in cooking games with what became of the food."""
    # Codes of themes are ordered: COOKING and COOKING_DROP come last. Fixed things have no food or cut.
    if level.theme >= codes.COOKING and thing < level.portables:
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
    return CUT_TOKENS[state.cut[portable] & codes.CUT]


@njit
def heat_word(state, portable):
    """Return the token for how a portable is cooked, or 0."""
    food = state.food[portable]
    # One word at most: food that needs cooking, or is burned, is named by that and not by how it was heated.
    if food & codes.NEEDS_COOKING:
        return RAW
    if food & codes.BURNED:
        return BURNT
    return HEAT_TOKENS[(food & codes.HEAT) >> 6]


@njit
def add_listed(state, level, observation, n, portable):
    """Write a portable's printed name with its article."""
    article = level.article[portable]
    if article != 0:
        changed = level.theme >= codes.COOKING and (cut_word(state, portable) or heat_word(state, portable))
        n = write(observation, n, A if article == AN and changed else article)  # "an apple", "a raw apple"
    return add_printed_name(state, level, observation, n, portable)


@njit
def add_list(state, level, observation, n, holder):
    """Write "a key, a bed and some milk", or "nothing"."""
    # Holders keep their portables as linked lists: first[holder], after[portable], ..., NONE.
    portable = np.int64(state.first[holder])
    if portable == codes.NONE:
        return write(observation, n, NOTHING)
    while True:
        n = add_listed(state, level, observation, n, portable)
        portable = np.int64(state.after[portable])
        if portable == codes.NONE:
            return n
        n = write(observation, n, AND if state.after[portable] == codes.NONE else COMMA)
