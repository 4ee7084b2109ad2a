"""What can be of use in a level, from a state on: which commands a search may leave out without missing a shortest win.

This is the pruning of irrelevant facts and operators (Nebel, Dimopoulos and Koehler, 1997, "Ignoring Irrelevant Facts
and Operators in Plan Generation"), by rules that are safe: a winning list still wins when the commands in question are
struck from it, or when they are replaced by as many others.

    look, inventory, examine    change nothing. Only on the first turn, on which every quest is tested, `look` remains.
    a thing that no open quest, relevant lock, recipe or cut is about: all that is done with it can be struck. Fail
                events that speak of it never come about if one of their conditions on it does not hold to begin with.
    putting a thing where no quest wants it: can be struck, with the `take` that follows; the thing is in the hands
                instead, where it hinders nothing. With limited hands it may have to leave them: `drop` does.
    eating, cutting, cooking as no quest or recipe wants it: can be struck.
    opening or unlocking a container that neither holds nor shall hold anything of use: can be struck.
    closing and locking what no quest wants so: can be struck, with the opening and unlocking that follow.
    preparing a meal that no quest wants: can be struck, unless hands are limited: it takes less space than its parts.

What a fail event forbids is not worked out where it has several conditions, or forbids to hold a thing or to leave it
on a floor. Such things and locks are "unconstrained": nothing that can be done with them is left out, if they are of
use at all. Only those quests count that are required, or that have fail events which they end when they are done.
"""

from typing import Any

from llm_envs.text.records import codes
from llm_envs.text.rules.quests import holds

Condition = tuple[int, int, int]
Events = list[list[Condition]]
ON_PORTABLES = (codes.HELD_BY, codes.FOOD_HAS, codes.EDIBLE_IS, codes.HEAT_IS, codes.CUT_IS, codes.GONE_IS)


class Goals:
    """The quests of a level that are open in a state, without the events that cannot happen."""

    def __init__(self, level: Any, state: Any) -> None:
        conditions = [(kind, a, b) for kind, a, b in level["conditions"].tolist()]
        starts, first, fails = (level[name].tolist() for name in ("first_event", "first_condition", "num_fails"))

        def events(low: int, high: int) -> Events:
            found = [conditions[first[event] : first[event + 1]] for event in range(low, high)]
            possible = [event for event in found if all(kind != codes.NEVER for kind, _, _ in event)]
            return [[one for one in event if one[0] != codes.ALWAYS] for event in possible]

        self.wins: dict[int, Events] = {}  # of the quests that count
        self.fails: dict[int, Events] = {}
        self.required: list[int] = []
        for q in range(int(level["quests"])):
            flags, middle = int(level["quest_flags"][q]), starts[q] + fails[q]
            if int(state["done_quests"]) >> q & 1:
                continue
            self.fails[q] = events(starts[q], middle)
            required = flags & codes.HAS_WIN and not flags & codes.OPTIONAL
            if required:
                self.required.append(q)
            if flags & codes.HAS_WIN and not flags & codes.REPEATABLE and (required or self.fails[q]):
                self.wins[q] = events(middle, starts[q + 1])

    def winnable(self) -> bool:
        """Return whether something must be done, and nothing that never can be."""
        return bool(self.required) and all(self.wins.get(q) for q in self.required)

    def conditions(self) -> set[Condition]:
        """Return the conditions of all win events."""
        return {one for events in self.wins.values() for event in events for one in event}

    def about_slots(self) -> bool:
        """Return whether a condition is about the places in the hands."""
        quests = (*self.wins.values(), *self.fails.values())
        kinds = {kind for events in quests for event in events for kind, _, _ in event}
        return bool(kinds & {codes.SLOT_FREE, codes.SLOT_USED})


