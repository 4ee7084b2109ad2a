"""Shortest walks of an agent that turns and goes forward on a grid."""

from collections import deque

import numpy as np

from llm_envs.navigation.grid.cells import FORWARD, LEFT, RIGHT, STEPS


def shortest_walk(passable: np.ndarray, start: tuple, goal: tuple) -> list[int]:
    """Return a shortest list of actions from a place to a cell over passable cells, (width, height) bool.

    Raises:
        ValueError: there is none.
    """
    # Breadth first over places (x, y, direction), each action costing one step. Python numbers: NumPy's hash slower.
    start, goal = tuple(map(int, start)), tuple(map(int, goal))
    before: dict = {start: None}  # place -> (the place before it, the action between)
    queue = deque([start])
    while queue:
        place = x, y, direction = queue.popleft()
        if (x, y) == goal:
            actions = []  # from the goal back to the start
            while before[place]:
                place, action = before[place]
                actions.append(action)
            return actions[::-1]
        moves = {LEFT: (x, y, (direction + 3) % 4), RIGHT: (x, y, (direction + 1) % 4)}
        to_x, to_y = x + STEPS[direction][0], y + STEPS[direction][1]
        if 0 <= to_x < passable.shape[0] and 0 <= to_y < passable.shape[1] and passable[to_x, to_y]:
            moves[FORWARD] = (to_x, to_y, direction)
        for action, there in moves.items():
            if there not in before:
                before[there] = (place, action)
                queue.append(there)
    raise ValueError("the goal cannot be reached")
