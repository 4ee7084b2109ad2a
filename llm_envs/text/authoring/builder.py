"""A `Maker` builds a `Game` step by step, and writes its descriptions."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from llm_envs.text.model.game import BACK, DIRECTIONS, SUPPORTERS, Fact, Game, Quest, Thing, place_fact

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
        # A whole permutation, whatever `count` is: then later draws do not depend on it.
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
            # TextWorld's `free` is about passing now, `_of` about the map.
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
        # The texts are written last: they name furniture and doors that are added after their rooms.
        things = {
            key: Thing(key, thing.name, self.describe(key), thing.indefinite, thing.synonyms)
            if thing.kind == "r" and not thing.text
            else thing
            for key, thing in self.things.items()
        }
        made_with = {name: to_python(value) for name, value in (settings or {}).items()}
        facts, quests = tuple(self.facts), tuple(self.quests)
        return Game(self.name, self.theme, things, facts, quests, objective, tuple(walkthrough), made_with)

    def describe(self, room: str) -> str:
        """Return a description of a room: what stands in it, what is in and on that, and the ways out."""
        # Substitutions of Inform, not fixed text: what can be open or taken away is printed as it is then.
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
            contents = f" On the {name} you see [a list of things on the {thing}]."
            return f"{self._here(with_article(name))}[if there is something on the {thing}]{contents}[end if]"
        # Without a state it can be neither open nor closed, like a toaster.
        if not any((state, thing) in self.facts for state in ("open", "closed", "locked")):
            return self._here(with_article(name))
        contents = f" In the {name} you see [a list of things in the {thing}]."
        inside = f"[if {thing} is open and there is something in the {thing}]{contents}[end if]"
        bare = f"[if {thing} is open and the {thing} contains nothing] The {name} is empty.[end if]"
        return self._here(self._shut(thing)) + inside + bare

    def _here(self, what: str) -> str:
        return self.pick(HERE).format(what)

    def _door(self, way: str, door: str) -> str:
        return f"To the {way} is {self._shut(door)}."

    def _shut(self, thing: str) -> str:
        state = f"[if {thing} is locked]a locked[else if {thing} is open]an open[otherwise]a closed[end if]"
        return f"{state} {self.things[thing].name}"


def to_python(value: Any) -> Any:
    """Return what JSON can hold: a number of NumPy's as Python's."""
    return value.item() if isinstance(value, np.generic) else value


STATE_OF_SELF = "[if open]It is open.[else if closed]It is closed.[otherwise]It is locked.[end if]"


def with_article(name: str) -> str:
    """Return a name with "a" or "an", as the game's lists choose it."""
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
