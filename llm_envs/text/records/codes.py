"""The numbers that stand for things' states, verbs and conditions in every record and rule."""

NONE = 255  # no room, no thing, nowhere, the end of a list

PLAYING, WON, LOST = range(3)  # state.ending
BASE, COIN, COOKING, COOKING_DROP = range(4)  # level.theme: index into game.THEMES
CONTAINER, OVEN, SUPPORTER, STOVE, TOASTER = range(5)  # level.kind[fixed]
OPTIONAL, REPEATABLE, HAS_WIN = 1, 2, 4  # bits of level.quest_flags[quest]

# state.lock[lock]; AJAR: the player opened it, but no fact says that it is open (a BBQ, which has no state at first)
NO_STATE, OPEN, CLOSED, LOCKED, AJAR = range(5)

# state.food[portable]: four bits, and two fields of two bits, each with its mask at the end
RAW, NEEDS_COOKING, COOKED, BURNED = 1, 2, 4, 8
EDIBLE, INEDIBLE, EDIBILITY = 16, 32, 48
GRILLED, ROASTED, FRIED, HEAT = 64, 128, 192, 192

# state.cut[portable]: two fields, how it is cut and what became of it, each with its mask at the end
UNCUT, SLICED, DICED, CHOPPED, CUT = 1, 2, 3, 4, 7
EATEN, USED, CONSUMED, GONE = 8, 16, 24, 24

# Bits of level.traits[portable]. No rule reads MEAL; it stays, since a level is known by its bytes.
FOOD, SHARP, DRINKABLE, MEAL = 1, 2, 4, 8

# Verbs, see llm_envs.text.rules.table: level.commands[k] is (verb, x, y), with NONE for what it does not name.
VERBS = 19
(LOOK, INVENTORY, PREPARE, GO, EXAMINE, TAKE, DROP, PUT, INSERT, OPENING, CLOSING, LOCKING, UNLOCKING, EAT, DRINK,
 SLICE, DICE, CHOP, COOK) = range(VERBS)  # fmt: skip

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
