"""What the player reads, as tokens appended to an observation: replies, scores, endings, descriptions, the inventory.

Every rule here takes an observation with the fields tokens (window,), length and token_mask (window,), beyond whose
length all is zero, and leaves it so. The caller sees to it that a turn fits (`turn_length.longest_turn`).
"""

import numpy as np
from numba import njit

from llm_envs.text.language import phrases, pieces, replies
from llm_envs.text.language.interpreter import add_text
from llm_envs.text.language.slots import endless
from llm_envs.text.records import codes

ENTRIES = phrases.ENTRIES  # the address of each phrase's program
PROMPT = pieces.FIXED_IDS[pieces.PROMPT]  # the token before a command
SHOW_DESCRIPTION, SHOW_INVENTORY = 1, 2  # bits of `shows`
# The parts of a turn, in the order in which they are printed: bit p of a set of parts stands for part p.
OBJECTIVE, INFERRED, REPLY, GAIN, END_OF_GAME, SCORED, RESTART_PROMPT, DESCRIPTION, INVENTORY = range(9)
NOTICES = 1 << GAIN | 1 << END_OF_GAME | 1 << SCORED | 1 << RESTART_PROMPT
TURN = 1 << INFERRED | 1 << REPLY | NOTICES
EMPTY = replies.DESCRIPTION  # a phrase without words: its template is empty


@njit
def render_description(state, level, observation):
    """Append the description of the player's room."""
    render_parts(state, level, observation, 1 << DESCRIPTION)


@njit
def render_inventory(state, level, observation):
    """Append what the player carries."""
    render_parts(state, level, observation, 1 << INVENTORY)


@njit
def render_turn(state, level, observation, included):
    """Append the reply to the last command with its notices, then the texts in the bits of `included`."""
    render_parts(state, level, observation, TURN | included << DESCRIPTION)


@njit
def render_start(state, level, observation, included):
    """Append the objective, the first description and, in the bits of `included`, the inventory."""
    render_parts(state, level, observation, 1 << OBJECTIVE | (included | SHOW_DESCRIPTION) << DESCRIPTION)


@njit
def render_parts(state, level, observation, parts):
    """Append the parts whose bits are set. All texts pass through this one call: fewer calls are compiled sooner."""
    n = np.int64(observation.length)  # int64 wherever a position is passed on: each other type is compiled again
    for part in range(INVENTORY + 1):
        if parts >> part & 1:
            n = add_text(state, level, observation, n, address_of(state, level, part))
    observation.length = n


@njit
def address_of(state, level, part):
    """Return where the program of a part begins; that of a part with nothing to print is empty."""
    # Every branch gives an int64: one type for the variable, whatever the fields' types are.
    phrase = np.int64(EMPTY)
    if part == OBJECTIVE:
        return np.int64(level.objective)
    if part == DESCRIPTION:
        return np.int64(level.room_text[state.room])
    if part == REPLY:
        return reply_address(state, level)
    if part == INFERRED:
        if state.inferred != 0:
            phrase = np.int64(state.inferred)
    elif part == INVENTORY:
        phrase = inventory_phrase(state, level)
    elif part == GAIN:
        if state.gain != 0 and state.ending != codes.LOST:  # TextWorld prints no gain once the game is lost
            phrase = replies.GONE_UP if state.gain > 0 else replies.CHANGED
    # Inform prints these three in this order at the end of a story.
    elif state.ending != codes.PLAYING:
        phrase = replies.RESTART_PROMPT
        if part == END_OF_GAME:
            phrase = replies.THE_END if state.ending == codes.WON else replies.YOU_LOST
        elif part == SCORED:
            phrase = replies.SCORED_IN_ALL if endless(level) else replies.SCORED
    return ENTRIES[phrase]


@njit
def reply_address(state, level):
    """Return the same for the reply, which may be a description."""
    phrase = np.int64(state.reply)
    # Texts of the level have their addresses in it, all other replies theirs in ENTRIES.
    if phrase == replies.DESCRIPTION:
        return np.int64(level.room_text[state.room])
    if phrase == replies.EXAMINED:
        return np.int64(level.thing_text[state.x])
    if phrase == replies.GOAL:
        return np.int64(level.objective)
    if phrase == replies.CARRYING:
        phrase = inventory_phrase(state, level)
    elif phrase == replies.SCORE_SO_FAR and endless(level):
        phrase = replies.SO_FAR_IN_ALL
    return ENTRIES[phrase]


@njit
def inventory_phrase(state, level):
    """Return the phrase that lists what the player carries."""
    return replies.CARRYING if state.first[level.rooms + level.fixed] != codes.NONE else replies.EMPTY_HANDS
