"""The heuristic of the search: a lower bound on the commands from a state to a win.

It never overestimates (it is admissible), so A* with it finds shortest lists. It counts landmarks, each command once
(as Karpas and Domshlak, 2009, "Cost-Optimal Planning with Landmarks", do in general), and adds the length of a tour:
every subgoal to take, put, cut, cook, eat, open, close, lock, unlock or prepare counts one, and walking counts as the
shortest tour through the rooms where that must be done, some of them after others: where a thing is put after where it
is, what lies behind a locked door after its key.
"""

import numpy as np
from numba import njit

from llm_envs.text.records import codes
from llm_envs.text.rules.visibility import count_held, hands, is_open
from llm_envs.text.solver.shortest_walk import FAR, tour_length
from llm_envs.text.solver.subgoals import (
    ANY_HEAT,
    TO_OPEN,
    TO_UNLOCK,
    clear,
    heat_room,
    require,
    require_fetching,
    require_open,
    require_visit,
    room_of,
)
from llm_envs.text.solver.workspace import ANYWHERE, ONE_OF


@njit
def lower_bound(state, level, static, subgoals, workspace):
    """Return a lower bound on the commands to a win, FAR or more if the state is a dead end."""
    clear(level, subgoals)
    for one_of in range(2):  # exact places first: they may count as one of several
        for quest in range(level.quests):
            bit = np.uint64(1) << np.uint64(quest)
            if static.required & bit == 0 or state.done_quests & bit != 0:
                continue
            for k in range(static.first_need[quest], static.first_need[quest + 1]):
                kind, a, b = static.needs[k, 0], static.needs[k, 1], static.needs[k, 2]
                if (kind == ONE_OF) == (one_of == 1):
                    require(state, level, static, subgoals, kind, a, b)
    propagate(state, level, static, subgoals)
    if subgoals.dead_end:
        return FAR
    order_visits(state, level, static, subgoals)
    if subgoals.dead_end:
        return FAR
    actions = count_actions(state, level, static, subgoals)
    return actions + tour_length(static, subgoals, workspace, np.int64(state.room))


@njit
def propagate(state, level, static, subgoals):
    """Add the subgoals of subgoals until there are no more; a bridge must be open to get past it."""
    fetched, changed = 0, True
    while changed and not subgoals.dead_end:
        changed = False
        while fetched < subgoals.num_to_fetch:
            require_fetching(state, level, static, subgoals, subgoals.to_fetch[fetched])
            fetched += 1
            changed = True
        for door in range(level.doors):
            lock = level.fixed + door
            if not static.is_bridge[door] or is_open(state, lock) or subgoals.lock_actions[lock] & TO_OPEN:
                continue
            if lies_beyond(state, static, subgoals, door):
                require_open(state, level, subgoals, lock)
                changed = True


@njit
def lies_beyond(state, static, subgoals, door):
    """Return whether a room to visit lies on the other side of a bridge."""
    for k in range(subgoals.num_rooms):  # noqa: SIM110 (numba compiles no generators)
        if static.side[door, subgoals.rooms[k]] != static.side[door, state.room]:
            return True
    return False


@njit
def visit_after(subgoals, room, earlier):
    """Note that the last visit to a room comes after the first one to another (or NONE), if that is to be visited."""
    require_visit(subgoals, room)
    if earlier != codes.NONE and earlier != room and subgoals.index_of[earlier] < 64:
        subgoals.before[subgoals.index_of[room]] |= np.uint64(1) << np.uint64(subgoals.index_of[earlier])


@njit
def place_of(state, level, p):
    """Return the room where a portable is, NONE in the hands and nowhere."""
    return room_of(level, state.holder[p])


