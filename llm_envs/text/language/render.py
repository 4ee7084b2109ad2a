"""What the player reads, as tokens appended to an observation: replies, scores, endings, descriptions, the inventory.

Every rule here takes an observation with the fields tokens (window,), length and token_mask (window,), beyond whose
length all is zero, and leaves it so. The caller sees to it that a turn fits (`longest_turn`).
"""

import numpy as np
from numba import njit

from llm_envs.engine.transcript import append
from llm_envs.text.language import pieces, replies
from llm_envs.text.language.listing import add_list, add_literal, add_printed_name
from llm_envs.text.language.phrases import HANDS, LISTED, PARTS, PARTS_FROM, WAY, WORDS, add_phrase, endless
from llm_envs.text.language.pieces import FIXED_IDS
from llm_envs.text.language.templates import (
    CONTENTS,
    END,
    HAS_NONE,
    HAS_ONE,
    HAS_SOME,
    IS_OPEN,
    IS_SHUT,
    JUMP,
    LITERAL,
    NOUN,
    TEST,
)
from llm_envs.text.records.codes import AJAR, COOKING, LOCKED, LOST, NONE, OPEN, PLAYING, WON

PROMPT = FIXED_IDS[pieces.PROMPT]  # the token before a command
SHOW_DESCRIPTION, SHOW_INVENTORY = 1, 2  # bits of `shows`
# What there is to tell, in this order.
OBJECTIVE, INFERRED, REPLY, GAIN, END_OF_GAME, SCORED, RESTART_PROMPT, DESCRIPTION, INVENTORY = range(9)
NOTICES = 1 << GAIN | 1 << END_OF_GAME | 1 << SCORED | 1 << RESTART_PROMPT
TURN = 1 << INFERRED | 1 << REPLY | NOTICES
EMPTY = replies.DESCRIPTION  # a phrase without words: its template is empty


@njit
def put(observation, token, typed):
    """Append one token; `typed` is 1 for a word of a command."""
    append(observation, token, typed)


@njit
def render_description(state, level, observation):
    """Append the description of the player's room."""
    render_parts(state, level, observation, 1 << DESCRIPTION)


@njit
def render_inventory(state, level, observation):
    """Append what the player carries."""
    render_parts(state, level, observation, 1 << INVENTORY)


@njit
def render_turn(state, level, observation, shows):
    """Append the reply to the last command with its notices, then the texts in the bits of `shows`."""
    render_parts(state, level, observation, TURN | shows << DESCRIPTION)


@njit
def render_start(state, level, observation, shows):
    """Append the objective, the first description and, in the bits of `shows`, the inventory."""
    render_parts(state, level, observation, 1 << OBJECTIVE | (shows | SHOW_DESCRIPTION) << DESCRIPTION)


@njit
def render_parts(state, level, observation, parts):
    """Append what the bits of `parts` name. All that is told passes through here: fewer calls are compiled sooner."""
    n = np.int64(observation.length)  # one type of numbers throughout: each is compiled anew
    for part in range(INVENTORY + 1):
        if parts >> part & 1:
            text = text_of(state, level, part)
            if text >= 0:
                n = add_text(state, level, observation, n, text)
            else:
                n = add_phrase(state, level, observation, n, -1 - text)
    observation.length = n


@njit
def text_of(state, level, part):
    """Return where in level.code the text of a part begins, or -1 - p for the phrase p."""
    phrase = np.int64(EMPTY)
    if part == OBJECTIVE:
        return np.int64(level.objective)
    if part == DESCRIPTION:
        return np.int64(level.room_text[state.room])
    if part == REPLY:
        return reply_text(state, level)
    if part == INFERRED:
        if state.inferred != 0:
            phrase = np.int64(state.inferred)
    elif part == INVENTORY:
        phrase = inventory_phrase(state, level)
    elif part == GAIN:
        if state.gain != 0 and state.ending != LOST:  # a lost game no longer tells it
            phrase = replies.GONE_UP if state.gain > 0 else replies.CHANGED
    elif state.ending != PLAYING:
        phrase = replies.RESTART_PROMPT
        if part == END_OF_GAME:
            phrase = replies.THE_END if state.ending == WON else replies.YOU_LOST
        elif part == SCORED:
            phrase = replies.SCORED_IN_ALL if endless(level) else replies.SCORED
    return -1 - phrase


@njit
def reply_text(state, level):
    """Return the same for the reply."""
    phrase = np.int64(state.reply)
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
    return -1 - phrase


@njit
def inventory_phrase(state, level):
    """Return the phrase that tells what the player carries."""
    return replies.CARRYING if state.first[level.rooms + level.fixed] != NONE else replies.EMPTY_HANDS


