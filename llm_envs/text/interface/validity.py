"""Whether a restored state is one of its level: every number that the rules use as an index has to exist there."""

from numba import njit

from llm_envs.text.interface.typed_actions import can_be_meant
from llm_envs.text.records import codes


@njit
def lists_are_whole(game, level):
    """Return whether the lists of portables lead through existing ones, each in one list only, and come to an end."""
    holders = level.rooms + level.fixed + 1
    listed = 0
    for holder in range(holders):
        portable = game.first[holder]
        while portable != codes.NONE:
            listed += 1
            # In a circle, or in two lists, more portables are listed than there are.
            if portable >= level.portables or game.holder[portable] != holder or listed > level.portables:
                return False
            portable = game.after[portable]
    for portable in range(level.portables):
        holder = game.holder[portable]
        if holder != codes.NONE:
            listed -= 1
            if holder >= holders:
                return False
    return listed == 0  # what has a holder is in that holder's list


@njit
def typing_is_valid(interface, level):
    """Return whether the words typed so far lead to commands of the level."""
    if not 0 <= interface.low <= interface.high <= level.num_commands:
        return False
    for command in range(interface.low, interface.high):  # noqa: SIM110 (numba compiles no generators)
        if interface.typed > level.command_words[command]:
            return False
    return True


@njit
def game_is_valid(state, level, params):
    """Return whether a state can be rendered and stepped in its level."""
    game = state.game
    if game.room >= level.rooms or game.ending > codes.LOST or game.turns < 0:
        return False
    for lock in range(level.fixed + level.doors):
        if game.lock[lock] > codes.AJAR:
            return False
    # A state's reply is rendered before the next step, from numbers that have to be as sound as an action's.
    reply = codes.VERBS + game.reply
    return (
        lists_are_whole(game, level)
        and typing_is_valid(state.interface, level)
        and can_be_meant(level, reply, game.x, game.y, game.z, game.inferred, -1)
    )


@njit
def listed_game_is_valid(state, level, params):
    """Return the same for a state with a list of this turn's commands."""
    choices = state.interface
    if not 0 <= choices.listed_count <= choices.listed.shape[0]:
        return False
    for k in range(choices.listed_count):
        if not 0 <= choices.listed[k] < level.num_commands:
            return False
    return game_is_valid(state, level, params)
