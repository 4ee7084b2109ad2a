"""The names of a compiled game: the strings that stand behind its numbers, for text observations and typed commands."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from llm_envs.text.compiler.conditions import fact_text
from llm_envs.text.compiler.plan import Plan
from llm_envs.text.language.dictionary import LONGEST, MOST_WORDS, words_of
from llm_envs.text.model.game import Game
from llm_envs.text.records import codes
from llm_envs.text.records.numbering import Numbers


@dataclass(frozen=True)
class SymbolTable:
    """The strings that stand behind the numbers of a compiled game."""

    game: Game
    numbers: Numbers
    commands: list[str]  # sorted as strings
    order: np.ndarray  # number of each of these
    meanings: list[tuple[int, int, int]]  # (verb, x, y) of each number
    facts: list[str]  # sorted: every fact that can hold
    conditions: np.ndarray  # (facts, 3) uint8: when it does

    @cached_property
    def unambiguous(self) -> dict[str, int]:
        """The numbers of commands that need no parser, by text: no other thing has all the words of their names."""
        things = [self.game.things[one] for one in self.numbers.things]
        names = [words_of(thing.name) for thing in things]
        known = [words_of(thing.name, *thing.synonyms) for thing in things]
        # A name whose words are all another thing's too ("key" beside "old key") may mean either.
        doubtful = {k for k, name in enumerate(names) if any(name <= words for j, words in enumerate(known) if j != k)}
        found = {}
        for text, k in zip(self.commands, self.order.tolist(), strict=True):
            # GO's x is a direction; beyond the interpreter's line length, words would be cut off.
            verb, *named = self.meanings[k]
            if verb == codes.GO or (
                doubtful.isdisjoint(named) and len(text) <= LONGEST and text.count(" ") < MOST_WORDS
            ):
                found[text] = k
        return found


def symbols_of(plan: Plan) -> SymbolTable:
    """Return the symbol table of a game."""
    texts = [command[0] for command in plan.commands]
    order = sorted(range(len(texts)), key=texts.__getitem__)
    able = {fact_text(fact, plan.game): plan.conditions.of(fact) for fact in plan.conditions.changing()}
    # Facts of the start that never change are listed as well.
    for fact in plan.game.facts:
        able.setdefault(fact_text(fact, plan.game), plan.conditions.of(fact))
    facts = sorted(able)
    return SymbolTable(
        plan.game,
        plan.numbers,
        [texts[k] for k in order],
        np.array(order),
        [command[1:4] for command in plan.commands],
        facts,
        np.array([able[fact] for fact in facts], np.uint8).reshape(-1, 3),
    )
