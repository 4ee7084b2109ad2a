"""What a state still asks for, found backwards from the conditions of the required quests.

To be eaten a thing must be held, to be held it must be taken from where it is, for which a container must be opened,
with a key that must be held, and so on: everything is noted once on the desk (llm_envs.text.solver.workspace).
"""

import numpy as np
from numba import njit

from llm_envs.text.records.codes import (
    AT_ROOM,
    BURNED,
    CLOSED,
    COOKED,
    COOKING,
    CUT,
    CUT_IS,
    FOOD_HAS,
    GONE_IS,
    GRILLED,
    HEAT,
    HEAT_IS,
    HELD_BY,
    LOCK_IS,
    LOCKED,
    NEEDS_COOKING,
    NONE,
    OPEN,
    UNCUT,
    USED,
)
from llm_envs.text.rules.admissible import can_cook
from llm_envs.text.rules.quests import holds
from llm_envs.text.rules.visibility import hands
from llm_envs.text.solver.workspace import ANYWHERE, ONE_OF

TO_OPEN, TO_CLOSE, TO_LOCK, TO_UNLOCK = 1, 2, 4, 8  # desk.turns


@njit
def clear(level, desk):
    """Forget what another state asked for."""
    desk.dead, desk.preparing, desk.num_aims, desk.num_rooms, desk.num_fetched = 0, 0, 0, 0, 0
    for p in range(level.portables):
        desk.hold[p], desk.cook[p], desk.cut[p], desk.eat[p], desk.placing[p] = 0, 0, 0, 0, 0
    for lock in range(level.fixed + level.doors):
        desk.turns[lock] = 0
    for room in range(level.rooms):
        desk.index_of[room] = NONE


@njit
def visit(desk, room):
    """Let a room be visited."""
    if desk.index_of[room] == NONE:
        desk.index_of[room], desk.rooms[desk.num_rooms], desk.before[desk.num_rooms] = desk.num_rooms, room, 0
        desk.num_rooms += 1


@njit
def room_of(level, holder):
    """Return the room of a holder, NONE of the hands and of nowhere."""
    if holder < level.rooms:
        return np.int64(holder)
    return np.int64(level.place[holder - level.rooms]) if holder < hands(level) else NONE


@njit
def want(state, level, desk, kind, a, b):
    """Note what a condition asks for that does not hold."""
    if kind == ONE_OF:
        if not desk.spots[b, state.holder[a]] if state.holder[a] != NONE else True:
            bring(state, level, desk, a, ANYWHERE)
        return
    if holds(state, kind, a, b):
        return
    if kind == AT_ROOM:
        visit(desk, a)
    elif kind == HELD_BY:
        bring(state, level, desk, a, b)
    elif kind == LOCK_IS:
        turn(state, level, desk, a, b)
    elif kind == HEAT_IS or (kind == FOOD_HAS and b in (COOKED, BURNED)):
        hold(state, level, desk, a)
        heat(state, desk, a, b if kind == HEAT_IS else 1)
    elif kind == CUT_IS:
        hold(state, level, desk, a)
        slice_up(state, level, desk, a, b)
    elif kind == GONE_IS and b == USED:
        prepare(state, level, desk)
    elif kind == GONE_IS:
        hold(state, level, desk, a)
        desk.eat[a] = 1
        if level.theme >= COOKING and state.food[a] & NEEDS_COOKING:
            heat(state, desk, a, 1)


@njit
def bring(state, level, desk, p, holder):
    """Let a thing be brought to a holder, ANYWHERE for one of several."""
    hold(state, level, desk, p)
    if holder == hands(level):
        return
    for k in range(desk.num_aims):
        if desk.aims[k, 0] == p and (desk.aims[k, 1] == holder or holder == ANYWHERE):
            return
    desk.aims[desk.num_aims, 0], desk.aims[desk.num_aims, 1] = p, holder
    desk.num_aims += 1
    desk.placing[p] += 1
    if holder != ANYWHERE:
        visit(desk, room_of(level, holder))
        if holder >= level.rooms:
            unshut(state, level, desk, holder - level.rooms)


