"""The numbers that stand for things' states, verbs and conditions in every record and rule."""

NONE = 255  # no room, no thing, nowhere, the end of a list


NO_STATE, OPEN, CLOSED, LOCKED, AJAR = range(5)  # of a lock; AJAR: the player opened it, but no fact says so (a BBQ)


CONTAINER, OVEN, SUPPORTER, STOVE, TOASTER = range(5)  # kinds of fixed things


PLAYING, WON, LOST = range(3)  # state.ending


BASE, COIN, COOKING, COOKING_DROP = range(4)  # level.theme: index into game.THEMES


# Food: state.food[p] is a sum of bits, an enum of edibility and one of heat; state.cut[p] one of cuts and one of what
# became of the thing.
RAW, NEEDS_COOKING, COOKED, BURNED = 1, 2, 4, 8


EDIBLE, INEDIBLE, EDIBILITY = 16, 32, 48  # the last is the mask


GRILLED, ROASTED, FRIED, HEAT = 64, 128, 192, 192


UNCUT, SLICED, DICED, CHOPPED, CUT = 1, 2, 3, 4, 7


EATEN, USED, CONSUMED, GONE = 8, 16, 24, 24


# level.traits[p]; no rule reads MEAL, but without it the hashes of levels, and so their splits, would be others
FOOD, SHARP, DRINKABLE, MEAL = 1, 2, 4, 8


# level.quest_flags[q]
OPTIONAL, REPEATABLE, HAS_WIN = 1, 2, 4


# Verbs: level.commands[k] is (verb, thing, thing), and NONE where there is none.
(LOOK, INVENTORY, PREPARE, GO, EXAMINE, TAKE, DROP, PUT, INSERT, OPENING, CLOSING, LOCKING, UNLOCKING, EAT, DRINK,
 SLICE, DICE, CHOP, COOK) = range(19)  # fmt: skip


VERBS = 19


# Conditions of events and of facts: level.conditions[k] is (kind, a, b).
(
    ALWAYS,  # true
    NEVER,  # false
    AT_ROOM,  # the player is in room a
    HELD_BY,  # portable a is at holder b
    LOCK_IS,  # lock a has state b
    FOOD_HAS,  # food[a] has the bit b
    EDIBLE_IS,  # food[a] & EDIBILITY == b
    HEAT_IS,  # food[a] & HEAT == b
    CUT_IS,  # cut[a] & CUT == b
    GONE_IS,  # cut[a] & GONE == b
    SLOT_FREE,  # slot a is free
    SLOT_USED,  # slot a is used
) = range(12)
