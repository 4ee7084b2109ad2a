"""What the policy sees: one growing transcript, or the typed state."""

from numba import njit

from llm_envs.engine.transcript import POLICY, WORLD, append, clear, make_room
from llm_envs.text.language.render import PROMPT, render_start, render_turn
from llm_envs.vocabulary import END


@njit
def start_transcript(state, level, params, observation):
    """Write the objective and the first description."""
    clear(observation)
    render_start(state.game, level, observation, params.include_in_reply)
    append(observation, PROMPT, WORLD)


@njit
def write_command(interface, level, observation):
    """Write the command that was carried out; one that is none of the game's is written as an end."""
    # The transcript's vocabulary is closed, so a player's own words cannot be repeated in it.
    if interface.word < 0:
        append(observation, END, POLICY)
        return
    start = level.command_text[interface.word]
    for k in range(level.command_words[interface.word]):
        append(observation, level.tokens[start + k], POLICY)


@njit
def write_answer(state, level, params, observation):
    """Write the reply, the texts that it includes, and the prompt for the next command."""
    render_turn(state.game, level, observation, params.include_in_reply)
    append(observation, PROMPT, WORLD)


@njit
def write_word(state, level, params, observation):
    """Append the word that was typed and, after a whole command, the answer."""
    if state.t == 0:
        start_transcript(state, level, params, observation)
        return
    # Room for the whole answer, before anything is written: the rules that render it do not check for space.
    make_room(observation, params.longest_turn if state.interface.reply_pending else 1)
    append(observation, state.interface.word, POLICY)
    if state.interface.reply_pending:
        write_answer(state, level, params, observation)


@njit
def write_turn(state, level, params, observation):
    """Append a whole command and the answer."""
    if state.t == 0:
        start_transcript(state, level, params, observation)
        return
    # The bound includes the command itself (world.games_world).
    make_room(observation, params.longest_turn)
    write_command(state.interface, level, observation)
    write_answer(state, level, params, observation)


@njit
def write_state(state, level, params, observation):
    """Write the state as numbers, field by field."""
    game, interface = state.game, state.interface
    observation.room, observation.ending = game.room, game.ending
    observation.score, observation.turns = game.score, game.turns
    observation.free_slots, observation.used_slots = game.free_slots, game.used_slots
    observation.typed, observation.low, observation.high = interface.typed, interface.low, interface.high
    for k in range(game.holder.shape[0]):
        observation.holder[k], observation.food[k], observation.cut[k] = game.holder[k], game.food[k], game.cut[k]
    for k in range(game.lock.shape[0]):
        observation.lock[k] = game.lock[k]
