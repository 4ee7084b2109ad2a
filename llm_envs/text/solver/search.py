"""The solver's search: A* over the codes of states, or with other weights a greedier best-first search.

A* (Hart, Nilsson and Raphael, 1968, "A Formal Basis for the Heuristic Determination of Minimum Cost Paths") expands
states in the order of f = g + h: the commands so far and a lower bound on those left. As h never overestimates (it is
admissible), the first win that leaves the queue is a shortest one. h need not be consistent, so a state is queued again
whenever a shorter way to it is found. With f = a g + b h, b > a, this is weighted A* (Pohl, 1970, "Heuristic Search
Viewed as Path Finding in a Graph"): a win is found sooner, and is at most b / a times as long as the shortest.

Priorities are small integers, so the queue is an array of buckets (Dial, 1969, "Algorithm 360"), each a stack.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from llm_envs.text.records import codes
from llm_envs.text.rules.admissible import command_of, lister
from llm_envs.text.rules.turn import take_turn
from llm_envs.text.solver.lower_bound import lower_bound
from llm_envs.text.solver.shortest_walk import FAR, mix, survey_map
from llm_envs.text.solver.state_codes import is_useful, read_code, write_code
from llm_envs.text.solver.workspace import BUCKETS


class Tables(NamedTuple):
    """What grows during a search; `workspace` counts how many rows are in use."""

    keys: np.ndarray  # (capacity, code_length) uint8: the code of each node's state
    nodes: np.ndarray  # (capacity,) NODE
    slots: np.ndarray  # (2 * capacity,) int32: a hash table of codes, each slot a node's number + 1, or 0
    queue: np.ndarray  # (entries,) ENTRY


@njit
def keep_allowed(sink, state, level, command):
    """Add a command to the workspace's list if it may be of use; `sink` is (static, workspace)."""
    static, workspace = sink
    if command >= 0 and static.allowed[command]:
        workspace.applicable[workspace.num_applicable] = command
        workspace.num_applicable += 1


list_allowed = lister(keep_allowed)


@njit
def slot_of(tables, code):
    """Return the slot of a code in the hash table: its node's, or the free one where it belongs."""
    value = np.uint64(code.shape[0])
    for byte in code:
        value = mix(value, byte)
    mask = np.uint64(tables.slots.shape[0] - 1)  # their number is a power of two
    slot = value & mask
    while tables.slots[slot] != 0:  # linear probing; at most half of the slots are taken
        node, same = tables.slots[slot] - 1, True
        for k in range(code.shape[0]):
            if tables.keys[node, k] != code[k]:
                same = False
                break
        if same:
            break
        slot = (slot + np.uint64(1)) & mask
    return slot


@njit
def make_space(tables, workspace):
    """Return tables with space for a node and a queue entry for every applicable command."""
    more = workspace.num_applicable
    nodes, entries = workspace.num_nodes, workspace.num_entries
    while nodes + more > tables.nodes.shape[0]:
        capacity = 2 * tables.nodes.shape[0]
        new_keys = np.empty((capacity, tables.keys.shape[1]), np.uint8)
        new_nodes = np.empty(capacity, tables.nodes.dtype)
        new_keys[:nodes], new_nodes[:nodes] = tables.keys[:nodes], tables.nodes[:nodes]
        tables = Tables(new_keys, new_nodes, np.zeros(2 * capacity, np.int32), tables.queue)
        for node in range(nodes):
            tables.slots[slot_of(tables, new_keys[node])] = node + 1
    if entries + more > tables.queue.shape[0]:
        new_queue = np.empty(2 * tables.queue.shape[0] + more, tables.queue.dtype)
        new_queue[:entries] = tables.queue[:entries]
        tables = Tables(tables.keys, tables.nodes, tables.slots, new_queue)
    return tables


@njit
def add_node(tables, workspace, slot, code):
    """Append a node whose state has this code, and return its number."""
    node = workspace.num_nodes
    workspace.num_nodes += 1
    tables.slots[slot] = node + 1
    tables.keys[node] = code
    return node


@njit
def push(tables, workspace, node, weights):
    """Queue a node by its priority f = weights[0] g + weights[1] h."""
    here, entry = tables.nodes[node], workspace.num_entries
    workspace.num_entries += 1
    bucket = min(weights[0] * here.steps + weights[1] * here.steps_left, BUCKETS - 1)
    added = tables.queue[entry]
    added.node, added.steps, added.following = node, here.steps, workspace.heads[bucket]
    workspace.heads[bucket] = entry
    workspace.lowest = min(workspace.lowest, bucket)


@njit
def pop(tables, workspace):
    """Take a node of the lowest priority from the queue, the newest of equals; return -1 if the queue is empty."""
    while workspace.lowest < BUCKETS:
        entry = workspace.heads[workspace.lowest]
        if entry < 0:
            workspace.lowest += 1
            continue
        first = tables.queue[entry]
        workspace.heads[workspace.lowest] = first.following
        if tables.nodes[first.node].steps == first.steps:  # else the node was queued again with fewer steps
            return np.int64(first.node)
    return -1


