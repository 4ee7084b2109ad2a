"""Lays the solver's desk: writes down what a search from a state needs to know of the game."""

from typing import Any

import numpy as np

from llm_envs.text.records.codes import (
    CHOP,
    CLOSED,
    CLOSING,
    COOK,
    DICE,
    DRINK,
    DROP,
    EAT,
    FRIED,
    GO,
    GONE_IS,
    GRILLED,
    HELD_BY,
    INSERT,
    LOCK_IS,
    LOCKED,
    LOCKING,
    NONE,
    OPENING,
    OVEN,
    PREPARE,
    PUT,
    ROASTED,
    SLICE,
    SLICED,
    STOVE,
    TAKE,
    TOASTER,
    UNLOCKING,
    USED,
)
from llm_envs.text.solver.relevance import ON_PORTABLES, Events, Relevance
from llm_envs.text.solver.workspace import ANYWHERE, DESK, ONE_OF

HEAT_OF = {STOVE: FRIED, OVEN: ROASTED, TOASTER: GRILLED}
WAY_OF = {SLICE: SLICED, DICE: SLICED + 1, CHOP: SLICED + 2}
CHANGING_FOOD = (EAT, DRINK, COOK, *WAY_OF)


def lay_desk(level: Any, state: Any) -> np.ndarray | None:
    """Return the desk for a search from a state of a level (records with attributes); None if nothing can win.

    The map is left to `llm_envs.text.solver.shortest_walk.survey_map`.
    """
    use = Relevance(level, state)
    if not use.goals.winnable():
        return None
    desk = np.zeros(1, DESK)
    commands = level["commands"][: int(level["num_commands"])].tolist()
    desk["allowed"][0, : len(commands)] = [allows(use, *command) for command in commands]
    mark_things(desk[0], use)
    list_changing(desk[0], use, commands, int(level["quests"]))
    write_needs(desk[0], use, int(level["quests"]))
    find_heat(desk[0], level)
    return desk


def allows(use: Relevance, verb: int, x: int, y: int) -> bool:
    """Say whether a command may be of use."""
    if verb == GO:
        return True
    if verb == PREPARE:
        return use.prepares
    if verb in (OPENING, UNLOCKING, CLOSING, LOCKING):
        wanted = {CLOSING: (CLOSED, LOCKED), LOCKING: (LOCKED,)}.get(verb)
        return x - use.portables in use.locks and (wanted is None or use.closes(x - use.portables, *wanted))
    if verb == DROP and use.limited and use.holder[x] == use.hands:
        return True
    if x == NONE or x not in use.things:
        return False
    if verb == TAKE or x in use.loose:
        return True
    if verb == DROP:
        return use.limited or bool(floors(use, x))
    if verb in (PUT, INSERT):
        return (HELD_BY, x, y - use.portables + use.rooms) in use.wanted
    if verb in (EAT, DRINK):
        return bool(use.gone_ways(x))
    if verb in WAY_OF:
        return WAY_OF[verb] in use.cut_ways(x)
    heats = use.heats(x)
    return verb == COOK and (heats is None or HEAT_OF[use.kinds[y - use.portables]] in heats)


def floors(use: Relevance, p: int) -> list[int]:
    """Return the rooms on whose floor a thing may have to lie."""
    if p in use.loose or use.limited:
        return list(range(use.rooms))
    return [b for kind, a, b in use.wanted if kind == HELD_BY and a == p and b < use.rooms]


def mark_things(desk: np.void, use: Relevance) -> None:
    """Fill the tables about portables."""
    for p in range(use.portables):
        desk["floor"][p, floors(use, p)] = 1
        desk["cuts"][p], desk["burns"][p] = p in use.things and bool(use.cut_ways(p)), use.burns(p)
    for name, marked in (("loose", use.loose), ("blades", use.sharp & use.things), ("unlocks", use.locks)):
        desk[name][sorted(marked)] = 1
    for q, events in use.goals.wins.items():
        for kind, a, b in (one for event in events for one in event):
            about = {a} if kind in ON_PORTABLES else set()
            if kind == LOCK_IS and use.key_of[a] != NONE:
                about.add(use.key_of[a])
            if use.prepares and (use.meal in about or (kind == GONE_IS and b == USED)):
                about |= {use.meal, *use.parts}
            desk["quests_of"][sorted(about)] |= np.uint64(1 << q)
    blades = sorted(use.sharp & use.things)
    desk["only_blade"] = blades[0] if len(blades) == 1 else NONE


def list_changing(desk: np.void, use: Relevance, commands: list[list[int]], quests: int) -> None:
    """List what a search can change."""
    allowed = [command for command, on in zip(commands, desk["allowed"], strict=False) if on]
    made = {use.meal, *use.parts} if use.prepares else set()
    for name, found in (
        ("movers", {x for verb, x, _ in allowed if verb in (TAKE, DROP, PUT, INSERT, EAT, DRINK)} | made),
        ("foods", {x for verb, x, _ in allowed if verb in CHANGING_FOOD} | made),
        ("locks", {x - use.portables for verb, x, _ in allowed if verb in (OPENING, CLOSING, LOCKING, UNLOCKING)}),
    ):
        desk[name][: len(found)], desk[f"num_{name}"] = sorted(found), len(found)
    desk["keeps_slots"] = use.keeps_slots
    movers, foods, locks = (int(desk[f"num_{name}"]) for name in ("movers", "foods", "locks"))
    desk["code_bytes"] = 4 + (quests + 7) // 8 + movers + 2 * foods + locks


def write_needs(desk: np.void, use: Relevance, quests: int) -> None:
    """Write down the conditions without which the required quests cannot be done."""
    count = 0
    for q in range(quests):
        desk["first_need"][q] = count
        if q in use.goals.required:
            desk["required"] |= np.uint64(1 << q)
            common = needs_of(use.goals.wins[q], q, use.hands)
            for kind, p, b in common:
                desk["needs"][count] = kind, p, b
                count += 1
                if kind == ONE_OF:
                    spots = [h for event in use.goals.wins[q] for k, a, h in event if k == HELD_BY and a == p]
                    desk["spots"][q, spots] = 1
    desk["first_need"][quests:] = count


def find_heat(desk: np.void, level: Any) -> None:
    """Write down where food can be cooked."""
    sources: dict[int, set[int]] = {FRIED: set(), ROASTED: set(), GRILLED: set()}
    for kind, room in zip(level["kind"][: int(level["fixed"])].tolist(), level["place"].tolist(), strict=False):
        if kind in HEAT_OF:
            sources[HEAT_OF[kind]].add(room)
    for heat, rooms in sources.items():
        desk["heat_room"][heat // GRILLED - 1] = ANYWHERE if len(rooms) > 1 else rooms.pop() if rooms else NONE


def needs_of(events: Events, quest: int, hands: int) -> list[tuple[int, int, int]]:
    """Return the conditions that all of some events share, and which thing all of them want to be put somewhere."""
    common = set.intersection(*map(set, events))
    moved = set.intersection(*({a for kind, a, b in event if kind == HELD_BY} for event in events))
    moved -= {a for kind, a, b in common if kind == HELD_BY}
    moved -= {a for event in events for kind, a, b in event if kind == HELD_BY and b == hands}
    return [*sorted(common), *((ONE_OF, p, quest) for p in sorted(moved))]
