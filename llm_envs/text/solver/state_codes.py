"""States as the solver's search keeps them: short codes of what can change and still matters.

A code holds the room, the done quests, where things are, what is open, and what became of food. A thing that is of no
more use is written down as nowhere: states that differ in nothing else are one.
"""

import numpy as np
from numba import njit

from llm_envs.text.records.codes import BURNED, COOK, COOKED, COOKING_DROP, CUT, DROP, LOCKED, NONE, TAKE, UNCUT
from llm_envs.text.rules.turn import ALL_QUESTS
from llm_envs.text.rules.visibility import count_held, hands


@njit
def is_alive(state, level, desk, p):
    """Say whether a thing can still be of use."""
    if desk.loose[p] or desk.quests_of[p] & ~state.done_quests != 0:
        return True
    for lock in range(level.fixed + level.doors):
        if level.key_of[lock] == p and state.lock[lock] == LOCKED and desk.unlocks[lock]:
            return True
    if desk.blades[p]:
        for food in range(level.portables):
            uncut = desk.cuts[food] and state.cut[food] & CUT == UNCUT and state.holder[food] != NONE
            if uncut and (desk.loose[food] or desk.quests_of[food] & ~state.done_quests != 0):
                return True
    return False


@njit
def is_useful(state, level, desk, command):
    """Say whether an allowed command may be of use in this state."""
    verb, x = level.commands[command, 0], level.commands[command, 1]
    if verb == DROP:
        return desk.floor[x, state.room] != 0 or not is_alive(state, level, desk, x)
    if verb == COOK and state.food[x] & (COOKED | BURNED):
        return desk.burns[x] != 0
    return verb != TAKE or is_alive(state, level, desk, x)


@njit
def write_code(state, level, desk, code):
    """Write the code of a state."""
    code[0], code[1] = state.room, state.to_test != level.always
    code[2], code[3], k = 0, 0, 4
    if desk.keeps_slots:
        code[2], code[3] = state.free_slots, state.used_slots
    for byte in range((level.quests + 7) // 8):
        code[k] = (state.done_quests >> np.uint64(8 * byte)) & np.uint64(255)
        k += 1
    for i in range(desk.num_movers):
        p = desk.movers[i]
        code[k] = state.holder[p]
        held = level.theme == COOKING_DROP and state.holder[p] == hands(level)
        if not held and not is_alive(state, level, desk, p):
            code[k] = NONE
        k += 1
    for i in range(desk.num_foods):
        code[k], code[k + 1] = state.food[desk.foods[i]], state.cut[desk.foods[i]]
        k += 2
    for i in range(desk.num_locks):
        code[k] = state.lock[desk.locks[i]]
        k += 1


@njit
def read_code(code, state, level, desk):
    """Change a state, which differs from the coded one only in what the code tells, into that one."""
    state.room, state.to_test, k = code[0], ALL_QUESTS if code[1] else level.always, 4
    state.done_quests = np.uint64(0)
    for byte in range((level.quests + 7) // 8):
        state.done_quests |= np.uint64(code[k]) << np.uint64(8 * byte)
        k += 1
    for i in range(desk.num_movers):
        state.holder[desk.movers[i]] = code[k]
        k += 1
    for i in range(desk.num_foods):
        state.food[desk.foods[i]], state.cut[desk.foods[i]] = code[k], code[k + 1]
        k += 2
    for i in range(desk.num_locks):
        state.lock[desk.locks[i]] = code[k]
        k += 1
    for holder in range(hands(level) + 1):
        state.first[holder] = NONE
    for p in range(level.portables):
        holder = state.holder[p]
        if holder != NONE:
            state.after[p], state.first[holder] = state.first[holder], p
    if desk.keeps_slots:
        state.free_slots, state.used_slots = code[2], code[3]
    elif level.theme == COOKING_DROP:
        every = (np.int64(1) << level.slots) - 1
        used = (np.int64(1) << count_held(state, level)) - 1
        state.free_slots, state.used_slots = every & ~used, used
