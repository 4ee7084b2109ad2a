"""Solves games: finds a short list of commands that wins, and says whether none is shorter.

A list wins when the game ends won: when all quests are done that must be. Optional quests are left aside, whatever they
score. The search is A* over typed states with a lower bound on the commands left (llm_envs.text.solver.lower_bound),
and leaves out only what cannot shorten a list (llm_envs.text.solver.relevance): a list that it finds within its limit
is a shortest one. Past the limit hastier searches follow, in which the bound weighs more; what they find wins, and may
be longer than need be.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from llm_envs.engine.jit import cached, plain_python, specialise
from llm_envs.text.compiler.plan import Plan
from llm_envs.text.compiler.tables import write_level
from llm_envs.text.model.game import Game
from llm_envs.text.records.codes import PLAYING, WON
from llm_envs.text.records.state import Size, level_kind, state_kind
from llm_envs.text.rules.turn import begin_game
from llm_envs.text.solver.prepare import lay_desk
from llm_envs.text.solver.search import find
from llm_envs.text.solver.shortest_walk import FAR, REMEMBERED
from llm_envs.text.solver.workspace import LARGEST
from llm_envs.validation import check_range
from llm_envs.world import record

SIGNALS = record(score=np.float32, win=np.float32, lose=np.float32, turn=np.float32, invalid=np.float32)
HASTE = ((1, 1), (2, 3), (1, 3), (0, 1))  # weights of the steps so far and of the bound: one search after the other
LEVEL, STATE = level_kind(LARGEST), state_kind(LARGEST)


@dataclass(frozen=True)
class Solution:
    """A list of commands that wins a game."""

    commands: tuple[str, ...]
    score: int
    optimal: bool  # no list is shorter
    expanded: int  # states that the search looked at


def solve(game: Game, *, limit: int = 1_000_000) -> Solution | None:
    """Return commands that win a game from its start, or None if there are none or they were not found.

    Args:
        game: the game.
        limit: the most states that one search may expand; there are at most four, each hastier than the one before.
    """
    plan = Plan(game)
    level = np.zeros(1, LEVEL)
    write_level(level[0], plan)
    state = start_of(level)
    found = search_from(level, state, limit)
    if found is None:
        return None
    numbers, optimal, expanded, score = found
    return Solution(tuple(plan.commands[number][0] for number in numbers), score, optimal, expanded)


def solve_level(
    level: np.ndarray, size: Size, state: np.ndarray | None = None, limit: int = 1_000_000
) -> tuple[list[int], bool, int] | None:
    """Return the numbers of commands that win, whether no fewer do, and how many states were expanded; None if none do.

    Args:
        level: a compiled game, (1,) of `layout.level_kind(size)`.
        size: its layout.
        state: from where to win, (1,) of `layout.state_kind(size)`; by default the game's start.
        limit: as of `solve`.
    """
    for name, one in (("level", level), ("state", state)):
        if one is not None and one.shape != (1,):
            raise ValueError(f"{name} must be one record, an array of shape (1,), not of shape {one.shape}")
    if level.dtype != level_kind(size):
        raise ValueError("level is of another layout than size, the layout that is given with it")
    large = np.zeros(1, LEVEL)
    fit(level, large)
    start = start_of(large)
    if state is not None:
        fit(state, start)
    found = search_from(large, start, limit)
    return None if found is None else found[:3]


def search_from(level: np.ndarray, state: np.ndarray, limit: int) -> tuple[list[int], bool, int, int] | None:
    """Return numbers of commands, whether they are fewest, states expanded and the score in the end; None if lost."""
    check_range("limit", limit, 1, 2**30)
    ending = int(state["ending"][0])
    if ending != PLAYING:
        return ([], True, 0, int(state["score"][0])) if ending == WON else None
    desk = lay_desk(level.view(np.recarray)[0], state.view(np.recarray)[0])
    if desk is None:
        return None
    states, memory = np.zeros(3, STATE), np.zeros((REMEMBERED, 3), np.uint64)
    states[0] = state[0]
    records = [level, desk, states, np.zeros(1, SIGNALS)]
    if plain_python():
        records = [one.view(np.recarray) for one in records]
    expanded = least = 0
    for weights in HASTE:
        with np.errstate(over="ignore"):  # hashes may overflow where the rules run as plain Python
            numbers, count, bound = finder()(*records, memory, weights, limit)
        expanded += count
        least = bound if weights == HASTE[0] else least
        if len(numbers):
            if states["ending"][1] != WON:
                raise RuntimeError("the commands that were found do not win; please report this game")
            return numbers.tolist(), bool(len(numbers) <= least), expanded, int(states["score"][1])
        if bound == FAR:  # nothing is left to look at
            return None
    return None


@cache
def finder() -> Any:
    """Return `find`, compiled when first needed."""
    return specialise(find, cached())


def start_of(level: np.ndarray) -> np.ndarray:
    """Return the state at the start of a level, (1,)."""
    state = np.zeros(1, STATE)
    getattr(begin_game, "py_func", begin_game)(state.view(np.recarray)[0], level.view(np.recarray)[0])
    return state


def fit(source: np.ndarray, target: np.ndarray) -> None:
    """Copy the fields of a record into one that has the same fields and more space, or for texts less."""
    for name in target.dtype.names or ():
        old, new = source[name], target[name]
        part = tuple(slice(min(a, b)) for a, b in zip(old.shape, new.shape, strict=True))
        new[part] = old[part]
