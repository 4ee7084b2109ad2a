"""Typed commands as numbers: what the parser finds, packed into one action, and the rule that carries it out.

An action is (number + 1) << 40 | verb << 32 | x << 24 | y << 16 | z << 8 | aside, with `number` the command's in the
game's table or -1, and the rest as in `parser.Parsed`. Any integer may be given: what the parser cannot have packed for
the level is not understood.
"""

import numpy as np
from numba import njit

from llm_envs.text.language import phrases, replies
from llm_envs.text.records.codes import EXAMINE, GO, INSERT, LOCKING, NONE, PUT, UNLOCKING, VERBS
from llm_envs.text.rules.turn import take_turn
from llm_envs.text.rules.visibility import is_fixed

PACKED = 1 << 55  # more than all that `pack` returns
WORDS, WAYS = len(replies.VERB_WORDS), 4
ANYTHING, THING, HOLDER, WAY, WORD = range(5)  # what a verb or a reply needs x, y or z to be


def pack(verb: int, x: int, y: int, z: int = NONE, aside: int = 0, number: int = -1) -> int:
    """Return the action for what the parser found, see the module."""
    return (number + 1) << 40 | verb << 32 | x << 24 | y << 16 | z << 8 | aside


def _needs() -> np.ndarray:
    """Return (VERBS + EMPTY_HANDS, 3): what each verb, each whole answer and each aside needs of x, y and z."""
    needs = np.full((VERBS + replies.EMPTY_HANDS, 3), ANYTHING)
    needs[EXAMINE:VERBS, 0], needs[GO, 0] = THING, WAY
    needs[[PUT, INSERT, LOCKING, UNLOCKING], 1] = THING
    needs[VERBS + replies.EXAMINED, 0] = THING
    for reply in range(replies.EMPTY_HANDS):
        for what, slot, _ in phrases.PARTS[phrases.PARTS_FROM[reply] : phrases.PARTS_FROM[reply + 1]].tolist():
            if what in (phrases.VERB, phrases.LINK):
                needs[VERBS + reply, 2] = WORD
            elif what in (phrases.NAME, phrases.THE_NAME):
                needs[VERBS + reply, slot] = max(needs[VERBS + reply, slot], THING)
            elif what in (phrases.LISTED, phrases.WAY):
                needs[VERBS + reply, slot] = HOLDER if what == phrases.LISTED else WAY
    return needs


NEEDS = _needs()


@njit
def fits(level, need, value):
    """Say whether a number is of the needed kind: one of the level's things, what holds things, a way, a word."""
    if need == THING:
        return value < level.portables + level.fixed + level.doors
    if need == HOLDER:
        return is_fixed(level, value)
    return need == ANYTHING or value < (WAYS if need == WAY else WORDS)


@njit
def has_all(level, row, x, y, z):
    """Say whether x, y and z are what a row of NEEDS asks for."""
    return fits(level, NEEDS[row, 0], x) and fits(level, NEEDS[row, 1], y) and fits(level, NEEDS[row, 2], z)


@njit
def can_be_meant(level, verb, x, y, z, aside, number):
    """Say whether the parser can have found this in the level: the rules take these numbers as indices."""
    if verb >= VERBS + replies.REPLIES or number >= level.num_commands:
        return False
    if aside != 0 and not (
        replies.INFERRED_WITH <= aside < replies.EMPTY_HANDS and has_all(level, VERBS + aside, x, y, z)
    ):
        return False
    return has_all(level, verb, x, y, z)


@njit
def step_text(state, level, params, action, signals):
    """Carry out a packed command; what is none of this level's is not understood."""
    verb, x, y = (action >> 32) & 255, (action >> 24) & 255, (action >> 16) & 255
    z, aside = (action >> 8) & 255, action & 255
    number = (action >> 40) - 1
    if not can_be_meant(level, verb, x, y, z, aside, number):
        verb, x, y, z, aside, number = VERBS + replies.NO_SENSE, NONE, NONE, NONE, 0, -1
    over = take_turn(state, level, verb, x, y, signals)
    state.z, state.aside = z, aside
    state.word, state.told = number, 1
    return over