@njit
def hold(state, level, desk, p):
    """Let a thing be in the hands."""
    if not desk.hold[p] and state.holder[p] != hands(level):
        desk.hold[p] = 1
        desk.fetched[desk.num_fetched] = p
        desk.num_fetched += 1


@njit
def fetch(state, level, desk, p):
    """Note what it takes to get at a thing that is to be in the hands."""
    holder = state.holder[p]
    if holder == NONE and p == level.meal:
        prepare(state, level, desk)
    elif holder == NONE:
        desk.dead = 1
    else:
        visit(desk, room_of(level, holder))
        if holder >= level.rooms:
            unshut(state, level, desk, holder - level.rooms)


@njit
def unshut(state, level, desk, lock):
    """Let a container or door be open."""
    if state.lock[lock] == CLOSED:
        desk.turns[lock] |= TO_OPEN
    elif state.lock[lock] == LOCKED:
        desk.turns[lock] |= TO_OPEN | TO_UNLOCK
        use_key(state, level, desk, lock)


@njit
def use_key(state, level, desk, lock):
    """Let the key of a lock be in the hands."""
    if level.key_of[lock] == NONE:
        desk.dead = 1
    else:
        hold(state, level, desk, level.key_of[lock])


@njit
def turn(state, level, desk, lock, value):
    """Let a container or door be open, closed or locked, which it is not, and be gone to."""
    now = state.lock[lock]
    if value == OPEN:
        unshut(state, level, desk, lock)
    elif now == LOCKED:
        desk.turns[lock] |= TO_UNLOCK
        use_key(state, level, desk, lock)
    else:
        desk.turns[lock] |= (TO_CLOSE if now == OPEN else 0) | (TO_LOCK if value == LOCKED else 0)
        if value == LOCKED:
            use_key(state, level, desk, lock)
    if lock < level.fixed:
        visit(desk, level.place[lock])
    elif desk.parts_house[lock - level.fixed]:
        visit(desk, near_side(state, level, desk, lock - level.fixed))


@njit
def near_side(state, level, desk, door):
    """Return the room before a door that parts the house, on the player's side."""
    for room in range(level.rooms):
        for way in range(4):
            if level.exit_doors[room, way] == door and desk.side[door, room] == desk.side[door, state.room]:
                return room
    return np.int64(state.room)


@njit
def heat(state, desk, p, wanted):
    """Let food be cooked; `wanted`: the heat, 1 for any."""
    food = np.int64(state.food[p])
    if state.holder[p] != NONE and ((food & (COOKED | BURNED) and wanted > 1) or not can_cook(food)):
        desk.dead = 1  # unless it is the meal, which is not yet as it will be
    elif desk.cook[p] <= 1:
        desk.cook[p] = wanted
        where = heat_room(desk, wanted)
        if where == NONE:
            desk.dead = 1
        elif where != ANYWHERE:
            visit(desk, where)


@njit
def heat_room(desk, wanted):
    """Return the room of a heat, ANYWHERE if there are several or any heat will do, NONE if there is no such heat."""
    return ANYWHERE if wanted <= 1 else np.int64(desk.heat_room[wanted // GRILLED - 1])


@njit
def slice_up(state, level, desk, p, wanted):
    """Let food be cut."""
    if state.cut[p] & CUT != UNCUT:
        desk.dead = 1
    desk.cut[p] = 1
    if desk.only_blade != NONE:
        hold(state, level, desk, desk.only_blade)


@njit
def prepare(state, level, desk):
    """Let the meal be prepared."""
    if desk.preparing:
        return
    desk.preparing = 1
    if level.kitchen == NONE:
        desk.dead = 1
        return
    visit(desk, level.kitchen)
    for k in range(level.num_parts):
        part, wanted, way = level.parts[k, 0], level.parts[k, 1], level.parts[k, 2]
        hold(state, level, desk, part)
        if state.food[part] & HEAT != wanted:
            desk.dead |= wanted == 0
            heat(state, desk, part, max(np.int64(wanted), GRILLED))
        if max(state.cut[part] & CUT, UNCUT) != way:
            slice_up(state, level, desk, part, way)
