"""What the slots of replies print. The rules are called as those of `writing` are."""

import numpy as np
from numba import njit

from llm_envs.text.language import program, replies
from llm_envs.text.language.listing import add_list, add_name
from llm_envs.text.language.numerals import add_digits, add_words
from llm_envs.text.language.pieces import fixed_tokens
from llm_envs.text.language.writing import write
from llm_envs.text.model.game import DIRECTIONS
from llm_envs.text.records import codes

VERB_TOKENS = fixed_tokens(*replies.VERB_WORDS)
LINK_TOKENS = fixed_tokens(*(replies.LINKS.get(verb, "") for verb in replies.VERB_WORDS))
WAY_TOKENS = fixed_tokens(*DIRECTIONS)
THE, CONTINUED_THE = map(int, fixed_tokens("the", "##the"))
A_POINT, MANY_POINTS, A_TURN, MANY_TURNS = map(int, fixed_tokens("point", "points", "turn", "turns"))


@njit
def add_slot(state, level, observation, n, op, register, spaced):
    """Write a slot that has a register; `spaced`: white space comes before it."""
    thing = np.int64(state.x if register == 0 else state.y if register == 1 else state.z)
    if op == program.WAY:
        return write(observation, n, WAY_TOKENS[thing])
    if op == program.CONTENTS_OF:
        return add_list(state, level, observation, n, np.int64(level.rooms) + thing - level.portables)
    if op == program.NAME:
        return add_name(level, observation, n, thing)
    # Doors have no article in lists and no "the" here, as TextWorld's games print them: "You open oak door."
    if level.article[thing] != 0:
        return add_name(level, observation, write(observation, n, THE if spaced else CONTINUED_THE), thing)
    end = add_name(level, observation, n, thing)
    if not spaced:  # before the tokens of a door's name stands the form in which the first continues
        observation.tokens[n] = level.tokens[level.name[thing] - 1]
    return end


@njit
def add_word(state, observation, n, op):
    """Write the word of a verb, or the preposition before its second thing."""
    return write(observation, n, VERB_TOKENS[state.z] if op == program.VERB else LINK_TOKENS[state.z])


@njit
def add_number(state, level, observation, n, op):
    """Write a number, and its noun if the slot has one. The clock begins at 1; a lost game stops it a turn earlier."""
    if op == program.MOST:
        return add_digits(observation, n, most_points(level))
    if op == program.GAIN:
        # Inform prints gains in words ("one point") and scores in digits.
        n = add_words(observation, n, np.int64(state.gain))
        return write(observation, n, A_POINT if -1 <= state.gain <= 1 else MANY_POINTS)
    if op == program.TURNS:
        turns = np.int64(state.turns) + (state.ending != codes.LOST)
        n = add_digits(observation, n, turns)
        return write(observation, n, A_TURN if turns == 1 else MANY_TURNS)
    # A lost game's last gain is not in the score yet.
    score = np.int64(state.score) + (state.gain if state.ending == codes.LOST else 0)
    n = add_digits(observation, n, score)
    if op == program.SCORE:
        return n
    return write(observation, n, A_POINT if score == 1 else MANY_POINTS)


@njit
def endless(level):
    """Return whether some quest can be scored again and again."""
    for quest in range(level.quests):
        flags = level.quest_flags[quest]
        # An optional quest counts for the maximum only if it gains points, so too for whether there is one.
        if flags & codes.REPEATABLE and (not flags & codes.OPTIONAL or level.quest_reward[quest] > 0):
            return True
    return False


@njit
def most_points(level):
    """Return the sum of the rewards as TextWorld counts it: without the optional quests that cost points."""
    total = np.int64(0)
    for quest in range(level.quests):
        if not level.quest_flags[quest] & codes.OPTIONAL or level.quest_reward[quest] > 0:
            total += level.quest_reward[quest]
    return total
