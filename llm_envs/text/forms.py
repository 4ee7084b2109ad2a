"""How a policy plays a game: the rules `reset`, `step` and `observe` for each form of action and observation.

What the policy sees is one growing transcript: the objective and the first description, then, turn by turn, the
command, the reply, and what `shows` names. It is never rewritten; when a turn might not fit, its older half is dropped.

    action        what it is                            action_mask over
    "tokens"      a word of the command, or <end>       the vocabulary: words that continue an admissible command
    "index"       a command by its number               the game's commands
    "admissible"  a place in this turn's list           the list
    "text"        a typed command, see `packing`        -
"""

from collections.abc import Callable
from functools import cache

import numpy as np
from numba import njit

from llm_envs.text import replies
from llm_envs.text.admissible import lister
from llm_envs.text.layout import NONE, VERBS
from llm_envs.text.packing import step_text
from llm_envs.text.rules import begin_game, take_turn
from llm_envs.text.telling import PROMPT, put, tell_start, tell_turn
from llm_envs.vocabulary import END


@njit
def mark(mask, state, level, command):
    """Mark a command in a mask over commands."""
    mask[command] = 1


@njit
def mark_word(mask, state, level, command):
    """Mark the word that a command goes on with after those typed, or the end, in a mask over the vocabulary."""
    if state.low <= command < state.high:
        if level.command_words[command] == state.typed:
            mask[END] = 1
        else:
            mask[level.tokens[level.command_text[command] + state.typed]] = 1


@njit
def note(listed, state, level, command):
    """Insert a command into the list of numbers, which is kept sorted."""
    place = state.listed_count
    while place > 0 and listed[place - 1] > command:
        listed[place] = listed[place - 1]
        place -= 1
    listed[place] = command
    state.listed_count += 1


mark_commands, mark_words, note_commands = lister(mark), lister(mark_word), lister(note)


@njit
def word_at(level, command, place):
    """Return a word of a command, -1 after its end."""
    if place >= level.command_words[command]:
        return -1
    return np.int64(level.tokens[level.command_text[command] + place])


@njit
def narrow(state, level, word):
    """Keep, of the commands that begin as typed, those that go on with a word; they are next to each other."""
    low, high = np.int64(state.low), np.int64(state.high)
    while low < high and word_at(level, low, state.typed) != word:
        low += 1
    end = low
    while end < high and word_at(level, end, state.typed) == word:
        end += 1
    state.low, state.high = low, end


@njit
def play(state, level, command, signals):
    """Carry out a command by its number, and begin the next one."""
    state.word, state.told = command, 1
    return take_turn(
        state, level, level.commands[command, 0], level.commands[command, 1], level.commands[command, 2], signals
    )


@njit
def step_word(state, level, params, action, signals):
    """Type a word; with <end>, carry out what was typed."""
    state.word, state.told = action, 0
    if action != END and state.typed < params.longest_command:
        narrow(state, level, action)
        state.typed += 1
        return False
    complete = state.low < state.high and level.command_words[state.low] == state.typed
    command, known = np.int64(state.low), state.low < state.high
    state.low, state.high, state.typed = 0, level.num_commands, 0
    if complete and action == END:
        over = play(state, level, command, signals)
    else:
        state.told = 1
        reply = replies.NO_SENSE if known else replies.CANT_SEE
        over = take_turn(state, level, VERBS + reply, NONE, NONE, signals)
    state.word = action
    return over


@njit
def step_index(state, level, params, action, signals):
    """Carry out a command by its number; a number that the game does not have is not understood."""
    if action < level.num_commands:
        return play(state, level, action, signals)
    state.word, state.told = -1, 1
    return take_turn(state, level, VERBS + replies.NO_SENSE, NONE, NONE, signals)


@njit
def step_listed(state, level, params, action, signals):
    """Carry out a command of the list."""
    over = step_index(
        state, level, params, state.listed[action] if action < state.listed_count else level.num_commands, signals
    )
    list_now(state, level)
    return over


@njit
def list_now(state, level):
    """Make the list of this turn's admissible commands."""
    state.listed_count = 0
    note_commands(state.listed, state, level)


@njit
def reset_game(state, level, params):
    """Begin the game."""
    begin_game(state, level)


@njit
def reset_listed(state, level, params):
    """Begin the game, with its first list."""
    begin_game(state, level)
    list_now(state, level)


