"""Maps of tiles: read, written as text, drawn. The tiles are Minigrid's triples (object, colour, state).

A map is an array (width, height, 3) of uint8, indexed [x, y], x to the right and y down from the top left, as
Minigrid's `FullyObsWrapper` gives it, or a text with one line a row and two characters a tile. Directions are 0 right,
1 down, 2 left, 3 up; an agent at a place (x, y, direction) turns left (0), turns right (1) or goes forward (2).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from llm_envs.navigation.grid.cells import LONGEST, Legend
from llm_envs.validation import quote


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
    tiles, unit = (_from_text(given, legend, where), 2) if isinstance(given, str) else (_from_lists(given, where), 1)
    if tiles.ndim != 3 or tiles.shape[2] != 3 or tiles.dtype.kind not in "iu":
        raise ValueError(
            f"{where} has shape {tiles.shape}, dtype {tiles.dtype}; it must be (width, height, 3) integers"
        )
    width, height = tiles.shape[:2]
    if not (1 <= width <= LONGEST and 1 <= height <= LONGEST):
        raise ValueError(f"{where} is {width} by {height} tiles; it must be 1 to {LONGEST} each way")
    # (width, height, 1, 3) == (tiles of the legend, 3) -> (width, height): the triple is one of the legend's
    allowed = (tiles[:, :, None] == np.array(list(legend.values()))).all(-1).any(-1)
    # Transposed, so that the first wrong tile is the first in reading order: by lines, then by columns.
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


def _from_lists(given: Any, where: str) -> np.ndarray:
    """Return an array or nested lists as an array."""
    try:
        return np.asarray(given)
    except (TypeError, ValueError, RecursionError) as error:  # NumPy: lists of different lengths
        raise ValueError(f"{where} is {quote(given)}; it must be a text, or an array of tiles") from error


def _from_text(text: str, legend: Legend, where: str) -> np.ndarray:
    """Return the tiles of a text; empty lines before and after the map do not count."""
    lines = text.strip("\n").split("\n")
    length = len(lines[0])  # characters, two a tile
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
                    f"{where}, line {y + 1}, column {2 * x + 1}: found {quote(tile)}; "
                    f"allowed are {', '.join(map(repr, legend))}"
                )
            tiles[x, y] = legend[tile]
    return tiles


def bit_lines(open_cells: np.ndarray) -> np.ndarray:
    """Return maps (N, width, height) of bool as bits, (N, 2, 32) uint32: [0, x] has bit y set, and [1, y] bit x.

    Cells outside a map are bits and lines that are 0.
    """
    count, width, height = open_cells.shape
    # Twice, by columns and by rows: a view is read along the agent's direction, a whole line of cells at a time.
    lines = np.zeros((count, 2, LONGEST), np.uint32)
    for y in range(height):
        lines[:, 0, :width] |= open_cells[:, :, y].astype(np.uint32) << np.uint32(y)
    for x in range(width):
        lines[:, 1, :height] |= open_cells[:, x].astype(np.uint32) << np.uint32(x)
    return lines
