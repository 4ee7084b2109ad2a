"""Checks a `Game` before anything is made of it: its ids, facts, places, map, names, texts and goals."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NoReturn

from llm_envs.text.model.fact_types import DOOR, EXCLUSIVE, FACTS, GONE, KINDS, LOCK_STATES, PART, ROOM, SLOT, WAYS
from llm_envs.text.model.game import FIXED, PORTABLE, THEMES, Fact, Game, Thing, kind_of
from llm_envs.text.model.limits import LARGEST, LARGEST_REWARD, LONGEST_NAME, LONGEST_TEXT, MOST_FACTS, MOST_SYNONYMS
from llm_envs.text.model.reachability import Reach, is_constant
from llm_envs.validation import printable, quote

LIMITS = {"rooms": (ROOM, LARGEST["rooms"]), "fixed things": (FIXED, LARGEST["fixed"]),
          "portable things": (PORTABLE, LARGEST["portables"]), "doors": (DOOR, LARGEST["doors"]),
          "meals": (("meal",), 1), "ingredients": (PART, 5), "slots": (SLOT, 8)}  # fmt: skip
NUMBER = re.compile(r"0|[1-9][0-9]{0,3}")


def check(game: Game, source: str = "", playable: bool = True) -> None:
    """Raise unless the game can be compiled and played, and no goal is plainly out of reach.

    Args:
        game: The game.
        source: Where it comes from, a file or a generator and its seed; the game's name if empty.
        playable: Refuse also what is sound but cannot be played: a game that is over at the start or cannot be won.

    Raises:
        ValueError: names the source, the thing, fact or quest, and what is wrong with it.
    """
    _Check(game, source or game.name, playable).run()


class _Check:
    def __init__(self, game: Game, source: str, playable: bool) -> None:
        self.game, self.source, self.given = game, source, set(game.facts)
        self.playable = playable

    def run(self) -> None:
        if self.game.theme not in THEMES:
            self.fail("theme", f"{quote(self.game.theme)} is unknown; it must be one of {', '.join(THEMES)}")
        if len(self.game.facts) > MOST_FACTS:
            self.fail("facts", f"{len(self.game.facts)} of them; at most {MOST_FACTS} are possible")
        self.things()
        self.names()
        self.texts()
        for fact in self.game.facts:
            self.fact(fact, as_text(fact))
        twice = next((fact for fact, count in Counter(self.game.facts).items() if count > 1), None)
        if twice:
            self.fail(as_text(twice), "is given twice")
        self.exclusive(self.game.facts, "the start")
        self.places()
        self.map()
        self.states()
        if self.game.theme.startswith("cooking"):
            self.recipe()
        self.quests()
        if self.playable:
            self.begins()
            self.reach()

    def fail(self, what: str, reason: str) -> NoReturn:
        thing = self.game.things.get(what)
        name = f" ({quote(thing.name)[1:-1]})" if thing and thing.name else ""
        raise ValueError(printable(f"{self.source}: {quote(what)[1:-1]}{name}: {reason}"))

    def named(self, *names: str) -> Iterator[Fact]:
        return (fact for fact in self.game.facts if fact[0] in names)

    def things(self) -> None:
        kinds = KINDS[self.game.theme]
        for key, thing in self.game.things.items():
            kind, _, number = key.rpartition("_")
            if key != thing.id:
                self.fail(key, f"its entry has the id {quote(thing.id)}")
            if kind not in kinds:
                self.fail(
                    key, f"type {quote(kind)} is unknown in theme {self.game.theme!r}; known are {', '.join(kinds)}"
                )
            if not NUMBER.fullmatch(number):
                self.fail(key, "an id must be a type, an underscore and a number below 10000")
        for what, (kinds, most) in LIMITS.items():
            count = len(self.game.of_kind(*kinds))
            if count > most:
                self.fail("things", f"{count} {what}; at most {most} are possible")

    def names(self) -> None:
        owners: dict[str, str] = {}
        for thing in self.game.of_kind(*PORTABLE, *FIXED, "d"):
            name = thing.name.casefold()
            if name in owners:
                self.fail(thing.id, f"has the same name as {owners[name]}; commands could not tell them apart")
            owners[name] = thing.id
        for thing in self.game.of_kind(*PORTABLE, *FIXED, "d", "r"):
            self.name(thing, thing.name, "name")
            if len(thing.synonyms) > MOST_SYNONYMS:
                self.fail(thing.id, f"has {len(thing.synonyms)} synonyms; at most {MOST_SYNONYMS} are possible")
            for word in thing.synonyms:
                self.name(thing, word, "synonym")
            if thing.indefinite and not (thing.indefinite.isascii() and thing.indefinite.isalpha()):
                self.fail(thing.id, f"indefinite article {quote(thing.indefinite)}; it must be one word of letters")
        # A name such as "box on table" makes "put key on box on table" ambiguous.
        for word in ("from", "into", "on", "with"):
            if any(f" {word} " in name for name in owners):
                said = Counter([*owners, *(f"{x} {word} {y}" for x in owners for y in owners)])
                twice, count = said.most_common(1)[0]
                if count > 1:
                    self.fail("names", f"commands with {twice!r} would have two meanings")

    def name(self, thing: Thing, name: str, what: str) -> None:
        if not 0 < len(name) <= LONGEST_NAME:
            self.fail(thing.id, f"its {what} has {len(name)} characters; it must have 1 to {LONGEST_NAME}")
        if not name.isprintable() or name != " ".join(name.split()) or any(mark in name for mark in '[]"'):
            self.fail(
                thing.id,
                f"{what} {quote(name)} must be printable words with single spaces, without square brackets or quotes",
            )

    def texts(self) -> None:
        texts = {key: thing.text for key, thing in self.game.things.items()} | {"objective": self.game.objective}
        texts |= {f"walkthrough {number}": command for number, command in enumerate(self.game.walkthrough)}
        for what, text in texts.items():
            if len(text) > LONGEST_TEXT:
                self.fail(what, f"a text of {len(text)} characters; at most {LONGEST_TEXT} are possible")
            odd = next((mark for mark in text if not mark.isprintable() and not mark.isspace()), "")
            if odd:
                self.fail(what, f"its text has the character {odd!r}, which cannot be printed")

    def fact(self, fact: Fact, where: str) -> None:
        shapes = FACTS[self.game.theme].get(fact[0])
        if shapes is None:
            self.fail(where, f"fact {quote(fact[0])} is unknown in theme {self.game.theme!r}")
        for one in fact[1:]:
            if one not in self.game.things and one not in ("P", "I", "RECIPE"):
                self.fail(where, f"there is no {quote(one)}")
        kinds = [kind_of(one) for one in fact[1:]]
        if not any(len(shape) == len(kinds) and all(map(tuple.__contains__, shape, kinds)) for shape in shapes):
            allowed = " or ".join(f"({', '.join('|'.join(part) for part in shape)})" for shape in shapes)
            self.fail(where, f"{fact[0]} has the types ({', '.join(kinds)}); it must have {allowed}")

    def exclusive(self, facts: Sequence[Fact], where: str) -> None:
        """Fail if two of the facts cannot hold at once: two places of a thing, two states of a lock, ..."""
        known: dict[tuple[object, str], Fact] = {}
        for fact in facts:
            group: object = "place" if fact[0] in ("at", "on", "in") else EXCLUSIVE.get(fact[0])
            if group and known.setdefault((group, fact[1]), fact) != fact:
                self.fail(fact[1], f"{as_text(known[group, fact[1]])} and {as_text(fact)} cannot both hold ({where})")

    def places(self) -> None:
        placed = {fact[1] for fact in self.named("at", "on", "in")}
        for one in ("P", *(thing.id for thing in self.game.of_kind(*PORTABLE, *FIXED))):
            if one not in placed and kind_of(one) != "meal":
                self.fail(one, "is nowhere")

    def map(self) -> None:
        # TextWorld gives each exit twice, once for each way; two rooms share at most one exit.
        joined: dict[frozenset[str], Fact] = {}
        sides: dict[tuple[str, str], str] = {}
        for way, there, here in self.named(*WAYS):
            fact, back = (way, there, here), (WAYS[way], here, there)
            if back not in self.given:
                self.fail(as_text(fact), f"the way back, {as_text(back)}, is missing")
            if sides.setdefault((here, way), there) != there:
                self.fail(here, f"both {sides[here, way]} and {there} are {way} it")
            if joined.setdefault(frozenset((here, there)), fact) not in (fact, back) or here == there:
                self.fail(as_text(fact), f"joins rooms that {as_text(joined[frozenset((here, there))])} joins too")
        # A door stands in an exit, and no exit has two.
        doors: dict[frozenset[str], str] = {}
        for door in self.game.of_kind("d"):
            links = [(fact[1], fact[3]) for fact in self.named("link") if fact[2] == door.id]
            if len(links) != 2 or links[0] != links[1][::-1]:
                self.fail(door.id, f"must be linked both ways between two rooms, not {links}")
            pair = frozenset(links[0])
            if pair not in joined:
                self.fail(door.id, f"links {' and '.join(sorted(pair))}, between which there is no exit")
            if doors.setdefault(pair, door.id) != door.id:
                self.fail(door.id, f"is between the same rooms as {doors[pair]}")
        for _, *rooms in (fact for fact in self.named("free") if len(fact) == 3):
            if frozenset(rooms) not in joined:
                self.fail(as_text(("free", *rooms)), "there is no exit between these rooms")
        # Where there is no door the exit is free; where there is one, exactly when it is open.
        for pair in joined:
            one, other = sorted(pair)
            free = {("free", one, other) in self.given, ("free", other, one) in self.given}
            if free != {pair not in doors or ("open", doors[pair]) in self.given}:
                which = f"door {doors[pair]}" if pair in doors else "exit without a door"
                self.fail(f"{one} and {other}", f"free both ways must be given if, and only if, their {which} is open")

    def states(self) -> None:
        stated = {fact[1] for fact in self.named(*LOCK_STATES)}
        for thing in self.game.of_kind("c", "oven", "d"):
            if thing.id not in stated:
                self.fail(thing.id, "must be open, closed or locked")
        keys: dict[str, str] = {}
        for _, key, lock in self.named("match"):
            if keys.setdefault(lock, key) != key:
                self.fail(lock, f"both {keys[lock]} and {key} match it")
        hands = Counter(fact[1] for fact in self.named("free", "used") if kind_of(fact[1]) == "slot")
        for number, slot in enumerate(sorted(self.game.of_kind("slot"), key=lambda slot: slot.id)):
            if hands[slot.id] != 1:
                self.fail(slot.id, "must be free or used")
            if slot.id != f"slot_{number}":
                self.fail(slot.id, f"slots must be numbered from 0 without gaps; slot_{number} is missing")
        for fact in self.named(*GONE):
            if kind_of(fact[1]) != "slot":
                self.fail(fact[1], f"is {fact[0]} at the start")

    def recipe(self) -> None:
        parts = self.game.of_kind("ingredient")
        needed = [fact for fact in self.game.facts if fact[0].startswith("ingredient_")]
        counts = {name: len(list(self.named(name))) for name in ("cooking_location", "out")}
        wanted = dict.fromkeys(counts, 1 if parts else 0)
        if counts != wanted:
            self.fail("RECIPE", f"with {len(parts)} ingredients it must have {wanted}, not {counts}")
        if sorted(fact[0] for fact in needed) != [f"ingredient_{number + 1}" for number in range(len(parts))]:
            self.fail(
                "RECIPE", f"with {len(parts)} ingredients it must have as many facts ingredient_1, ingredient_2 ..."
            )
        foods = {part: food for _, food, part in self.named("base")}
        if len(foods) < len(list(self.named("base"))) or sorted(foods.values()) != sorted({fact[1] for fact in needed}):
            self.fail("RECIPE", "each of the foods ingredient_1, ingredient_2 ... must be the base of one ingredient")
        for part in parts:
            if part.id not in foods or ("in", part.id, "RECIPE") not in self.given:
                self.fail(part.id, "needs facts base(food, ingredient) and in(ingredient, RECIPE)")

    def quests(self) -> None:
        if len(self.game.quests) > LARGEST["quests"]:
            self.fail("quests", f"{len(self.game.quests)} of them; at most {LARGEST['quests']} are possible")
        events = [event for quest in self.game.quests for event in (*quest.win, *quest.fail)]
        for what, count in (("events", len(events)), ("conditions", sum(map(len, events)))):
            if count > LARGEST[what]:  # said before each of them is looked at
                self.fail("quests", f"they have {count} {what}; at most {LARGEST[what]} are possible")
        for number, quest in enumerate(self.game.quests):
            where = f"quest {number}"
            if type(quest.reward) is not int or abs(quest.reward) > LARGEST_REWARD:
                self.fail(
                    where, f"reward {quote(quest.reward)}; it must be an int from {-LARGEST_REWARD} to {LARGEST_REWARD}"
                )
            if not quest.win and not quest.fail:
                self.fail(where, "has neither win nor fail events")
            if quest.repeatable and not quest.optional:
                self.fail(where, "is repeatable; only optional quests may be")
            for event in (*quest.win, *quest.fail):
                if not event:
                    self.fail(where, "has an event without facts")
                for fact in event:
                    self.fact(fact, f"{where}: {as_text(fact)}")
                    if fact not in self.given and is_constant(self.game, fact):
                        self.fail(f"{where}: {as_text(fact)}", "does not hold at the start, and nothing can change it")
                self.exclusive(event, where)

    def begins(self) -> None:
        for number, quest in enumerate(self.game.quests):
            if any(map(self.given.issuperset, quest.fail)):
                self.fail(f"quest {number}", "has failed at the start")
        # An episode that is won before the first step could never be played.
        wanted = [quest for quest in self.game.quests if quest.win and not quest.optional]
        if wanted and all(any(map(self.given.issuperset, quest.win)) for quest in wanted):
            self.fail("quests", "all that have to be done are done at the start")

    def reach(self) -> None:
        # Without locks, since a room behind a locked door is on the map even where its key is out of reach.
        free = Reach(self.game, locks=False)
        for room in self.game.of_kind("r"):
            if room.id not in free.rooms:
                self.fail(room.id, "no way leads there from the player's room")
        reach = Reach(self.game)
        for number, quest in enumerate(self.game.quests):
            if quest.win and not quest.optional and not any(map(reach.can_hold_all, quest.win)):
                out = next(fact for event in quest.win for fact in event if not reach.can_hold(fact))
                self.fail(f"quest {number}", f"cannot be completed: {as_text(out)} is out of reach")


def as_text(fact: Fact) -> str:
    """Return "in(k_0, c_1)" for ("in", "k_0", "c_1")."""
    return f"{fact[0]}({', '.join(fact[1:])})"
