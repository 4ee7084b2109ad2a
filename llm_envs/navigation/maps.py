"""Maps of tiles: read, written as text, drawn. The tiles are Minigrid's triples (object, colour, state).

A map is an array (width, height, 3) of uint8, indexed [x, y], x to the right and y down from the top left, as
Minigrid's `FullyObsWrapper` gives it, or a text with one line a row and two characters a tile. Directions are 0 right,
1 down, 2 left, 3 up; an agent at a place (x, y, direction) turns left (0), turns right (1) or goes forward (2).
"""

from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np

UNSEEN, EMPTY, WALL, GOAL, AGENT = (0, 0, 0), (1, 0, 0), (2, 5, 0), (8, 1, 0), (10, 0, 0)
AGENTS = {f"A{arrow}": (10, 0, direction) for direction, arrow in enumerate(">v<^")}
STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))  # (x, y) of one cell in each direction
LEFT, RIGHT, FORWARD = range(3)  # Minigrid's first three actions
LONGEST = 32  # cells a side: a row of a map fits into 32 bits
TILE_PIXELS = 16
COLOURS = {UNSEEN[0]: (0, 0, 0), EMPTY[0]: (20, 20, 20), WALL[0]: (110, 110, 110), GOAL[0]: (0, 200, 0)}
AGENT_COLOUR = (230, 30, 30)

Legend = Mapping[str, tuple[int, int, int]]


def read_map(given: Any, legend: Legend, once: Mapping[str, int], where: str) -> np.ndarray:
    """Return a user's map, a text or an array, as an array of tiles.

    Args:
        given: the map.
        legend: the tiles that are allowed: their text and their triple.
        once: what must be on a map exactly once: its name and its object number.
        where: what the map is called in errors.

    Raises:
        ValueError: says what was found at which line and column, and what is allowed. Both count from 1; columns count
            the characters of a text, the tiles of an array.
    """
    tiles, unit = (_from_text(given, legend, where), 2) if isinstance(given, str) else (np.asarray(given), 1)
    if tiles.ndim != 3 or tiles.shape[2] != 3 or tiles.dtype.kind not in "iu":
        raise ValueError(
            f"{where} has shape {tiles.shape}, dtype {tiles.dtype}; it must be (width, height, 3) integers"
        )
    width, height = tiles.shape[:2]
    if not (1 <= width <= LONGEST and 1 <= height <= LONGEST):
        raise ValueError(f"{where} is {width} by {height} tiles; it must be 1 to {LONGEST} each way")
    allowed = (tiles[:, :, None] == np.array(list(legend.values()))).all(-1).any(-1)
    for y, x in np.argwhere(~allowed.T):
        raise ValueError(
            f"{where}, line {y + 1}, column {unit * x + 1}: found the tile {tuple(tiles[x, y].tolist())}; "
            f"allowed are {', '.join(map(str, legend.values()))}"
        )
    kinds = tiles[:, :, 0].T
    for name, kind in once.items():
        places = np.argwhere(kinds == kind)
        if not len(places):
            written = " or ".join(repr(text) for text, tile in legend.items() if tile[0] == kind)
            raise ValueError(f"{where} has no {name}; a map has exactly one, {written}")
        if len(places) > 1:
            y, x = places[1]
            raise ValueError(
                f"{where}, line {y + 1}, column {unit * x + 1}: found a second {name}; a map has exactly one"
            )
    return tiles.astype(np.uint8)


