"""MapReader: fetch a coin from a room that only the map tells the way to.

Description:  The hands hold a map, whose text says which rooms touch which. The coin lies in a room that the objective
              names, `distance` rooms away; the box it belongs into stands at the start. Descriptions name the rooms to
              each side, all exits are open, and nothing can be lost.
Observation:  tokens: int32 (window,), the transcript, padded on the right with <pad> (0). length: int32 (1,), how many
              they are. token_mask: int8 (window,), 1 for the words of commands. action_mask: int8 (A,), 1 for what may
              be chosen next.
Action:       As in Text/World-v0. Commands: go, take, drop, insert, open, close, examine, look, inventory.
Reward:       score: 1 for taking the coin, 1 for putting it into the box. win: 1 when the game is won. lose, turn,
              invalid: as in Text/World-v0. All but score weigh 0 unless asked for.
Termination:  The coin is in the box.
Truncation:   After max_steps commands (50). Reading, fetching and delivering take 2 distance + 3: a
              distance above 23 needs more.
Arguments:    rooms (int, 10): 2 to 40; distance (int, 3): rooms from the box to the coin on the shortest way, 1 to
              rooms - 1. pool, observation, action, mask, shows, facts, window, max_steps: as in Text/World-v0.
Levels:       A chain of `distance` steps that never turns back, further rooms on free cells beside any room, and a
              quarter of the other neighbours joined too. Cells lie on a square grid and no way is longer than the grid
              says, so none is shorter than the chain. Names are drawn without repetition.
Source:       After Map Reader of TextWorldExpress (Jansen & Cote, 2023). Here rooms have no doors.

    -= Pantry =-
    You are in the pantry. There is an open box here. To the east is the mill.
    > examine map
    The map says: The mill touches the attic and the pantry. The attic touches the mill. The pantry touches the mill.
    > go east
    -= Mill =-
    You are in the mill. To the north is the attic. To the west is the pantry.
    > go north
    -= Attic =-
    You are in the attic. To the south is the mill. There is a coin on the floor.
    > take coin
    You pick up the coin from the ground. Your score has just gone up by one point.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from llm_envs.text.authoring.builder import Maker
from llm_envs.text.authoring.room_names import NAMES
from llm_envs.text.interface.world import text_game
from llm_envs.text.model.game import BACK, DIRECTIONS, Game, beside
from llm_envs.validation import check_range

ROOMS = [name.lower() for name in NAMES if name != "Map Room"]
EXTRA = 0.25  # chance that two rooms side by side are joined where the tree does not join them


@text_game(pool=100, max_steps=50)
def map_reader(seed: int, rooms: int = 10, distance: int = 3) -> Game:
    """Make the game of this seed; see the module for the arguments."""
    check_range("rooms", rooms, 2, 40)
    check_range("distance", distance, 1, rooms - 1)
    maker = Maker("map_reader", "base", np.random.default_rng(seed))
    names = maker.draw(ROOMS, rooms)
    ids, ways = lay_out_from(maker, names, distance)
    start, goal = ids[0], ids[distance]
    maker.start(start)
    box = maker.fix("c", "box", start, "open")
    coin = maker.put("o", "coin", goal, "A small golden coin.")
    maker.put("o", "map", "I", f"The map says: {map_text(maker, ids)}")
    for room in ids:
        maker.things[room] = replace(maker.things[room], text=room_text(maker, room, box if room == start else ""))
    maker.quest(("in", coin, "I"))
    maker.quest(("in", coin, box))
    there = [f"go {way}" for way in ways]
    back = [f"go {BACK[way]}" for way in reversed(ways)]
    return maker.game(
        f"A coin lies in the {names[distance]}. Take it, bring it back and put it into the box in the {names[0]}. "
        "Your map says which rooms touch which.",
        ["examine map", *there, "take coin", *back, "insert coin into box"],
        {"rooms": rooms, "distance": distance},
    )


def lay_out_from(maker: Maker, names: Sequence[str], distance: int) -> tuple[list[str], list[str]]:
    """Make and join a room for each name; return their ids, and the directions of the way from room 0 to `distance`."""
    rooms = [maker.room(name) for name in names]
    cells = {(0, 0): 0}
    choices = (maker.pick(("north", "south")), maker.pick(("east", "west")))  # two directions never lead back
    ways = [maker.pick(choices) for _ in range(distance)]
    here = (0, 0)
    for room, way in enumerate(ways, 1):
        here = beside(here, way)
        maker.connect(rooms[room - 1], way, rooms[room])
        cells[here] = room
    for room in range(distance + 1, len(rooms)):
        free = [(near, way) for near in cells for way in DIRECTIONS if beside(near, way) not in cells]
        near, way = maker.pick(free)
        maker.connect(rooms[cells[near]], way, rooms[room])
        cells[beside(near, way)] = room
    for cell, room in cells.items():
        # Two directions are enough to visit each pair of neighbours once.
        for way in ("north", "east"):
            other = cells.get(beside(cell, way))
            if other is not None and way not in maker.exits[rooms[room]] and maker.rng.random() < EXTRA:
                maker.connect(rooms[room], way, rooms[other])
    return rooms, ways


def map_text(maker: Maker, rooms: Sequence[str]) -> str:
    """Return a sentence for each room, in drawn order, on the rooms that it touches."""
    lines = []
    for room in maker.draw(rooms):
        near = sorted(f"the {maker.things[other].name}" for other, _ in maker.exits[room].values())
        listed = f"{', '.join(near[:-1])} and {near[-1]}" if near[1:] else near[0]
        lines.append(f"The {maker.things[room].name} touches {listed}.")
    return " ".join(lines)


def room_text(maker: Maker, room: str, box: str) -> str:
    """Return a room's description: the box if it stands there, and the name of the room on each side."""
    parts = [f"You are in the {maker.things[room].name}."]
    if box:
        parts.append(
            f"There is [if {box} is open]an open[otherwise]a closed[end if] box here."
            f"[if {box} is open and there is something in the {box}]"
            f" In the box you see [a list of things in the {box}].[end if]"
        )
    for way in DIRECTIONS:
        if way in maker.exits[room]:
            parts.append(f"To the {way} is the {maker.things[maker.exits[room][way][0]].name}.")
    return " ".join(parts)
