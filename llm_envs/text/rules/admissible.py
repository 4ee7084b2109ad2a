"""Which commands are admissible: what TextWorld's rules list in a state.

`lister(emit)` returns a function that calls `emit(sink, state, level, command)` for each of them: it marks a mask over
commands, a mask over the words that may be typed next, or makes a list. They come by verb, not in order of number.

TextWorld lists by its rules on facts, not by what its interpreter does; the two differ where `admissible` says so.
"""

from collections.abc import Callable
from functools import cache

from numba import njit

from llm_envs.text.records import codes
from llm_envs.text.rules.table import VERBS
from llm_envs.text.rules.visibility import hands, is_here

ALWAYS = tuple(verb.code for verb in VERBS if verb.always)


@njit
def command_of(level, verb, x, y):
    """Return the number of a command, -1 where the game has none; x a thing or direction, y an ordinal or 0."""
    return level.ranks[level.first_rank[verb] + x * level.stride[verb] + y]


@njit
def can_fill(state, level):
    """Return whether, by the facts, something can be taken."""
    return level.theme != codes.COOKING_DROP or state.free_slots != 0


@njit
def can_clear(state, level):
    """Return whether, by the facts, something can be put down or eaten."""
    return level.theme != codes.COOKING_DROP or state.used_slots != 0


@njit
def can_cook(food):
    """Return whether, by the facts, food of these bits can be cooked, or burned."""
    edibility = food & codes.EDIBILITY
    return (
        food & codes.RAW
        or (food & codes.NEEDS_COOKING and edibility == codes.INEDIBLE)
        or (food & codes.COOKED and edibility == codes.EDIBLE)
    )


@cache
def lister(emit: Callable) -> Callable:
    """Return the function list_commands(sink, state, level) for an `emit`; see the module."""

    @njit
    def list_portables(sink, state, level, holder, ordinal):
        """What can be done with the things of a holder that are not held; `ordinal` of the holder for `take`."""
        portable = state.first[holder]
        while portable != codes.NONE:
            emit(sink, state, level, command_of(level, codes.EXAMINE, portable, 0))
            if can_fill(state, level):
                emit(sink, state, level, command_of(level, codes.TAKE, portable, ordinal))
            portable = state.after[portable]

    @njit
    def list_lock(sink, state, level, lock):
        """Open, close, lock and unlock a container or door that is here."""
        thing, key = level.portables + lock, level.key_of[lock]
        if state.lock[lock] == codes.OPEN:
            emit(sink, state, level, command_of(level, codes.CLOSING, thing, 0))
        elif state.lock[lock] == codes.CLOSED:
            emit(sink, state, level, command_of(level, codes.OPENING, thing, 0))
        if key != codes.NONE and state.holder[key] == hands(level):
            if state.lock[lock] == codes.CLOSED:
                emit(sink, state, level, command_of(level, codes.LOCKING, thing, 0))
            elif state.lock[lock] == codes.LOCKED:
                emit(sink, state, level, command_of(level, codes.UNLOCKING, thing, 0))

    @njit
    def list_held(sink, state, level, portable):
        """What can be done with a thing in the hands, wherever the player is."""
        food, traits = state.food[portable], level.traits[portable]
        # No rule of the cooking themes lists `examine` for what is held.
        if level.theme < codes.COOKING:
            emit(sink, state, level, command_of(level, codes.EXAMINE, portable, 0))
        if can_clear(state, level):
            emit(sink, state, level, command_of(level, codes.DROP, portable, 0))
            if traits & codes.FOOD and (level.theme == codes.BASE or food & codes.EDIBILITY == codes.EDIBLE):
                emit(sink, state, level, command_of(level, codes.EAT, portable, 0))
            if level.theme >= codes.COOKING and traits & codes.DRINKABLE:
                emit(sink, state, level, command_of(level, codes.DRINK, portable, 0))
        if level.theme >= codes.COOKING and traits & codes.SHARP:
            other = state.first[hands(level)]
            while other != codes.NONE:
                # Food is cut once, whichever way.
                if level.traits[other] & codes.FOOD and state.cut[other] & codes.CUT == codes.UNCUT:
                    for verb in range(codes.SLICE, codes.CHOP + 1):
                        emit(sink, state, level, command_of(level, verb, other, level.ordinal[portable]))
                other = state.after[other]

    @njit
    def list_fixed(sink, state, level, fixed):
        """What can be done with a container or supporter that is here, and with what is in, on and before it."""
        thing, kind = level.portables + fixed, level.kind[fixed]
        supporter = kind in (codes.SUPPORTER, codes.STOVE)
        emit(sink, state, level, command_of(level, codes.EXAMINE, thing, 0))
        if not supporter:
            list_lock(sink, state, level, fixed)
        # Cooking asks only that the source of heat is here: a closed oven will do.
        heat = level.theme >= codes.COOKING and kind not in (codes.CONTAINER, codes.SUPPORTER)
        reachable = supporter or state.lock[fixed] == codes.OPEN
        if reachable:
            list_portables(sink, state, level, level.rooms + fixed, 1 + fixed)
        if not reachable and not heat:
            return
        portable = state.first[hands(level)]
        while portable != codes.NONE:
            if reachable and can_clear(state, level):
                verb = codes.PUT if supporter else codes.INSERT
                emit(sink, state, level, command_of(level, verb, portable, level.ordinal[thing]))
            if heat and level.traits[portable] & codes.FOOD and can_cook(state.food[portable]):
                emit(sink, state, level, command_of(level, codes.COOK, portable, level.heat_ordinal[fixed]))
            portable = state.after[portable]

    @njit
    def list_ways(sink, state, level):
        """Exits and doors of the room."""
        for way in range(4):
            if level.exits[state.room, way] == codes.NONE:
                continue
            door = level.exit_doors[state.room, way]
            if door == codes.NONE or state.lock[level.fixed + door] == codes.OPEN:
                emit(sink, state, level, command_of(level, codes.GO, way, 0))
            if door != codes.NONE:
                # Only theme "base" lists `examine` for doors.
                if level.theme == codes.BASE:
                    emit(sink, state, level, command_of(level, codes.EXAMINE, level.portables + level.fixed + door, 0))
                list_lock(sink, state, level, level.fixed + door)

    @njit
    def list_commands(sink, state, level):
        """Emit every admissible command."""
        for verb in ALWAYS:
            emit(sink, state, level, command_of(level, verb, 0, 0))
        list_ways(sink, state, level)
        list_portables(sink, state, level, state.room, 0)
        for fixed in range(level.fixed):
            if is_here(state, level, fixed):
                list_fixed(sink, state, level, fixed)
        portable = state.first[hands(level)]
        while portable != codes.NONE:
            list_held(sink, state, level, portable)
            portable = state.after[portable]
        # The first ingredient is enough to list it; the interpreter then says what is missing.
        if state.room == level.kitchen and state.holder[level.first_part] == hands(level):
            emit(sink, state, level, command_of(level, codes.PREPARE, 0, 0))

    return list_commands
