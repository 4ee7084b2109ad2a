"""Solves games: finds a short list of commands that wins, and says whether none is shorter.

A list wins when the game ends won: when all required quests are done. Optional quests are ignored, whatever they score.
The search is A* over typed states (llm_envs.text.solver.search) with an admissible heuristic, a lower bound on the
commands left (llm_envs.text.solver.lower_bound), and leaves out only what cannot shorten a list
(llm_envs.text.solver.relevance): a list that it finds within its limit is a shortest one. Past the limit weighted
searches follow, which trust the heuristic more and more; what they find wins, and may be longer than need be.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from llm_envs.engine.jit import cached, plain_python, specialise
from llm_envs.text.compiler.plan import Plan
from llm_envs.text.compiler.tables import write_level
from llm_envs.text.model.game import Game
from llm_envs.text.model.validation import check
from llm_envs.text.records import codes
from llm_envs.text.records.state import Size, game_kind, level_kind
from llm_envs.text.rules.turn import begin_game
from llm_envs.text.solver.prepare import prepare
from llm_envs.text.solver.search import Tables, find
from llm_envs.text.solver.shortest_walk import FAR
from llm_envs.text.solver.workspace import ENTRY, LARGEST, NODE, SUBGOALS, WORKSPACE
from llm_envs.validation import check_range
from llm_envs.world import record

SIGNALS = record(score=np.float32, win=np.float32, lose=np.float32, turn=np.float32, invalid=np.float32)
# Weights of the steps so far and of the lower bound on those left, one search after the other: A*, weighted A* with
# weights 1.5 and 3, and greedy best-first search.
WEIGHTS = ((1, 1), (2, 3), (1, 3), (0, 1))
CAPACITY = 1024  # nodes and queue entries at first; a power of two
LEVEL, STATE = level_kind(LARGEST), game_kind(LARGEST)


@dataclass(frozen=True)
class Solution:
    """A list of commands that wins a game."""

    commands: tuple[str, ...]
    score: int
    optimal: bool  # no list is shorter
    expanded: int  # states whose successors the searches looked at


def solve(game: Game, *, limit: int = 1_000_000) -> Solution | None:
    """Return commands that win a game from its start, or None if there are none or they were not found.

    Args:
        game: the game.
        limit: the most states that one search may expand; there are at most four, each greedier than the one before.

    Raises:
        ValueError: `limit` is out of range, or the game is not sound or does not fit into the largest layout.
    """
    check(game, playable=False)  # whether it can be won is the question here
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
        level: a compiled game, (1,) of `records.state.level_kind(size)`.
        size: its layout.
        state: from where to win, (1,) of `records.state.game_kind(size)`; by default the game's start.
        limit: as of `solve`.

    Raises:
        ValueError: `level` or `state` is not one record, `level` is of another layout, or `limit` is out of range.
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
    """Return what `solve_level` does and the score in the end; None if no win is found. All of the layout LARGEST."""
    check_range("limit", limit, 1, 2**30)
    ending = int(state["ending"][0])
    if ending != codes.PLAYING:
        return ([], True, 0, int(state["score"][0])) if ending == codes.WON else None
    static = prepare(level.view(np.recarray)[0], state.view(np.recarray)[0])
    if static is None:
        return None
    states = np.zeros(3, STATE)
    states[0] = state[0]
    buffers = np.zeros(1, SUBGOALS), np.zeros(1, WORKSPACE), np.zeros(1, SIGNALS)
    records = [attributed(one) for one in (level, static, *buffers, states)]
    expanded = least = 0
    for weights in WEIGHTS:
        with np.errstate(over="ignore"):  # hashes may overflow where the rules run as plain Python
            numbers, count, bound = finder()(*records, empty_tables(static), weights, limit)
        expanded += count
        least = bound if weights == WEIGHTS[0] else least
        if len(numbers):
            if states["ending"][1] != codes.WON:
                raise RuntimeError("the commands that were found do not win; please report this game")
            return numbers.tolist(), bool(len(numbers) <= least), expanded, int(states["score"][1])
        if bound == FAR:  # every state has been looked at
            return None
    return None


def attributed(array: np.ndarray) -> np.ndarray:
    """Return an array of records that give their fields as attributes, as compiled ones always do."""
    return array.view(np.recarray) if plain_python() else array


def empty_tables(static: np.ndarray) -> Tables:
    """Return the tables of a search that has not begun."""
    return Tables(
        keys=np.empty((CAPACITY, int(static["code_length"][0])), np.uint8),
        nodes=attributed(np.empty(CAPACITY, NODE)),
        slots=np.zeros(2 * CAPACITY, np.int32),
        queue=attributed(np.empty(CAPACITY, ENTRY)),
    )


@cache
def finder() -> Any:
    """Return the compiled `find`; compiling takes half a minute, once a machine."""
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
