"""Which actions are admissible now: masks over commands, over words, and this turn's list."""

import numpy as np
from numba import njit

from llm_envs.text.rules.admissible import lister
from llm_envs.vocabulary import END


@njit
def mark(mask, game, level, command):
    """Mark a command in a mask over commands."""
    mask[command] = 1


@njit
def mark_word(sink, game, level, command):
    """Mark the word with which a command continues those typed, or the end, in a mask over the vocabulary."""
    mask, interface = sink
    # Outside this range a command begins with other words than those typed.
    if interface.low <= command < interface.high:
        if level.command_words[command] == interface.typed:
            mask[END] = 1
        else:
            mask[level.tokens[level.command_text[command] + interface.typed]] = 1


@njit
def note(sink, game, level, command):
    """Insert a command into the list of numbers, which is kept sorted."""
    # Commands come by verb (rules.admissible). Sorted by number, a list is that of its set of commands.
    listed, choices = sink
    place = choices.listed_count
    while place > 0 and listed[place - 1] > command:
        listed[place] = listed[place - 1]
        place -= 1
    listed[place] = command
    choices.listed_count += 1


mark_commands, mark_words, note_commands = lister(mark), lister(mark_word), lister(note)


@njit
def word_at(level, command, place):
    """Return a word of a command, -1 after its end."""
    if place >= level.command_words[command]:
        return -1
    return np.int64(level.tokens[level.command_text[command] + place])


@njit
def list_now(choices, game, level):
    """Make the list of this turn's admissible commands in the interface's record."""
    choices.listed_count = 0
    note_commands((choices.listed, choices), game, level)


@njit
def mask_words(state, level, params, observation):
    """Write the mask of the words that can follow: with mask="none" all, after words of no command only the end."""
    for k in range(observation.action_mask.shape[0]):
        # Token 0 is <pad>, which is never an action.
        observation.action_mask[k] = params.free_mask and k > 0
    mark_words((observation.action_mask, state.interface), state.game, level)
    words = 0
    for k in range(observation.action_mask.shape[0]):
        words += observation.action_mask[k]
    # A mask without any choice could not be sampled from: <end> gets out of it, at the cost of a refusal.
    if words == 0:
        observation.action_mask[END] = 1


@njit
def mask_commands(state, level, params, observation):
    """Write the mask of the game's admissible commands."""
    for k in range(observation.action_mask.shape[0]):
        # The mask has the size of the pool's largest game, rounded up.
        observation.action_mask[k] = params.free_mask and k < level.num_commands
    mark_commands(observation.action_mask, state.game, level)


@njit
def mask_list(state, level, params, observation):
    """Write the list of admissible commands as tokens, and the mask of its used places."""
    choices = state.interface
    for k in range(observation.action_mask.shape[0]):
        observation.action_mask[k] = k < choices.listed_count
        words = level.command_words[choices.listed[k]] if k < choices.listed_count else 0
        for j in range(words):
            observation.commands[k, j] = level.tokens[level.command_text[choices.listed[k]] + j]
        for j in range(words, observation.commands.shape[1]):  # most rows of the list are empty
            observation.commands[k, j] = 0


@njit
def mask_nothing(state, level, params, observation):
    """Write no mask: anything may be typed."""
