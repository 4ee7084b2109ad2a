"""Where things are, what the player can see, and moving things: the helpers of the verbs."""

import numpy as np
from numba import njit

from llm_envs.text.records import codes


@njit
def hands(level):
    """Return the holder that is the player's hands."""
    return level.rooms + level.fixed


@njit
def is_portable(level, thing):
    """Return whether a thing can be carried."""
    return thing < level.portables


@njit
def is_fixed(level, thing):
    """Return whether a thing is a container or supporter."""
    return level.portables <= thing < level.portables + level.fixed


@njit
def is_supporter(level, thing):
    """Return whether things can be put on a thing."""
    return is_fixed(level, thing) and level.kind[thing - level.portables] in (codes.SUPPORTER, codes.STOVE)


@njit
def is_container(level, thing):
    """Return whether things can be put into a thing."""
    return is_fixed(level, thing) and level.kind[thing - level.portables] not in (codes.SUPPORTER, codes.STOVE)


@njit
def is_held(state, level, thing):
    """Return whether a thing is in the player's hands."""
    return is_portable(level, thing) and state.holder[thing] == hands(level)


@njit
def is_here(state, level, fixed):
    """Return whether a fixed thing stands in the player's room."""
    return level.place[fixed] == state.room


@njit
def is_open(state, lock):
    """Return whether a container or door stands open."""
    return state.lock[lock] == codes.OPEN or state.lock[lock] == codes.AJAR


@njit
def in_reach(state, level, portable):
    """Return whether a portable lies on the floor, on a supporter or in an open container of the player's room."""
    holder = state.holder[portable]
    if holder < level.rooms:
        return holder == state.room
    fixed = holder - level.rooms
    if fixed >= level.fixed or not is_here(state, level, fixed):  # in the hands, nowhere, or elsewhere
        return False
    return level.kind[fixed] in (codes.SUPPORTER, codes.STOVE) or is_open(state, fixed)


@njit
def door_here(state, level, door):
    """Return whether a door leads out of the player's room."""
    for way in range(4):  # noqa: SIM110 (numba compiles no generators)
        if level.exit_doors[state.room, way] == door:
            return True
    return False


@njit
def is_visible(state, level, thing):
    """Return whether the player can see a thing: in reach, in the hands, fixed here, or a door of the room."""
    if thing < level.portables:
        return is_held(state, level, thing) or in_reach(state, level, thing)
    lock = thing - level.portables
    if lock < level.fixed:
        return is_here(state, level, lock)
    return lock < level.fixed + level.doors and door_here(state, level, lock - level.fixed)


@njit
def move(state, level, portable, holder):
    """Put a portable first into a holder's list, after taking it out of the list in which it is; NONE for nowhere."""
    old = state.holder[portable]
    if old != codes.NONE:
        if state.first[old] == portable:
            state.first[old] = state.after[portable]
        else:
            # Lists are linked one way only: find the portable before this one.
            before = state.first[old]
            while state.after[before] != portable:
                before = state.after[before]
            state.after[before] = state.after[portable]
    state.holder[portable] = holder
    state.after[portable] = codes.NONE
    # What was moved last is listed first, as TextWorld's interpreter does it.
    if holder != codes.NONE:
        state.after[portable] = state.first[holder]
        state.first[holder] = portable
    state.to_test |= level.watch_portable[portable]


@njit
def set_lock(state, level, lock, value):
    """Open, close or lock a container or door."""
    state.lock[lock] = value
    state.to_test |= level.watch_lock[lock]


@njit
def count_held(state, level):
    """Return how many things are in the player's hands."""
    count, portable = 0, state.first[hands(level)]
    while portable != codes.NONE:
        count += 1
        portable = state.after[portable]
    return count


@njit
def lowest_bit(bits):
    """Return the lowest of some bits, 0 of none."""
    # -bits inverts all bits above the lowest one, which is the only one that both have.
    return bits & -bits


@njit
def fill_slot(state, level):
    """Use the lowest free place in the hands."""
    if level.theme == codes.COOKING_DROP:
        # Fields are bytes; as int64, ~ and - mean the same in compiled and in interpreted rules.
        slot = lowest_bit(np.int64(state.free_slots))
        state.free_slots = np.int64(state.free_slots) & ~slot
        state.used_slots = np.int64(state.used_slots) | slot


@njit
def clear_slot(state, level):
    """Free the lowest used place in the hands."""
    if level.theme == codes.COOKING_DROP:
        slot = lowest_bit(np.int64(state.used_slots))
        state.used_slots = np.int64(state.used_slots) & ~slot
        state.free_slots = np.int64(state.free_slots) | slot
