"""What a player can reach at best: rooms, portables and facts, as if no command ever ruled out a later one."""

from collections.abc import Iterable

from llm_envs.text.model.game import DIRECTIONS, FIXED, PORTABLE, SUPPORTERS, Fact, Game, kind_of

CONSTANT = {"link", "match", "base", "out", "cooking_location", "sharp", "cuttable", "cookable", "drinkable",
            *(f"ingredient_{number}" for number in range(1, 6)), *(f"{way}_of" for way in DIRECTIONS)}  # fmt: skip


def door_between(game: Game, one: str, other: str) -> str:
    """Return the id of the door between two rooms, or ""."""
    return next((fact[2] for fact in game.named("link") if fact[1] == one and fact[3] == other), "")


def is_constant(game: Game, fact: Fact) -> bool:
    """Return whether no command can change the fact."""
    name, subject = fact[0], kind_of(fact[1])
    # free(room, room) changes only with a door between them, free(slot) with what is held.
    if name == "free" and subject == "r":
        return not door_between(game, fact[1], fact[2])
    # In cooking games eating asks for it, and cooking changes it.
    if name == "edible":
        return game.theme == "base"
    return name in CONSTANT or subject == "ingredient" or (name == "at" and subject in FIXED)


class Reach:
    """The rooms and portables within reach; a necessary condition for goals, not a sufficient one."""

    def __init__(self, game: Game, locks: bool = True) -> None:
        """Compute both sets; without `locks`, locked doors and containers count as closed."""
        self.locks, self.facts = locks, set(game.facts)
        # Tables by id, from facts: where things are, keys of locks, the two rooms of each door.
        self.place = {fact[1]: fact[2] for fact in game.facts if fact[0] in ("at", "on", "in")}
        self.keys = {fact[2]: fact[1] for fact in game.named("match")}
        self.sides = {fact[2]: (fact[1], fact[3]) for fact in game.named("link")}
        self.rooms, self.portables = {self.place["P"]}, {"I"}
        doors = {(fact[1], fact[3]): fact[2] for fact in game.named("link")}
        # north_of(there, here): going north from here leads there.
        exits = [(there, here) for way in DIRECTIONS for _, there, here in game.named(f"{way}_of")]
        kitchen = next((fact[1] for fact in game.named("cooking_location")), "")
        parts = [fact[1] for fact in game.facts if fact[0].startswith("ingredient_")]
        items = [thing.id for thing in game.of_kind(*PORTABLE) if thing.id in self.place]
        # Each pass may open the way to more rooms, keys and containers; the sets only grow, so the loop ends.
        size = -1
        while size < len(self.rooms) + len(self.portables):
            size = len(self.rooms) + len(self.portables)
            for there, here in exits:
                if here in self.rooms and ((here, there) not in doors or self.can_open(doors[here, there])):
                    self.rooms.add(there)
            self.portables.update(item for item in items if self.can_get_at(self.place[item]))
            # The meal comes from nowhere: `prepare meal` makes it of the ingredients.
            if kitchen in self.rooms and self.portables.issuperset(parts):
                self.portables.update(meal.id for meal in game.of_kind("meal"))

    def can_get_at(self, holder: str) -> bool:
        """Return whether a thing can be taken from, or put into, a room, a fixed thing or the hands."""
        if holder == "I" or kind_of(holder) == "r":
            return holder in self.rooms or holder == "I"
        return self.place[holder] in self.rooms if kind_of(holder) in SUPPORTERS else self.can_open(holder)

    def can_open(self, lock: str) -> bool:
        """Return whether a door or a container is open or can be opened."""
        # A door has two sides, a container one place.
        if not any(room in self.rooms for room in self.sides.get(lock, (self.place.get(lock),))):
            return False
        if ("locked", lock) in self.facts and self.locks:
            return self.keys.get(lock) in self.portables
        return any((state, lock) in self.facts for state in ("open", "closed", "locked"))

    def can_hold(self, fact: Fact) -> bool:
        """Return whether a fact may come true."""
        name, subject = fact[0], fact[1]
        # Slots are freed and used by dropping and taking anything.
        if fact in self.facts or kind_of(subject) == "slot":
            return True
        if subject == "P":
            return fact[2] in self.rooms
        if name == "free":
            return any(self.can_open(door) for door, sides in self.sides.items() if set(sides) == set(fact[1:]))
        if name in ("open", "closed", "locked"):
            return self.can_open(subject) and (name != "locked" or self.keys.get(subject) in self.portables)
        return subject in self.portables and (name not in ("at", "on", "in") or self.can_get_at(fact[2]))

    def can_hold_all(self, facts: Iterable[Fact]) -> bool:
        """Return whether each of the facts, taken alone, may come true."""
        return all(map(self.can_hold, facts))
