"""The commands of a game: all well-formed ones of its theme, as strings and as (verb, x, y)."""

from collections.abc import Iterator

from llm_envs.text.model.game import CONTAINERS, DIRECTIONS, SUPPORTERS, Game, kind_of
from llm_envs.text.records.codes import (
    CHOP,
    CLOSING,
    COOK,
    DICE,
    DRINK,
    DROP,
    EAT,
    EXAMINE,
    GO,
    INSERT,
    INVENTORY,
    LOCKING,
    LOOK,
    NONE,
    OPENING,
    PREPARE,
    PUT,
    SLICE,
    TAKE,
    UNLOCKING,
)
from llm_envs.text.records.numbering import Numbers

Command = tuple[str, int, int, int, int]  # text, verb, x, y, and y's ordinal (see `strides`)
HEATS = ("oven", "stove", "toaster")


def ordinals(game: Game, numbers: Numbers) -> dict[str, dict[str, int]]:
    """Return id -> ordinal among the game's supporters, containers, sources of heat and blades."""
    sharp = {fact[1] for fact in game.named("sharp")}
    groups = {
        "supporters": [f for f in numbers.fixed if kind_of(f) in SUPPORTERS],
        "containers": [f for f in numbers.fixed if kind_of(f) in CONTAINERS],
        "heats": [f for f in numbers.fixed if kind_of(f) in HEATS],
        "blades": [p for p in numbers.portables if p in sharp],
    }
    return {name: {thing: k for k, thing in enumerate(group)} for name, group in groups.items()}


def strides(groups: dict[str, dict[str, int]], numbers: Numbers) -> dict[int, int]:
    """Return verb -> how many y there are for an x; 1 for verbs that are not named."""
    blades = max(len(groups["blades"]), 1)
    return {
        TAKE: 1 + len(numbers.fixed),
        PUT: max(len(groups["supporters"]), 1),
        INSERT: max(len(groups["containers"]), 1),
        COOK: max(len(groups["heats"]), 1),
        SLICE: blades,
        DICE: blades,
        CHOP: blades,
    }


def all_commands(game: Game, numbers: Numbers, groups: dict[str, dict[str, int]]) -> Iterator[Command]:
    """Yield the game's commands by verb."""
    names = {thing: game.things[thing].name for thing in numbers.things}
    number, cooking = numbers.things, game.theme.startswith("cooking")
    yield "look", LOOK, NONE, NONE, 0
    yield "inventory", INVENTORY, NONE, NONE, 0
    for k, way in enumerate(DIRECTIONS):
        yield f"go {way}", GO, k, NONE, 0
    for thing in numbers.things:
        yield f"examine {names[thing]}", EXAMINE, number[thing], NONE, 0
    for thing, x in numbers.portables.items():
        yield f"take {names[thing]}", TAKE, x, NONE, 0
        yield f"drop {names[thing]}", DROP, x, NONE, 0
        for place, k in numbers.fixed.items():
            yield f"take {names[thing]} from {names[place]}", TAKE, x, number[place], 1 + k
        for verb, form, group in ((PUT, "put {} on {}", "supporters"), (INSERT, "insert {} into {}", "containers")):
            for place, k in groups[group].items():
                yield form.format(names[thing], names[place]), verb, x, number[place], k
    for lock in numbers.locks:
        if kind_of(lock) not in SUPPORTERS:
            yield f"open {names[lock]}", OPENING, number[lock], NONE, 0
            yield f"close {names[lock]}", CLOSING, number[lock], NONE, 0
    for _, key, lock in game.named("match"):
        yield f"lock {names[lock]} with {names[key]}", LOCKING, number[lock], number[key], 0
        yield f"unlock {names[lock]} with {names[key]}", UNLOCKING, number[lock], number[key], 0
    foods = {thing: x for thing, x in numbers.portables.items() if kind_of(thing) in ("f", "meal")}
    for thing, x in foods.items():
        yield f"eat {names[thing]}", EAT, x, NONE, 0
        if cooking:
            for heat, k in groups["heats"].items():
                yield f"cook {names[thing]} with {names[heat]}", COOK, x, number[heat], k
            for verb, word in ((SLICE, "slice"), (DICE, "dice"), (CHOP, "chop")):
                for blade, k in groups["blades"].items():
                    yield f"{word} {names[thing]} with {names[blade]}", verb, x, number[blade], k
    if cooking:
        for _, thing in game.named("drinkable"):
            yield f"drink {names[thing]}", DRINK, number[thing], NONE, 0
        if any(game.of_kind("meal")):
            yield "prepare meal", PREPARE, NONE, NONE, 0