@njit
def expand(state, level, static, workspace, code):
    """Change the root's state into the coded one, and list its commands that may be of use."""
    read_code(code, state, level, static)
    workspace.num_applicable = 0
    list_allowed((static, workspace), state, level)
    if code[1]:  # the first turn, on which every quest is tested: waiting may win
        workspace.applicable[workspace.num_applicable] = command_of(level, codes.LOOK, 0, 0)
        workspace.num_applicable += 1


@njit
def node_of(state, level, static, subgoals, workspace, tables, code):
    """Return the node of a state, a new one if the search has not met it before; `code` is space to work on."""
    write_code(state, level, static, code)
    slot = slot_of(tables, code)
    if tables.slots[slot] != 0:
        return np.int64(tables.slots[slot] - 1)
    node = np.int64(add_node(tables, workspace, slot, code))
    new = tables.nodes[node]
    new.parent, new.command, new.steps, new.won = -1, -1, FAR, state.ending == codes.WON
    new.steps_left = 0 if new.won else lower_bound(state, level, static, subgoals, workspace)
    return node


@njit
def relax(tables, workspace, node, child, command, weights):
    """Note that a command leads from one node to another, and queue that one if no way to it was as short so far."""
    steps, reached = tables.nodes[node].steps + 1, tables.nodes[child]
    if steps < reached.steps and reached.steps_left < FAR:
        reached.parent, reached.command, reached.steps = node, command, steps
        push(tables, workspace, child, weights)


@njit
def commands_to(nodes, node):
    """Return the commands that led from the root to a node."""
    # Counted, not read from `steps`: a node before this one may have been reached in fewer since.
    length, k = 0, node
    while nodes[k].parent >= 0:
        length, k = length + 1, np.int64(nodes[k].parent)
    commands = np.empty(length, np.int64)
    for k in range(length - 1, -1, -1):
        commands[k], node = nodes[node].command, np.int64(nodes[node].parent)
    return commands


@njit
def play(state, level, command, signals):
    """Take the turn of a command by its number."""
    verb, x, y = level.commands[command, 0], level.commands[command, 1], level.commands[command, 2]
    take_turn(state, level, verb, x, y, signals)


@njit
def begin(state, level, static, subgoals, workspace, tables, code):
    """Empty the tables, and queue the root, node 0, unless it is a dead end."""
    workspace.num_nodes, workspace.num_entries, workspace.lowest = 0, 0, 0
    workspace.heads[:] = -1
    root = tables.nodes[node_of(state, level, static, subgoals, workspace, tables, code)]
    root.steps = 0
    if root.steps_left < FAR:
        push(tables, workspace, 0, (0, 0))


@njit
def search(states, level, static, subgoals, workspace, signals, tables, weights, limit):
    """Search for commands that win from states[0]; states[1] and states[2] are space to work on.

    Returns:
        commands: int64 (length,), those found; empty if there are none.
        expanded: how many states were.
        least: no list is shorter, where both weights are 1; FAR where every state has been looked at.
    """
    code = np.empty(static.code_length, np.uint8)
    begin(states[0], level, static, subgoals, workspace, tables, code)
    expanded = 0
    while True:
        node = pop(tables, workspace)
        if node < 0:
            return np.empty(0, np.int64), expanded, FAR
        if tables.nodes[node].won:
            return commands_to(tables.nodes, node), expanded, np.int64(tables.nodes[node].steps)
        if expanded == limit:
            return np.empty(0, np.int64), expanded, np.int64(workspace.lowest)
        expanded += 1
        states[1] = states[0]
        expand(states[1], level, static, workspace, tables.keys[node])
        tables = make_space(tables, workspace)
        for k in range(workspace.num_applicable):
            command = workspace.applicable[k]
            if not is_useful(states[1], level, static, command):
                continue
            states[2] = states[1]
            play(states[2], level, command, signals)
            if states[2].ending != codes.LOST:
                child = node_of(states[2], level, static, subgoals, workspace, tables, code)
                relax(tables, workspace, node, child, command, weights)


def find(levels, statics, subgoals, workspaces, signals, states, tables, weights, limit):
    """Do what `search` does, and play the commands that were found: states[1] is then the state after them.

    Args:
        levels: the level, (1,).
        statics: what `prepare` returned, (1,) STATIC.
        subgoals: (1,) SUBGOALS.
        workspaces: (1,) WORKSPACE.
        signals: space for the signals of the rules, (1,).
        states: (3,), the first of them the state to win from.
        tables: `Tables`, whose `slots` are 0.
        weights: of the steps so far and of the lower bound on the steps left.
        limit: the most states to expand.
    """
    level, static = levels[0], statics[0]
    survey_map(states[0], level, static)
    commands, expanded, least = search(
        states, level, static, subgoals[0], workspaces[0], signals[0], tables, weights, limit
    )
    states[1] = states[0]
    for command in commands:
        play(states[1], level, command, signals[0])
    return commands, expanded, least
