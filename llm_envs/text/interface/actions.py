"""How a policy plays a game: the rules `reset` and `step` of each action interface.

What the policy sees is one growing transcript: the objective and the first description, then, turn by turn, the
command, the reply, and what `shows` names. It is never rewritten; when a turn might not fit, its older half is dropped.

    action        what it is                            action_mask over
    "tokens"      a word of the command, or <end>       the vocabulary: words that continue an admissible command
    "index"       a command by its number               the game's commands
    "admissible"  a place in this turn's list           the list
    "text"        a typed command, see `packing`        -
"""

import numpy as np
from numba import njit

from llm_envs.text.interface.masks import list_now, word_at
from llm_envs.text.language import replies
from llm_envs.text.records import codes
from llm_envs.text.rules.turn import begin_game, take_turn
from llm_envs.vocabulary import END


@njit
def narrow(interface, level, word):
    """Keep, of the commands that begin as typed, those that continue with a word: a range again."""
    # Commands are sorted by their words (compiler.plan), so those that begin as typed are neighbours.
    # int64: variables of a loop keep one type.
    low, high = np.int64(interface.low), np.int64(interface.high)
    while low < high and word_at(level, low, interface.typed) != word:
        low += 1
    end = low
    while end < high and word_at(level, end, interface.typed) == word:
        end += 1
    interface.low, interface.high = low, end


@njit
def play(state, level, command, signals):
    """Carry out a command by its number, and begin the next one."""
    state.interface.word, state.interface.reply_pending = command, 1
    verb, x, y = level.commands[command, 0], level.commands[command, 1], level.commands[command, 2]
    return take_turn(state.game, level, verb, x, y, signals)


@njit
def step_word(state, level, params, action, signals):
    """Type a word; with <end>, carry out what was typed."""
    interface = state.interface
    interface.word, interface.reply_pending = action, 0
    # More words than any command has cannot be right; without this bound `typed`, a byte, would overflow.
    if action != END and interface.typed < params.longest_command:
        narrow(interface, level, action)
        interface.typed += 1
        return False
    # Of the commands with these words the shortest comes first: only that one can be complete.
    command, known = np.int64(interface.low), interface.low < interface.high
    complete = known and level.command_words[command] == interface.typed
    # Typing begins again, with all commands in range, before the rules see the command.
    interface.low, interface.high, interface.typed = 0, level.num_commands, 0
    if complete and action == END:
        over = play(state, level, command, signals)
    else:
        interface.reply_pending = 1
        # The beginning of a command is an incomplete sentence; any other words name nothing that there is.
        reply = replies.NO_SENSE if known else replies.CANT_SEE
        over = take_turn(state.game, level, codes.VERBS + reply, codes.NONE, codes.NONE, signals)
    # `play` has put the command's number there; the transcript needs the token.
    interface.word = action
    return over


@njit
def step_index(state, level, params, action, signals):
    """Carry out a command by its number; a number that the game does not have is not understood."""
    if action < level.num_commands:
        return play(state, level, action, signals)
    state.interface.word, state.interface.reply_pending = -1, 1
    return take_turn(state.game, level, codes.VERBS + replies.NO_SENSE, codes.NONE, codes.NONE, signals)


@njit
def step_listed(state, level, params, action, signals):
    """Carry out a command of the list."""
    # Beyond the list there is no command: num_commands is the number of none.
    choices = state.interface
    command = choices.listed[action] if action < choices.listed_count else level.num_commands
    over = step_index(state, level, params, command, signals)
    list_now(choices, state.game, level)
    return over


@njit
def begin_typing(interface, level):
    """Nothing is typed yet, so every command may follow; the first observation shows the description."""
    interface.low, interface.high, interface.typed, interface.word = 0, level.num_commands, 0, 0
    interface.reply_pending = 1


@njit
def reset_game(state, level, params):
    """Begin the game."""
    begin_game(state.game, level)
    begin_typing(state.interface, level)


@njit
def reset_listed(state, level, params):
    """Begin the game, with its first list."""
    reset_game(state, level, params)
    list_now(state.interface, state.game, level)