@njit
def add_text(state, level, observation, n, at):
    """Add the text whose code begins at level.code[at], see llm_envs.text.language.templates."""
    while True:
        operation = level.code[at]
        if operation == LITERAL:
            n = add_literal(level, observation, n, level.code[at + 1], level.code[at + 2])
            at += 3
        elif operation == TEST:
            passed = True
            count = level.code[at + 2]
            for k in range(at + 3, at + 3 + 2 * count, 2):
                passed = passed and is_so(state, level.code[k], level.code[k + 1])
            at = at + 3 + 2 * count if passed else level.code[at + 1]
        elif operation == CONTENTS:
            n = add_list(state, level, observation, n, np.int64(level.code[at + 1]))
            at += 2
        elif operation == JUMP:
            at = level.code[at + 1]
        elif operation == NOUN:
            n = add_printed_name(state, level, observation, n, np.int64(level.code[at + 1]))
            at += 2
        else:
            return n


@njit
def is_so(state, kind, a):
    """Say whether a condition of a text holds."""
    if kind <= IS_SHUT:
        return (kind == IS_OPEN) == (state.lock[a] == OPEN or state.lock[a] == AJAR)
    if kind == HAS_SOME:
        return state.first[a] != NONE
    if kind == HAS_NONE:
        return state.first[a] == NONE
    if kind == HAS_ONE:
        return state.first[a] != NONE and state.after[state.first[a]] == NONE
    return state.lock[a] == LOCKED


LONGEST_NUMBER = 12  # tokens of a slot for a number, in words or digits, with its noun


def longest_turn(levels: np.ndarray, shows: int = SHOW_DESCRIPTION | SHOW_INVENTORY) -> int:
    """Return an upper bound on the tokens that a turn of any of these levels needs space for, with these `shows`.

    A turn is what `render_turn` writes, or the objective with the first description and the inventory.
    """
    return max(_longest_turn(level, shows) for level in levels)


def _longest_turn(level: np.void, shows: int) -> int:
    things, portables = int(level["portables"] + level["fixed"] + level["doors"]), int(level["portables"])
    words, code = level["name_words"][:things].tolist(), level["code"].tolist()
    prefixes = 2 if level["theme"] >= COOKING else 0  # "sliced raw"
    name = max(words, default=0) + prefixes
    everything = 1 + sum(words[:portables]) + portables * (2 + prefixes)  # a list of all, with articles and commas

    def most(starts: np.ndarray) -> int:
        return max((_longest_text(code, int(start), name, everything) for start in starts), default=0)

    rooms, examined = most(level["room_text"][: level["rooms"]]), most(level["thing_text"][:things])
    objective = most(level["objective"][None])
    said = [_longest_phrase(phrase, name, everything) for phrase in range(len(replies.TEMPLATES))]
    inventory = said[replies.CARRYING]
    reply = max(rooms, examined, objective, *said[: replies.REPLIES]) + max(said[replies.REPLIES : replies.GONE_UP])
    notices = said[replies.RESTART_PROMPT]
    for one, other in (("GONE_UP", "CHANGED"), ("THE_END", "YOU_LOST"), ("SCORED", "SCORED_IN_ALL")):
        notices += max(said[getattr(replies, one)], said[getattr(replies, other)])
    shown = (rooms if shows & SHOW_DESCRIPTION else 0) + (inventory if shows & SHOW_INVENTORY else 0)
    return max(reply + notices + shown, objective + rooms + inventory)


def _longest_text(code: list[int], at: int, name: int, everything: int) -> int:
    """Return the most tokens that the text from code[at] on can have, given the longest name and the longest list."""
    most = {at: 0}  # before each instruction
    lists = [0] * (NONE + 1)  # of each holder: a thing is in one holder only
    while code[at] != END:
        operation, so_far = code[at], most[at]
        following = at + {LITERAL: 3, CONTENTS: 2, NOUN: 2, JUMP: 2, TEST: 3}[operation]
        if operation == LITERAL:
            so_far += code[at + 2]
        elif operation == CONTENTS:
            so_far += 1
            lists[code[at + 1]] += 1
        elif operation == NOUN:
            so_far += name
        else:
            most[code[at + 1]] = max(most.get(code[at + 1], 0), so_far)
        if operation == TEST:
            following += 2 * code[at + 2]
        if operation != JUMP:
            most[following] = max(most.get(following, 0), so_far)
        at = following
    return most[at] + max(lists) * everything


def _longest_phrase(phrase: int, name: int, everything: int) -> int:
    total = 0
    for what, _, count in PARTS[PARTS_FROM[phrase] : PARTS_FROM[phrase + 1]].tolist():
        if what == WORDS:
            total += count
        else:
            total += everything if what in (LISTED, HANDS) else 1 + name if what <= WAY else LONGEST_NUMBER
    return total