class Relevance:
    """What is of use to reach the goals of a level from a state (both records with attributes)."""

    def __init__(self, level: Any, state: Any) -> None:
        self.state, self.goals = state, Goals(level, state)
        self.rooms, self.portables, self.meal, theme = (int(level[k]) for k in ("rooms", "portables", "meal", "theme"))
        fixed, doors = int(level["fixed"]), int(level["doors"])
        self.hands, self.limited = self.rooms + fixed, theme == codes.COOKING_DROP
        self.holder, self.lock = state["holder"].tolist(), state["lock"].tolist()
        self.kinds, self.key_of = level["kind"].tolist(), level["key_of"].tolist()
        self.unconstrained, self.unconstrained_locks = set[int](), set[int]()
        self.relevant = set[int]()  # portables
        self.relevant_locks = {fixed + door for door in range(doors)}  # of containers and doors: a way may lead by any
        self.wanted = self.goals.conditions()
        self.encodes_slots = self.limited and (self.goals.about_slots() or self.irregular_slots(int(level["slots"])))
        self.read_fail_events()
        if self.encodes_slots:
            self.unconstrained = set(range(self.portables))  # each of them takes a place
            self.relevant |= self.unconstrained
        self.parts = {p: (heat, cut) for p, heat, cut in level["parts"][: int(level["num_parts"])].tolist()}
        if self.limited:  # things may have to leave the hands
            self.relevant |= {p for p in self.unconstrained if self.holder[p] == self.hands}
            if self.meal != codes.NONE and len(self.parts) > 1 and not self.wants_meal():  # it would take less space
                self.unconstrained |= {self.meal, *self.parts}
                self.relevant |= {self.meal, *self.parts}
        self.blades = {p for p, traits in enumerate(level["traits"].tolist()) if traits & codes.SHARP}
        self.prepares = False
        self.relevant |= {a for kind, a, _ in self.wanted if kind in ON_PORTABLES}
        self.relevant_locks |= {a for kind, a, _ in self.wanted if kind == codes.LOCK_IS}
        self.propagate()

    def wants_meal(self) -> bool:
        """Return whether a required quest is done only after the meal has been prepared."""
        only = (self.goals.wins[q][0] for q in self.goals.required if len(self.goals.wins.get(q, ())) == 1)
        return any(kind in (codes.HELD_BY, codes.GONE_IS) and a == self.meal for event in only for kind, a, _ in event)

    def irregular_slots(self, slots: int) -> bool:
        """Return whether the places in the hands are not one for each thing that is held, and the others free."""
        held = self.holder[: self.portables].count(self.hands)
        used, free = int(self.state["used_slots"]), int(self.state["free_slots"])
        return used.bit_count() < held or free.bit_count() != slots - held

    def read_fail_events(self) -> None:
        """Find what is unconstrained, and what must be touched lest a fail event come about."""
        test = getattr(holds, "py_func", holds)
        # Where struck commands would leave a thing: a fail event that forbids this place constrains them.
        left_at = {self.hands, *(range(self.rooms) if self.limited else ())}
        for event in (event for events in self.goals.fails.values() for event in events):
            for kinds, unconstrained, relevant in (
                (ON_PORTABLES, self.unconstrained, self.relevant),
                ((codes.LOCK_IS,), self.unconstrained_locks, self.relevant_locks),
            ):
                for x in {a for kind, a, _ in event if kind in kinds}:
                    about = [one for one in event if one[0] in kinds and one[1] == x]
                    holds_now = all(test(self.state, *one) for one in about)
                    if holds_now:
                        relevant.add(x)
                    if holds_now or len(event) > 1 or (about[0][0] == codes.HELD_BY and about[0][2] in left_at):
                        unconstrained.add(x)

    def propagate(self) -> None:
        """Add what is needed for what is relevant, until nothing is added: a fixed point."""
        size, key_of = -1, self.key_of
        while size != len(self.relevant) + len(self.relevant_locks) + self.prepares:
            size = len(self.relevant) + len(self.relevant_locks) + self.prepares
            used = any(kind == codes.GONE_IS and b == codes.USED for kind, _, b in self.wanted)
            avoids = bool(self.relevant & self.unconstrained & set(self.parts))  # to be got out of the way
            self.prepares |= self.meal != codes.NONE and (used or avoids or self.meal in self.relevant)
            if self.prepares:
                self.relevant |= {self.meal, *self.parts}
            if any(self.cuts(p) for p in self.relevant):
                self.relevant |= self.blades
            places = {self.holder[p] for p in self.relevant} | {
                b for kind, a, b in self.wanted if kind == codes.HELD_BY
            }
            if self.relevant & self.unconstrained:
                places |= set(range(self.rooms, self.hands))
            pieces = {place - self.rooms for place in places if self.rooms <= place < self.hands}
            self.relevant_locks |= {
                piece for piece in pieces if self.kinds[piece] not in (codes.SUPPORTER, codes.STOVE)
            }
            for lock in self.relevant_locks:
                if key_of[lock] != codes.NONE and (self.lock[lock] == codes.LOCKED or self.closes(lock, codes.LOCKED)):
                    self.relevant.add(key_of[lock])
                    if lock in self.unconstrained_locks:
                        self.unconstrained.add(key_of[lock])

    def closes(self, lock: int, *values: int) -> bool:
        """Return whether a lock may have to be brought into one of these states."""
        return lock in self.unconstrained_locks or any((codes.LOCK_IS, lock, value) in self.wanted for value in values)

    def cuts(self, p: int) -> set[int]:
        """Return the ways in which a thing may have to be cut."""
        ways = {b for kind, a, b in self.wanted if kind == codes.CUT_IS and a == p}
        if self.prepares and p in self.parts:
            ways.add(self.parts[p][1])
        return {codes.SLICED, codes.DICED, codes.CHOPPED} if p in self.unconstrained else ways - {codes.UNCUT}

    def endings(self, p: int) -> set[int]:
        """Return how a thing may have to be used up: EATEN, CONSUMED."""
        return {b for kind, a, b in self.wanted if kind == codes.GONE_IS and a == p} - {codes.USED}

    def burns(self, p: int) -> bool:
        """Return whether a thing may have to be burned."""
        conditions = {(codes.FOOD_HAS, p, codes.BURNED), (codes.EDIBLE_IS, p, codes.INEDIBLE)}
        return p in self.unconstrained or bool(conditions & self.wanted)

    def heats(self, p: int) -> set[int] | None:
        """Return the heats that a thing may have to be cooked with; None for any."""
        others = any(a == p and kind in (codes.EDIBLE_IS, codes.FOOD_HAS) for kind, a, _ in self.wanted)
        if p in self.unconstrained or others or self.endings(p):
            return None
        heats = {b for kind, a, b in self.wanted if kind == codes.HEAT_IS and a == p}
        return heats | ({self.parts[p][0]} if self.prepares and p in self.parts else set())
