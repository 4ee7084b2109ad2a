"""FourRooms: find the goal in four rooms joined by four gaps, seeing only what lies before you (Minigrid's FourRooms).

Description:  A map of walls, empty cells, one goal and one agent that looks in one of four directions: 0 right, 1 down,
              2 left, 3 up. Coordinates are (x, y) from the top left; outside a map everything is wall.

                  ##############    "##" wall
                  ##A>..##....##    ".." empty
                  ##..........##    "A>" "Av" "A<" "A^" the agent
                  ##..####..####    "GG" the goal
                  ##....##..GG##
                  ##############
Observation:  image: uint8 (view, view, 3), the cells before the agent as in Minigrid's image: [vx, vy] is (object,
              colour, state), the agent is at [view // 2, view - 1] and looks towards vy = 0; (0, 0, 0) is not seen,
              (1, 0, 0) empty or the agent's own cell, (2, 5, 0) wall, (8, 1, 0) goal. direction: int32 (1,), 0 to 3.
Action:       Discrete(7): 0 turn left, 1 turn right, 2 forward; 3 pickup, 4 drop, 5 toggle and 6 done do nothing. A
              step forward into a wall or out of the map leaves the agent where it is.
Reward:       goal: 1 - 0.9 t / max_steps on reaching the goal at step t. step: 1 each step (weight 0). bump: 1 for a
              step forward that a wall stopped (weight 0).
Termination:  The agent steps on the goal.
Truncation:   After max_steps steps (100).
Arguments:    size (int, 19): width and height of the generated maps, odd, 5 to 31; view (int, 7): odd, 3 to 15;
              see_through (bool, False): walls hide nothing; pool (int, 16384): number of maps; max_steps (int, 100);
              levels: maps of your own up to 32 by 32, each a text as above or the array (width, height, 3) that
              Minigrid's FullyObsWrapper gives. A map need not be enclosed by walls, nor its goal be within reach.
Levels:       One gap in each of the four walls between the rooms, uniform over the wall; the agent on a uniform empty
              cell, in a uniform direction; the goal on another uniform empty cell.
Source:       Sutton, Precup & Singh (1999), section 2; Chevalier-Boisvert et al. (2023), "Minigrid & Miniworld": the
              same as MiniGrid-FourRooms-v0 step by step (tests/navigation/test_four_rooms.py).
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
from numba import njit

from llm_envs.navigation.grid.cells import AGENTS, EMPTY, FORWARD, GOAL, LEFT, LONGEST, RIGHT, WALL
from llm_envs.navigation.grid.formats import bit_lines, read_map
from llm_envs.navigation.grid.planning import shortest_walk
from llm_envs.navigation.grid.render import draw_image, draw_text, from_view
from llm_envs.navigation.grid.view import ahead, spread
from llm_envs.validation import check_choice, check_list, check_range, check_switch
from llm_envs.world import Display, Row, Rules, TextInterface, World, record, state_record, values

ACTIONS = ("left", "right", "forward", "pickup", "drop", "toggle", "done")
LEGEND = {"##": WALL, "..": EMPTY, "GG": GOAL, **AGENTS}
ONCE = {"agent": 10, "goal": 8}
MARGIN = 8  # bits before a line; at least view // 2

PARAMS = record(view_size=np.int32, see_through=np.int32, max_steps=np.int32)
LEVEL = record(
    width=np.int16,
    height=np.int16,
    x=np.int16,  # where the agent starts
    y=np.int16,
    direction=np.int16,
    goal_x=np.int16,
    goal_y=np.int16,
    lines=(np.uint32, (2, LONGEST)),  # cells without a wall: [0, x] has bit y set, and [1, y] bit x
)
STATE = state_record(x=np.int32, y=np.int32, direction=np.int32)


@njit
def reset(state, level, params):
    """Put the agent where the level says."""
    state.x = level.x
    state.y = level.y
    state.direction = level.direction


@njit
def step(state, level, params, action, signals):
    """Turn or move."""
    signals.step = 1.0
    if action == LEFT:
        state.direction = (state.direction + 3) % 4
    elif action == RIGHT:
        state.direction = (state.direction + 1) % 4
    elif action == FORWARD:
        # Directions 0 to 3 are +x, +y, -x, -y.
        sign = 1 if state.direction < 2 else -1
        x = state.x + (0 if state.direction % 2 else sign)
        y = state.y + (sign if state.direction % 2 else 0)
        if not (0 <= x < level.width and 0 <= y < level.height and (level.lines[0, x] >> np.uint32(y)) & np.uint32(1)):
            signals.bump = 1.0
            return False
        state.x = x
        state.y = y
        if x == level.goal_x and y == level.goal_y:
            # Minigrid's: 1 - 0.9 t / max_steps, t being this step's number from 1 on.
            signals.goal = 1.0 - 0.9 * (state.t / params.max_steps)
            return True
    return False


@njit
def observe(state, level, params, observation):
    """Show the cells before the agent, row by row from its own."""
    width = observation.image.shape[0]
    half, all_cells = width // 2, (1 << width) - 1
    axis, sign = state.direction % 2, 1 if state.direction < 2 else -1
    along = state.y if axis else state.x  # coordinate in which the agent looks, and the one across
    across = state.x if axis else state.y
    right = sign if axis == 0 else -sign  # sign of the agent's right hand in the coordinate across
    first = 0 if right > 0 else width - 1  # bit of the view's leftmost cell
    lit = all_cells if params.see_through else 1 << half
    # Outwards from the agent, since what is lit in a row follows from the row before it.
    for ahead_by in range(width):
        place, vy = along + sign * ahead_by, width - 1 - ahead_by
        line = np.int64(level.lines[axis, place]) if 0 <= place < LONGEST else np.int64(0)
        clear = ((line << MARGIN) >> (MARGIN + across - half)) & all_cells  # what is outside comes in as 0, wall
        if not params.see_through:
            lit = spread(lit, clear, width)
        for vx in range(width):
            # Without branches: unseen 0, empty 1, wall 2 is seen + wall; a wall's colour is 5.
            seen = (lit >> (first + right * vx)) & 1
            wall = seen & ~(clear >> (first + right * vx))
            observation.image[vx, vy, 0] = seen + wall
            observation.image[vx, vy, 1] = 5 * wall
            observation.image[vx, vy, 2] = 0
        if not params.see_through:
            lit = ahead(lit, clear, width)
    # The goal is looked up once, not tested for in every cell. Under the agent it is not drawn, as in Minigrid.
    forward = sign * ((level.goal_y if axis else level.goal_x) - along)
    vx, vy = half + right * ((level.goal_x if axis else level.goal_y) - across), width - 1 - forward
    in_view = 0 <= vx < width and 0 <= vy < width and not (vx == half and forward == 0)
    if in_view and observation.image[vx, vy, 0]:
        observation.image[vx, vy, 0] = 8
        observation.image[vx, vy, 1] = 1
    observation.direction = state.direction


def random_rooms(pool: int, size: int) -> np.ndarray:
    """Return `pool` maps of four rooms; the same ones for the same arguments."""
    # All maps at once: opened[i, x, y] is a cell of map i without a wall.
    rng, half, each = np.random.default_rng(0), size // 2, np.arange(pool)
    opened = np.zeros((pool, size, size), bool)
    for low in (1, half + 1):
        for side in (slice(1, half), slice(half + 1, size - 1)):
            opened[:, low : low + half - 1, side] = True
        opened[each, half, rng.integers(low, low + half - 1, pool)] = True  # the gaps: [x, y]
        opened[each, rng.integers(low, low + half - 1, pool), half] = True
    # (pool, free cells): indices into a map's cells, flattened, x * size + y
    free = np.nonzero(opened.reshape(pool, -1))[1].reshape(pool, -1)  # every map has the same number of them
    agent = rng.integers(0, free.shape[1], pool)
    goal = rng.integers(0, free.shape[1] - 1, pool)
    goal += goal >= agent  # any but the agent's
    levels = np.zeros(pool, LEVEL)
    levels["lines"], levels["width"], levels["height"] = bit_lines(opened), size, size
    levels["x"], levels["y"] = np.divmod(free[each, agent], size)
    levels["goal_x"], levels["goal_y"] = np.divmod(free[each, goal], size)
    levels["direction"] = rng.integers(0, 4, pool)
    return levels


def custom_maps(given: Sequence) -> np.ndarray:
    """Return a user's maps as levels; ValueError names the first bad one."""
    if isinstance(given, str):
        raise ValueError("levels is one text; it must be a list of maps")
    check_list("levels", given, "maps", 1)
    levels = np.zeros(len(given), LEVEL)
    for i, one in enumerate(given):
        tiles = read_map(one, LEGEND, ONCE, f"levels[{i}]")
        kinds = tiles[:, :, 0]
        (x, y), (goal_x, goal_y) = (np.argwhere(kinds == ONCE[name])[0] for name in ONCE)
        lines = bit_lines(kinds[None] != WALL[0])[0]
        levels[i] = (*kinds.shape, x, y, tiles[x, y, 2], goal_x, goal_y, lines)
    return levels


