"""Draws maps of tiles as text and as pictures."""

import numpy as np

from llm_envs.navigation.grid.cells import AGENT, EMPTY, GOAL, STEPS, UNSEEN, WALL, Legend

TILE_PIXELS = 16
COLOURS = {UNSEEN[0]: (0, 0, 0), EMPTY[0]: (20, 20, 20), WALL[0]: (110, 110, 110), GOAL[0]: (0, 200, 0)}
AGENT_COLOUR = (230, 30, 30)


def draw_text(tiles: np.ndarray, legend: Legend) -> str:
    """Return tiles as text; what the legend does not have is two spaces."""
    text = {tile: characters for characters, tile in legend.items()}
    return "\n".join("".join(text.get(tuple(tile), "  ") for tile in row) for row in tiles.swapaxes(0, 1).tolist())


def draw_image(tiles: np.ndarray, seen: np.ndarray | None = None) -> np.ndarray:
    """Return tiles as a picture, (16 height, 16 width, 3) uint8; the cells of the mask `seen` are lighter."""
    kinds = tiles[:, :, 0].T  # (width, height) -> (height, width), as pictures are indexed
    small = np.zeros((*kinds.shape, 3), np.uint8)
    for kind, colour in {**COLOURS, AGENT[0]: COLOURS[EMPTY[0]]}.items():
        small[kinds == kind] = colour
    if seen is not None:
        small[seen.T] = small[seen.T] // 4 * 3 + 60
    # (height, width, 3) -> (16 height, 16 width, 3)
    image = small.repeat(TILE_PIXELS, 0).repeat(TILE_PIXELS, 1)
    image[::TILE_PIXELS] = image[:, ::TILE_PIXELS] = 50  # lines between the tiles
    # The agent, pointing to the right: pixel centres from -1 to 1, and the half planes of a triangle. rot90 turns it
    # against the clock, directions count with it: hence the minus.
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
        # The agent stands in the middle of the last row, and looks towards row 0.
        forward, right = len(lit) - 1 - vy, vx - len(lit) // 2
        to_x, to_y = x + dx * forward + right_x * right, y + dy * forward + right_y * right
        if 0 <= to_x < shape[0] and 0 <= to_y < shape[1]:
            seen[to_x, to_y] = True
    return seen