@njit
def make_room(observation, count):
    """Drop the older half of the transcript if `count` more tokens might not fit."""
    window = observation.tokens.shape[0]
    if observation.length + count <= window:
        return
    half = window // 2
    for j in range(window):
        kept = j + half < observation.length
        observation.tokens[j] = observation.tokens[j + half] if kept else 0
        observation.token_mask[j] = observation.token_mask[j + half] if kept else 0
    observation.length -= half


@njit
def start_transcript(state, level, params, observation):
    """Write the objective and the first description."""
    for j in range(observation.tokens.shape[0]):
        observation.tokens[j] = 0
        observation.token_mask[j] = 0
    observation.length = 0
    tell_start(state, level, observation, params.shows)
    put(observation, PROMPT, 0)


@njit
def write_command(state, level, observation):
    """Write the command that was carried out; one that is none of the game's is shown as an end."""
    if state.word < 0:
        put(observation, END, 1)
        return
    start = level.command_text[state.word]
    for k in range(level.command_words[state.word]):
        put(observation, level.tokens[start + k], 1)


@njit
def write_answer(state, level, params, observation):
    """Write the reply and what else is shown, and the prompt for the next command."""
    tell_turn(state, level, observation, params.shows)
    put(observation, PROMPT, 0)


@njit
def write_word(state, level, params, observation):
    """Go on with the transcript by the word that was typed, and by the answer to a whole command."""
    if state.t == 0:
        start_transcript(state, level, params, observation)
        return
    make_room(observation, params.longest_turn if state.told else 1)
    put(observation, state.word, 1)
    if state.told:
        write_answer(state, level, params, observation)


@njit
def write_turn(state, level, params, observation):
    """Go on with the transcript by a whole command and the answer."""
    if state.t == 0:
        start_transcript(state, level, params, observation)
        return
    make_room(observation, params.longest_turn)
    write_command(state, level, observation)
    write_answer(state, level, params, observation)


@njit
def mask_words(state, level, params, observation):
    """Show which words can follow: with mask="none" all, and after words that lead nowhere the end."""
    for k in range(observation.action_mask.shape[0]):
        observation.action_mask[k] = params.free_mask and k > 0
    mark_words(observation.action_mask, state, level)
    words = 0
    for k in range(observation.action_mask.shape[0]):
        words += observation.action_mask[k]
    if words == 0:
        observation.action_mask[END] = 1


@njit
def mask_commands(state, level, params, observation):
    """Show which of the game's commands are admissible."""
    for k in range(observation.action_mask.shape[0]):
        observation.action_mask[k] = params.free_mask and k < level.num_commands
    mark_commands(observation.action_mask, state, level)


@njit
def mask_list(state, level, params, observation):
    """Show the list of admissible commands, and how long it is."""
    for k in range(observation.action_mask.shape[0]):
        observation.action_mask[k] = k < state.listed_count
        for j in range(observation.commands.shape[1]):
            word = word_at(level, state.listed[k], j) if k < state.listed_count else -1
            observation.commands[k, j] = word if word > 0 else 0


@njit
def mask_nothing(state, level, params, observation):
    """Show no mask: anything may be typed."""


@njit
def write_state(state, level, params, observation):
    """Show the typed state as numbers."""
    observation.room, observation.ending = state.room, state.ending
    observation.score, observation.turns = state.score, state.turns
    observation.free_slots, observation.used_slots = state.free_slots, state.used_slots
    observation.typed, observation.low, observation.high = state.typed, state.low, state.high
    for k in range(state.holder.shape[0]):
        observation.holder[k], observation.food[k], observation.cut[k] = state.holder[k], state.food[k], state.cut[k]
    for k in range(state.lock.shape[0]):
        observation.lock[k] = state.lock[k]


FORMS = {  # action -> reset, step, what is appended to the transcript, mask
    "tokens": (reset_game, step_word, write_word, mask_words),
    "index": (reset_game, step_index, write_turn, mask_commands),
    "admissible": (reset_listed, step_listed, write_turn, mask_list),
    "text": (reset_game, step_text, write_turn, mask_nothing),
}


@cache
def rules_for(action: str, observation: str) -> tuple[Callable, Callable, Callable]:
    """Return (reset, step, observe) for a form of action and of observation ("tokens" or "state")."""
    reset, step, write, mask = FORMS[action]
    if observation == "state":
        write = write_state

    @njit
    def observe(state, level, params, observation):
        write(state, level, params, observation)
        mask(state, level, params, observation)

    return reset, step, observe
