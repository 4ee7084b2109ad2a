"""What can be of use in a game, from a state on: which commands a search may leave out without missing a shortest win.

Each omission is safe: a winning list still wins when the commands in question are struck from it, or when they are
replaced by as many others.

    look, inventory, examine    change nothing. Only on the first turn, on which every quest is tested, `look` remains.
    a thing that no open quest, wanted lock, recipe or cut is about: all that is done with it can be struck. Fail events
                that speak of it never come about if one of their conditions on it does not hold to begin with.
    putting a thing where no quest wants it: can be struck, with the `take` that follows; the thing is in the hands
                instead, where it hinders nothing. With limited hands it may have to leave them: `drop` does.
    eating, cutting, cooking as no quest or recipe wants it: can be struck.
    opening or unlocking a container that neither holds nor shall hold anything of use: can be struck.
    closing and locking what no quest wants so: can be struck, with the opening and unlocking that follow.
    preparing a meal that no quest wants: can be struck, unless hands are limited: it takes less space than its parts.

This is not sure of what a fail event speaks of that has several conditions, or that forbids to hold a thing or to leave
it on a floor. Such things and locks are "loose": nothing that can be done with them is left out, if they are of use at
all. Only those quests count that must be done, or that have fail events which they end when they are done.
"""

from typing import Any

from llm_envs.text.records.codes import (
    ALWAYS,
    BURNED,
    COOKING_DROP,
    CUT_IS,
    EDIBLE_IS,
    FOOD_HAS,
    GONE_IS,
    HAS_WIN,
    HEAT_IS,
    HELD_BY,
    INEDIBLE,
    LOCK_IS,
    LOCKED,
    NEVER,
    NONE,
    OPTIONAL,
    REPEATABLE,
    SHARP,
    SLICED,
    SLOT_FREE,
    SLOT_USED,
    STOVE,
    SUPPORTER,
    UNCUT,
    USED,
)
from llm_envs.text.rules.quests import holds

Condition = tuple[int, int, int]
Events = list[list[Condition]]
ON_PORTABLES = (HELD_BY, FOOD_HAS, EDIBLE_IS, HEAT_IS, CUT_IS, GONE_IS)


class Goals:
    """The quests of a level that are open in a state, without the events that cannot happen."""

    def __init__(self, level: Any, state: Any) -> None:
        conditions = [(kind, a, b) for kind, a, b in level["conditions"].tolist()]
        starts, first, fails = (level[name].tolist() for name in ("first_event", "first_condition", "num_fails"))

        def events(low: int, high: int) -> Events:
            found = [conditions[first[event] : first[event + 1]] for event in range(low, high)]
            return [[one for one in event if one[0] != ALWAYS] for event in found if all(c[0] != NEVER for c in event)]

        self.wins: dict[int, Events] = {}  # of the quests that count
        self.fails: dict[int, Events] = {}
        self.required: list[int] = []
        for q in range(int(level["quests"])):
            flags, middle = int(level["quest_flags"][q]), starts[q] + fails[q]
            if int(state["done_quests"]) >> q & 1:
                continue
            self.fails[q] = events(starts[q], middle)
            must = flags & HAS_WIN and not flags & OPTIONAL
            if must:
                self.required.append(q)
            if flags & HAS_WIN and not flags & REPEATABLE and (must or self.fails[q]):
                self.wins[q] = events(middle, starts[q + 1])

    def winnable(self) -> bool:
        """Say whether something must be done, and nothing that never can be."""
        return bool(self.required) and all(self.wins.get(q) for q in self.required)

    def conditions(self) -> set[Condition]:
        """Return the conditions of all win events."""
        return {one for events in self.wins.values() for event in events for one in event}

    def of_slots(self) -> bool:
        """Say whether a condition is about the places in the hands."""
        groups = (*self.wins.values(), *self.fails.values())
        return any(one[0] in (SLOT_FREE, SLOT_USED) for events in groups for event in events for one in event)


