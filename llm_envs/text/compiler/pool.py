"""Compiles games into levels: every table of `layout.level_kind`, and the names that only the host needs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from llm_envs.text.compiler.commands import Command, all_commands, ordinals, strides
from llm_envs.text.compiler.conditions import Conditions, fact_text
from llm_envs.text.compiler.tables import write_level
from llm_envs.text.compiler.texts import Texts
from llm_envs.text.language.pieces import Vocabulary, split
from llm_envs.text.model.game import Game
from llm_envs.text.parser.grammar import LONGEST, MOST_WORDS, UNNAMING, cut_off
from llm_envs.text.records.codes import GO, NONE, VERBS
from llm_envs.text.records.numbering import Numbers, number
from llm_envs.text.records.state import Size, level_kind, size_for


class Plan:
    """All that is known of a game before the pool's size and vocabulary are."""

    def __init__(self, game: Game) -> None:
        numbers = number(game)
        groups = ordinals(game, numbers)
        self.game, self.groups = game, groups
        self.commands: list[Command] = sorted(all_commands(game, numbers, groups), key=lambda one: split(one[0]))
        texts = [command[0] for command in self.commands]
        if len(set(texts)) < len(texts):
            double = next(text for text in texts if texts.count(text) > 1)
            raise ValueError(f"{game.name}: the command {double!r} has two meanings; names must differ")
        self.numbers = replace(numbers, commands=texts)
        self.strides = strides(groups, numbers)
        self.conditions = Conditions(game, self.numbers)
        self.first_rank = self._first_ranks()
        self.texts = Texts(game, self.numbers)

    def _first_ranks(self) -> list[int]:
        """Return where the ranks of each verb begin, and at last how many there are."""
        starts, spans = [0], [0] * VERBS
        for _, verb, x, _, _ in self.commands:
            spans[verb] = max(spans[verb], ((0 if x == NONE else x) + 1) * self.strides.get(verb, 1))
        for span in spans:
            starts.append(starts[-1] + span)
        return starts

    def needs(self) -> dict[str, int]:
        """Return how much of everything the level needs."""
        game, numbers = self.game, self.numbers
        events = [event for quest in game.quests for event in (*quest.fail, *quest.win)]
        return {
            "rooms": len(numbers.rooms),
            "fixed": len(numbers.fixed),
            "portables": len(numbers.portables),
            "doors": len(numbers.doors),
            "quests": len(game.quests),
            "events": len(events),
            "conditions": sum(map(len, events)),
            "commands": max(len(self.commands), self.first_rank[-1]),
            **self.texts.needs,
        }


@dataclass(frozen=True)
class Book:
    """What the host knows of a compiled game: the strings that stand behind its numbers."""

    game: Game
    numbers: Numbers
    commands: list[str]  # sorted as strings
    order: np.ndarray  # number of each of these
    meanings: list[tuple[int, int, int]]  # (verb, x, y) of each number
    facts: list[str]  # sorted: every fact that can hold
    conditions: np.ndarray  # (facts, 3) uint8: when it does

    @cached_property
    def plain(self) -> dict[str, int]:
        """The numbers of commands that need no parser, by text: no other thing has all the words of their names."""
        things = [self.game.things[one] for one in self.numbers.things]
        names = [words_of(thing.name) for thing in things]
        known = [words_of(thing.name, *thing.synonyms) for thing in things]
        doubtful = {k for k, name in enumerate(names) if any(name <= words for j, words in enumerate(known) if j != k)}
        plain = {}
        for text, k in zip(self.commands, self.order.tolist(), strict=True):
            verb, *named = self.meanings[k]
            if verb == GO or (doubtful.isdisjoint(named) and len(text) <= LONGEST and text.count(" ") < MOST_WORDS):
                plain[text] = k
        return plain


def words_of(*names: str) -> set[str]:
    """Return what the parser knows of the words of names."""
    return {cut_off(word) for name in names for word in name.lower().split()} - set(UNNAMING)


@dataclass(frozen=True)
class Pool:
    """Compiled games of one layout."""

    levels: np.ndarray  # (M,) records of `level_kind(size)`
    size: Size
    vocabulary: Vocabulary
    books: dict[int, Book]  # by level.key


def compile_games(games: Sequence[Game]) -> Pool:
    """Compile games into levels of one layout and one vocabulary.

    Raises:
        ValueError: there are none, or one exceeds the layout's limits; says which, in what and by how much.
    """
    if not games:
        raise ValueError("games is empty; at least one game is needed")
    plans = [Plan(game) for game in games]
    size = size_for([(plan.game.name, plan.needs()) for plan in plans])
    vocabulary = Vocabulary(piece for plan in plans for piece in plan.texts.pieces)
    levels = np.zeros(len(games), level_kind(size))
    books = {}
    for level, plan in zip(levels, plans, strict=True):
        write_level(level, plan)
        plan.texts.write(level, vocabulary)
        if int(level["key"]) not in books:
            books[int(level["key"])] = make_book(plan)
    return Pool(levels, size, vocabulary, books)


def make_book(plan: Plan) -> Book:
    """Return the host's names for a game."""
    texts = [command[0] for command in plan.commands]
    order = sorted(range(len(texts)), key=texts.__getitem__)
    able = {fact_text(fact, plan.game): plan.conditions.of(fact) for fact in plan.conditions.changing()}
    for fact in plan.game.facts:
        able.setdefault(fact_text(fact, plan.game), plan.conditions.of(fact))
    facts = sorted(able)
    return Book(
        plan.game,
        plan.numbers,
        [texts[k] for k in order],
        np.array(order),
        [command[1:4] for command in plan.commands],
        facts,
        np.array([able[fact] for fact in facts], np.uint8).reshape(-1, 3),
    )
