"""A game's string form: what it adds to `info` (texts, admissible commands, score, facts), and typed commands."""

from functools import cache
from typing import Any

import numpy as np

from llm_envs.engine.jit import cached, plain_python, specialise
from llm_envs.text.compiler.pool import Pool
from llm_envs.text.compiler.symbols import SymbolTable
from llm_envs.text.interface.masks import mark_commands
from llm_envs.text.language.render import render_description, render_inventory, render_start, render_turn
from llm_envs.text.language.slots import endless, most_points
from llm_envs.text.language.turn_length import longest_turn
from llm_envs.text.parser.parser import parse
from llm_envs.text.records import codes
from llm_envs.text.rules.quests import holds
from llm_envs.text.rules.visibility import is_visible
from llm_envs.validation import power_of_two
from llm_envs.world import Row, record

BUFFERS = FEEDBACK, DESCRIPTION, INVENTORY = range(3)  # the texts that `inspect` writes


def inspect(states, levels, buffers, mask, order, commands, conditions, facts):
    """Write a row's feedback, description and inventory, and list its admissible commands and the facts that hold.

    `order` is each command's number, sorted as strings; `commands` and `facts` get places in the sorted tables.
    Returns how many there are of each, the score, the ending, and the most points: -1 where the score has no end.
    """
    state, level = states[0], levels[0]
    game = state.game
    for k in range(buffers.shape[0]):
        buffers[k].length = 0
    if state.t == 0:
        render_start(game, level, buffers[FEEDBACK], 0)
    else:
        render_turn(game, level, buffers[FEEDBACK], 0)
    render_description(game, level, buffers[DESCRIPTION])
    render_inventory(game, level, buffers[INVENTORY])
    for k in range(mask.shape[0]):
        mask[k] = 0
    mark_commands(mask, game, level)
    # Each number is written, and kept if the next one does not overwrite it: no branch. Hence one entry to spare.
    found = 0
    for k in range(order.shape[0]):
        commands[found] = k
        found += mask[order[k]]
    true = 0
    for k in range(conditions.shape[0]):
        facts[true] = k
        true += holds(game, conditions[k, 0], conditions[k, 1], conditions[k, 2])
    return found, true, game.score, game.ending, -1 if endless(level) else most_points(level)


def applies(states, levels, number):
    """Return whether the things that a command names are where it says, so that its words mean nothing else."""
    game, level = states[0].game, levels[0]
    verb, x, y = level.commands[number]
    # "take lamp from chest" with the lamp elsewhere is a question for the parser: it may mean another lamp.
    if verb == codes.TAKE and y != codes.NONE and game.holder[x] != level.rooms + y - level.portables:
        return False
    # GO's x is a direction.
    return (verb == codes.GO or x == codes.NONE or is_visible(game, level, x)) and (
        y == codes.NONE or is_visible(game, level, y)
    )


@cache
def compiled() -> tuple[Any, Any]:
    """Return `inspect` and `applies`, compiled when first needed."""
    return specialise(inspect, cached()), specialise(applies, cached())


class StringInterface:
    """The strings of a pool of games; with `facts`, `info` has those that hold."""

    def __init__(self, pool: Pool, facts: bool) -> None:
        self.pool, self.with_facts = pool, facts
        # A buffer holds the longest turn of the pool; a power of two, so that pools of like games share compiled code.
        window = (power_of_two(longest_turn(pool.levels)),)
        kind = record(tokens=(np.int32, window), length=np.int32, token_mask=(np.int8, window))
        buffers = np.zeros(len(BUFFERS), kind)
        self.tokens, self.lengths = buffers["tokens"], buffers["length"]
        # Without the compiler, rules read fields as attributes, which only a recarray has.
        self.buffers = buffers.view(np.recarray) if plain_python() else buffers
        self.mask, self.commands = np.zeros(pool.size.commands, np.int8), np.zeros(pool.size.commands + 1, np.int16)
        most = max(len(symbols.facts) for symbols in pool.symbols.values())
        # Also one entry to spare. `none`: no conditions to test, where no facts are asked for.
        self.facts, self.none = np.zeros(most + 1, np.int16), np.zeros((0, 3), np.uint8)
        self.inspect, self.applies = compiled()

    def symbols(self, row: Row) -> SymbolTable:
        """Return the names of the game that a row plays."""
        return self.pool.symbols[int(row.arrays[1]["key"][0])]

    def info(self, row: Row) -> dict[str, Any]:
        """Return what TextWorld's interpreter returns of a state, under TextWorld's names."""
        symbols = self.symbols(row)
        conditions = symbols.conditions if self.with_facts else self.none
        found, true, score, ending, most = self.inspect(
            *row.arrays, self.buffers, self.mask, symbols.order, self.commands, conditions, self.facts
        )
        names = symbols.commands
        info = {
            "feedback": self.text(FEEDBACK),
            "description": self.text(DESCRIPTION),
            "inventory": self.text(INVENTORY),
            "admissible_commands": [names[k] for k in self.commands[:found].tolist()],
            # Python's own numbers and truth values, as TextWorld gives them.
            "score": int(score),
            "max_score": float("inf") if most < 0 else int(most),
            "won": bool(ending == codes.WON),
            "lost": bool(ending == codes.LOST),
        }
        if self.with_facts:
            info["facts"] = [symbols.facts[k] for k in self.facts[:true].tolist()]
        return info

    def text(self, buffer: int) -> str:
        """Return a text that `inspect` wrote."""
        return self.pool.vocabulary.decode(self.tokens[buffer, : self.lengths[buffer]].tolist())

    def parse(self, text: str, row: Row) -> tuple[int, ...]:
        """Return what a typed command means in a row's state, as `typed_actions.COMMAND` has it."""
        symbols = self.symbols(row)
        # The common case, a command of the table, needs no parser: most agents choose from admissible_commands.
        number = symbols.unambiguous.get(text)
        if number is not None and self.applies(*row.arrays, number):
            return (number, *row.arrays[1]["commands"][0, number].tolist(), codes.NONE, 0)
        level = row.level
        found = parse(text, symbols, row.state["game"], level)
        # Other words may mean a command of the table ("get lamp"); the transcript then has its usual words.
        same = np.flatnonzero((level["commands"][: level["num_commands"]] == found[:3]).all(1))
        return (int(same[0]) if len(same) else -1, *found)
