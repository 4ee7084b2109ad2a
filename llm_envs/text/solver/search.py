"""The search of the solver: A*, or with weights a hastier one, over the codes of states."""

import numpy as np
from numba import njit

from llm_envs.text.records.codes import LOOK, LOST, WON
from llm_envs.text.rules.admissible import command_of, lister
from llm_envs.text.rules.turn import take_turn
from llm_envs.text.solver.lower_bound import bound
from llm_envs.text.solver.shortest_walk import FAR, mix, survey_map
from llm_envs.text.solver.state_codes import is_useful, read_code, write_code

BUCKETS = 2**16  # of the queue; what would come after the last one is in it


@njit
def keep_allowed(desk, state, level, command):
    """Put a command on the desk's list if it may be of use."""
    if command >= 0 and desk.allowed[command]:
        desk.listed[desk.count] = command
        desk.count += 1


list_allowed = lister(keep_allowed)


@njit
def grown(old, count):
    """Return a larger copy of a table whose first `count` rows are in use."""
    new = np.empty((2 * old.shape[0], old.shape[1]), old.dtype)
    new[:count] = old[:count]
    return new


@njit
def place_in(table, codes, code):
    """Return where in a hash table a code is, or would be: a slot that holds its node's number + 1, or 0."""
    value = np.uint64(code.shape[0])
    for byte in code:
        value = mix(value, byte)
    slots = np.uint64(table.shape[0] - 1)
    slot = value & slots
    while table[slot] != 0:
        node, same = table[slot] - 1, True
        for k in range(code.shape[0]):
            if codes[node, k] != code[k]:
                same = False
                break
        if same:
            break
        slot = (slot + np.uint64(1)) & slots
    return slot


@njit
def hash_all(codes, count):
    """Return a hash table of the first `count` codes, with space for as many as there is space for codes."""
    table = np.zeros(2 * codes.shape[0], np.int32)
    for node in range(count):
        table[place_in(table, codes, codes[node])] = node + 1
    return table


@njit
def commands_to(nodes, node):
    """Return the commands that led to a node."""
    length, k = 0, node
    while nodes[k, PARENT] >= 0:
        length, k = length + 1, nodes[k, PARENT]
    commands = np.empty(length, np.int64)
    for k in range(length - 1, -1, -1):
        commands[k], node = nodes[node, COMMAND], nodes[node, PARENT]
    return commands


PARENT, COMMAND, STEPS, LEFT, GOAL = range(5)  # columns of `nodes`: LEFT is a lower bound on the steps to a win
NODE, DUE, NEXT = range(3)  # columns of `queue`: a node, the steps to it when it was queued, the entry after this one


@njit
def search(levels, desks, states, signals, memory, weights, limit):
    """Search from states[0] for a list of commands that wins.

    Nodes are expanded in order of weights[0] * steps so far + weights[1] * lower bound on the steps left, of equals the
    one that was found last. states[1] and states[2] are space to work on.

    Returns:
        commands: the list found, empty if there is none.
        expanded: how many states were.
        least: no list is shorter, where both weights are 1; FAR where the search has come to its end.
    """
    level, desk = levels[0], desks[0]
    survey_map(states[0], level, desk)
    code = np.empty(desk.code_bytes, np.uint8)
    codes, nodes = np.empty((1024, desk.code_bytes), np.uint8), np.empty((1024, 5), np.int32)
    queue, heads = np.empty((1024, 3), np.int32), np.full(BUCKETS, -1, np.int32)
    write_code(states[0], level, desk, codes[0])
    table, count, queued, expanded, current = hash_all(codes, 1), 1, 1, 0, 0
    nodes[0] = (-1, -1, 0, bound(states[0], level, desk, memory), 0)
    queue[0], heads[0] = (0, 0, -1), 0
    if nodes[0, LEFT] >= FAR:
        heads[0] = -1
    while True:
        while current < BUCKETS and heads[current] < 0:
            current += 1
        if current == BUCKETS:
            return np.empty(0, np.int64), expanded, FAR
        entry = heads[current]
        heads[current] = queue[entry, NEXT]
        node = queue[entry, NODE]
        steps = nodes[node, STEPS]
        if steps < queue[entry, DUE]:
            continue
        if nodes[node, GOAL]:
            return commands_to(nodes, node), expanded, steps
        if expanded == limit:
            return np.empty(0, np.int64), expanded, np.int64(current)
        expanded += 1
        states[1] = states[0]
        read_code(codes[node], states[1], level, desk)
        desk.count = 0
        list_allowed(desk, states[1], level)
        if codes[node, 1]:  # the first turn, on which every quest is tested
            desk.listed[desk.count] = command_of(level, LOOK, 0, 0)
            desk.count += 1
        for k in range(desk.count):
            command = desk.listed[k]
            if not is_useful(states[1], level, desk, command):
                continue
            states[2] = states[1]
            verb, x, y = level.commands[command, 0], level.commands[command, 1], level.commands[command, 2]
            take_turn(states[2], level, verb, x, y, signals[0])
            if states[2].ending == LOST:
                continue
            write_code(states[2], level, desk, code)
            slot = place_in(table, codes, code)
            child = table[slot] - 1
            if child < 0:
                if count == codes.shape[0]:
                    codes, nodes = grown(codes, count), grown(nodes, count)
                    table = hash_all(codes, count)
                    slot = place_in(table, codes, code)
                child, count = count, count + 1
                table[slot] = count
                codes[child] = code
                won = states[2].ending == WON
                nodes[child] = (0, 0, FAR, 0 if won else bound(states[2], level, desk, memory), np.int64(won))
            left = nodes[child, LEFT]
            if nodes[child, STEPS] <= steps + 1 or left >= FAR:
                continue
            nodes[child, PARENT], nodes[child, COMMAND], nodes[child, STEPS] = node, command, steps + 1
            if queued == queue.shape[0]:
                queue = grown(queue, queued)
            bucket = min(weights[0] * (steps + 1) + weights[1] * left, BUCKETS - 1)
            queue[queued, NODE], queue[queued, DUE], queue[queued, NEXT] = child, steps + 1, heads[bucket]
            heads[bucket] = queued
            current = min(current, bucket)
            queued += 1


def find(levels, desks, states, signals, memory, weights, limit):
    """Do what `search` does, and play the list that was found: states[1] is then the state after it."""
    commands, expanded, least = search(levels, desks, states, signals, memory, weights, limit)
    states[1] = states[0]
    for command in commands:
        verb, x, y = levels[0].commands[command, 0], levels[0].commands[command, 1], levels[0].commands[command, 2]
        take_turn(states[1], levels[0], verb, x, y, signals[0])
    return commands, expanded, least
