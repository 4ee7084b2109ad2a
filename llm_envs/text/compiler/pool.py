"""Compiles games into a pool: levels of one size and one vocabulary, and their symbol tables."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from llm_envs.text.compiler.plan import Plan
from llm_envs.text.compiler.symbols import SymbolTable, symbols_of
from llm_envs.text.compiler.tables import write_level
from llm_envs.text.language.pieces import Vocabulary
from llm_envs.text.model.game import Game
from llm_envs.text.records.state import Size, level_kind, size_for


@dataclass(frozen=True)
class Pool:
    """Compiled games of one size and one vocabulary."""

    levels: np.ndarray  # (M,) records of `level_kind(size)`
    size: Size
    vocabulary: Vocabulary
    symbols: dict[int, SymbolTable]  # by level.key


def compile_games(games: Sequence[Game]) -> Pool:
    """Compile games into levels of one size and one vocabulary; games of equal content share a symbol table.

    Raises:
        ValueError: there are none, or one exceeds the largest size; names the game, what exceeds, and by how much.
    """
    if not games:
        raise ValueError("games is empty; at least one game is needed")
    # Two passes: no level can be written before the largest needs and all words are known.
    plans = [Plan(game) for game in games]
    size = size_for([(plan.game.name, plan.needs()) for plan in plans])
    vocabulary = Vocabulary(piece for plan in plans for piece in plan.texts.pieces)
    levels = np.zeros(len(games), level_kind(size))
    symbols = {}
    for level, plan in zip(levels, plans, strict=True):
        write_level(level, plan)
        plan.texts.write(level, vocabulary)
        # The key is a hash of what a level is made from, so equal levels have equal names.
        if int(level["key"]) not in symbols:
            symbols[int(level["key"])] = symbols_of(plan)
    return Pool(levels, size, vocabulary, symbols)
