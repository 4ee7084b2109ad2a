"""A game's turn: begin a game, carry out a command. `table` lists the verbs and their rules, `quests` has the goals."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numba import njit

from llm_envs.text.language import replies
from llm_envs.text.records import codes
from llm_envs.text.rules.quests import end_turn
from llm_envs.text.rules.table import VERBS, Verb
from llm_envs.text.rules.visibility import is_visible

ALL_QUESTS = np.uint64(0xFFFFFFFFFFFFFFFF)


def dispatcher(verbs: Sequence[Verb]) -> Callable:
    """Return carry_out(state, level, verb, x, y), which applies a verb's rule to things that the player can see.

    It returns the number of the reply. Numba cannot index a tuple of functions of different types, and a chain of
    closures is optimised again at each link; so the comparisons are written out, one for each row of the table.
    """
    rules: dict[str, Any] = {"__name__": __name__}
    lines = ["def carry_out(state, level, verb, x, y):"]
    for verb in verbs:
        result = str(verb.rule)
        if callable(verb.rule):
            rule, constants = getattr(verb.rule, "func", verb.rule), getattr(verb.rule, "keywords", {})
            names = inspect.signature(getattr(rule, "py_func", rule)).parameters
            result = f"{rule.__name__}({', '.join(str(constants.get(name, name)) for name in names)})"
            rules[rule.__name__] = rule
        lines += [f"    if verb == {verb.code}:", f"        return {result}"]
    lines.append(f"    return {replies.DESCRIPTION}")  # never reached, but Numba must see a number on every way out
    exec("\n".join(lines), rules)
    return njit(rules["carry_out"])


carry_out = dispatcher(VERBS)


@njit
def begin_game(state, level):
    """Set the state to the game's start. What quests ask for may be so already: it scores, but no step gains it."""
    state.done_quests = np.uint64(0)
    state.to_test = ALL_QUESTS
    state.score, state.turns, state.gain = 0, 0, 0
    state.reply, state.inferred = replies.DESCRIPTION, 0
    state.x, state.y, state.z = codes.NONE, codes.NONE, codes.NONE
    state.ending = codes.PLAYING
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
    state.x, state.y, state.z, state.inferred = x, y, codes.NONE, 0
    state.gain = 0
    if verb >= codes.VERBS:
        state.reply = verb - codes.VERBS
    # GO's x is a direction.
    elif (verb != codes.GO and x != codes.NONE and not is_visible(state, level, x)) or (
        y != codes.NONE and not is_visible(state, level, y)
    ):
        state.reply = replies.CANT_SEE
    else:
        state.reply = carry_out(state, level, verb, x, y)
    if state.reply >= replies.FIRST_REFUSAL:
        signals.invalid = 1.0
    # What was not understood costs no turn, and no quest is tested.
    if state.reply < replies.FIRST_PARSER:
        state.turns += 1
        signals.turn = 1.0
        end_turn(state, level)
    signals.score = 0 if state.ending == codes.LOST else state.gain
    signals.win = state.ending == codes.WON
    signals.lose = state.ending == codes.LOST
    return state.ending != codes.PLAYING
