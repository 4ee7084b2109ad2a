"""A game's turn: begin a game, carry out a command. The verbs are in `verbs` and `preparing`, the goals in `quests`."""

import numpy as np
from numba import njit

from llm_envs.text.language import replies
from llm_envs.text.records.codes import (
    CHOP,
    CHOPPED,
    CLOSING,
    COOK,
    DICE,
    DICED,
    DRINK,
    DROP,
    EAT,
    EXAMINE,
    GO,
    INSERT,
    INVENTORY,
    LOCKING,
    LOST,
    NONE,
    OPENING,
    PLAYING,
    PREPARE,
    PUT,
    SLICE,
    SLICED,
    TAKE,
    UNLOCKING,
    VERBS,
    WON,
)
from llm_envs.text.rules.cooking import cook, cut_it, prepare
from llm_envs.text.rules.quests import end_turn
from llm_envs.text.rules.verbs import close_it, drink, drop, eat, go, insert, open_it, put, take, turn_key
from llm_envs.text.rules.visibility import is_visible

ALL_QUESTS = np.uint64(0xFFFFFFFFFFFFFFFF)


@njit
def begin_game(state, level):
    """Set the state to the game's start. What quests ask for may be so already: it scores, but no step gains it."""
    state.done_quests = np.uint64(0)
    state.to_test = ALL_QUESTS
    state.score, state.turns, state.gain = 0, 0, 0
    state.low, state.high, state.typed, state.word = 0, level.num_commands, 0, 0
    state.reply_pending, state.reply, state.inferred = 1, replies.DESCRIPTION, 0
    state.x, state.y, state.z = NONE, NONE, NONE
    state.ending = PLAYING
    state.room, state.free_slots, state.used_slots = level.start_room, level.start_free, level.start_used
    for k in range(state.holder.shape[0]):
        state.holder[k] = level.start_holder[k]
        state.after[k] = level.start_after[k]
        state.food[k] = level.start_food[k]
        state.cut[k] = level.start_cut[k]
    for k in range(state.first.shape[0]):
        state.first[k] = level.start_first[k]
    for k in range(state.lock.shape[0]):
        state.lock[k] = level.start_lock[k]
    end_turn(state, level)
    state.gain = 0


@njit
def take_turn(state, level, verb, x, y, signals):
    """Carry out a command, or refuse it, and return whether the game is over.

    `verb` from VERBS on is no verb but the number of a reply, VERBS + number: what the parser answers.
    """
    state.x, state.y, state.z, state.inferred = x, y, NONE, 0
    state.gain = 0
    if verb >= VERBS:
        state.reply = verb - VERBS
    elif (verb != GO and x != NONE and not is_visible(state, level, x)) or (
        y != NONE and not is_visible(state, level, y)
    ):
        state.reply = replies.CANT_SEE
    else:
        state.reply = carry_out(state, level, verb, x, y)
    if state.reply >= replies.FIRST_REFUSAL:
        signals.invalid = 1.0
    if state.reply < replies.FIRST_PARSER:
        state.turns += 1
        signals.turn = 1.0
        end_turn(state, level)
    signals.score = 0 if state.ending == LOST else state.gain
    signals.win = state.ending == WON
    signals.lose = state.ending == LOST
    return state.ending != PLAYING


@njit
def carry_out(state, level, verb, x, y):
    """Do what a verb says to things that the player can see, and return the number of the reply."""
    reply = replies.DESCRIPTION  # LOOK
    if verb == GO:
        reply = go(state, level, x)
    elif verb == TAKE:
        reply = take(state, level, x, y)
    elif verb == DROP:
        reply = drop(state, level, x)
    elif verb == PUT:
        reply = put(state, level, x, y)
    elif verb == INSERT:
        reply = insert(state, level, x, y)
    elif verb == OPENING:
        reply = open_it(state, level, x)
    elif verb == CLOSING:
        reply = close_it(state, level, x)
    elif verb == LOCKING:
        reply = turn_key(state, level, x, y, True)
    elif verb == UNLOCKING:
        reply = turn_key(state, level, x, y, False)
    elif verb == EAT:
        reply = eat(state, level, x)
    elif verb == DRINK:
        reply = drink(state, level, x)
    elif verb == SLICE:
        reply = cut_it(state, level, x, y, SLICED)
    elif verb == DICE:
        reply = cut_it(state, level, x, y, DICED)
    elif verb == CHOP:
        reply = cut_it(state, level, x, y, CHOPPED)
    elif verb == COOK:
        reply = cook(state, level, x, y)
    elif verb == PREPARE:
        reply = prepare(state, level)
    elif verb == INVENTORY:
        reply = replies.CARRYING
    elif verb == EXAMINE:
        reply = replies.EXAMINED
    return reply
