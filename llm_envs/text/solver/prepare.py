"""Prepares a search: works out, in Python and once a search, what a level fixes (the record `STATIC`)."""

from typing import Any

import numpy as np

from llm_envs.text.records import codes
from llm_envs.text.solver.relevance import ON_PORTABLES, Events, Relevance
from llm_envs.text.solver.workspace import ANYWHERE, ONE_OF, STATIC

HEAT_OF = {codes.STOVE: codes.FRIED, codes.OVEN: codes.ROASTED, codes.TOASTER: codes.GRILLED}
CUT_OF = {codes.SLICE: codes.SLICED, codes.DICE: codes.DICED, codes.CHOP: codes.CHOPPED}
MOVING = (codes.TAKE, codes.DROP, codes.PUT, codes.INSERT, codes.EAT, codes.DRINK)
CHANGING_FOOD = (codes.EAT, codes.DRINK, codes.COOK, *CUT_OF)
LOCK_VERBS = (codes.OPENING, codes.CLOSING, codes.LOCKING, codes.UNLOCKING)


def prepare(level: Any, state: Any) -> np.ndarray | None:
    """Return what is fixed in a search from a state of a level, (1,) STATIC; None if nothing can win.

    The map is left to `llm_envs.text.solver.shortest_walk.survey_map`, which is compiled.

    Args:
        level: a compiled game of the layout LARGEST, np.record.
        state: from where to win, np.record.
    """
    relevance = Relevance(level, state)
    if not relevance.goals.winnable():
        return None
    static = np.zeros(1, STATIC)
    commands = level["commands"][: int(level["num_commands"])].tolist()
    static["allowed"][0, : len(commands)] = [allows(relevance, *command) for command in commands]
    mark_things(static[0], relevance)
    list_changing(static[0], relevance, commands, int(level["quests"]))
    write_needs(static[0], relevance, int(level["quests"]))
    find_heat(static[0], level)
    return static


def allows(relevance: Relevance, verb: int, x: int, y: int) -> bool:
    """Return whether a command may be of use."""
    if verb == codes.GO:
        return True
    if verb == codes.PREPARE:
        return relevance.prepares
    if verb in LOCK_VERBS:
        lock = x - relevance.portables
        wanted = {codes.CLOSING: (codes.CLOSED, codes.LOCKED), codes.LOCKING: (codes.LOCKED,)}.get(verb)
        return lock in relevance.relevant_locks and (wanted is None or relevance.closes(lock, *wanted))
    if verb == codes.DROP and relevance.limited and relevance.holder[x] == relevance.hands:
        return True
    if x == codes.NONE or x not in relevance.relevant:
        return False
    if verb == codes.TAKE or x in relevance.unconstrained:
        return True
    if verb == codes.DROP:
        return relevance.limited or bool(floors(relevance, x))
    if verb in (codes.PUT, codes.INSERT):
        return (codes.HELD_BY, x, y - relevance.portables + relevance.rooms) in relevance.wanted
    if verb in (codes.EAT, codes.DRINK):
        return bool(relevance.endings(x))
    if verb in CUT_OF:
        return CUT_OF[verb] in relevance.cuts(x)
    heats = relevance.heats(x)
    return verb == codes.COOK and (heats is None or HEAT_OF[relevance.kinds[y - relevance.portables]] in heats)


def floors(relevance: Relevance, p: int) -> list[int]:
    """Return the rooms on whose floor a thing may have to lie."""
    if p in relevance.unconstrained or relevance.limited:
        return list(range(relevance.rooms))
    return [b for kind, a, b in relevance.wanted if kind == codes.HELD_BY and a == p and b < relevance.rooms]


