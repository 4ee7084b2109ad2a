"""Which commands are admissible: what TextWorld's rules list in a state.

`lister(emit)` returns a function that calls `emit(sink, state, level, command)` for each of them: it marks a mask over
commands, a mask over the words that may be typed next, or makes a list. They come by verb, not in order of number.

TextWorld lists by its rules on facts, not by what its interpreter does; the two differ where `admissible` says so.
"""

from collections.abc import Callable
from functools import cache

from numba import njit

from llm_envs.text.records.codes import (
    BASE,
    CHOP,
    CLOSED,
    CLOSING,
    CONTAINER,
    COOK,
    COOKED,
    COOKING,
    COOKING_DROP,
    CUT,
    DRINK,
    DRINKABLE,
    DROP,
    EAT,
    EDIBILITY,
    EDIBLE,
    EXAMINE,
    FOOD,
    GO,
    INEDIBLE,
    INSERT,
    INVENTORY,
    LOCKED,
    LOCKING,
    LOOK,
    NEEDS_COOKING,
    NONE,
    OPEN,
    OPENING,
    PREPARE,
    PUT,
    RAW,
    SHARP,
    SLICE,
    STOVE,
    SUPPORTER,
    TAKE,
    UNCUT,
    UNLOCKING,
)
from llm_envs.text.rules.visibility import hands, is_here


@njit
def command_of(level, verb, x, y):
    """Return the number of a command, -1 where the game has none; x a thing or direction, y an ordinal or 0."""
    return level.ranks[level.first_rank[verb] + x * level.stride[verb] + y]


@njit
def can_fill(state, level):
    """Say whether, by the facts, something can be taken."""
    return level.theme != COOKING_DROP or state.free_slots != 0


@njit
def can_clear(state, level):
    """Say whether, by the facts, something can be put down or eaten."""
    return level.theme != COOKING_DROP or state.used_slots != 0


@njit
def can_cook(food):
    """Say whether, by the facts, food of these bits can be cooked, or burned."""
    edibility = food & EDIBILITY
    return food & RAW or (food & NEEDS_COOKING and edibility == INEDIBLE) or (food & COOKED and edibility == EDIBLE)


@cache
def lister(emit: Callable) -> Callable:
    """Return the function list_commands(sink, state, level) for an `emit`; see the module."""

    @njit
    def list_portables(sink, state, level, holder, ordinal):
        """What can be done with the things of a holder that are not held; `ordinal` of the holder for `take`."""
        portable = state.first[holder]
        while portable != NONE:
            emit(sink, state, level, command_of(level, EXAMINE, portable, 0))
            if can_fill(state, level):
                emit(sink, state, level, command_of(level, TAKE, portable, ordinal))
            portable = state.after[portable]

    @njit
    def list_lock(sink, state, level, lock):
        """Open, close, lock and unlock a container or door that is here."""
        thing, key = level.portables + lock, level.key_of[lock]
        if state.lock[lock] == OPEN:
            emit(sink, state, level, command_of(level, CLOSING, thing, 0))
        elif state.lock[lock] == CLOSED:
            emit(sink, state, level, command_of(level, OPENING, thing, 0))
        if key != NONE and state.holder[key] == hands(level):
            if state.lock[lock] == CLOSED:
                emit(sink, state, level, command_of(level, LOCKING, thing, 0))
            elif state.lock[lock] == LOCKED:
                emit(sink, state, level, command_of(level, UNLOCKING, thing, 0))

    @njit
    def list_held(sink, state, level, portable):
        """What can be done with a thing in the hands, wherever the player is."""
        food, traits = state.food[portable], level.traits[portable]
        if level.theme < COOKING:
            emit(sink, state, level, command_of(level, EXAMINE, portable, 0))
        if can_clear(state, level):
            emit(sink, state, level, command_of(level, DROP, portable, 0))
            if traits & FOOD and (level.theme == BASE or food & EDIBILITY == EDIBLE):
                emit(sink, state, level, command_of(level, EAT, portable, 0))
            if level.theme >= COOKING and traits & DRINKABLE:
                emit(sink, state, level, command_of(level, DRINK, portable, 0))
        if level.theme >= COOKING and traits & SHARP:
            other = state.first[hands(level)]
            while other != NONE:
                if level.traits[other] & FOOD and state.cut[other] & CUT == UNCUT:
                    for verb in range(SLICE, CHOP + 1):
                        emit(sink, state, level, command_of(level, verb, other, level.ordinal[portable]))
                other = state.after[other]

    @njit
    def list_fixed(sink, state, level, fixed):
        """What can be done with a container or supporter that is here, and with what is in, on and before it."""
        thing, kind = level.portables + fixed, level.kind[fixed]
        supporter = kind in (SUPPORTER, STOVE)
        emit(sink, state, level, command_of(level, EXAMINE, thing, 0))
        if not supporter:
            list_lock(sink, state, level, fixed)
        heat = level.theme >= COOKING and kind not in (CONTAINER, SUPPORTER)
        reachable = supporter or state.lock[fixed] == OPEN
        if reachable:
            list_portables(sink, state, level, level.rooms + fixed, 1 + fixed)
        if not reachable and not heat:
            return
        portable = state.first[hands(level)]
        while portable != NONE:
            if reachable and can_clear(state, level):
                verb = PUT if supporter else INSERT
                emit(sink, state, level, command_of(level, verb, portable, level.ordinal[thing]))
            if heat and level.traits[portable] & FOOD and can_cook(state.food[portable]):
                emit(sink, state, level, command_of(level, COOK, portable, level.heat_ordinal[fixed]))
            portable = state.after[portable]

    @njit
    def list_ways(sink, state, level):
        """Exits and doors of the room."""
        for way in range(4):
            if level.exits[state.room, way] == NONE:
                continue
            door = level.exit_doors[state.room, way]
            if door == NONE or state.lock[level.fixed + door] == OPEN:
                emit(sink, state, level, command_of(level, GO, way, 0))
            if door != NONE:
                if level.theme == BASE:
                    emit(sink, state, level, command_of(level, EXAMINE, level.portables + level.fixed + door, 0))
                list_lock(sink, state, level, level.fixed + door)

    @njit
    def list_commands(sink, state, level):
        """Emit every admissible command."""
        emit(sink, state, level, command_of(level, LOOK, 0, 0))
        emit(sink, state, level, command_of(level, INVENTORY, 0, 0))
        list_ways(sink, state, level)
        list_portables(sink, state, level, state.room, 0)
        for fixed in range(level.fixed):
            if is_here(state, level, fixed):
                list_fixed(sink, state, level, fixed)
        portable = state.first[hands(level)]
        while portable != NONE:
            list_held(sink, state, level, portable)
            portable = state.after[portable]
        if state.room == level.kitchen and state.holder[level.first_part] == hands(level):
            emit(sink, state, level, command_of(level, PREPARE, 0, 0))

    return list_commands
