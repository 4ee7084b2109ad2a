"""A `Maker` builds a `Game` step by step, and writes its descriptions; a `Walk` finds the commands that win it."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from llm_envs.text.game import (
    BACK,
    DIRECTIONS,
    PORTABLE,
    SUPPORTERS,
    Fact,
    Game,
    Quest,
    Thing,
    beside,
    kind_of,
    place_fact,
)

T = TypeVar("T")
OPENERS = ("You are in the {}.", "This is the {}.", "You stand in the {}.", "You have come to the {}.")
HERE = ("There is {} here.", "You see {}.", "You notice {}.")
WAYS = ("An exit leads {}.", "You can go {}.", "The way {} is open.")


class Maker:
    """A game in the making. Ids are given out by type in order: `r_0`, `r_1`, `c_0`, ..."""

    def __init__(self, name: str, theme: str, rng: np.random.Generator) -> None:
        self.name, self.theme, self.rng = name, theme, rng
        self.things: dict[str, Thing] = {}
        self.facts: list[Fact] = []
        self.quests: list[Quest] = []
        self.exits: dict[str, dict[str, tuple[str, str]]] = {}  # room -> direction -> (room, door or "")
        self.places: dict[str, list[str]] = {}  # room -> fixed things
        self.counts: dict[str, int] = {}

    def pick(self, choices: Sequence[T]) -> T:
        """Return one of `choices`, drawn."""
        return choices[int(self.rng.integers(len(choices)))]

    def draw(self, choices: Sequence[T], count: int | None = None) -> list[T]:
        """Return `count` different ones of `choices`, or all of them, in drawn order."""
        return [choices[i] for i in self.rng.permutation(len(choices))[:count].tolist()]

    def add(self, kind: str, name: str = "", text: str = "", indefinite: str = "", synonyms: Sequence[str] = ()) -> str:
        """Add a thing of this type, without a place, and return its id."""
        number = self.counts.get(kind, 0)
        self.counts[kind] = number + 1
        thing_id = f"{kind}_{number}"
        self.things[thing_id] = Thing(thing_id, name, text, indefinite, tuple(synonyms))
        return thing_id

    def say(self, *fact: str) -> None:
        """State a fact that holds at the start."""
        self.facts.append(fact)

    def room(self, name: str, text: str = "") -> str:
        """Add a room; without `text`, its description is written by `game`."""
        room = self.add("r", name, text)
        self.exits[room], self.places[room] = {}, []
        return room

    def connect(self, room: str, direction: str, other: str, door: str = "", lock: str = "open") -> str:
        """Join two rooms, by a door if it has a name, "open", "closed" or "locked"; return the door's id or ""."""
        if direction in self.exits[room] or BACK[direction] in self.exits[other]:
            raise ValueError(f"{room} to the {direction}, or {other} on its other side, has an exit already")
        door_id = self.add("d", door, f"{with_article(door).capitalize()}. {STATE_OF_SELF}") if door else ""
        for here, way, there in ((room, direction, other), (other, BACK[direction], room)):
            self.exits[here][way] = (there, door_id)
            self.say(f"{way}_of", there, here)
            if door_id:
                self.say("link", here, door_id, there)
            if not door_id or lock == "open":
                self.say("free", here, there)
        if door_id:
            self.say(lock, door_id)
        return door_id

    def fix(self, kind: str, name: str, room: str, lock: str = "", text: str = "") -> str:
        """Put a container or supporter into a room; a container is "open", "closed" or "locked"."""
        looks = f"{with_article(name).capitalize()}." + (f" {STATE_OF_SELF}" if lock else "")
        thing = self.add(kind, name, text or looks)
        self.places[room].append(thing)
        self.say("at", thing, room)
        if lock:
            self.say(lock, thing)
        return thing

    def put(self, kind: str, name: str, place: str, text: str = "", indefinite: str = "", traits: Sequence[str] = (),
            synonyms: Sequence[str] = ()) -> str:  # fmt: skip
        """Put a portable thing of these one-place facts on a floor, on or into a fixed thing, or into hands ("I")."""
        thing = self.add(kind, name, text or f"The {name} looks as one would expect.", indefinite, synonyms)
        self.say(*place_fact(thing, place))
        for trait in traits:
            self.say(trait, thing)
        return thing

    def quest(self, *win: Fact, fail: Sequence[Sequence[Fact]] = (), reward: int = 1, **flags: bool) -> None:
        """Add a quest with one win event, or none, and fail events."""
        self.quests.append(Quest((win,) if win else (), tuple(tuple(event) for event in fail), reward, **flags))

    def start(self, room: str) -> None:
        """Put the player into a room."""
        self.say("at", "P", room)

    def game(
        self, objective: str, walkthrough: Sequence[str] = (), settings: Mapping[str, object] | None = None
    ) -> Game:
        """Return the game, with descriptions for the rooms that have none."""
        things = {
            key: Thing(key, thing.name, self.describe(key), thing.indefinite, thing.synonyms)
            if thing.kind == "r" and not thing.text
            else thing
            for key, thing in self.things.items()
        }
        return Game(self.name, self.theme, things, tuple(self.facts), tuple(self.quests), objective,
                    tuple(walkthrough), {name: plain(value) for name, value in (settings or {}).items()})  # fmt: skip

    def describe(self, room: str) -> str:
        """Return a description of a room: what stands in it, what is in and on that, and the ways out."""
        parts = [self.pick(OPENERS).format(self.things[room].name)]
        parts += [self._furniture(thing) for thing in self.places[room]]
        for way in DIRECTIONS:
            if way in self.exits[room]:
                _, door = self.exits[room][way]
                parts.append(self._door(way, door) if door else self.pick(WAYS).format(way))
        return " ".join(parts)

    def _furniture(self, thing: str) -> str:
        name, kind = self.things[thing].name, self.things[thing].kind
        if kind in SUPPORTERS:
            told = f" On the {name} you see [a list of things on the {thing}]."
            return f"{self._here(with_article(name))}[if there is something on the {thing}]{told}[end if]"
        if not any((state, thing) in self.facts for state in ("open", "closed", "locked")):
            return self._here(with_article(name))
        told = f" In the {name} you see [a list of things in the {thing}]."
        inside = f"[if {thing} is open and there is something in the {thing}]{told}[end if]"
        bare = f"[if {thing} is open and the {thing} contains nothing] The {name} is empty.[end if]"
        return self._here(self._shut(thing)) + inside + bare

    def _here(self, what: str) -> str:
        return self.pick(HERE).format(what)

    def _door(self, way: str, door: str) -> str:
        return f"To the {way} is {self._shut(door)}."

    def _shut(self, thing: str) -> str:
        state = f"[if {thing} is locked]a locked[else if {thing} is open]an open[otherwise]a closed[end if]"
        return f"{state} {self.things[thing].name}"


