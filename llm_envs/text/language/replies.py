"""The game's replies, apart from descriptions: one table of templates.

The state holds a reply's number and the things x, y, z that it mentions. The slots of a template:

    [x]  [the x]        the name of x; with its article (doors have none)
    [contents x]        the list of what is in or on x
    [hands]             the list of what the player carries
    [way x]             a direction
    [verb]  [link]      in replies of the parser, where z is a verb: its word; the preposition before its second thing
    [gain]              what the turn gained, in words, with "point" or "points"
    [score]  [most]     the score, and the highest possible, in digits
    [points]  [turns]   the score, and the number of turns, in digits with their noun

Elsewhere z is the noun that the parser inferred, which a phrase before the reply mentions: state.inferred holds the
number of that phrase, INFERRED_WITH or another. The wording is that of TextWorld's games (Inform 7's and its own), so
that transcripts can be compared.
"""

# fmt: off
(
    DESCRIPTION, CARRYING, EXAMINED, PICKED_UP, TAKEN, DROPPED, PUT_ON, PUT_INTO, OPENED, REVEALED, SHUT, LOCKED_IT,
    UNLOCKED_IT, EATEN_IT, DRUNK_IT, SLICED_IT, DICED_IT, CHOPPED_IT, GRILLED_IT, ROASTED_IT, FRIED_IT, BURNED_IT,
    PREPARED, WAITED, GOAL, HELP, HEARD, SMELT, TASTED, FELT, NOTHING_FOUND, NOTHING_HAPPENS, NOTHING_THERE, ONE_IN,
    MANY_IN, NONE_IN, ONE_ON, MANY_ON, NONE_ON, NO_WAY, DOOR_SHUT, HAVE_IT, FIXED_IN_PLACE, HANDS_FULL, ALREADY_HERE,
    NOT_HELD, X_FIXED, TAKE_FIRST, ON_ITSELF, NO_SUPPORTER, NO_CONTAINER, Y_CLOSED, NO_LOCK, IS_LOCKED, CLOSE_FIRST,
    IS_UNLOCKED, WRONG_KEY, NOT_OPENABLE, NOT_CLOSABLE, UNLOCK_FIRST, WELDED, IS_OPEN, IS_CLOSED, COOK_FIRST,
    NOT_EDIBLE, NOT_DRINKABLE, ONLY_FOOD_COOKS, NEEDS_HEAT, ONLY_FOOD_CUTS, IS_SLICED, IS_DICED, IS_CHOPPED,
    NEEDS_KNIFE, WRONG_ROOM, MISSING, UNCOOKED, UNCUT_STILL, BE_SPECIFIC, IN_ITSELF, NO_LOCK_TO_UNLOCK, NOT_THERE,
    CANT_DRINK, SHUT_IN, IT_IS_FIXED, NOT_WEARABLE, NOT_WORN, NOT_ENTERABLE, NOT_INSIDE, NOT_UPON, VIOLENCE, CUT_LITTLE,
    CUT_HOW, NO_USE, FUTILE, DOOR_HERE, NO_THING, NO_DIRECTION, NO_NOUN, CANT_SEE, NO_VERB, NO_SENSE, ONLY_VERB,
    ONLY_WAY, ONLY_X, ONLY_XY, ASK_X, ASK_Y, ASK_IN, WHICH, SCORE_SO_FAR, WHICH_OF_THREE, NOT_ANIMATE, NOT_MANY, PARDON,
    INFERRED_WITH, INFERRED, INFERRED_IN, INFERRED_XY, INFERRED_XY_IN, EMPTY_HANDS, GONE_UP, CHANGED, THE_END,
    YOU_LOST, SCORED, SCORED_IN_ALL, SO_FAR_IN_ALL, RESTART_PROMPT,
) = range(128)
# fmt: on
FIRST_REFUSAL, FIRST_PARSER = NO_WAY, CANT_SEE  # the first of each kind
REPLIES = INFERRED_WITH  # the number of replies; the phrases from here on accompany one

