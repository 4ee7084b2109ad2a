"""How far the player must walk at least: the map of a level, and the shortest tour through some of its rooms.

The tour is the path version of the travelling salesman problem with some stops before others, solved by dynamic
programming over sets of stops (Held and Karp, 1962, "A Dynamic Programming Approach to Sequencing Problems"). Doors
that are bridges of the map (edges whose removal disconnects it) split it into sides.
"""

import numpy as np
from numba import njit

from llm_envs.text.records import codes
from llm_envs.text.solver.workspace import CACHED_TOURS, STOPS

FAR = 20_000  # more than any length


@njit
def passable(state, level, room, way, without):
    """Return whether an exit exists, but not by the door `without` or by a locked door to which there is no key."""
    door = level.exit_doors[room, way]
    if level.exits[room, way] == codes.NONE or (door != codes.NONE and door == without):
        return False
    lock = level.fixed + door
    return door == codes.NONE or state.lock[lock] != codes.LOCKED or level.key_of[lock] != codes.NONE


@njit
def flood(state, level, start, without, distance):
    """Write the distance of every room from `start` by breadth-first search, NONE where there is no way.

    Args:
        state: its locked doors count as passable if there is a key.
        level: the map.
        start: a room.
        without: a door that no way may use, or NONE.
        distance: uint8 (rooms,), in commands.
    """
    rooms = level.rooms
    queue = np.empty(rooms, np.int64)
    for room in range(rooms):
        distance[room] = codes.NONE
    distance[start], queue[0], count, k = 0, start, 1, 0
    while k < count:
        here = queue[k]
        k += 1
        for way in range(4):
            there = level.exits[here, way]
            if passable(state, level, here, way, without) and distance[there] == codes.NONE:
                distance[there] = distance[here] + 1
                queue[count] = there
                count += 1


@njit
def survey_map(state, level, static):
    """Fill the distances, the sides of each door, and which doors are bridges."""
    rooms = level.rooms
    for room in range(rooms):
        flood(state, level, room, codes.NONE, static.distance[room])
    reach = np.empty(rooms, np.uint8)
    for door in range(level.doors):
        for room in range(rooms):
            static.side[door, room] = codes.NONE
        sides = 0
        for room in range(rooms):
            if static.side[door, room] == codes.NONE:
                flood(state, level, room, door, reach)
                for other in range(rooms):
                    if reach[other] != codes.NONE:
                        static.side[door, other] = sides
                sides += 1
        for way in range(4):
            for room in range(rooms):
                through = level.exit_doors[room, way] == door and passable(state, level, room, way, codes.NONE)
                if through and static.side[door, room] != static.side[door, level.exits[room, way]]:
                    static.is_bridge[door] = 1


@njit
def list_stops(subgoals, workspace, here):
    """Make stops of the rooms to visit: a first visit, a last one or both; return how many.

    A room that is to be visited after others has a stop for its last visit, with the stops that come before it. A first
    visit is a stop of its own if another room waits for it. Only the first 64 rooms, and STOPS stops, are looked at: to
    leave out a stop makes no tour longer, so the bound stays a lower one.
    """
    awaited, count = np.uint64(0), 0  # bits of rooms that come before others
    if subgoals.index_of[here] < 64:
        elsewhere = ~(np.uint64(1) << np.uint64(subgoals.index_of[here]))
        for k in range(subgoals.num_rooms):
            subgoals.before[k] &= elsewhere
    for k in range(subgoals.num_rooms):
        awaited |= subgoals.before[k]
    first = np.full(64, -1, np.int64)  # the stop of each room's first visit
    for k in range(subgoals.num_rooms):
        is_awaited = k < 64 and (awaited >> np.uint64(k)) & np.uint64(1) != 0
        if subgoals.rooms[k] == here or (subgoals.before[k] != 0 and not is_awaited) or count == STOPS:
            continue
        workspace.stop_room[count], workspace.stop_before[count] = subgoals.rooms[k], 0
        if k < 64:
            first[k] = count
        count += 1
    for k in range(subgoals.num_rooms):
        if subgoals.before[k] == 0 or count == STOPS:
            continue
        before = np.uint64(0)
        for other in range(min(subgoals.num_rooms, 64)):
            if (subgoals.before[k] >> np.uint64(other)) & np.uint64(1) != 0 and first[other] >= 0:
                before |= np.uint64(1) << np.uint64(first[other])
        workspace.stop_room[count], workspace.stop_before[count] = subgoals.rooms[k], before
        count += 1
    return count


@njit
def mix(value, more):
    """Return a hash of a hash and a further number."""
    value = (value ^ np.uint64(more)) * np.uint64(0x9E3779B97F4A7C15)
    return value ^ (value >> np.uint64(29))


@njit
def tour_length(static, subgoals, workspace, here):
    """Return the length of the shortest tour from `here` to all rooms to visit in an order allowed, FAR if none is."""
    count = list_stops(subgoals, workspace, here)
    if count == 0:
        return 0
    # Many states ask for the same tour. Two hashes of 64 bits stand for it: a collision of both is not to be expected.
    one, two = np.uint64(here + 1), np.uint64(here + 77)
    for k in range(count):
        one = mix(mix(one, workspace.stop_room[k]), workspace.stop_before[k])
        two = mix(mix(two, workspace.stop_before[k] + np.uint64(1)), workspace.stop_room[k])
    slot = np.int64(one & np.uint64(CACHED_TOURS - 1))
    known = workspace.tours[slot]
    if known[0] == one and known[1] == two:
        return np.int64(known[2])
    length = shortest_tour(static, workspace, here, count)
    known[0], known[1], known[2] = one, two, np.uint64(length)
    return length


@njit
def shortest_tour(static, workspace, here, count):
    """Return the length of the shortest tour over the first `count` stops, by dynamic programming over sets of them.

    cost[S, k] is the length of the shortest way that visits the stops in the set S and ends at k:
    cost[S + {j}, j] = min over k in S of cost[S, k] + distance(k, j), where S holds all that comes before j.
    """
    cost, rooms = workspace.cost, workspace.stop_room
    full = (1 << count) - 1
    for visited in range(full + 1):
        for k in range(count):
            cost[visited, k] = FAR
    for k in range(count):
        if workspace.stop_before[k] == 0:
            cost[1 << k, k] = length_of(static.distance[here, rooms[k]])
    for visited in range(1, full):
        for k in range(count):
            so_far = cost[visited, k]
            if so_far >= FAR:
                continue
            for new in range(count):
                before = np.int64(workspace.stop_before[new])
                if (visited >> new) & 1 or before & visited != before:
                    continue
                length = so_far + length_of(static.distance[rooms[k], rooms[new]])
                if length < cost[visited | (1 << new), new]:
                    cost[visited | (1 << new), new] = length
    best = FAR
    for k in range(count):
        best = min(best, np.int64(cost[full, k]))
    return best


@njit
def length_of(distance):
    """Return a distance of the map as a length; FAR where there is no way."""
    return FAR if distance == codes.NONE else np.int64(distance)
