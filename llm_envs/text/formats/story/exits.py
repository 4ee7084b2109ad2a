"""A story's exits and doors: rooms are joined both ways, whichever side says so."""

from collections.abc import Mapping

from llm_envs.text.authoring.builder import Maker
from llm_envs.text.formats.story.phrases import STATES
from llm_envs.text.formats.story.yaml_lines import Item
from llm_envs.text.model.game import BACK, DIRECTIONS

EXIT = ("to", "door")
Section = Mapping[str, Mapping[str, Item]]  # name -> its entries


def join_rooms(maker: Maker, ids: dict[str, str], rooms: Section, doors: Section, named: Mapping[str, Item]) -> None:
    """Make the exits and doors.

    Args:
        maker: Has the rooms already.
        ids: Name -> id, of the rooms; the doors are added.
        rooms: As written; their entries "exits" are read.
        doors: As written; their entries "state" are read.
        named: Name -> where it is written.
    """
    written: dict[tuple[str, str], tuple[str, str, Item]] = {}  # room, direction -> room, door or "", where
    for room, parts in rooms.items():
        for way, item in (parts["exits"].entries(DIRECTIONS) if "exits" in parts else {}).items():
            entries = item.entries(EXIT, ("to",)) if item.is_entries else {"to": item}
            door = entries["door"].name(doors, "door") if "door" in entries else ""
            written[room, way] = (entries["to"].name(rooms, "room"), door, item)
    joined: dict[frozenset[str], Item] = {}
    used: dict[str, Item] = {}  # door -> its exit
    for (room, way), (there, door, item) in written.items():
        back, back_door, other = written.get((there, BACK[way]), ("", "", item))
        if back == room:
            if door and back_door and door != back_door:
                raise item.error(
                    f"{item.what}: the door is {door!r}; from its other side, line {other.line}, {back_door!r}"
                )
            if frozenset((room, there)) in joined:
                continue  # made from its other side
            door = door or back_door
        if door in used:
            raise item.error(f"{item.what}: the door {door!r} is in another exit already, on line {used[door].line}")
        if there == room:
            raise item.error(f"{item.what}: this exit leads to its own room")
        if frozenset((room, there)) in joined:
            first = joined[frozenset((room, there))].line
            raise item.error(f"{item.what}: {room!r} and {there!r} are joined already, on line {first}; once is all")
        _check_free(maker, ids, item, room, way, there)
        door_id = maker.connect(ids[room], way, ids[there], door, state_of(doors[door]) if door else "open")
        joined[frozenset((room, there))] = item
        if door:
            used[door], ids[door] = item, door_id
    for door in doors:
        if door not in used:
            raise named[door].error(f"the door {door!r} is in no exit", at_name=True)


def state_of(parts: Mapping[str, Item]) -> str:
    """Return the state of a door or container at the start."""
    return parts["state"].choice(STATES) if "state" in parts else "closed"


def _check_free(maker: Maker, ids: Mapping[str, str], item: Item, room: str, way: str, there: str) -> None:
    """Raise if an exit or its way back is taken."""
    for here, side, goal in ((room, way, there), (there, BACK[way], room)):
        if side in maker.exits[ids[here]]:
            taken = maker.things[maker.exits[ids[here]][side][0]].name
            raise item.error(f"{item.what}: {side} of {here!r} there would be {goal!r}, but there is {taken!r} already")
