"""What the expert plays: the actions of a winning play, as a world's action interface takes them."""

from functools import cache
from typing import Any

import numpy as np

from llm_envs.engine.jit import cached, specialise
from llm_envs.text.compiler.pool import Pool
from llm_envs.text.compiler.symbols import SymbolTable
from llm_envs.text.interface.masks import list_now
from llm_envs.text.records.state import game_kind, interface_kind
from llm_envs.text.rules.turn import begin_game, take_turn
from llm_envs.text.solver.solve import SIGNALS, solve
from llm_envs.vocabulary import END
from llm_envs.world import Row


class Solutions:
    """Called with a row: a list of actions that wins its level, the game's own walkthrough or else the solver's."""

    def __init__(self, pool: Pool, action: str, listed: int) -> None:
        self.pool, self.action, self.listed = pool, action, listed

    def __call__(self, row: Row) -> list:
        """Return the actions; ValueError where none are found."""
        level = row.level
        symbols = self.pool.symbols[int(level["key"])]
        commands = winning_commands(symbols)
        if self.action == "text":
            return commands
        # END carries out what was typed.
        if self.action == "tokens":
            return [token for command in commands for token in (*self.pool.vocabulary.encode(command), END)]
        numbers = dict(zip(symbols.commands, symbols.order.tolist(), strict=True))
        chosen = np.array([numbers[command] for command in commands], np.int64)
        if self.action == "index":
            return chosen.tolist()
        place = np.zeros(len(chosen), np.int64)
        # `level` is one record; compiled code takes arrays of records.
        one = np.zeros(1, level.dtype)
        one[0] = level
        games, choices = np.zeros(1, game_kind(self.pool.size)), np.zeros(1, interface_kind(self.listed))
        find_places()(games, choices, one, chosen, place, np.zeros(1, SIGNALS))
        # What is not listed cannot be chosen; `play_places` has left it out as well.
        return place[place >= 0].tolist()


def winning_commands(symbols: SymbolTable) -> list[str]:
    """Return the commands that win a game: its walkthrough, if that is made of its own commands, or else the solver's.

    Raises:
        ValueError: the game has no such walkthrough, and the solver finds no way to win it.
    """
    # Walkthroughs of files may use words of the parser ("n", "get lamp"), which are no commands of the table.
    if symbols.game.walkthrough and set(symbols.commands).issuperset(symbols.game.walkthrough):
        return list(symbols.game.walkthrough)
    found = solve(symbols.game)
    if found is None:
        raise ValueError(f"{symbols.game.name}: no way to win it was found")
    return list(found.commands)


def play_places(games, choices, levels, chosen, place, signals):
    """Play commands by number, and note the place of each in its turn's list, -1 if it is not admissible."""
    game, listed, level = games[0], choices[0], levels[0]
    begin_game(game, level)
    for k in range(chosen.shape[0]):
        # Places change from turn to turn, so the game has to be played to find them.
        list_now(listed, game, level)
        place[k] = -1
        for j in range(listed.listed_count):
            if listed.listed[j] == chosen[k]:
                place[k] = j
        if place[k] >= 0:
            verb, x, y = level.commands[chosen[k]]
            take_turn(game, level, verb, x, y, signals[0])


@cache
def find_places() -> Any:
    """Return `play_places`, compiled when first needed."""
    return specialise(play_places, cached())
