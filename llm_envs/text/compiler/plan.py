"""A game before the pool's size and vocabulary are known: its numbers, commands, conditions and texts."""

from dataclasses import replace

from llm_envs.text.compiler.commands import Command, all_commands, groups_of, strides
from llm_envs.text.compiler.conditions import Conditions
from llm_envs.text.compiler.texts import Texts
from llm_envs.text.language.pieces import split
from llm_envs.text.model.game import Game
from llm_envs.text.records import codes
from llm_envs.text.records.numbering import number


class Plan:
    """All that is known of a game before the pool's size and vocabulary are."""

    def __init__(self, game: Game) -> None:
        numbers = number(game)
        groups = groups_of(game, numbers)
        self.game, self.groups = game, groups
        # By words, not letters: the commands that begin with the words typed so far are then next to each other.
        self.commands: list[Command] = sorted(all_commands(game, numbers, groups), key=lambda one: split(one.text))
        # Two things whose names overlap with prepositions can give one text two meanings.
        texts = [command.text for command in self.commands]
        if len(set(texts)) < len(texts):
            double = next(text for text in texts if texts.count(text) > 1)
            raise ValueError(f"{game.name}: the command {double!r} has two meanings; names must differ")
        # Texts need the numbers of commands, which are known only after sorting.
        self.numbers = replace(numbers, commands=texts)
        self.strides = strides(groups)
        self.conditions = Conditions(game, self.numbers)
        self.first_rank = self._first_ranks()
        self.texts = Texts(game, self.numbers)

    def _first_ranks(self) -> list[int]:
        """Return where the ranks of each verb begin, and at last how many there are."""
        starts, spans = [0], [0] * codes.VERBS
        for _, verb, x, _, _ in self.commands:
            # Rank: first_rank[verb] + x * stride + ordinal. A verb takes as many as its largest x needs.
            spans[verb] = max(spans[verb], ((0 if x == codes.NONE else x) + 1) * self.strides[verb])
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
            # `commands` and `ranks` share one size, though there are more ranks than commands: gaps are -1.
            "commands": max(len(self.commands), self.first_rank[-1]),
            **self.texts.needs,
        }