@njit
def order_visits(state, level, static, subgoals):
    """Note which rooms must be visited after which."""
    for k in range(subgoals.num_deliveries):
        p, holder = subgoals.deliveries[k, 0], subgoals.deliveries[k, 1]
        if holder != ANYWHERE:
            visit_after(subgoals, room_of(level, holder), source_of(state, level, p))
    for p in range(level.portables):
        if subgoals.cook[p] > ANY_HEAT and heat_room(static, subgoals.cook[p]) != ANYWHERE:
            visit_after(subgoals, heat_room(static, subgoals.cook[p]), place_of(state, level, p))
        if subgoals.hold[p] and state.holder[p] != codes.NONE:
            holder = np.int64(state.holder[p])
            if holder >= level.rooms and state.lock[holder - level.rooms] == codes.LOCKED:
                visit_after(subgoals, room_of(level, holder), key_place(state, level, holder - level.rooms))
    if subgoals.prepare_meal:
        for k in range(level.num_parts):
            part = level.parts[k, 0]
            visit_after(subgoals, level.kitchen, place_of(state, level, part))
            if subgoals.cook[part] > ANY_HEAT and heat_room(static, subgoals.cook[part]) != ANYWHERE:
                visit_after(subgoals, level.kitchen, heat_room(static, subgoals.cook[part]))
    for lock in range(level.fixed + level.doors):
        if subgoals.lock_actions[lock] & TO_UNLOCK:
            if lock < level.fixed:
                if subgoals.index_of[level.place[lock]] != codes.NONE:
                    visit_after(subgoals, np.int64(level.place[lock]), key_place(state, level, lock))
            elif static.is_bridge[lock - level.fixed]:
                order_beyond(state, level, static, subgoals, lock)


@njit
def source_of(state, level, p):
    """Return the room from which a portable will be taken, NONE if it is held."""
    if p == level.meal and state.holder[p] == codes.NONE:
        return np.int64(level.kitchen)
    return np.int64(place_of(state, level, p))


@njit
def key_place(state, level, lock):
    """Return the room of the key of a lock, NONE if it is held or there is none."""
    return np.int64(place_of(state, level, level.key_of[lock])) if level.key_of[lock] != codes.NONE else codes.NONE


@njit
def order_beyond(state, level, static, subgoals, lock):
    """Note that what lies beyond a locked bridge comes after its key."""
    door, key = lock - level.fixed, key_place(state, level, lock)
    if key == codes.NONE:
        return
    if static.side[door, key] != static.side[door, state.room]:
        subgoals.dead_end = 1  # the key is locked in
    for k in range(subgoals.num_rooms):
        if static.side[door, subgoals.rooms[k]] != static.side[door, state.room]:
            visit_after(subgoals, np.int64(subgoals.rooms[k]), key)


@njit
def count_actions(state, level, static, subgoals):
    """Return how many commands are needed besides those that walk."""
    count, cuts, blades = np.int64(subgoals.prepare_meal), 0, 0
    for p in range(level.portables):
        held = state.holder[p] == hands(level) or (p == level.meal and state.holder[p] == codes.NONE)
        puts = np.int64(subgoals.destinations[p])
        count += puts + (subgoals.cook[p] != 0) + subgoals.cut[p] + subgoals.eat[p]
        # It is taken before each time that it is put somewhere, but for the first if it is in the hands.
        count += max(puts - 1, 0) if held else max(puts, np.int64(subgoals.hold[p]))
        cuts += subgoals.cut[p]
        blades += static.useful_blade[p] != 0 and (held or subgoals.hold[p] != 0)
    if cuts > 0 and blades == 0:
        count += 1  # some blade must be taken, whichever it is
    for lock in range(level.fixed + level.doors):
        actions = subgoals.lock_actions[lock]
        count += (actions & 1) + (actions >> 1 & 1) + (actions >> 2 & 1) + (actions >> 3 & 1)
    if level.theme == codes.COOKING_DROP and subgoals.prepare_meal and not static.encodes_slots:
        count += count_surplus(state, level, static, subgoals)
    return count


@njit
def count_surplus(state, level, static, subgoals):
    """Return how many things must leave limited hands, and are counted for nothing else, before all ingredients fit."""
    others, counted = count_held(state, level), 0
    held_blade, blade_is_part, cutting = False, False, False
    for p in range(level.portables):
        held_blade |= static.useful_blade[p] != 0 and state.holder[p] == hands(level)
        part = False
        for k in range(level.num_parts):
            part |= level.parts[k, 0] == p
        blade_is_part |= static.useful_blade[p] != 0 and part
        if part:
            others -= state.holder[p] == hands(level)
            cutting |= subgoals.cut[p] != 0
        else:
            counted += subgoals.destinations[p] + subgoals.eat[p]
    if cutting and not held_blade and not blade_is_part:
        others += 1  # a blade will be held, too
    return max(others - (level.slots - level.num_parts) - counted, 0)