class Relevance:
    """What is of use to reach the goals of a level from a state (both records with attributes)."""

    def __init__(self, level: Any, state: Any) -> None:
        self.state, self.goals = state, Goals(level, state)
        self.rooms, self.portables, self.meal, theme = (int(level[k]) for k in ("rooms", "portables", "meal", "theme"))
        fixed, doors = int(level["fixed"]), int(level["doors"])
        self.hands, self.limited = self.rooms + fixed, theme == COOKING_DROP
        self.holder, self.lock = state["holder"].tolist(), state["lock"].tolist()
        self.kinds, self.key_of = level["kind"].tolist(), level["key_of"].tolist()
        self.loose, self.loose_locks = set[int](), set[int]()
        self.things = set[int]()  # portables of use
        self.locks = {fixed + door for door in range(doors)}  # containers and doors of use
        self.wanted = self.goals.conditions()
        self.keeps_slots = self.limited and (self.goals.of_slots() or self.odd_hands(int(level["slots"])))
        self.read_fails()
        if self.keeps_slots:
            self.loose = set(range(self.portables))
            self.things |= self.loose
        self.parts = {p: (heat, cut) for p, heat, cut in level["parts"][: int(level["num_parts"])].tolist()}
        if self.limited:  # things may have to leave the hands
            self.things |= {p for p in self.loose if self.holder[p] == self.hands}
            if self.meal != NONE and len(self.parts) > 1 and not self.wants_meal():  # it would take less space
                self.loose |= {self.meal, *self.parts}
                self.things |= {self.meal, *self.parts}
        self.sharp = {p for p, traits in enumerate(level["traits"].tolist()) if traits & SHARP}
        self.prepares = False
        self.things |= {a for kind, a, _ in self.wanted if kind in ON_PORTABLES}
        self.locks |= {a for kind, a, _ in self.wanted if kind == LOCK_IS}
        self.spread()

    def wants_meal(self) -> bool:
        """Say whether a required quest is done only after the meal has been prepared."""
        only = (self.goals.wins[q][0] for q in self.goals.required if len(self.goals.wins.get(q, ())) == 1)
        return any(kind in (HELD_BY, GONE_IS) and a == self.meal for event in only for kind, a, _ in event)

    def odd_hands(self, slots: int) -> bool:
        """Say whether the places in the hands are not one for each thing that is held, and the others free."""
        held = self.holder[: self.portables].count(self.hands)
        used, free = int(self.state["used_slots"]), int(self.state["free_slots"])
        return used.bit_count() < held or free.bit_count() != slots - held

    def read_fails(self) -> None:
        """Find what is loose, and what must be touched lest a fail event come about."""
        test = getattr(holds, "py_func", holds)
        awkward = {self.hands, *(range(self.rooms) if self.limited else ())}
        for event in (event for events in self.goals.fails.values() for event in events):
            for kinds, loose, useful in (
                (ON_PORTABLES, self.loose, self.things),
                ((LOCK_IS,), self.loose_locks, self.locks),
            ):
                for x in {a for kind, a, _ in event if kind in kinds}:
                    about = [one for one in event if one[0] in kinds and one[1] == x]
                    so_far = all(test(self.state, *one) for one in about)
                    if so_far:
                        useful.add(x)
                    if so_far or len(event) > 1 or (about[0][0] == HELD_BY and about[0][2] in awkward):
                        loose.add(x)

    def spread(self) -> None:
        """Add what is needed for what is of use, until nothing is added."""
        size, key_of = -1, self.key_of
        while size != len(self.things) + len(self.locks) + self.prepares:
            size = len(self.things) + len(self.locks) + self.prepares
            used = any(kind == GONE_IS and b == USED for kind, _, b in self.wanted)
            avoids = bool(self.things & self.loose & set(self.parts))  # to be got out of the way
            self.prepares |= self.meal != NONE and (used or avoids or self.meal in self.things)
            if self.prepares:
                self.things |= {self.meal, *self.parts}
            if any(self.cut_ways(p) for p in self.things):
                self.things |= self.sharp
            places = {self.holder[p] for p in self.things} | {b for kind, a, b in self.wanted if kind == HELD_BY}
            if self.things & self.loose:
                places |= set(range(self.rooms, self.hands))
            pieces = {place - self.rooms for place in places if self.rooms <= place < self.hands}
            self.locks |= {piece for piece in pieces if self.kinds[piece] not in (SUPPORTER, STOVE)}
            for lock in self.locks:
                if key_of[lock] != NONE and (self.lock[lock] == LOCKED or self.closes(lock, LOCKED)):
                    self.things.add(key_of[lock])
                    if lock in self.loose_locks:
                        self.loose.add(key_of[lock])

    def closes(self, lock: int, *values: int) -> bool:
        """Say whether a lock may have to be brought into one of these states."""
        return lock in self.loose_locks or any((LOCK_IS, lock, value) in self.wanted for value in values)

    def cut_ways(self, p: int) -> set[int]:
        """Return the ways in which a thing may have to be cut."""
        ways = {b for kind, a, b in self.wanted if kind == CUT_IS and a == p}
        if self.prepares and p in self.parts:
            ways.add(self.parts[p][1])
        return {SLICED, SLICED + 1, SLICED + 2} if p in self.loose else ways - {UNCUT}

    def gone_ways(self, p: int) -> set[int]:
        """Return what may have to become of a thing: EATEN, CONSUMED."""
        return {b for kind, a, b in self.wanted if kind == GONE_IS and a == p} - {USED}

    def burns(self, p: int) -> bool:
        """Say whether a thing may have to be burned."""
        return p in self.loose or (FOOD_HAS, p, BURNED) in self.wanted or (EDIBLE_IS, p, INEDIBLE) in self.wanted

    def heats(self, p: int) -> set[int] | None:
        """Return the heats that a thing may have to be cooked with; None for any."""
        others = any(a == p and kind in (EDIBLE_IS, FOOD_HAS) for kind, a, _ in self.wanted)
        if p in self.loose or others or self.gone_ways(p):
            return None
        heats = {b for kind, a, b in self.wanted if kind == HEAT_IS and a == p}
        return heats | ({self.parts[p][0]} if self.prepares and p in self.parts else set())