def mark_things(static: np.void, relevance: Relevance) -> None:
    """Fill the tables about portables and locks."""
    blades = sorted(relevance.blades & relevance.relevant)
    for p in range(relevance.portables):
        static["may_drop"][p, floors(relevance, p)] = 1
        static["may_cut"][p] = p in relevance.relevant and bool(relevance.cuts(p))
        static["may_burn"][p] = relevance.burns(p)
    static["unconstrained"][sorted(relevance.unconstrained)] = 1
    static["useful_blade"][blades] = 1
    static["only_blade"] = blades[0] if len(blades) == 1 else codes.NONE
    static["may_unlock"][sorted(relevance.relevant_locks)] = 1
    for q, events in relevance.goals.wins.items():
        for kind, a, b in (one for event in events for one in event):
            about = {a} if kind in ON_PORTABLES else set()
            if kind == codes.LOCK_IS and relevance.key_of[a] != codes.NONE:
                about.add(relevance.key_of[a])
            if relevance.prepares and (relevance.meal in about or (kind == codes.GONE_IS and b == codes.USED)):
                about |= {relevance.meal, *relevance.parts}
            static["quests_of"][sorted(about)] |= np.uint64(1 << q)


def list_changing(static: np.void, relevance: Relevance, commands: list[list[int]], quests: int) -> None:
    """List what a search can change, which is what the code of a state holds."""
    allowed = [command for command, on in zip(commands, static["allowed"], strict=False) if on]
    recipe = {relevance.meal, *relevance.parts} if relevance.prepares else set()
    for name, found in (
        ("movable", {x for verb, x, _ in allowed if verb in MOVING} | recipe),
        ("foods", {x for verb, x, _ in allowed if verb in CHANGING_FOOD} | recipe),
        ("locks", {x - relevance.portables for verb, x, _ in allowed if verb in LOCK_VERBS}),
    ):
        static[name][: len(found)], static[f"num_{name}"] = sorted(found), len(found)
    static["encodes_slots"] = relevance.encodes_slots
    movable, foods, locks = (int(static[f"num_{name}"]) for name in ("movable", "foods", "locks"))
    static["code_length"] = 4 + (quests + 7) // 8 + movable + 2 * foods + locks  # see solver.state_codes


def write_needs(static: np.void, relevance: Relevance, quests: int) -> None:
    """Write the conditions without which the required quests cannot be done."""
    count = 0
    for q in range(quests):
        static["first_need"][q] = count
        if q in relevance.goals.required:
            events = relevance.goals.wins[q]
            static["required"] |= np.uint64(1 << q)
            for kind, p, b in needs_of(events, q, relevance.hands):
                static["needs"][count] = kind, p, b
                count += 1
                if kind == ONE_OF:
                    holders = [h for event in events for k, a, h in event if k == codes.HELD_BY and a == p]
                    static["targets"][q, holders] = 1
    static["first_need"][quests:] = count


def needs_of(events: Events, quest: int, hands: int) -> list[tuple[int, int, int]]:
    """Return the conditions that all events of a quest share, and ONE_OF for what all want to be put somewhere.

    Any one event does a quest, so only what all of them have in common is needed for certain.
    """
    common = set.intersection(*map(set, events))
    moved = set.intersection(*({a for kind, a, b in event if kind == codes.HELD_BY} for event in events))
    moved -= {a for kind, a, b in common if kind == codes.HELD_BY}
    moved -= {a for event in events for kind, a, b in event if kind == codes.HELD_BY and b == hands}
    return [*sorted(common), *((ONE_OF, p, quest) for p in sorted(moved))]


def find_heat(static: np.void, level: Any) -> None:
    """Write where food can be cooked."""
    rooms_of: dict[int, set[int]] = {codes.FRIED: set(), codes.ROASTED: set(), codes.GRILLED: set()}
    for kind, room in zip(level["kind"][: int(level["fixed"])].tolist(), level["place"].tolist(), strict=False):
        if kind in HEAT_OF:
            rooms_of[HEAT_OF[kind]].add(room)
    for heat, rooms in rooms_of.items():
        where = ANYWHERE if len(rooms) > 1 else rooms.pop() if rooms else codes.NONE
        static["heat_room"][heat // codes.GRILLED - 1] = where
