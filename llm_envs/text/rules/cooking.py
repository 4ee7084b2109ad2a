"""The verbs of cooking games: cut, cook, prepare a meal. As `llm_envs.text.rules.verbs`."""

import numpy as np
from numba import njit

from llm_envs.text.language import replies
from llm_envs.text.records import codes
from llm_envs.text.rules.verbs import not_held
from llm_envs.text.rules.visibility import hands, is_fixed, is_held, is_portable, lowest_bit, move


@njit
def cut_it(state, level, x, y, how):
    """Cut the food x with the blade y, both held, in one of three ways: SLICED, DICED, CHOPPED; food is cut once."""
    if not is_portable(level, x) or not level.traits[x] & codes.FOOD:
        return replies.ONLY_FOOD_CUTS
    done = state.cut[x] & codes.CUT
    if done > codes.UNCUT:
        # The replies stand in the order of the cuts, as SLICED_IT and what follows it do.
        return replies.IS_SLICED + done - codes.SLICED
    if not is_portable(level, y) or not level.traits[y] & codes.SHARP:
        return replies.NEEDS_KNIFE
    if not is_held(state, level, x):
        return not_held(state, level, x)
    if not is_held(state, level, y):
        return not_held(state, level, y)
    state.cut[x] = (np.int64(state.cut[x]) & ~codes.CUT) | how
    state.to_test |= level.watch_portable[x]
    return replies.SLICED_IT + how - codes.SLICED


@njit
def heat_of(level, thing):
    """Return what cooking with a thing makes of food: FRIED, ROASTED, GRILLED, or 0 where it has no heat."""
    if not is_fixed(level, thing):
        return 0
    kind = level.kind[thing - level.portables]
    return (
        codes.FRIED
        if kind == codes.STOVE
        else codes.ROASTED
        if kind == codes.OVEN
        else codes.GRILLED
        if kind == codes.TOASTER
        else 0
    )


@njit
def cook(state, level, x, y):
    """Cook the food x, which is held, with the source of heat y; what is cooked already burns."""
    if not is_held(state, level, x):
        return not_held(state, level, x)
    if not level.traits[x] & codes.FOOD:
        return replies.ONLY_FOOD_COOKS
    heat = heat_of(level, y)
    if heat == 0:
        return replies.NEEDS_HEAT
    food = np.int64(state.food[x])
    if food & codes.BURNED:
        return replies.BURNED_IT
    state.to_test |= level.watch_portable[x]
    # The second time it burns, and is inedible whatever it was before.
    if food & codes.COOKED:
        state.food[x] = (food & ~codes.COOKED & ~codes.EDIBILITY) | codes.BURNED | codes.INEDIBLE
        return replies.BURNED_IT
    if food & codes.NEEDS_COOKING:
        food = (food & ~codes.EDIBILITY) | codes.EDIBLE
    state.food[x] = (food & ~codes.RAW & ~codes.NEEDS_COOKING & ~codes.HEAT) | codes.COOKED | heat
    return (
        replies.FRIED_IT if heat == codes.FRIED else replies.ROASTED_IT if heat == codes.ROASTED else replies.GRILLED_IT
    )


@njit
def prepare(state, level):
    """Make the meal of the recipe's ingredients, which must be held and prepared as it says."""
    if state.room != level.kitchen:
        return replies.WRONG_ROOM
    for k in range(level.num_parts):
        part, heat, cut = level.parts[k, 0], level.parts[k, 1], level.parts[k, 2]
        # One ingredient after the other: the first that is not ready decides the reply.
        if not is_held(state, level, part):
            return replies.MISSING
        if state.food[part] & codes.HEAT != heat:
            return replies.UNCOOKED
        # A food of which no fact says how it is cut counts as uncut.
        if max(state.cut[part] & codes.CUT, codes.UNCUT) != cut:
            return replies.UNCUT_STILL
    for k in range(level.num_parts):
        part = level.parts[k, 0]
        move(state, level, part, codes.NONE)
        state.cut[part] = (np.int64(state.cut[part]) & ~codes.GONE) | codes.USED
    move(state, level, level.meal, hands(level))
    state.food[level.meal] = (np.int64(state.food[level.meal]) & ~codes.EDIBILITY) | codes.EDIBLE | codes.RAW
    if level.theme == codes.COOKING_DROP:
        free_slots_of(state, level.num_parts)
    return replies.PREPARED


@njit
def free_slots_of(state, parts):
    """Free the places in the hands that the ingredients had: all but the lowest, which the meal takes.

    TextWorld's rules need 0, 2, 3, 3 and 5 used places for 1 to 5 ingredients (the rule for fewer where not so many are
    used). That for 4 names one place twice and one that it does not ask to be used, which turns out to be the lowest
    other one: it becomes free too.
    """
    used, free = np.int64(state.used_slots), np.int64(state.free_slots)
    count = 0
    for bit in range(8):
        count += (used >> bit) & 1
    while parts > 1 and count < (3 if parts in (3, 4) else parts):
        parts -= 1
    if parts == 1:
        return
    taken = np.int64(0)
    for _ in range(3 if parts in (3, 4) else parts):
        taken |= lowest_bit(used & ~taken)
    freed = taken & ~lowest_bit(taken)
    state.used_slots = used & ~freed
    free |= freed
    if parts == 4:
        free |= lowest_bit(~taken)
    state.free_slots = free
