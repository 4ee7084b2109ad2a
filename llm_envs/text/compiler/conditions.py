"""Facts as conditions on a state: what quests test, and which facts `info` lists."""

from collections.abc import Iterator

from llm_envs.text.model.game import Fact, Game, kind_of, place_fact
from llm_envs.text.records import codes
from llm_envs.text.records.numbering import Numbers

Condition = tuple[int, int, int]
LOCKS = {"open": codes.OPEN, "closed": codes.CLOSED, "locked": codes.LOCKED}
# Facts about food: name -> kind of condition and value.
FOODS = {
    "raw": (codes.FOOD_HAS, codes.RAW),
    "needs_cooking": (codes.FOOD_HAS, codes.NEEDS_COOKING),
    "cooked": (codes.FOOD_HAS, codes.COOKED),
    "burned": (codes.FOOD_HAS, codes.BURNED),
    "edible": (codes.EDIBLE_IS, codes.EDIBLE),
    "inedible": (codes.EDIBLE_IS, codes.INEDIBLE),
    "grilled": (codes.HEAT_IS, codes.GRILLED),
    "roasted": (codes.HEAT_IS, codes.ROASTED),
    "fried": (codes.HEAT_IS, codes.FRIED),
    "uncut": (codes.CUT_IS, codes.UNCUT),
    "sliced": (codes.CUT_IS, codes.SLICED),
    "diced": (codes.CUT_IS, codes.DICED),
    "chopped": (codes.CUT_IS, codes.CHOPPED),
    "eaten": (codes.GONE_IS, codes.EATEN),
    "consumed": (codes.GONE_IS, codes.CONSUMED),
    "used": (codes.GONE_IS, codes.USED),
}
WHILE_COOKING = ("edible", "inedible")  # constant in other themes, whose `eat` asks for no such fact


class Conditions:
    """Translates the facts of one game."""

    def __init__(self, game: Game, numbers: Numbers) -> None:
        self.game, self.numbers = game, numbers
        self.given = set(game.facts)
        self.cooking = game.theme.startswith("cooking")
        self.doors = {(a, b): d for _, a, d, b in game.named("link")}

    def of(self, fact: Fact) -> Condition:
        """Return the condition that holds when the fact does; a fact that nothing changes is ALWAYS or NEVER."""
        name, *ids = fact
        numbers, first = self.numbers, ids[0] if ids else ""
        if name == "at" and first == "P":
            return codes.AT_ROOM, numbers.rooms[ids[1]], 0
        if name in ("at", "on", "in") and first in numbers.portables and ids[1] in numbers.holders:
            return codes.HELD_BY, numbers.portables[first], numbers.holders[ids[1]]
        if name in LOCKS and first in numbers.locks:
            return codes.LOCK_IS, numbers.locks[first], LOCKS[name]
        # TextWorld keeps free(room, room) true exactly while the door between them is open.
        if name == "free" and tuple(ids) in self.doors:
            return codes.LOCK_IS, numbers.locks[self.doors[ids[0], ids[1]]], codes.OPEN
        if name in ("free", "used") and kind_of(first) == "slot":
            return codes.SLOT_FREE if name == "free" else codes.SLOT_USED, slot_number(first), 0
        if name in FOODS and first in numbers.portables and (self.cooking or name not in WHILE_COOKING):
            kind, value = FOODS[name]
            return kind, numbers.portables[first], value
        # What is left never changes, so the facts at the start decide it now.
        return (codes.ALWAYS if fact in self.given else codes.NEVER), 0, 0

    def changing(self) -> Iterator[Fact]:
        """Yield every fact that can come and go in a play of the game."""
        numbers = self.numbers
        for room in numbers.rooms:
            yield "at", "P", room
        for thing in numbers.portables:
            for holder in numbers.holders:
                yield place_fact(thing, holder)
            if kind_of(thing) in ("f", "meal"):
                for name in FOODS:
                    if self.cooking or name not in WHILE_COOKING:
                        yield name, thing
        for lock in numbers.locks:
            for name in LOCKS:
                yield name, lock
        for a, b in self.doors:
            yield "free", a, b
        # dict.fromkeys: each slot once, in the order of the facts.
        for slot in dict.fromkeys(ids[0] for name, *ids in self.game.facts if ids and kind_of(ids[0]) == "slot"):
            yield "free", slot
            yield "used", slot


def slot_number(slot: str) -> int:
    """Return the bit of a slot: 2 of "slot_2"."""
    return int(slot.rpartition("_")[2])


def fact_text(fact: Fact, game: Game) -> str:
    """Return a fact as TextWorld prints it: "in(old key: k, chest: c)"."""
    return f"{fact[0]}({', '.join(_argument(one, game) for one in fact[1:])})"


def _argument(one: str, game: Game) -> str:
    kind, thing = kind_of(one), game.things.get(one)
    name = (thing.name if thing is not None else "") or one
    return name if name == kind or one in ("P", "I") else f"{name}: {kind}"
