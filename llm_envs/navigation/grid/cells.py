"""The tiles of grids: Minigrid's triples (object, colour, state), directions and moves."""

from collections.abc import Mapping

# Minigrid's own numbers, so that a policy trained there reads the same images here.
UNSEEN, EMPTY, WALL, GOAL, AGENT = (0, 0, 0), (1, 0, 0), (2, 5, 0), (8, 1, 0), (10, 0, 0)
# An agent's state is its direction: 0 right, 1 down, 2 left, 3 up.
AGENTS = {f"A{arrow}": (10, 0, direction) for direction, arrow in enumerate(">v<^")}

STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))  # (x, y) of one cell in each direction
LEFT, RIGHT, FORWARD = range(3)  # Minigrid's first three actions

LONGEST = 32  # cells a side: a row of a map fits into 32 bits

Legend = Mapping[str, tuple[int, int, int]]  # two characters -> the tile they stand for
