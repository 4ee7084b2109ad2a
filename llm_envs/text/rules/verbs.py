"""The verbs of every game: what each needs, what it changes, what it answers.

A verb takes (state, level, x, y), x and y being things that the player can see (llm_envs.text.records.state numbers
them), and returns the number of a reply; state.x and state.y are what the reply speaks of. Where TextWorld's rules, by
which it lists commands, part from what its interpreter does, these do what the interpreter does.

Source: TextWorld 1.7.0 (Cote et al., 2018), as its games play under its interpreter; docs/guide/text-games.md.
"""

import numpy as np
from numba import njit

from llm_envs.text.language import replies
from llm_envs.text.records import codes
from llm_envs.text.rules.visibility import (
    clear_slot,
    count_held,
    fill_slot,
    hands,
    is_container,
    is_fixed,
    is_held,
    is_open,
    is_portable,
    is_supporter,
    move,
    set_lock,
)


@njit
def go(state, level, x):
    """Walk through the exit in direction x, whose door, if any, is open."""
    target, door = level.exits[state.room, x], level.exit_doors[state.room, x]
    if target == codes.NONE:
        return replies.NO_WAY
    if door != codes.NONE and not is_open(state, level.fixed + door):
        state.x = level.portables + level.fixed + door
        return replies.DOOR_SHUT
    state.room = target
    state.to_test |= level.watch_room
    return replies.DESCRIPTION


@njit
def take(state, level, x, y):
    """Take x from y (a container or supporter), or from wherever it is where y is NONE."""
    if not is_portable(level, x):
        return replies.FIXED_IN_PLACE
    holder = state.holder[x]
    # Before HAVE_IT: what is in the hands is not where the player says it is.
    if y != codes.NONE and holder != level.rooms + y - level.portables:
        return replies.CANT_SEE
    if holder == hands(level):
        return replies.HAVE_IT
    if level.theme == codes.COOKING_DROP and count_held(state, level) >= level.slots:
        return replies.HANDS_FULL
    move(state, level, x, hands(level))
    fill_slot(state, level)
    # From the floor; all else was on or in a fixed thing, which the reply names.
    if holder < level.rooms:
        return replies.PICKED_UP
    state.y = level.portables + holder - level.rooms
    return replies.TAKEN


@njit
def drop(state, level, x):
    """Put x, which is held, on the floor."""
    if x >= level.portables + level.fixed:
        # Doors have no article in replies.
        return replies.DOOR_HERE
    if not is_portable(level, x) or state.holder[x] == state.room:
        return replies.ALREADY_HERE
    if not is_held(state, level, x):
        return replies.NOT_HELD
    move(state, level, x, state.room)
    clear_slot(state, level)
    return replies.DROPPED


@njit
def not_held(state, level, x):
    """Return the reply to the use of x, which is not held, and speak of x."""
    state.x = x
    return replies.TAKE_FIRST if is_portable(level, x) else replies.X_FIXED


@njit
def put(state, level, x, y):
    """Put x, which is held, on the supporter y."""
    if not is_held(state, level, x):
        return not_held(state, level, x)
    if x == y:
        return replies.ON_ITSELF
    if not is_supporter(level, y):
        return replies.NO_SUPPORTER
    move(state, level, x, level.rooms + y - level.portables)
    clear_slot(state, level)
    return replies.PUT_ON


@njit
def insert(state, level, x, y):
    """Put x, which is held, into the open container y."""
    if not is_held(state, level, x):
        return not_held(state, level, x)
    if x == y:
        return replies.IN_ITSELF
    if not is_container(level, y):
        return replies.NO_CONTAINER
    if not is_open(state, y - level.portables):
        return replies.Y_CLOSED
    move(state, level, x, level.rooms + y - level.portables)
    clear_slot(state, level)
    return replies.PUT_INTO


@njit
def has_lock(level, x):
    """Return whether x is a container or a door."""
    return not is_portable(level, x) and not is_supporter(level, x)


@njit
def open_it(state, level, x):
    """Open the closed container or door x."""
    if not has_lock(level, x):
        return replies.NOT_OPENABLE
    lock = x - level.portables
    if state.lock[lock] == codes.LOCKED:
        # Locked, and no key of the game fits.
        if level.key_of[lock] == codes.NONE:
            return replies.WELDED
        state.y = level.key_of[lock]
        return replies.UNLOCK_FIRST
    if is_open(state, lock):
        return replies.IS_OPEN
    # A BBQ has no state to begin with: no fact will say that it is open.
    set_lock(state, level, lock, codes.AJAR if state.lock[lock] == codes.NO_STATE else codes.OPEN)
    if is_fixed(level, x) and state.first[level.rooms + lock] != codes.NONE:
        return replies.REVEALED
    return replies.OPENED


@njit
def close_it(state, level, x):
    """Close the open container or door x."""
    if not has_lock(level, x):
        return replies.NOT_CLOSABLE
    lock = x - level.portables
    if not is_open(state, lock):
        return replies.IS_CLOSED
    # A BBQ has no state again.
    set_lock(state, level, lock, codes.NO_STATE if state.lock[lock] == codes.AJAR else codes.CLOSED)
    return replies.SHUT


@njit
def turn_key(state, level, x, y, locking):
    """Lock the closed container or door x, or unlock the locked one, with its key y, which is held."""
    if not is_held(state, level, y):
        return not_held(state, level, y)
    if not has_lock(level, x):
        return replies.NO_LOCK if locking else replies.NO_LOCK_TO_UNLOCK
    lock = x - level.portables
    # It is locked already, or unlocked already.
    if (state.lock[lock] == codes.LOCKED) == locking:
        return replies.IS_LOCKED if locking else replies.IS_UNLOCKED
    if locking and is_open(state, lock):
        return replies.CLOSE_FIRST
    if level.key_of[lock] != y:
        return replies.WRONG_KEY
    set_lock(state, level, lock, codes.LOCKED if locking else codes.CLOSED)
    return replies.LOCKED_IT if locking else replies.UNLOCKED_IT


@njit
def use_up(state, level, x):
    """Let x, eaten or drunk, be no more."""
    move(state, level, x, codes.NONE)
    clear_slot(state, level)
    state.cut[x] = (np.int64(state.cut[x]) & ~codes.GONE) | (
        codes.EATEN if level.theme == codes.BASE else codes.CONSUMED
    )
    # In cooking themes edibility is a fact of its own, which ends with the food.
    if level.theme != codes.BASE:
        state.food[x] = np.int64(state.food[x]) & ~codes.EDIBILITY


@njit
def eat(state, level, x):
    """Eat the food x, which is held."""
    if is_portable(level, x) and state.food[x] & codes.NEEDS_COOKING:
        return replies.COOK_FIRST
    # Theme "base" has no fact of edibility that changes: every food is edible.
    edible = is_portable(level, x) and level.traits[x] & codes.FOOD
    if not edible or (level.theme >= codes.COOKING and state.food[x] & codes.EDIBILITY != codes.EDIBLE):
        return replies.NOT_EDIBLE
    if not is_held(state, level, x):
        return not_held(state, level, x)
    use_up(state, level, x)
    return replies.EATEN_IT


@njit
def drink(state, level, x):
    """Drink x, which is held."""
    if not is_held(state, level, x):
        return not_held(state, level, x)
    if not level.traits[x] & codes.DRINKABLE:
        return replies.CANT_DRINK
    use_up(state, level, x)
    return replies.DRUNK_IT