TEMPLATES = {
    # descriptions, which the level holds
    DESCRIPTION: "",
    EXAMINED: "",
    GOAL: "",
    # done
    CARRYING: "You are carrying: [hands].",
    PICKED_UP: "You pick up [the x] from the ground.",
    TAKEN: "You take [the x] from [the y].",
    DROPPED: "You drop [the x] on the ground.",
    PUT_ON: "You put [the x] on [the y].",
    PUT_INTO: "You put [the x] into [the y].",
    OPENED: "You open [the x].",
    REVEALED: "You open [the x], revealing [contents x].",
    SHUT: "You close [the x].",
    LOCKED_IT: "You lock [the x].",
    UNLOCKED_IT: "You unlock [the x].",
    EATEN_IT: "You eat [the x]. Not bad.",
    DRUNK_IT: "You drink [the x]. Not bad.",
    SLICED_IT: "You slice [the x].",
    DICED_IT: "You dice [the x].",
    CHOPPED_IT: "You chop [the x].",
    GRILLED_IT: "You grilled [the x].",
    ROASTED_IT: "You roasted [the x].",
    FRIED_IT: "You fried [the x].",
    BURNED_IT: "You burned [the x]!",
    PREPARED: "Adding the meal to your inventory.",
    WAITED: "Time passes.",
    HELP: "Commands: look, goal, inventory, go, examine, eat, open, close, drop, take, put, insert, lock, unlock.",
    HEARD: "You hear nothing unexpected.",
    SMELT: "You smell nothing unexpected.",
    TASTED: "You taste nothing unexpected.",
    FELT: "You feel nothing unexpected.",
    NOTHING_FOUND: "You find nothing of interest.",
    NOTHING_HAPPENS: "Nothing obvious happens.",
    NOTHING_THERE: "You see nothing unexpected in that direction.",
    ONE_IN: "In [the x] is [contents x].",
    MANY_IN: "In [the x] are [contents x].",
    NONE_IN: "The [x] is empty.",
    ONE_ON: "On [the x] is [contents x].",
    MANY_ON: "On [the x] are [contents x].",
    NONE_ON: "There is nothing on [the x].",
    # refused, at the cost of a turn
    NO_WAY: "You can't go that way.",
    DOOR_SHUT: "You have to open the [x] first.",
    HAVE_IT: "You already have that.",
    FIXED_IN_PLACE: "That's fixed in place.",
    HANDS_FULL: "You're carrying too many things already.",
    ALREADY_HERE: "The [x] is already here.",
    NOT_HELD: "You haven't got that.",
    X_FIXED: "The [x] is fixed in place.",
    TAKE_FIRST: "You need to take [the x] first.",
    ON_ITSELF: "You can't put something on top of itself.",
    NO_SUPPORTER: "Putting things on [the y] would achieve nothing.",
    NO_CONTAINER: "That can't contain things.",
    Y_CLOSED: "The [y] is closed.",
    NO_LOCK: "That doesn't seem to be something you can lock.",
    IS_LOCKED: "That's locked at the moment.",
    CLOSE_FIRST: "First you would have to close [the x].",
    IS_UNLOCKED: "That's unlocked at the moment.",
    WRONG_KEY: "That doesn't seem to fit the lock.",
    NOT_OPENABLE: "It isn't something you can open.",
    NOT_CLOSABLE: "It isn't something you can close.",
    UNLOCK_FIRST: "You have to unlock the [x] with the [y] first.",
    WELDED: "The [x] is welded shut.",
    IS_OPEN: "That's already open.",
    IS_CLOSED: "That's already closed.",
    COOK_FIRST: "You should cook [the x] first.",
    NOT_EDIBLE: "That's plainly inedible.",
    NOT_DRINKABLE: "There's nothing suitable to drink here.",
    ONLY_FOOD_COOKS: "Can only cook food.",
    NEEDS_HEAT: "Cooking requires a source of heat.",
    ONLY_FOOD_CUTS: "Can only cut cuttable food.",
    IS_SLICED: "The [x] is already sliced.",
    IS_DICED: "The [x] is already diced.",
    IS_CHOPPED: "The [x] is already chopped.",
    NEEDS_KNIFE: "Cutting something requires a knife.",
    WRONG_ROOM: "Can only prepare meal in the -= Kitchen =-.",
    MISSING: "You still miss something.",
    UNCOOKED: "Something still needs to be cooked.",
    UNCUT_STILL: "Something still needs to be cut.",
    BE_SPECIFIC: "You have to be more specific!",
    IN_ITSELF: "You can't put something inside itself.",
    NO_LOCK_TO_UNLOCK: "That doesn't seem to be something you can unlock.",
    NOT_THERE: "But it isn't there now.",
    CANT_DRINK: "You cannot drink [the x].",
    SHUT_IN: "You can't see inside, since [the x] is closed.",
    IT_IS_FIXED: "It is fixed in place.",
    NOT_WEARABLE: "You can't wear that!",
    NOT_WORN: "You aren't wearing [the x].",
    NOT_ENTERABLE: "That's not something you can enter.",
    NOT_INSIDE: "But you aren't in anything at the moment.",
    NOT_UPON: "But you aren't on [the x] at the moment.",
    VIOLENCE: "Violence isn't the answer to this one.",
    CUT_LITTLE: "Cutting it up would achieve little.",
    CUT_HOW: "You need to specify how you want to cut [the x]. Either slice, dice, or chop it.",
    NO_USE: "You achieve nothing by this.",
    FUTILE: "Futile.",
    DOOR_HERE: "[x] is already here.",
    NO_THING: "You must name something more substantial.",
    NO_DIRECTION: "You'll have to say which compass direction to go in.",
    NO_NOUN: "You must supply a noun.",
    # not understood, at no cost
    CANT_SEE: "You can't see any such thing.",
    NO_VERB: "That's not a verb I recognise.",
    NO_SENSE: "I didn't understand that sentence.",
    ONLY_VERB: "I only understood you as far as wanting to [verb].",
    ONLY_WAY: "I only understood you as far as wanting to go [way x].",
    ONLY_X: "I only understood you as far as wanting to [verb] [the x].",
    ONLY_XY: "I only understood you as far as wanting to [verb] [the x] [link] [the y].",
    ASK_X: "What do you want to [verb]?",
    ASK_Y: "What do you want to [verb] [the x] [link]?",
    ASK_IN: "What do you want to [verb] [the x] in?",
    WHICH: "Which do you mean, [the x] or [the y]?",
    SCORE_SO_FAR: "You have so far scored [score] out of a possible [most], in [turns].",
    WHICH_OF_THREE: "Which do you mean, [the x], [the y] or [the z]?",
    NOT_ANIMATE: "You can only do that to something animate.",
    NOT_MANY: "You can't use multiple objects with that verb.",
    PARDON: "I beg your pardon?",
    # before, after or in place of a reply
    INFERRED_WITH: "(with [the z])",
    INFERRED: "([the z])",
    INFERRED_IN: "(in [the z])",
    INFERRED_XY: "([the x] [link] [the y])",
    INFERRED_XY_IN: "([the x] in [the y])",
    EMPTY_HANDS: "You are carrying nothing.",
    GONE_UP: "Your score has just gone up by [gain].",
    CHANGED: "Your score changed by [gain].",
    THE_END: "*** The End ***",
    YOU_LOST: "*** You lost! ***",
    SCORED: "You scored [score] out of a possible [most], in [turns].",
    SCORED_IN_ALL: "You scored a total of [points], in [turns].",
    SO_FAR_IN_ALL: "You have so far scored [points], in [turns].",
    RESTART_PROMPT: "Would you like to RESTART, RESTORE a saved game, QUIT or UNDO the last command?",
}

# The words of verbs that replies of the parser mention, and the prepositions before their second things.
VERB_WORDS = (
    "look", "inventory", "prepare", "go", "examine", "take", "drop", "put", "insert", "open", "close", "lock", "unlock",
    "eat", "drink", "slice", "dice", "chop", "cook",
    # no codes of their own; only replies of the parser mention them
    "get", "throw", "cut", "search", "push", "pull", "turn", "wear", "remove", "enter", "touch", "taste", "give",
)  # fmt: skip
LINKS = {"take": "from", "put": "on", "insert": "into"} | dict.fromkeys(
    ("lock", "unlock", "slice", "dice", "chop", "cook"), "with"
)
