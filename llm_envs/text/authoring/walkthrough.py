"""A `Walk` finds the commands that win a game."""

from collections.abc import Mapping, Sequence

from llm_envs.text.model.game import PORTABLE, SUPPORTERS, Fact, Thing, kind_of


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
        # First all keys: fetching one moves the player, so the way is looked up again after that.
        for _, _, door in self.route(room):
            if ("locked", door) in self.facts:
                self.take(self.keys[door])
        for way, there, door in self.route(room):
            if door:
                self._open(door)
            self.rooms["P"] = there
            self.commands.append(f"go {way}")

    def take(self, thing: str) -> None:
        """Take a portable thing, unless it is held already."""
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
        pattern = "put {} on {}" if kind_of(place) in SUPPORTERS else "insert {} into {}"
        self.commands.append(pattern.format(self.names[thing], self.names[place]))
        self.places[thing] = place

    def open(self, thing: str) -> None:
        """Open a door or container, unless it is open already."""
        if ("open", thing) not in self.facts:
            self._reach(thing)

    def unlock(self, thing: str) -> None:
        """Unlock a door or container, unless it is unlocked already."""
        self._beside(thing)
        self._unlock(thing)

    def close(self, thing: str) -> None:
        """Close a door or container, unless it is closed already."""
        self._beside(thing)
        self._change(thing, "open", "closed", "close {}")

    def _reach(self, thing: str) -> None:
        """Go to a door or a fixed thing, and open it if it can be opened."""
        self._beside(thing)
        self._open(thing)

    def _beside(self, thing: str) -> None:
        if ("locked", thing) in self.facts:
            # Before walking there: the key may lie elsewhere, and may itself be locked away (take calls this again).
            self.take(self.keys[thing])
        # A door is beside the player in either of its two rooms.
        if not any(door == thing for _, _, door in self.exits.get(self.rooms["P"], ())):
            self.go(self.rooms[thing])

    def _open(self, thing: str) -> None:
        self._unlock(thing)
        self._change(thing, "closed", "open", "open {}")

    def _unlock(self, thing: str) -> None:
        if ("locked", thing) in self.facts:
            self._change(thing, "locked", "closed", f"unlock {{}} with {self.names[self.keys[thing]]}")

    def _change(self, thing: str, old: str, new: str, pattern: str) -> None:
        if (old, thing) in self.facts:
            # Exactly one of the two holds, so ^= exchanges them.
            self.facts ^= {(old, thing), (new, thing)}
            self.commands.append(pattern.format(self.names[thing]))

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

    def nearest_first(self) -> list[str]:
        """Return the rooms in order of their distance."""
        rooms = [self.rooms["P"]]
        for here in rooms:  # grows while it is read
            rooms += [there for _, there, _ in self.exits.get(here, ()) if there not in rooms]
        return rooms
