"""Runs the programs of texts, see `program` for their instructions."""

import numpy as np
from numba import njit

from llm_envs.text.language import phrases, program
from llm_envs.text.language.listing import add_list, add_printed_name
from llm_envs.text.language.slots import add_number, add_slot, add_word
from llm_envs.text.language.writing import write_constants, write_run
from llm_envs.text.records import codes

# A global array is a constant of the compiled rules, so that replies take no space in levels.
CODE = phrases.CODE
LEVEL_CODE = len(CODE)  # the address of level.code[0]
# The numbers that these rules take and return are int64 throughout: Numba compiles a rule again for each other type.


@njit
def add_text(state, level, observation, n, address):
    """Write the text whose program begins at an address."""
    spaced = True  # white space comes before the next token
    while True:
        op = fetch(level, address)
        if op == program.END:
            return n
        operand = fetch(level, address + 1)  # of an instruction without: the one after it, not used
        # Instructions are numbered by kind (see `program`), so that one comparison finds each kind.
        if op < program.JUMP:
            end = add_literal(level, observation, n, address, operand)
            if op & program.ATTACHES and not spaced:  # in descriptions alone: a text without branches has one form
                observation.tokens[n] = level.tokens[operand - 1]
            n, spaced = end, op & program.SPACE_AFTER != 0
            address += 3
        elif op == program.TEST:
            address = after_test(state, level, address, operand)
        elif op == program.JUMP:
            address = operand
        else:
            # Names and lists print no white space at their end.
            n = add_any_slot(state, level, observation, n, op, operand, spaced)
            spaced = False
            address += 2 if op < program.HANDS else 1


@njit
def fetch(level, address):
    """Return the number at an address. Unsigned indices spare a test for negative ones."""
    if address < LEVEL_CODE:
        return np.int64(CODE[np.uint64(address)])
    return np.int64(level.code[np.uint64(address - LEVEL_CODE)])


@njit
def add_literal(level, observation, n, address, start):
    """Write the tokens of the literal at an address."""
    count = fetch(level, address + 2)
    if address < LEVEL_CODE:
        return write_constants(observation, n, start, count)
    return write_run(level, observation, n, start, count)


@njit
def add_any_slot(state, level, observation, n, op, operand, spaced):
    """Write what any other instruction prints."""
    if op == program.CONTENTS:
        return add_list(state, level, observation, n, operand)
    if op == program.PRINTED_NAME:
        return add_printed_name(state, level, observation, n, operand)
    if op < program.HANDS:
        return add_slot(state, level, observation, n, op, operand, spaced)
    if op == program.HANDS:
        # The hands are the last holder, after rooms and fixed things.
        return add_list(state, level, observation, n, np.int64(level.rooms) + level.fixed)
    if op <= program.LINK:
        return add_word(state, observation, n, op)
    return add_number(state, level, observation, n, op)


@njit
def after_test(state, level, address, target):
    """Return where the program continues after the test at an address."""
    # TEST is op, target, count, then `count` pairs (kind, of).
    end = address + 3 + 2 * fetch(level, address + 2)
    for k in range(address + 3, end, 2):
        if not holds(state, fetch(level, k), fetch(level, k + 1)):
            return target
    return end


@njit
def holds(state, kind, of):
    """Return whether a condition of a text holds."""
    if kind <= program.IS_SHUT:  # what is locked is shut too
        return (kind == program.IS_OPEN) == (state.lock[of] == codes.OPEN or state.lock[of] == codes.AJAR)
    if kind == program.HAS_SOME:
        return state.first[of] != codes.NONE
    if kind == program.HAS_NONE:
        return state.first[of] == codes.NONE
    if kind == program.HAS_ONE:
        return state.first[of] != codes.NONE and state.after[state.first[of]] == codes.NONE
    return state.lock[of] == codes.LOCKED
