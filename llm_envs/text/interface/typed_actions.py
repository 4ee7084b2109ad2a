"""Typed commands as records: what the parser finds, as an action, and the rule that carries it out.

`number` is the command's in the game's table, or -1 for one that is not there; the rest is as in `parser.Parsed`. Any
values may be given: what the parser cannot have found in the level is not understood.
"""

import numpy as np
from numba import njit

from llm_envs.text.language import phrases, program, replies
from llm_envs.text.records import codes
from llm_envs.text.rules import table
from llm_envs.text.rules.turn import take_turn
from llm_envs.text.rules.visibility import is_fixed
from llm_envs.world import record

COMMAND = record(number=np.int16, verb=np.uint8, x=np.uint8, y=np.uint8, z=np.uint8, inferred=np.uint8)
WORDS, WAYS = len(replies.VERB_WORDS), 4
ANYTHING, THING, HOLDER, WAY, WORD = range(5)  # what a verb or a reply needs x, y or z to be


def _needs() -> np.ndarray:
    """Return (VERBS + EMPTY_HANDS, 3): what verbs, whole answers and inferred-noun phrases need of x, y and z."""
    needs = np.full((codes.VERBS + replies.EMPTY_HANDS, 3), ANYTHING)
    for verb in table.VERBS:
        for place in (0, 1):
            if verb.needs(place):
                needs[verb.code, place] = THING
    needs[codes.GO, 0] = WAY
    # Its text is the level's, so its template has no slot that says so.
    needs[codes.VERBS + replies.EXAMINED, 0] = THING
    for reply in range(replies.EMPTY_HANDS):
        for op, register in phrases.slots(reply):
            if op in (program.VERB, program.LINK):
                needs[codes.VERBS + reply, 2] = WORD
            elif op in (program.NAME, program.THE_NAME):
                # An earlier slot may have asked for a HOLDER, which is the stricter need.
                needs[codes.VERBS + reply, register] = max(needs[codes.VERBS + reply, register], THING)
            elif op in (program.CONTENTS_OF, program.WAY):
                needs[codes.VERBS + reply, register] = HOLDER if op == program.CONTENTS_OF else WAY
    return needs


NEEDS = _needs()


@njit
def fits(level, need, value):
    """Return whether a number is of the needed kind: one of the level's things, what holds things, a way, a word."""
    if need == THING:
        return value < level.portables + level.fixed + level.doors
    if need == HOLDER:
        return is_fixed(level, value)
    return need == ANYTHING or value < (WAYS if need == WAY else WORDS)


@njit
def has_all(level, row, x, y, z):
    """Return whether x, y and z are what a row of NEEDS asks for."""
    return fits(level, NEEDS[row, 0], x) and fits(level, NEEDS[row, 1], y) and fits(level, NEEDS[row, 2], z)


@njit
def can_be_meant(level, verb, x, y, z, inferred, number):
    """Return whether the parser can have found this in the level: the rules take these numbers as indices."""
    if verb >= codes.VERBS + replies.REPLIES or not -1 <= number < level.num_commands:
        return False
    if inferred != 0 and not (
        replies.INFERRED_WITH <= inferred < replies.EMPTY_HANDS and has_all(level, codes.VERBS + inferred, x, y, z)
    ):
        return False
    return has_all(level, verb, x, y, z)


@njit
def step_text(state, level, params, action, signals):
    """Carry out a typed command; what is none of this level's is not understood."""
    # Bytes as int64: with an unsigned type Numba computes VERBS + ... and comparisons with -1 in other types.
    number, verb, x, y = np.int64(action.number), np.int64(action.verb), np.int64(action.x), np.int64(action.y)
    z, inferred = np.int64(action.z), np.int64(action.inferred)
    if not can_be_meant(level, verb, x, y, z, inferred, number):
        verb, x, y, z, inferred, number = codes.VERBS + replies.NO_SENSE, codes.NONE, codes.NONE, codes.NONE, 0, -1
    over = take_turn(state.game, level, verb, x, y, signals)
    # After the turn, which clears both.
    state.game.z, state.game.inferred = z, inferred
    state.interface.word, state.interface.reply_pending = number, 1
    return over
