"""A map of the rooms that a player has seen, drawn with letters, for `llm-envs play`."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from llm_envs.text.model.game import BACK, DIRECTIONS, beside
from llm_envs.text.records import codes

GAP = 3  # letters between two columns


class Exit(NamedTuple):
    """A way out of a room."""

    room: int
    way: str  # one of DIRECTIONS
    to: int
    shut: bool  # a door that is closed or locked


def exits_of(room: int, state: np.ndarray, level: np.ndarray) -> list[Exit]:
    """Return the ways out of a room, as the records of a game's state and its compiled level have them."""
    # A door is thing number `fixed + door`: things without a place come first. NONE: the way has no door.
    return [
        Exit(room, way, int(to), bool(door != codes.NONE and state["lock"][level["fixed"] + door] != codes.OPEN))
        for way, to, door in zip(DIRECTIONS, level["exits"][room], level["exit_doors"][room], strict=True)
        if to != codes.NONE
    ]


def draw_map(names: Mapping[int, str], exits: Iterable[Exit], here: int) -> str:
    """Return the map as text.

    Args:
        names: of the rooms to draw, by number; the first stands where the others are measured from.
        exits: of any rooms; what they lead to is drawn as "?" where it is none of these rooms.
        here: the room that is marked as the player's.
    """
    known = [way_out for way_out in exits if way_out.room in names]
    cells = lay_out(names, known)
    rows = drawn_rows(names, cells, [way_out for way_out in known if fits(cells, way_out)], here)
    lines = [*rows, "", f"{label(names, here, here)} you are here   ? not seen yet   # a shut door"]
    others = [way_out for way_out in known if not fits(cells, way_out)]
    if others:  # as in a maze whose ways are longer than the grid, or bend
        lines.append("Also: " + "; ".join(f"{names[a]}, {way}: {names.get(b, '?')}" for a, way, b, _ in others))
    return "\n".join(lines)


def lay_out(names: Mapping[int, str], exits: Iterable[Exit]) -> dict[int, tuple[int, int]]:
    """Return a cell for each room that can be placed; one whose cell is taken stays without."""
    # Breadth first from the first room, exits in the order of DIRECTIONS: the same rooms give the same map, whatever
    # the order of the game's data.
    cells = {next(iter(names)): (0, 0)}
    queue = list(cells)
    for room in queue:  # which grows
        for _, way, to, _ in sorted(
            (one for one in exits if one.room == room), key=lambda one: DIRECTIONS.index(one.way)
        ):
            cell = beside(cells[room], way)
            if to not in cells and cell not in cells.values():
                cells[to] = cell
                queue.append(to)
    return cells


def fits(cells: Mapping[int, tuple[int, int]], way_out: Exit) -> bool:
    """Return whether an exit's rooms lie side by side on the grid, in the exit's direction."""
    room, to = cells.get(way_out.room), cells.get(way_out.to)
    return room is not None and to is not None and beside(room, way_out.way) == to


def label(names: Mapping[int, str], room: int, here: int) -> str:
    """Return what stands for a room."""
    if room not in names:
        return "?"
    return f"*{names[room]}*" if room == here else f"[{names[room]}]"


def drawn_rows(
    names: Mapping[int, str], cells: Mapping[int, tuple[int, int]], exits: Iterable[Exit], here: int
) -> list[str]:
    """Return the lines of the grid: rooms, and between their rows the ways to the south."""
    # (cell, direction) -> shut, in both directions: of two rooms the player may have seen one only.
    doors = {(cells[one.room], one.way): one.shut for one in exits}
    doors |= {(beside(cell, way), BACK[way]): shut for (cell, way), shut in doors.items()}
    labels = {cell: label(names, room, here) for room, cell in cells.items()}
    columns = range(min(x for x, _ in labels), max(x for x, _ in labels) + 1)
    rows = range(max(y for _, y in labels), min(y for _, y in labels) - 1, -1)
    # y grows to the north, lines to the south. A column is as wide as its longest label.
    widths = {x: max([1, *(len(text) for (column, _), text in labels.items() if column == x)]) for x in columns}
    lines = []
    for y in rows:
        rooms, ways = "", ""
        for x in columns:
            west, east, south = (doors.get(((x, y), way)) for way in ("west", "east", "south"))
            text = labels.get((x, y), "")
            before = widths[x] // 2 - len(text) // 2  # so that all middles lie under one another
            after = widths[x] - len(text) - before
            rooms += ("-" if west is not None else " ") * before + text
            rooms += ("-" if east is not None else " ") * after
            rooms += " " * GAP if east is None else "#".center(GAP, "-") if east else "-" * GAP
            mark = " " if south is None else "#" if south else "|"
            ways += (" " * (widths[x] // 2) + mark).ljust(widths[x] + GAP)
        # A row of rooms, and below it the row of its ways to the south; below the last there are none.
        lines += [rooms.rstrip(), ways.rstrip()]
    return lines[:-1]