def _from_text(text: str, legend: Legend, where: str) -> np.ndarray:
    """Return the tiles of a text; empty lines before and after the map do not count."""
    lines = text.strip("\n").split("\n")
    length = len(lines[0])
    tiles = np.zeros((length // 2, len(lines), 3), np.uint8)
    for y, line in enumerate(lines):
        if len(line) != length or length % 2:
            raise ValueError(
                f"{where}, line {y + 1}, column {len(line) + 1}: the line ends after {len(line)} characters; "
                f"lines are equally long, two characters a tile (line 1 has {length})"
            )
        for x in range(length // 2):
            tile = line[2 * x : 2 * x + 2]
            if tile not in legend:
                raise ValueError(
                    f"{where}, line {y + 1}, column {2 * x + 1}: found {tile!r}; "
                    f"allowed are {', '.join(map(repr, legend))}"
                )
            tiles[x, y] = legend[tile]
    return tiles


def bit_lines(open_cells: np.ndarray) -> np.ndarray:
    """Return maps (N, width, height) of bool as bits, (N, 2, 32) uint32: [0, x] has bit y set, and [1, y] bit x.

    Cells outside a map are bits and lines that are 0.
    """
    count, width, height = open_cells.shape
    lines = np.zeros((count, 2, LONGEST), np.uint32)
    for y in range(height):
        lines[:, 0, :width] |= open_cells[:, :, y].astype(np.uint32) << np.uint32(y)
    for x in range(width):
        lines[:, 1, :height] |= open_cells[:, x].astype(np.uint32) << np.uint32(x)
    return lines


def draw_text(tiles: np.ndarray, legend: Legend) -> str:
    """Return tiles as text; what the legend does not have is two spaces."""
    text = {tile: characters for characters, tile in legend.items()}
    return "\n".join("".join(text.get(tuple(tile), "  ") for tile in row) for row in tiles.swapaxes(0, 1).tolist())


def draw_image(tiles: np.ndarray, seen: np.ndarray | None = None) -> np.ndarray:
    """Return tiles as a picture, (16 height, 16 width, 3) uint8; the cells of the mask `seen` are lighter."""
    kinds = tiles[:, :, 0].T
    small = np.zeros((*kinds.shape, 3), np.uint8)
    for kind, colour in {**COLOURS, AGENT[0]: COLOURS[EMPTY[0]]}.items():
        small[kinds == kind] = colour
    if seen is not None:
        small[seen.T] = small[seen.T] // 4 * 3 + 60
    image = small.repeat(TILE_PIXELS, 0).repeat(TILE_PIXELS, 1)
    image[::TILE_PIXELS] = image[:, ::TILE_PIXELS] = 50  # lines between the tiles
    across = (np.arange(TILE_PIXELS) + 0.5) / TILE_PIXELS * 2 - 1
    triangle = (2 * np.abs(across[:, None]) + across < 0.75) & (across > -0.7)  # points to the right
    for y, x in np.argwhere(kinds == AGENT[0]):
        tile = image[y * TILE_PIXELS : (y + 1) * TILE_PIXELS, x * TILE_PIXELS : (x + 1) * TILE_PIXELS]
        tile[np.rot90(triangle, -int(tiles[x, y, 2]))] = AGENT_COLOUR
    return image


def from_view(lit: np.ndarray, x: int, y: int, direction: int, shape: tuple[int, ...]) -> np.ndarray:
    """Return which cells of a map of `shape` are the cells `lit`, (V, V) bool, of the view of an agent at a place."""
    (dx, dy), (right_x, right_y) = STEPS[direction], STEPS[(direction + 1) % 4]
    seen = np.zeros(shape, bool)
    for vx, vy in np.argwhere(lit):
        forward, right = len(lit) - 1 - vy, vx - len(lit) // 2
        to_x, to_y = x + dx * forward + right_x * right, y + dy * forward + right_y * right
        if 0 <= to_x < shape[0] and 0 <= to_y < shape[1]:
            seen[to_x, to_y] = True
    return seen


def shortest_walk(passable: np.ndarray, start: tuple, goal: tuple) -> list[int]:
    """Return a shortest list of actions from a place to a cell over passable cells, (width, height) bool.

    Raises:
        ValueError: there is none.
    """
    start, goal = tuple(map(int, start)), tuple(map(int, goal))
    before: dict = {start: None}  # place -> (the place before it, the action between)
    queue = deque([start])
    while queue:
        place = x, y, direction = queue.popleft()
        if (x, y) == goal:
            actions = []
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
