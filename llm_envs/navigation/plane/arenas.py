"""Levels of PathPlanner and their pictures.

A level is a start, a goal and rectangular obstacles (left, bottom, right, top) in the arena [-1, 1] x [-1, 1], x to the
right and y up.
"""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from llm_envs.validation import check_list, check_range, quote
from llm_envs.world import Row, record

UNITS = 2.0**23  # lengths are multiples of 1 / UNITS
SIDE = 20  # tiles a side in a rendered arena
PIXELS = 240  # pixels a side in a frame


@cache
def level_record(count: int) -> np.dtype:
    """Return the record of a level with room for `count` obstacles, of which it has `level.count`."""
    point = (np.float32, (2,))
    return record(start=point, goal=point, count=np.int32, obstacles=(np.float32, (max(count, 1), 4)))


def rounded(lengths: Any) -> np.ndarray:
    """Return lengths rounded to multiples of 2^-23, as float64; float32 holds them exactly up to 2."""
    return np.round(np.asarray(lengths, np.float64) * UNITS) / UNITS


def inside(points: np.ndarray, obstacles: np.ndarray) -> np.ndarray:
    """Return which points (N, 2) are inside any of their obstacles (N, K, 4); the edges are outside."""
    x, y = points[:, :1], points[:, 1:]  # (N, 1) each, against (N, K)
    left, bottom, right, top = np.moveaxis(obstacles, 2, 0)
    return ((left < x) & (x < right) & (bottom < y) & (y < top)).any(1)


def random_levels(pool: int, count: int, step_size: float, tolerance: float) -> np.ndarray:
    """Return `pool` levels; the same ones for the same arguments.

    Obstacles lie in different cells of a grid over the arena, at least half a step within them. So there is a moat of a
    step's width around each, and in it a way round in whole steps: all places a whole number of steps away are reached.
    """
    rng = np.random.default_rng(0)
    blocks = math.ceil(math.sqrt(count)) + 1
    gap = step_size + 1e-6
    block = (2 - gap) / blocks  # side of a cell of the grid: an obstacle, and the gap before the next one
    if count and block - gap < 0.02:
        raise ValueError(f"obstacles={count} leaves no room for step_size={step_size:g}; lower one of them")
    # (pool, count): different cells in each level; corner, extent: (pool, count, 2)
    chosen = rng.permuted(np.tile(np.arange(blocks**2), (pool, 1)), axis=1)[:, :count]
    corner = np.stack(np.divmod(chosen, blocks), 2) * block - 1 + gap
    extent = (block - gap) * rng.uniform(0.3, 1, corner.shape)
    corner = corner + (block - gap - extent) * rng.random(corner.shape)
    obstacles = rounded(np.concatenate([corner, corner + extent], 2))
    start, goal, node, todo = *np.zeros((3, pool, 2)), np.arange(pool)
    # Rejection, for those levels alone whose draw did not fit; the order of draws is fixed, so that the seed decides.
    while len(todo):
        start[todo] = rounded(rng.uniform(-1, 1, (len(todo), 2)))
        todo = todo[inside(start[todo], obstacles[todo])]
    todo = np.arange(pool)
    # The goal lies off a node of whole steps, but near enough to it that the agent there has reached the goal.
    offset = min(tolerance, step_size / 2)
    while len(todo):
        here = start[todo]
        steps = rng.integers(np.ceil((-1 - here) / step_size), np.floor((1 - here) / step_size) + 1)
        node[todo] = here + steps * step_size
        goal[todo] = rounded(node[todo] + rng.uniform(-offset, offset, here.shape)).clip(-1, 1)
        at_goal = (np.abs(goal[todo] - here) <= tolerance).all(1)
        todo = todo[at_goal | inside(node[todo], obstacles[todo]) | inside(goal[todo], obstacles[todo])]
    levels = np.zeros(pool, level_record(count))
    levels["start"], levels["goal"], levels["count"] = start, goal, count
    levels["obstacles"][:, :count] = obstacles
    return levels


