"""States as the solver's search keeps them: short codes of what can change and still matters.

A code holds the room, the done quests, where things are, what is open, and the condition of food. A thing that is of no
more use is written as nowhere, so that states that differ in nothing else have one code.

    byte 0              the room
    byte 1              1 on the first turn, on which every quest is tested
    bytes 2, 3          the free and the used places in the hands, where they matter
    quests, 8 a byte    1 for a done quest
    movable             a byte each: the holder
    foods               two bytes each: heat and edibility, cut
    locks               a byte each
"""

import numpy as np
from numba import njit

from llm_envs.text.records import codes
from llm_envs.text.rules.turn import ALL_QUESTS
from llm_envs.text.rules.visibility import count_held, hands


@njit
def serves_open_quest(state, static, p):
    """Return whether a portable may still be of use to a quest, or is never ruled out."""
    return static.unconstrained[p] != 0 or static.quests_of[p] & ~state.done_quests != 0


@njit
def is_relevant(state, level, static, p):
    """Return whether a portable can still be of use: to a quest, as a key, or as a blade."""
    if serves_open_quest(state, static, p):
        return True
    for lock in range(level.fixed + level.doors):
        if level.key_of[lock] == p and state.lock[lock] == codes.LOCKED and static.may_unlock[lock]:
            return True
    if static.useful_blade[p]:
        for food in range(level.portables):
            uncut = state.cut[food] & codes.CUT == codes.UNCUT and state.holder[food] != codes.NONE
            if static.may_cut[food] and uncut and serves_open_quest(state, static, food):
                return True
    return False


@njit
def is_useful(state, level, static, command):
    """Return whether an allowed command may be of use in this state."""
    verb, x = level.commands[command, 0], level.commands[command, 1]
    if verb == codes.DROP:
        return static.may_drop[x, state.room] != 0 or not is_relevant(state, level, static, x)
    if verb == codes.COOK and state.food[x] & (codes.COOKED | codes.BURNED):
        return static.may_burn[x] != 0
    return verb != codes.TAKE or is_relevant(state, level, static, x)


@njit
def write_code(state, level, static, code):
    """Write the code of a state, uint8 (code_length,)."""
    code[0], code[1] = state.room, state.to_test != level.always
    code[2], code[3], k = 0, 0, 4
    if static.encodes_slots:
        code[2], code[3] = state.free_slots, state.used_slots
    for byte in range((level.quests + 7) // 8):
        code[k] = (state.done_quests >> np.uint64(8 * byte)) & np.uint64(255)
        k += 1
    for i in range(static.num_movable):
        p = static.movable[i]
        code[k] = state.holder[p]
        # What takes a place in limited hands matters even when it is of no more use.
        held = level.theme == codes.COOKING_DROP and state.holder[p] == hands(level)
        if not held and not is_relevant(state, level, static, p):
            code[k] = codes.NONE
        k += 1
    for i in range(static.num_foods):
        code[k], code[k + 1] = state.food[static.foods[i]], state.cut[static.foods[i]]
        k += 2
    for i in range(static.num_locks):
        code[k] = state.lock[static.locks[i]]
        k += 1


@njit
def read_code(code, state, level, static):
    """Change a state into the coded one, from which it differs only in what codes hold."""
    state.room, state.to_test, k = code[0], ALL_QUESTS if code[1] else level.always, 4
    state.done_quests = np.uint64(0)
    for byte in range((level.quests + 7) // 8):
        state.done_quests |= np.uint64(code[k]) << np.uint64(8 * byte)
        k += 1
    for i in range(static.num_movable):
        state.holder[static.movable[i]] = code[k]
        k += 1
    for i in range(static.num_foods):
        state.food[static.foods[i]], state.cut[static.foods[i]] = code[k], code[k + 1]
        k += 2
    for i in range(static.num_locks):
        state.lock[static.locks[i]] = code[k]
        k += 1
    # The list of what each holder has must be whole; its order matters to texts only.
    for holder in range(hands(level) + 1):
        state.first[holder] = codes.NONE
    for p in range(level.portables):
        holder = state.holder[p]
        if holder != codes.NONE:
            state.after[p], state.first[holder] = state.first[holder], p
    if static.encodes_slots:
        state.free_slots, state.used_slots = code[2], code[3]
    elif level.theme == codes.COOKING_DROP:
        every = (np.int64(1) << level.slots) - 1
        used = (np.int64(1) << count_held(state, level)) - 1
        state.free_slots, state.used_slots = every & ~used, used
