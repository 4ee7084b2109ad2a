"""Subgoals: what every way to win must do from a state on, found backwards from the conditions of required quests.

In planning these are landmarks: facts and actions that occur in every plan (Hoffmann, Porteous and Sebastia, 2004,
"Ordered Landmarks in Planning"), found by chaining backwards. To be eaten a thing must be held, to be held it must be
taken from where it is, for which a container must be opened, with a key that must be held, and so on. Each is noted
once in the record `SUBGOALS`.
"""

import numpy as np
from numba import njit

from llm_envs.text.records import codes
from llm_envs.text.rules.admissible import can_cook
from llm_envs.text.rules.quests import holds
from llm_envs.text.rules.visibility import hands
from llm_envs.text.solver.workspace import ANYWHERE, ONE_OF

TO_OPEN, TO_CLOSE, TO_LOCK, TO_UNLOCK = 1, 2, 4, 8  # bits of subgoals.lock_actions
ANY_HEAT = 1  # subgoals.cook


@njit
def clear(level, subgoals):
    """Forget the subgoals of another state."""
    subgoals.dead_end, subgoals.prepare_meal = 0, 0
    subgoals.num_deliveries, subgoals.num_rooms, subgoals.num_to_fetch = 0, 0, 0
    for p in range(level.portables):
        subgoals.hold[p], subgoals.cook[p], subgoals.cut[p], subgoals.eat[p] = 0, 0, 0, 0
        subgoals.destinations[p] = 0
    for lock in range(level.fixed + level.doors):
        subgoals.lock_actions[lock] = 0
    for room in range(level.rooms):
        subgoals.index_of[room] = codes.NONE


@njit
def require(state, level, static, subgoals, kind, a, b):
    """Note the subgoals of a condition, if it does not hold."""
    if kind == ONE_OF:
        if state.holder[a] == codes.NONE or not static.targets[b, state.holder[a]]:
            require_delivery(state, level, subgoals, a, ANYWHERE)
        return
    if holds(state, kind, a, b):
        return
    if kind == codes.AT_ROOM:
        require_visit(subgoals, a)
    elif kind == codes.HELD_BY:
        require_delivery(state, level, subgoals, a, b)
    elif kind == codes.LOCK_IS:
        require_lock(state, level, static, subgoals, a, b)
    elif kind == codes.HEAT_IS or (kind == codes.FOOD_HAS and b in (codes.COOKED, codes.BURNED)):
        require_held(state, level, subgoals, a)
        require_heat(state, static, subgoals, a, b if kind == codes.HEAT_IS else ANY_HEAT)
    elif kind == codes.CUT_IS:
        require_held(state, level, subgoals, a)
        require_cut(state, level, static, subgoals, a)
    elif kind == codes.GONE_IS and b == codes.USED:
        require_meal(state, level, static, subgoals)
    elif kind == codes.GONE_IS:
        require_held(state, level, subgoals, a)
        subgoals.eat[a] = 1
        if level.theme >= codes.COOKING and state.food[a] & codes.NEEDS_COOKING:
            require_heat(state, static, subgoals, a, ANY_HEAT)


@njit
def require_visit(subgoals, room):
    """Note that a room must be visited."""
    if subgoals.index_of[room] == codes.NONE:
        k = subgoals.num_rooms
        subgoals.index_of[room], subgoals.rooms[k], subgoals.before[k] = k, room, 0
        subgoals.num_rooms += 1


@njit
def room_of(level, holder):
    """Return the room of a holder, NONE of the hands and of nowhere."""
    if holder < level.rooms:
        return np.int64(holder)
    return np.int64(level.place[holder - level.rooms]) if holder < hands(level) else codes.NONE


@njit
def require_delivery(state, level, subgoals, p, holder):
    """Note that a portable must be brought to a holder, ANYWHERE for one of several."""
    require_held(state, level, subgoals, p)
    if holder == hands(level):
        return
    for k in range(subgoals.num_deliveries):
        if subgoals.deliveries[k, 0] == p and (subgoals.deliveries[k, 1] == holder or holder == ANYWHERE):
            return
    subgoals.deliveries[subgoals.num_deliveries, 0] = p
    subgoals.deliveries[subgoals.num_deliveries, 1] = holder
    subgoals.num_deliveries += 1
    subgoals.destinations[p] += 1
    if holder != ANYWHERE:
        require_access(state, level, subgoals, holder)


@njit
def require_held(state, level, subgoals, p):
    """Note that a portable must be in the hands."""
    if not subgoals.hold[p] and state.holder[p] != hands(level):
        subgoals.hold[p] = 1
        subgoals.to_fetch[subgoals.num_to_fetch] = p
        subgoals.num_to_fetch += 1


