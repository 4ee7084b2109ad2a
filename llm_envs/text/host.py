"""What a game's string form tells beside the observation: texts, admissible commands, score and facts, as strings."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from llm_envs.jit import cached, plain_python, specialise
from llm_envs.text.compiling import Book, Pool
from llm_envs.text.forms import mark_commands, pack
from llm_envs.text.layout import GO, LOST, NONE, TAKE, WON
from llm_envs.text.moving import is_visible
from llm_envs.text.parser import parse
from llm_envs.text.pieces import GLUE, PROMPT
from llm_envs.text.quests import holds
from llm_envs.text.telling import say_description, say_inventory, tell_start, tell_turn
from llm_envs.vocabulary import END
from llm_envs.world import record

SHEETS = FEEDBACK, DESCRIPTION, INVENTORY = range(3)


def survey(states, row, levels, sheets, mask, order, commands, conditions, facts):
    """Write a row's feedback, description and inventory, and list its admissible commands and the facts that hold.

    `order` is each command's number, sorted as strings; `commands` and `facts` get places in the sorted tables.
    Returns how many there are of each.
    """
    state, level = states[row], levels[states[row].level]
    for k in range(sheets.shape[0]):
        sheets[k].length = 0
    if state.t == 0:
        tell_start(state, level, sheets[0], 0)
    else:
        tell_turn(state, level, sheets[0], 0)
    say_description(state, level, sheets[1])
    say_inventory(state, level, sheets[2])
    for k in range(mask.shape[0]):
        mask[k] = 0
    mark_commands(mask, state, level)
    found = 0
    for k in range(order.shape[0]):
        commands[found] = k
        found += mask[order[k]]
    true = 0
    for k in range(conditions.shape[0]):
        facts[true] = k
        true += holds(state, conditions[k, 0], conditions[k, 1], conditions[k, 2])
    return found, true


def applies(states, row, levels, number):
    """Say whether the things that a command names are where it says, so that its words mean nothing else."""
    state, level = states[row], levels[states[row].level]
    verb, x, y = level.commands[number]
    if verb == TAKE and y != NONE and state.holder[x] != level.rooms + y - level.portables:
        return False
    return (verb == GO or x == NONE or is_visible(state, level, x)) and (y == NONE or is_visible(state, level, y))


@cache
def compiled() -> tuple[Any, Any]:
    """Return `survey` and `applies`, compiled when first needed."""
    return specialise(survey, cached()), specialise(applies, cached())


class Host:
    """The strings of a pool of games; `facts`: tell them too."""

    def __init__(self, pool: Pool, longest_turn: int, facts: bool) -> None:
        self.pool, self.with_facts = pool, facts
        window = (1 << (longest_turn - 1).bit_length(),)  # few sizes, since each is compiled anew
        kind = record(tokens=(np.int32, window), length=np.int32, token_mask=(np.int8, window))
        sheets = np.zeros(len(SHEETS), kind)
        self.tokens, self.lengths = sheets["tokens"], sheets["length"]
        self.sheets = sheets.view(np.recarray) if plain_python() else sheets
        self.mask, self.commands = np.zeros(pool.size.commands, np.int8), np.zeros(pool.size.commands + 1, np.int16)
        most = max(len(book.facts) for book in pool.books.values())
        self.facts, self.none = np.zeros(most + 1, np.int16), np.zeros((0, 3), np.uint8)
        self.numbers = {key: plain_commands(book) for key, book in pool.books.items()}
        self.survey, self.applies = compiled()
        self.spoken = spoken(pool.vocabulary.pieces)
        self.read, self.told = b"", ""  # the transcript decoded last: its tokens, and their text

    def key_of(self, batch: Any, row: int) -> int:
        """Return the key of the game that a row plays."""
        states, levels = batch.records
        return int(levels[states[row]["level"]]["key"])

    def info(self, batch: Any, row: int) -> dict[str, Any]:
        """Return what TextWorld tells of a state, under TextWorld's names."""
        states, levels = batch.records
        book = self.pool.books[self.key_of(batch, row)]
        conditions = book.conditions if self.with_facts else self.none
        found, true = self.survey(
            states, row, levels, self.sheets, self.mask, book.order, self.commands, conditions, self.facts
        )
        state, names = states[row], book.commands
        ending = state["ending"]
        told = {
            "feedback": self.text(FEEDBACK),
            "description": self.text(DESCRIPTION),
            "inventory": self.text(INVENTORY),
            "admissible_commands": [names[k] for k in self.commands[:found].tolist()],
            "score": int(state["score"]),
            "max_score": book.max_score,
            "won": bool(ending == WON),
            "lost": bool(ending == LOST),
        }
        if self.with_facts:
            names = book.facts
            told["facts"] = [names[k] for k in self.facts[:true].tolist()]
        return told

    def text(self, sheet: int) -> str:
        """Return a text that `survey` wrote."""
        return self.say(self.tokens[sheet, : self.lengths[sheet]]).lstrip()

    def say(self, tokens: np.ndarray) -> str:
        """Return tokens as a text that begins with white space."""
        text = "".join([self.spoken[token] for token in tokens.tolist()])
        return text.replace(" =- ", " =-\n").replace(". -= ", ".\n-= ")

    def parse(self, text: str, batch: Any, row: int) -> int:
        """Return what a typed command means in a row's state, packed for `forms.step_text`."""
        key = self.key_of(batch, row)
        number = self.numbers[key].get(text)
        states, levels = batch.records
        level = levels[int(states[row]["level"])]
        if number is not None and self.applies(states, row, levels, number):
            verb, x, y = level["commands"][number].tolist()
            return pack(verb, x, y, number=number)
        found = parse(text, self.pool.books[key], states[row], level)
        return pack(*found, number=self._number(level, found.verb, found.x, found.y))

    @staticmethod
    def _number(level: Any, verb: int, x: int, y: int) -> int:
        """Return the number of the game's command of this meaning, -1 where it has none."""
        same = np.flatnonzero((level["commands"][: level["num_commands"]] == (verb, x, y)).all(1))
        return int(same[0]) if len(same) else -1

    def decode(self, obs: Mapping[str, np.ndarray]) -> str:
        """Return a transcript as a text to read, a line for each command.

        What was decoded last is not decoded again where the transcript goes on from it.
        """
        tokens, length = obs["tokens"][: int(obs["length"][0])].tobytes(), int(obs["length"][0])
        if not tokens.startswith(self.read):
            self.read, self.told = b"", ""
        at, mask = len(self.read) // 4, obs["token_mask"][:length].tobytes()
        while at < length:
            typed = mask[at]
            end = mask.find(1 - typed, at)
            end = length if end < 0 else end
            part = self.say(obs["tokens"][at:end])
            self.told += part if typed or at == 0 or not mask[at - 1] else "\n" + part.lstrip()
            at = end
        self.read = tokens
        return self.told.removesuffix(PROMPT).strip()


def spoken(pieces: Sequence[str]) -> list[str]:
    """Return each piece as it is said after others: with a space before it, or without, or on a new line; no <end>."""
    said = [piece.removeprefix(GLUE) if piece.startswith(GLUE) else f" {piece}" for piece in pieces]
    said[END], said[pieces.index(PROMPT)] = "", "\n" + PROMPT
    return said


def plain_commands(book: Book) -> dict[str, int]:
    """Return the commands that need no parser, by text: those whose names are part of no other name in the game."""
    game, ids = book.game, list(book.numbers.things)
    names = [f" {name.lower()} " for one in ids for name in (game.things[one].name, *game.things[one].synonyms)]
    doubtful = {
        k for k, one in enumerate(ids) if sum(f" {game.things[one].name.lower()} " in name for name in names) > 1
    }
    plain = {}
    for text, number in zip(book.commands, book.order.tolist(), strict=True):
        verb, *things = book.meanings[number]
        if verb == GO or doubtful.isdisjoint(things):
            plain[text] = number
    return plain
