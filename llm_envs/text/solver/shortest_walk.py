"""How far the player must at least walk: the map of a game, and the shortest walk through some of its rooms."""

import numpy as np
from numba import njit

from llm_envs.text.records.codes import LOCKED, NONE
from llm_envs.text.solver.workspace import NODES

FAR = 20_000  # more than any walk
REMEMBERED = 2**16  # walks, see `walk`


@njit
def passable(state, level, room, way, without):
    """Say whether an exit exists, is not by the door `without`, and not by a locked door to which there is no key."""
    door = level.exit_doors[room, way]
    if level.exits[room, way] == NONE or (door != NONE and door == without):
        return False
    lock = level.fixed + door
    return door == NONE or state.lock[lock] != LOCKED or level.key_of[lock] != NONE


@njit
def flood(state, level, start, without, distance):
    """Write the distance of every room from `start`, NONE where there is no way but by the door `without`."""
    rooms = level.rooms
    queue = np.empty(rooms, np.int64)
    for room in range(rooms):
        distance[room] = NONE
    distance[start], queue[0], count, k = 0, start, 1, 0
    while k < count:
        here = queue[k]
        k += 1
        for way in range(4):
            there = level.exits[here, way]
            if passable(state, level, here, way, without) and distance[there] == NONE:
                distance[there] = distance[here] + 1
                queue[count] = there
                count += 1


@njit
def survey_map(state, level, desk):
    """Fill the desk's distances and what each door parts."""
    rooms = level.rooms
    for room in range(rooms):
        flood(state, level, room, NONE, desk.distance[room])
    reach = np.empty(rooms, np.uint8)
    for door in range(level.doors):
        for room in range(rooms):
            desk.side[door, room] = NONE
        sides = 0
        for room in range(rooms):
            if desk.side[door, room] == NONE:
                flood(state, level, room, door, reach)
                for other in range(rooms):
                    if reach[other] != NONE:
                        desk.side[door, other] = sides
                sides += 1
        for way in range(4):
            for room in range(rooms):
                through = level.exit_doors[room, way] == door and passable(state, level, room, way, NONE)
                if through and desk.side[door, room] != desk.side[door, level.exits[room, way]]:
                    desk.parts_house[door] = 1


@njit
def list_nodes(desk, here):
    """Make nodes of the rooms to be visited: a first visit, a last one or both; return how many.

    A room that is to be visited after others has a node for its last visit, with the nodes that come before it. A first
    visit is a node of its own if another room waits for it.
    """
    waiting, count = np.uint64(0), 0
    if desk.index_of[here] < 64:
        gone = ~(np.uint64(1) << np.uint64(desk.index_of[here]))
        for k in range(desk.num_rooms):
            desk.before[k] &= gone
    for k in range(desk.num_rooms):
        waiting |= desk.before[k]
    first = np.full(64, -1, np.int64)
    for k in range(desk.num_rooms):
        awaited = k < 64 and (waiting >> np.uint64(k)) & np.uint64(1) != 0
        if desk.rooms[k] == here or (desk.before[k] != 0 and not awaited) or count == NODES:
            continue
        desk.node_room[count], desk.node_before[count] = desk.rooms[k], 0
        if k < 64:
            first[k] = count
        count += 1
    for k in range(desk.num_rooms):
        if desk.before[k] == 0 or count == NODES:
            continue
        before = np.uint64(0)
        for other in range(min(desk.num_rooms, 64)):
            if (desk.before[k] >> np.uint64(other)) & np.uint64(1) != 0 and first[other] >= 0:
                before |= np.uint64(1) << np.uint64(first[other])
        desk.node_room[count], desk.node_before[count] = desk.rooms[k], before
        count += 1
    return count


@njit
def mix(value, more):
    """Return a hash of a hash and a further number."""
    value = (value ^ np.uint64(more)) * np.uint64(0x9E3779B97F4A7C15)
    return value ^ (value >> np.uint64(29))


@njit
def walk(desk, here, memory):
    """Return the length of the shortest walk from `here` to all nodes in an order that they allow, FAR if none is.

    Where there are more than NODES rooms to visit only some of them are nodes. `memory`, uint64 (REMEMBERED, 3), keeps
    results under two hashes.
    """
    count = list_nodes(desk, here)
    if count == 0:
        return 0
    one, two = np.uint64(here + 1), np.uint64(here + 77)
    for k in range(count):
        one = mix(mix(one, desk.node_room[k]), desk.node_before[k])
        two = mix(mix(two, desk.node_before[k] + np.uint64(1)), desk.node_room[k])
    slot = np.int64(one & np.uint64(REMEMBERED - 1))
    if memory[slot, 0] == one and memory[slot, 1] == two:
        return np.int64(memory[slot, 2])
    result = shortest(desk, here, count)
    memory[slot, 0], memory[slot, 1], memory[slot, 2] = one, two, np.uint64(result)
    return result


@njit
def shortest(desk, here, count):
    """Return the length of the shortest walk over the nodes, by dynamic programming over sets of nodes visited."""
    cost, nodes = desk.cost, desk.node_room
    full = (1 << count) - 1
    for visited in range(full + 1):
        for k in range(count):
            cost[visited, k] = FAR
    for k in range(count):
        if desk.node_before[k] == 0:
            cost[1 << k, k] = far(desk.distance[here, nodes[k]])
    for visited in range(1, full):
        for k in range(count):
            so_far = cost[visited, k]
            if so_far >= FAR:
                continue
            for new in range(count):
                before = np.int64(desk.node_before[new])
                if (visited >> new) & 1 or before & visited != before:
                    continue
                length = so_far + far(desk.distance[nodes[k], nodes[new]])
                if length < cost[visited | (1 << new), new]:
                    cost[visited | (1 << new), new] = length
    best = FAR
    for k in range(count):
        best = min(best, np.int64(cost[full, k]))
    return best


@njit
def far(distance):
    """Return a distance of the map as a length; FAR where there is no way."""
    return FAR if distance == NONE else np.int64(distance)
