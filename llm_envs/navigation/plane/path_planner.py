"""PathPlanner: go to a goal in a square arena, in four directions or by a continuous push, around obstacles if wanted.

Description:  The arena is the square [-1, 1] x [-1, 1], x to the right and y up. The state has four real dimensions:
              0 x and 1 y, the position; 2 and 3, the velocity: by how much the last move changed x and y, 0 at first.
              The goal has the same four; its velocity is 0 and need not be reached. A step is

                  velocity' = inertia * velocity + step_size * push        position' = position + velocity'

              with push (-1, 0), (1, 0), (0, 1) or (0, -1) for left, right, up, down, or the continuous action. A move
              out of the arena is not made, nor one whose bounding box overlaps the inside of an obstacle (for a move
              in one dimension: one that enters or crosses it): the position stays and the velocity becomes 0.
              Obstacles are rectangles (left, bottom, right, top); their edges may be touched.
Observation:  state, goal: float32 (4,) each, as above. With obstacles also obstacles: float32 (K, 4); levels with fewer
              than the most, K, have rows of zeros at the end.
Action:       action="discrete": Discrete(4): 0 left, 1 right, 2 up, 3 down. action="continuous": Box(-1, 1, (2,)),
              float32: the push in x and in y.
Reward:       goal: 1 on reaching the goal (weight 10). step: 1 each step; distance: by how much |x - goal x| +
              |y - goal y| fell; collision: 1 for a move that was not made (weight 0 each).
Termination:  x and y are both within tolerance of the goal's.
Truncation:   After max_steps steps (100).
Arguments:    action; step_size (float, 0.1): 0.001 to 0.5; inertia (float, 0): 0 to 0.99; tolerance (float, 0.1): 0.001
              to 0.4; obstacles (int, 0): rectangles in a generated level, 0 to 64; pool (int, 16384): number of levels;
              max_steps (int, 100): 0 for none; levels: your own, each a dict of start (x, y), goal (x, y) and, if
              wanted, obstacles, a list of (left, bottom, right, top).
Levels:       Start uniform outside obstacles; goal about uniform, outside obstacles and not yet reached, and such that
              whole moves without inertia lead there from the start (within the time limit or not). Obstacles
              are at least step_size apart and from the edge. All lengths are rounded to multiples of 2^-23, of which
              float32 sums are exact: without inertia, moves that cancel cancel exactly.
Source:       This project's own.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from numba import njit

from llm_envs.navigation.plane.arenas import custom_levels, frame, random_levels, render, rounded
from llm_envs.validation import check_choice, check_range
from llm_envs.world import Display, Row, Rules, TextInterface, Vector, World, record, state_record, values

ACTIONS = ("left", "right", "up", "down")
PUSHES = ((-1, 0), (1, 0), (0, 1), (0, -1))
ZERO, ONE = np.float32(0), np.float32(1)

PARAMS = record(step_size=np.float32, inertia=np.float32, tolerance=np.float32)
POSITION = {"x": (-1.0, 1.0), "y": (-1.0, 1.0), "velocity_x": (-2.0, 2.0), "velocity_y": (-2.0, 2.0)}
STATE = state_record(x=np.float32, y=np.float32, velocity_x=np.float32, velocity_y=np.float32)


@cache
def observation_record(count: int) -> np.dtype:
    """Return the record of an observation with `count` obstacles."""
    # In front of the rest: no record may be the beginning of another.
    obstacles: dict[str, Any] = {"obstacles": (np.float32, (count, 4))} if count else {}
    return record(**obstacles, state=(np.float32, (4,)), goal=(np.float32, (4,)))


@njit
def reset(state, level, params):
    """Stand still at the start."""
    state.x = level.start[0]
    state.y = level.start[1]
    state.velocity_x = ZERO
    state.velocity_y = ZERO


@njit
def step_discrete(state, level, params, action, signals):
    """Push by one unit in one of four directions."""
    if action == 0:
        return move(state, level, params, -ONE, ZERO, signals)
    if action == 1:
        return move(state, level, params, ONE, ZERO, signals)
    return move(state, level, params, ZERO, ONE if action == 2 else -ONE, signals)


@njit
def step_continuous(state, level, params, action, signals):
    """Push by the action."""
    return move(state, level, params, action.vector[0], action.vector[1], signals)


@njit
def move(state, level, params, push_x, push_y, signals):
    """Move by a push, unless something is in the way.

    Products of float32 are exact in float64: a GPU, which fuses them with the sum, rounds as a CPU does.
    """
    before = abs(state.x - level.goal[0]) + abs(state.y - level.goal[1])
    inertia, step_size = np.float64(params.inertia), np.float64(params.step_size)
    # velocity' = inertia * velocity + step_size * push; position' = position + velocity', rounded once, at the end.
    x = np.float32(state.x + (inertia * state.velocity_x + step_size * push_x))
    y = np.float32(state.y + (inertia * state.velocity_y + step_size * push_y))
    signals.step = ONE
    if blocked(level, state.x, state.y, x, y):
        signals.collision = ONE
        x, y = state.x, state.y
    state.velocity_x = x - state.x
    state.velocity_y = y - state.y
    state.x = x
    state.y = y
    off_x, off_y = abs(x - level.goal[0]), abs(y - level.goal[1])
    # In the L1 norm: the distance that four directions have to walk. Its sum over an episode telescopes.
    signals.distance = before - (off_x + off_y)
    if off_x <= params.tolerance and off_y <= params.tolerance:
        signals.goal = ONE
        return True
    return False


@njit
def blocked(level, x, y, to_x, to_y):
    """Return whether a move leaves the arena or its bounding box overlaps the inside of an obstacle."""
    if abs(to_x) > ONE or abs(to_y) > ONE:
        return True
    left, right, bottom, top = min(x, to_x), max(x, to_x), min(y, to_y), max(y, to_y)
    for k in range(level.count):
        beside = right <= level.obstacles[k, 0] or left >= level.obstacles[k, 2]
        if not (beside or top <= level.obstacles[k, 1] or bottom >= level.obstacles[k, 3]):
            return True
    return False


@njit
def observe(state, level, params, observation):
    """Show where the agent is and where it shall go."""
    show(state, level, observation.state, observation.goal)


@njit
def observe_obstacles(state, level, params, observation):
    """Show the obstacles too."""
    show(state, level, observation.state, observation.goal)
    for k in range(observation.obstacles.shape[0]):
        for side in range(4):
            observation.obstacles[k, side] = level.obstacles[k, side]


@njit
def show(state, level, own, goal):
    """Write the four dimensions of the agent and of the goal."""
    own[0] = state.x
    own[1] = state.y
    own[2] = state.velocity_x
    own[3] = state.velocity_y
    goal[0] = level.goal[0]
    goal[1] = level.goal[1]
    goal[2] = ZERO
    goal[3] = ZERO


def path_planner(
    action: str = "discrete",
    step_size: float = 0.1,
    inertia: float = 0.0,
    tolerance: float = 0.1,
    obstacles: int = 0,
    pool: int = 16_384,
    max_steps: int = 100,
    levels: Sequence[Mapping] | None = None,
) -> World:
    """Build the world; see the module for the arguments."""
    check_choice("action", action, ("discrete", "continuous"))
    check_range("step_size", step_size, 0.001, 0.5)
    check_range("inertia", inertia, 0.0, 0.99)
    check_range("tolerance", tolerance, 0.001, 0.4)
    check_range("obstacles", obstacles, 0, 64)
    check_range("pool", pool, 1, 2**18)
    check_range("max_steps", max_steps, 0, 2**30)
    # Multiples of 2^-23, as the levels' coordinates: sums of whole steps are then exact in float32, and a position that
    # is reached by two ways is one position.
    step_size, tolerance = float(rounded(step_size)), float(rounded(tolerance))
    if levels is None:
        chosen = random_levels(pool, obstacles, step_size, tolerance)
    else:
        chosen = custom_levels(levels, obstacles, tolerance)
        obstacles = max([obstacles, *chosen["count"].tolist()])
    discrete = action == "discrete"
    bounds = {"state": (-2.0, 2.0), "goal": (-1.0, 1.0), "obstacles": (-1.0, 1.0), **POSITION}
    observation = observation_record(obstacles)
    return World(
        rules=Rules(reset, step_discrete if discrete else step_continuous, observe_obstacles if obstacles else observe),
        params=values(PARAMS, step_size=step_size, inertia=inertia, tolerance=tolerance),
        levels=chosen,
        custom_levels=levels is not None,
        state=STATE,
        observation=observation,
        bounds={name: bounds[name] for name in (*(observation.names or ()), *POSITION)},
        actions=len(ACTIONS) if discrete else Vector(-1.0, 1.0, (2,)),
        signals={"goal": 10.0, "step": 0.0, "distance": 0.0, "collision": 0.0},
        max_steps=max_steps,
        text=TextInterface(decode=decode),
        display=Display(render=render, frame=frame, action_names=ACTIONS if discrete else ()),
        solution=solution if discrete and inertia == 0 else None,
    )


def solution(row: Row) -> list[int]:
    """Return a shortest list of discrete actions without inertia, by breadth-first search; ValueError for none."""
    level, params = row.level, row.params
    free = getattr(blocked, "py_func", blocked)
    # Positions are dictionary keys: without inertia whole steps are exact, see path_planner().
    came: dict = {tuple(level.start): None}  # position -> (the position before it, the action between)
    queue = deque(came)
    while queue:
        here = x, y = queue.popleft()
        if abs(x - level.goal[0]) <= params.tolerance and abs(y - level.goal[1]) <= params.tolerance:
            actions = []
            while came[here]:
                here, action = came[here]
                actions.append(action)
            return actions[::-1]
        for action, (push_x, push_y) in enumerate(PUSHES):
            there = (x + params.step_size * np.float32(push_x), y + params.step_size * np.float32(push_y))
            if there not in came and not free(level, x, y, *there):
                came[there] = (here, action)
                queue.append(there)
    raise ValueError("the goal cannot be reached in whole steps")


def decode(row: Row) -> str:
    """Return an observation as text."""
    observation = row.observation
    x, y, velocity_x, velocity_y = observation["state"]
    goal_x, goal_y = observation["goal"][:2]
    text = f"at ({x:.2f}, {y:.2f}), velocity ({velocity_x:.2f}, {velocity_y:.2f}), goal ({goal_x:.2f}, {goal_y:.2f})"
    for left, bottom, right, top in observation.get("obstacles", ()):
        if left < right:
            text += f", obstacle ({left:.2f}, {bottom:.2f}, {right:.2f}, {top:.2f})"
    return text