def plain(value: Any) -> Any:
    """Return what JSON can hold: a number of NumPy's as Python's."""
    return value.item() if isinstance(value, np.generic) else value


STATE_OF_SELF = "[if open]It is open.[else if closed]It is closed.[otherwise]It is locked.[end if]"


def with_article(name: str) -> str:
    """Return a name with "a" or "an", as the game's lists choose it."""
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def lay_out(maker: Maker, names: Sequence[str], extra: float = 0.0) -> list[str]:
    """Make a room for each name and join them by free exits as `floor_plan` says; return their ids, as the names."""
    rooms = [maker.room(name) for name in names]
    for here, way, there in floor_plan(maker, len(names), extra):
        maker.connect(rooms[here], way, rooms[there])
    return rooms


def floor_plan(maker: Maker, count: int, extra: float = 0.0) -> list[tuple[int, str, int]]:
    """Draw a plan of rooms 0 to `count` - 1 on a square grid: the passages (room, direction, other room).

    First a random tree: passage k - 1 leads from a lower room to room k. Then each further pair of neighbours is joined
    with chance `extra`.
    """
    cells, passages = {(0, 0): 0}, []
    for k in range(1, count):
        open_sides = [
            (room, way, beside(cell, way))
            for cell, room in cells.items()
            for way in DIRECTIONS
            if beside(cell, way) not in cells
        ]
        near, way, cell = maker.pick(open_sides)
        passages.append((near, way, k))
        cells[cell] = k
    joined = {frozenset((here, there)) for here, _, there in passages}
    for cell, room in cells.items():
        for way in ("north", "east"):
            other = cells.get(beside(cell, way))
            if other is not None and {room, other} not in joined and maker.rng.random() < extra:
                passages.append((room, way, other))
    return passages