@njit
def require_fetching(state, level, static, subgoals, p):
    """Note the subgoals of taking a portable that must be in the hands."""
    holder = state.holder[p]
    if holder == codes.NONE and p == level.meal:
        require_meal(state, level, static, subgoals)
    elif holder == codes.NONE:
        subgoals.dead_end = 1
    else:
        require_access(state, level, subgoals, holder)


@njit
def require_access(state, level, subgoals, holder):
    """Note that a room or a fixed thing must be visited, and the latter be open."""
    require_visit(subgoals, room_of(level, holder))
    if holder >= level.rooms:
        require_open(state, level, subgoals, holder - level.rooms)


@njit
def require_open(state, level, subgoals, lock):
    """Note that a container or door must be open."""
    if state.lock[lock] == codes.CLOSED:
        subgoals.lock_actions[lock] |= TO_OPEN
    elif state.lock[lock] == codes.LOCKED:
        subgoals.lock_actions[lock] |= TO_OPEN | TO_UNLOCK
        require_key(state, level, subgoals, lock)


@njit
def require_key(state, level, subgoals, lock):
    """Note that the key of a lock must be in the hands."""
    if level.key_of[lock] == codes.NONE:
        subgoals.dead_end = 1
    else:
        require_held(state, level, subgoals, level.key_of[lock])


@njit
def require_lock(state, level, static, subgoals, lock, value):
    """Note that a container or door must be visited and made open, closed or locked, which it is not."""
    now = state.lock[lock]
    if value == codes.OPEN:
        require_open(state, level, subgoals, lock)
    elif now == codes.LOCKED:
        subgoals.lock_actions[lock] |= TO_UNLOCK
        require_key(state, level, subgoals, lock)
    else:
        subgoals.lock_actions[lock] |= TO_CLOSE if now == codes.OPEN else 0
        if value == codes.LOCKED:
            subgoals.lock_actions[lock] |= TO_LOCK
            require_key(state, level, subgoals, lock)
    if lock < level.fixed:
        require_visit(subgoals, level.place[lock])
    elif static.is_bridge[lock - level.fixed]:  # of another door it is not known from which side
        require_visit(subgoals, near_side(state, level, static, lock - level.fixed))


@njit
def near_side(state, level, static, door):
    """Return the room before a bridge, on the player's side."""
    for room in range(level.rooms):
        for way in range(4):
            if level.exit_doors[room, way] == door and static.side[door, room] == static.side[door, state.room]:
                return room
    return np.int64(state.room)


@njit
def require_heat(state, static, subgoals, p, wanted):
    """Note that food must be cooked; `wanted`: the heat, or ANY_HEAT."""
    food = np.int64(state.food[p])
    is_done = food & (codes.COOKED | codes.BURNED) != 0
    if state.holder[p] != codes.NONE and ((is_done and wanted > ANY_HEAT) or not can_cook(food)):
        subgoals.dead_end = 1  # the meal is excepted while it is nowhere: it is not yet as it will be
    elif subgoals.cook[p] <= ANY_HEAT:
        subgoals.cook[p] = wanted
        where = heat_room(static, wanted)
        if where == codes.NONE:
            subgoals.dead_end = 1
        elif where != ANYWHERE:
            require_visit(subgoals, where)


@njit
def heat_room(static, wanted):
    """Return the room of a heat, ANYWHERE if there are several or any heat will do, NONE if there is no such heat."""
    return ANYWHERE if wanted <= ANY_HEAT else np.int64(static.heat_room[wanted // codes.GRILLED - 1])


@njit
def require_cut(state, level, static, subgoals, p):
    """Note that food must be cut."""
    if state.cut[p] & codes.CUT != codes.UNCUT:
        subgoals.dead_end = 1  # it has been cut otherwise
    subgoals.cut[p] = 1
    if static.only_blade != codes.NONE:
        require_held(state, level, subgoals, static.only_blade)


@njit
def require_meal(state, level, static, subgoals):
    """Note that the meal must be prepared, from ingredients as the recipe wants them."""
    if subgoals.prepare_meal:
        return
    subgoals.prepare_meal = 1
    if level.kitchen == codes.NONE:
        subgoals.dead_end = 1
        return
    require_visit(subgoals, level.kitchen)
    for k in range(level.num_parts):
        part, heat, cut = level.parts[k, 0], level.parts[k, 1], level.parts[k, 2]
        require_held(state, level, subgoals, part)
        if state.food[part] & codes.HEAT != heat:
            if heat == 0:  # it was cooked, and must not have been
                subgoals.dead_end = 1
            require_heat(state, static, subgoals, part, max(np.int64(heat), codes.GRILLED))
        if max(state.cut[part] & codes.CUT, codes.UNCUT) != cut:
            require_cut(state, level, static, subgoals, part)