def custom_levels(given: Sequence[Mapping], count: int, tolerance: float) -> np.ndarray:
    """Return a user's levels with room for `count` obstacles or what they need; ValueError names the first bad one."""
    check_list("levels", given, "dicts of start, goal and, if wanted, obstacles", 1)
    for i, one in enumerate(given):
        if not isinstance(one, Mapping) or not {"start", "goal"} <= set(one) <= {"start", "goal", "obstacles"}:
            raise ValueError(f"levels[{i}] is {quote(one)}; it must be a dict of start, goal and, if wanted, obstacles")
        check_list(f"levels[{i}] obstacles", one.get("obstacles", ()), "rectangles (left, bottom, right, top)")
    levels = np.zeros(len(given), level_record(max([count, *(len(one.get("obstacles", ())) for one in given)])))
    for i, one in enumerate(given):
        corners = {f"obstacles[{k}]": corners for k, corners in enumerate(one.get("obstacles", ()))}
        for name, numbers in {"start": one["start"], "goal": one["goal"], **corners}.items():
            expected = 4 if name in corners else 2
            check_list(f"levels[{i}] {name}", numbers, "numbers")
            if len(numbers) != expected:
                raise ValueError(f"levels[{i}] {name} has {len(numbers)} numbers; it must have {expected}")
            for number in numbers:
                check_range(f"levels[{i}] {name}", number, -1.0, 1.0)
        start, goal, obstacles = (rounded(part) for part in (one["start"], one["goal"], [*corners.values()]))
        for k, (left, bottom, right, top) in enumerate(obstacles):
            if left >= right or bottom >= top:
                raise ValueError(f"levels[{i}] obstacles[{k}] is empty; it must be (left, bottom, right, top)")
        if len(obstacles) and inside(start[None], obstacles[None])[0]:
            raise ValueError(f"levels[{i}] start is inside an obstacle")
        if (np.abs(start - goal) <= tolerance).all():
            raise ValueError(f"levels[{i}] start is within tolerance={tolerance:g} of the goal already")
        levels[i]["start"], levels[i]["goal"], levels[i]["count"] = start, goal, len(obstacles)
        levels[i]["obstacles"][: len(obstacles)] = obstacles.reshape(-1, 4)
    return levels


def regions(row: Row, side: int) -> dict[str, np.ndarray]:
    """Return which of side x side points, [line, column] from the top left, are in an obstacle, the goal, the agent."""
    state, level, params = row.state, row.level, row.params
    # Centres of the points: x (side,) from left to right, y (side, 1) from the top down
    x = (np.arange(side) + 0.5) * 2 / side - 1
    y = -x[:, None]
    walls = np.zeros((side, side), bool)
    for left, bottom, right, top in level.obstacles[: level.count]:
        walls |= (left < x) & (x < right) & (bottom < y) & (y < top)
    # The goal's tolerance is a square, as the rule tests each coordinate by itself.
    goal = (abs(x - level.goal[0]) <= params.tolerance) & (abs(y - level.goal[1]) <= params.tolerance)
    nearest = max(1.01 / side, 0.03)
    return {"walls": walls, "goal": goal, "agent": (abs(x - state.x) <= nearest) & (abs(y - state.y) <= nearest)}


def render(row: Row) -> str:
    """Return the arena as text, two characters a point: "##" obstacle, "GG" goal, "AA" agent, ".." free."""
    tiles = np.full((SIDE, SIDE), "..")
    for mask, tile in zip(regions(row, SIDE).values(), ("##", "GG", "AA"), strict=True):
        tiles[mask] = tile
    return "\n".join("".join(line) for line in tiles)


def frame(row: Row) -> np.ndarray:
    """Return the arena as a picture, (PIXELS, PIXELS, 3) uint8: obstacles grey, goal green, agent red."""
    image = np.full((PIXELS, PIXELS, 3), 20, np.uint8)
    colours = ((110, 110, 110), (0, 200, 0), (230, 30, 30))
    for mask, colour in zip(regions(row, PIXELS).values(), colours, strict=True):
        image[mask] = colour
    return image