class Walk:
    """The commands of a player who knows the whole game, written down while they change its facts.

    Each method walks to where it is possible, fetches the keys that are needed and opens what is in the way.
    """

    def __init__(self, things: Mapping[str, Thing], facts: Sequence[Fact]) -> None:
        self.names = {key: thing.name for key, thing in things.items()}
        self.facts = set(facts)
        self.keys = {fact[2]: fact[1] for fact in facts if fact[0] == "match"}
        portable = {key for key, thing in things.items() if thing.kind in PORTABLE}
        self.rooms = {fact[1]: fact[2] for fact in facts if fact[0] == "at" and fact[1] not in portable}  # P included
        self.places = {fact[1]: fact[2] for fact in facts if fact[0] in ("at", "in", "on") and fact[1] in portable}
        doors = {(fact[1], fact[3]): fact[2] for fact in facts if fact[0] == "link"}
        for (here, _), door in doors.items():
            self.rooms.setdefault(door, here)  # one of the rooms that it joins
        self.exits: dict[str, list[tuple[str, str, str]]] = {}  # room -> (direction, room, door or "")
        for name, there, here in (fact for fact in facts if fact[0].endswith("_of")):
            self.exits.setdefault(here, []).append((name.removesuffix("_of"), there, doors.get((here, there), "")))
        self.commands: list[str] = []

    def go(self, room: str) -> None:
        """Go to a room on a way of the fewest rooms."""
        for _, _, door in self.route(room):
            if ("locked", door) in self.facts:
                self.take(self.keys[door])
        for way, there, door in self.route(room):
            if door:
                self._open(door)
            self.rooms["P"] = there
            self.commands.append(f"go {way}")

    def take(self, thing: str) -> None:
        """Have a portable thing."""
        place = self.places[thing]
        if place == "I":
            return
        if place in self.rooms:
            self._reach(place)
        else:
            self.go(place)
        self.commands.append(
            f"take {self.names[thing]}" + (f" from {self.names[place]}" if place in self.rooms else "")
        )
        self.places[thing] = "I"

    def put(self, thing: str, place: str) -> None:
        """Put a portable thing on a supporter or into a container."""
        self.take(thing)
        self._reach(place)
        words = "put {} on {}" if kind_of(place) in SUPPORTERS else "insert {} into {}"
        self.commands.append(words.format(self.names[thing], self.names[place]))
        self.places[thing] = place

    def open(self, thing: str) -> None:
        """Have a door or container open."""
        if ("open", thing) not in self.facts:
            self._reach(thing)

    def unlock(self, thing: str) -> None:
        """Have a door or container unlocked."""
        self._beside(thing)
        self._unlock(thing)

    def close(self, thing: str) -> None:
        """Have a door or container closed."""
        self._beside(thing)
        self._change(thing, "open", "closed", "close {}")

    def _reach(self, thing: str) -> None:
        """Stand beside a door or a fixed thing, and have it open if it can be."""
        self._beside(thing)
        self._open(thing)

    def _beside(self, thing: str) -> None:
        if ("locked", thing) in self.facts:
            self.take(self.keys[thing])
        if not any(door == thing for _, _, door in self.exits.get(self.rooms["P"], ())):
            self.go(self.rooms[thing])

    def _open(self, thing: str) -> None:
        self._unlock(thing)
        self._change(thing, "closed", "open", "open {}")

    def _unlock(self, thing: str) -> None:
        if ("locked", thing) in self.facts:
            self._change(thing, "locked", "closed", f"unlock {{}} with {self.names[self.keys[thing]]}")

    def _change(self, thing: str, old: str, new: str, words: str) -> None:
        if (old, thing) in self.facts:
            self.facts ^= {(old, thing), (new, thing)}
            self.commands.append(words.format(self.names[thing]))

    def route(self, room: str) -> list[tuple[str, str, str]]:
        """Return the ways from here to a room, by breadth-first search."""
        routes: dict[str, list[tuple[str, str, str]]] = {self.rooms["P"]: []}
        queue = [self.rooms["P"]]
        for here in queue:  # grows while it is read
            for step in self.exits.get(here, ()):
                if step[1] not in routes:
                    routes[step[1]] = [*routes[here], step]
                    queue.append(step[1])
        return routes[room]
