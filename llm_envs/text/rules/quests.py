"""Conditions, quests, score and the end of a game."""

import numpy as np
from numba import njit

from llm_envs.text.records import codes


@njit
def holds(state, kind, a, b):
    """Return whether a condition holds; events of quests, and the facts in `info`, are made of these."""
    if kind == codes.AT_ROOM:
        return state.room == a
    if kind == codes.HELD_BY:
        return state.holder[a] == b
    if kind == codes.LOCK_IS:
        return state.lock[a] == b
    if kind == codes.FOOD_HAS:
        return state.food[a] & b != 0
    if kind == codes.EDIBLE_IS:
        return state.food[a] & codes.EDIBILITY == b
    if kind == codes.HEAT_IS:
        return state.food[a] & codes.HEAT == b
    if kind == codes.CUT_IS:
        return state.cut[a] & codes.CUT == b
    if kind == codes.GONE_IS:
        return state.cut[a] & codes.GONE == b
    if kind == codes.SLOT_FREE:
        return (state.free_slots >> a) & 1 == 1
    if kind == codes.SLOT_USED:
        return (state.used_slots >> a) & 1 == 1
    return kind == codes.ALWAYS


@njit
def happened(state, level, event):
    """Return whether all conditions of an event hold."""
    for k in range(level.first_condition[event], level.first_condition[event + 1]):
        if not holds(state, level.conditions[k, 0], level.conditions[k, 1], level.conditions[k, 2]):
            return False
    return True


@njit
def happened_any(state, level, start, stop):
    """Return whether one of the events start .. stop - 1 holds."""
    for event in range(start, stop):  # noqa: SIM110 (numba compiles no generators)
        if happened(state, level, event):
            return True
    return False


@njit
def end_turn(state, level):
    """Test the quests that this turn's changes may have decided: state.gain, state.score and state.ending follow.

    A lost game keeps the score it had; `gain` then holds what this turn had gained before.
    """
    state.gain = 0
    # Most turns change nothing that a quest watches.
    if state.to_test == 0:
        return
    for quest in range(level.quests):
        bit = np.uint64(1) << np.uint64(quest)
        if not state.to_test & bit or state.done_quests & bit:
            continue
        start, stop = level.first_event[quest], level.first_event[quest + 1]
        # A quest's fail events stand, and are tested, before its win events.
        wins = start + level.num_fails[quest]
        if happened_any(state, level, start, wins):
            state.ending = codes.LOST
            return
        if happened_any(state, level, wins, stop):
            state.gain += level.quest_reward[quest]
            if not level.quest_flags[quest] & codes.REPEATABLE:
                state.done_quests |= bit
    # Repeatable quests score on every turn on which they hold.
    state.to_test = level.always
    state.score += state.gain
    if all_done(state, level):
        state.ending = codes.WON


@njit
def all_done(state, level):
    """Return whether every quest that has to be is done, and there is one."""
    wanted = 0
    for quest in range(level.quests):
        if level.quest_flags[quest] & codes.HAS_WIN and not level.quest_flags[quest] & codes.OPTIONAL:
            if not (state.done_quests >> np.uint64(quest)) & np.uint64(1):
                return False
            wanted += 1
    return wanted > 0