def four_rooms(
    size: int = 19,
    view: int = 7,
    see_through: bool = False,
    pool: int = 16_384,
    max_steps: int = 100,
    levels: Sequence | None = None,
) -> World:
    """Build the world; see the module for the arguments."""
    check_range("size", size, 5, LONGEST - 1)
    check_choice("size", size, tuple(range(5, LONGEST, 2)))
    check_range("view", view, 3, 15)
    check_choice("view", view, tuple(range(3, 16, 2)))
    check_switch("see_through", see_through)
    check_range("pool", pool, 1, 2**18)
    check_range("max_steps", max_steps, 1, 2**30)
    return World(
        rules=Rules(reset, step, observe),
        params=values(PARAMS, view_size=view, see_through=see_through, max_steps=max_steps),
        levels=random_rooms(pool, size) if levels is None else custom_maps(levels),
        custom_levels=levels is not None,
        state=STATE,
        observation=observation_record(view),
        bounds={"image": (0, 8), "direction": (0, 3), "x": (0, LONGEST - 1), "y": (0, LONGEST - 1)},
        actions=len(ACTIONS),
        signals={"goal": 1.0, "step": 0.0, "bump": 0.0},
        max_steps=max_steps,
        text=TextInterface(decode=decode),
        display=Display(render=render, frame=frame, action_names=ACTIONS),
        solution=solution,
    )


