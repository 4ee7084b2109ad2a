"""How many commands a state is at least away from a win: what must still be done, and the walk to where it is done.

What must be done is counted once each: things to take, to put, to cut, to cook and to eat, containers and doors to
open, close, lock and unlock, the meal to prepare. Where a deed can be done in one room only, that room must be visited,
and some rooms after others: where a thing is put after where it is, what lies behind a locked door after its key.
"""

import numpy as np
from numba import njit

from llm_envs.text.records.codes import COOKING_DROP, LOCKED, NONE
from llm_envs.text.rules.visibility import count_held, hands, is_open
from llm_envs.text.solver.shortest_walk import FAR, walk
from llm_envs.text.solver.subgoals import TO_OPEN, TO_UNLOCK, clear, fetch, heat_room, room_of, unshut, visit, want
from llm_envs.text.solver.workspace import ANYWHERE, ONE_OF


@njit
def bound(state, level, desk, memory):
    """Return a lower bound on the commands to a win, FAR or more if the state is lost for good."""
    clear(level, desk)
    for one_of in range(2):  # exact places first: they may count as one of several
        for quest in range(level.quests):
            bit = np.uint64(1) << np.uint64(quest)
            if desk.required & bit == 0 or state.done_quests & bit != 0:
                continue
            for k in range(desk.first_need[quest], desk.first_need[quest + 1]):
                if (desk.needs[k, 0] == ONE_OF) == (one_of == 1):
                    want(state, level, desk, desk.needs[k, 0], desk.needs[k, 1], desk.needs[k, 2])
    settle(state, level, desk)
    if desk.dead:
        return FAR
    order_visits(state, level, desk)
    if desk.dead:
        return FAR
    return deeds(state, level, desk) + walk(desk, np.int64(state.room), memory)


@njit
def settle(state, level, desk):
    """Follow up what was noted, until nothing is added; a door that parts the house must be open to get past it."""
    done, changed = 0, True
    while changed and not desk.dead:
        changed = False
        while done < desk.num_fetched:
            fetch(state, level, desk, desk.fetched[done])
            done += 1
            changed = True
        for door in range(level.doors):
            lock = level.fixed + door
            if not desk.parts_house[door] or is_open(state, lock) or desk.turns[lock] & TO_OPEN:
                continue
            if lies_beyond(state, desk, door):
                unshut(state, level, desk, lock)
                changed = True


@njit
def lies_beyond(state, desk, door):
    """Say whether a room to visit lies on the other side of a door that parts the house."""
    for k in range(desk.num_rooms):  # noqa: SIM110 (numba compiles no generators)
        if desk.side[door, desk.rooms[k]] != desk.side[door, state.room]:
            return True
    return False


@njit
def after(desk, room, earlier):
    """Let the last visit to a room come after the first one to another (or NONE), if that is to be visited."""
    visit(desk, room)
    if earlier != NONE and earlier != room and desk.index_of[earlier] < 64:
        desk.before[desk.index_of[room]] |= np.uint64(1) << np.uint64(desk.index_of[earlier])


@njit
def place_of(state, level, p):
    """Return the room where a thing is, NONE in the hands and nowhere."""
    return room_of(level, state.holder[p])


@njit
def order_visits(state, level, desk):
    """Note which rooms must be visited after which."""
    for k in range(desk.num_aims):
        p, holder = desk.aims[k, 0], desk.aims[k, 1]
        if holder != ANYWHERE:
            after(desk, room_of(level, holder), source(state, level, desk, p))
    for p in range(level.portables):
        if desk.cook[p] > 1 and heat_room(desk, desk.cook[p]) != ANYWHERE:
            after(desk, heat_room(desk, desk.cook[p]), place_of(state, level, p))
        if desk.hold[p] and state.holder[p] != NONE:
            holder = np.int64(state.holder[p])
            if holder >= level.rooms and state.lock[holder - level.rooms] == LOCKED:
                after(desk, room_of(level, holder), key_place(state, level, holder - level.rooms))
    if desk.preparing:
        for k in range(level.num_parts):
            part = level.parts[k, 0]
            after(desk, level.kitchen, place_of(state, level, part))
            if desk.cook[part] > 1 and heat_room(desk, desk.cook[part]) != ANYWHERE:
                after(desk, level.kitchen, heat_room(desk, desk.cook[part]))
    for lock in range(level.fixed + level.doors):
        if desk.turns[lock] & TO_UNLOCK:
            if lock < level.fixed:
                if desk.index_of[level.place[lock]] != NONE:
                    after(desk, np.int64(level.place[lock]), key_place(state, level, lock))
            elif desk.parts_house[lock - level.fixed]:
                order_beyond(state, level, desk, lock)


@njit
def source(state, level, desk, p):
    """Return the room from which a thing will be taken, NONE if it is held."""
    if p == level.meal and state.holder[p] == NONE:
        return np.int64(level.kitchen)
    return np.int64(place_of(state, level, p))


@njit
def key_place(state, level, lock):
    """Return the room of the key of a lock, NONE if it is held."""
    return np.int64(place_of(state, level, level.key_of[lock])) if level.key_of[lock] != NONE else NONE


@njit
def order_beyond(state, level, desk, lock):
    """Let what lies beyond a locked door that parts the house come after the key."""
    door, key = lock - level.fixed, key_place(state, level, lock)
    if key == NONE:
        return
    if desk.side[door, key] != desk.side[door, state.room]:
        desk.dead = 1
    for k in range(desk.num_rooms):
        if desk.side[door, desk.rooms[k]] != desk.side[door, state.room]:
            after(desk, np.int64(desk.rooms[k]), key)


@njit
def deeds(state, level, desk):
    """Return how many commands are needed beside those that walk."""
    count, cuts, blades = np.int64(desk.preparing), 0, 0
    for p in range(level.portables):
        held = state.holder[p] == hands(level) or (p == level.meal and state.holder[p] == NONE)
        places = np.int64(desk.placing[p])
        count += places + (desk.cook[p] != 0) + desk.cut[p] + desk.eat[p]
        count += max(places - 1, 0) if held else max(places, np.int64(desk.hold[p]))
        cuts += desk.cut[p]
        blades += desk.blades[p] != 0 and (held or desk.hold[p] != 0)
    if cuts > 0 and blades == 0:
        count += 1  # whichever blade is taken
    for lock in range(level.fixed + level.doors):
        turns = desk.turns[lock]
        count += (turns & 1) + (turns >> 1 & 1) + (turns >> 2 & 1) + (turns >> 3 & 1)
    if level.theme == COOKING_DROP and desk.preparing and not desk.keeps_slots:
        count += surplus(state, level, desk)
    return count


@njit
def surplus(state, level, desk):
    """Return how many things must leave the hands, and be counted for nothing else, before all ingredients fit."""
    others, counted = count_held(state, level), 0
    held_blade, blade_is_part, cutting = False, False, False
    for p in range(level.portables):
        held_blade |= desk.blades[p] != 0 and state.holder[p] == hands(level)
        part = False
        for k in range(level.num_parts):
            part |= level.parts[k, 0] == p
        blade_is_part |= desk.blades[p] != 0 and part
        if part:
            others -= state.holder[p] == hands(level)
            cutting |= desk.cut[p] != 0
        else:
            counted += desk.placing[p] + desk.eat[p]
    if cutting and not held_blade and not blade_is_part:
        others += 1
    return max(others - (level.slots - level.num_parts) - counted, 0)