@cache
def observation_record(view: int) -> np.dtype:
    """Return the record of one observation."""
    return record(image=(np.uint8, (view, view, 3)), direction=np.int32)


def decode(row: Row) -> str:
    """Return a view as text: the direction, then the rows of cells, the agent below, looking up."""
    observation = row.observation
    tiles = np.array(observation["image"])
    tiles[len(tiles) // 2, -1] = AGENTS["A^"]
    facing = ("right", "down", "left", "up")[int(observation["direction"][0])]
    return f"facing {facing}\n{draw_text(tiles, LEGEND)}"


def cells(level) -> np.ndarray:
    """Return which cells have no wall, (width, height) bool."""
    return (level.lines[0, : level.width, None] >> np.arange(level.height, dtype=np.uint32)) % 2 == 1


def map_tiles(state, level) -> np.ndarray:
    """Return the whole map with the agent on it, (width, height, 3) uint8."""
    tiles = np.where(cells(level)[:, :, None], EMPTY, WALL).astype(np.uint8)
    tiles[level.goal_x, level.goal_y] = GOAL
    tiles[state.x, state.y] = list(AGENTS.values())[state.direction]
    return tiles


def render(row: Row) -> str:
    """Return the map as text."""
    return draw_text(map_tiles(row.state, row.level), LEGEND)


def frame(row: Row) -> np.ndarray:
    """Return the map as a picture, (16 height, 16 width, 3) uint8, with what the agent sees lighter."""
    state, lit = row.state, row.observation["image"][:, :, 0] > 0
    seen = from_view(lit, state.x, state.y, state.direction, cells(row.level).shape)
    return draw_image(map_tiles(state, row.level), seen)


def solution(row: Row) -> list[int]:
    """Return a shortest list of actions to the goal; ValueError where there is none."""
    level = row.level
    return shortest_walk(cells(level), (level.x, level.y, level.direction), (level.goal_x, level.goal_y))
