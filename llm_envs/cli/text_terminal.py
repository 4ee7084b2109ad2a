"""A terminal for text games: a prompt, and beside the game's commands a few of its own, such as `hint`, `undo`, `map`.

In a pipe it reads a command a line, repeats it, and prints without colours; the end of the input ends the game.
"""

import inspect
import re
import sys
from contextlib import suppress
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

import numpy as np
from rich.console import Console
from rich.text import Text

from llm_envs.cli.text_map import draw_map, exits_of
from llm_envs.registration import find, make_batch
from llm_envs.text.compiler.pool import Pool
from llm_envs.text.compiler.symbols import SymbolTable
from llm_envs.text.language.replies import RESTART_PROMPT, TEMPLATES

OWN = {  # command -> its meaning, for `help`
    "help": "this list",
    "hint": "the next command on the way to a win from here",
    "undo": "take back the last command; undo 3: the last three",
    "map": "the rooms seen so far",
    "history": "the commands so far",
    "commands": "all that can be done now",
    "score": "points and turns",
    "restart": "begin the same game again",
    "quit": "leave; so do q and the end of the input",
}
LEAVING = ("q", "quit")
HINT_LIMIT = 300_000  # states that the solver may look at
WIDEST = 100
FEW = 10  # commands left, from which on their number is printed
STYLES = {
    r"-= .+? =-": "bold cyan",
    r"\*\*\* The End \*\*\*": "bold green",
    r"\*\*\* You lost! \*\*\*": "bold red",
    r"Your score has just gone up by .+?\.": "green",
}


def is_text_game(world_id: str) -> bool:
    """Return whether a world is one of the text games that this terminal plays."""
    # By its options: every builder of games has these four, and no other world has all of them.
    return {"observation", "action", "shows", "facts"} <= set(inspect.signature(find(world_id)).parameters)


@dataclass(frozen=True)
class Checkpoint:
    """A state of the game with its history, for `undo` to restore."""

    saved: list  # the batch's buffers
    commands: tuple[str, ...] = ()
    gains: tuple[int, ...] = ()  # points, one a command
    rooms: tuple[int, ...] = ()  # seen so far, in the order of the visits


class Terminal:
    """One player's game; `run` plays it.

    Args:
        world_id: a text game such as "Text/Cooking-v0".
        seed: decides which of the pool's games is played.
        options: of the world and its batch, such as split="test".

    Raises:
        ValueError: an id that is no text game, or an option out of range.
        TypeError: an unknown option, or one that is fixed here.
    """

    def __init__(self, world_id: str, seed: int = 0, **options: Any) -> None:
        if not is_text_game(world_id):
            raise ValueError(f"{world_id} is no text game that can be played by typed commands")
        fixed: dict[str, Any] = {"autoreset": "never", "observation": "text", "action": "text"}
        for name in (*fixed, "num_envs", "device"):
            if name in options:
                raise TypeError(f"playing in the terminal takes no option {name!r}")
        self.console = Console(markup=False, highlight=False, soft_wrap=True)
        with self.console.status("getting ready ..."):  # rules are compiled when first used
            self.batch, self.seed = make_batch(world_id, 1, **fixed, **options), seed
            self.past: list[Checkpoint] = []
            self.now = self._first()
            self.info()

    # ------------------------------------------------------------------ the loop

    def run(self) -> None:
        """Play until `quit` or the end of the input."""
        with suppress(ImportError):
            import readline  # noqa: F401  (gives input() its line history)
        self.say("Type help for the commands of this terminal.")
        self.tell()
        with suppress(EOFError, KeyboardInterrupt):
            while self.answer(self.ask()):
                pass
        self.say("\nBye.")

    def ask(self) -> str:
        """Return the next command, without white space around it."""
        if sys.stdin.isatty():
            return input("\n> ").strip()
        # A pipe may hold anything; what is repeated on the terminal must not steer it.
        line = "".join(mark if mark.isprintable() else " " for mark in input()).strip()
        self.say(f"\n> {line}")
        return line

    def answer(self, line: str) -> bool:
        """Carry out a command of the terminal, or else of the game; return False to leave."""
        word, *rest = line.lower().split() or [""]
        if word == "undo" and len(rest) == 1 and rest[0].isdecimal():
            self.undo(int(rest[0][:9]))
        elif word in LEAVING and not rest:
            return False
        elif word in OWN and not rest:
            getattr(self, word)()
        elif self.is_over:
            self.say("The game is over. Type undo, restart or quit.")
        elif line:
            self.act(line)
        return True

    def act(self, command: str) -> None:
        """Carry out a command of the game."""
        # Points by difference, not by signals: weights and reward terms may be anything.
        before = self.info()["score"]
        self.batch.step_rows([command])
        self.past.append(self.now)
        gain = self.info()["score"] - before
        self.now = self._checkpoint((*self.now.commands, command), (*self.now.gains, gain), self.now.rooms)
        self.tell()

    # ------------------------------------------------------------------ the terminal's own commands

    def help(self) -> None:
        """List the commands of the terminal, and the game's verbs."""
        for name, meaning in OWN.items():
            self.say(f"{name:10} {meaning}")
        verbs = sorted({command.split()[0] for command in self.symbols().commands})
        self.say(f"All else goes to the game, whose verbs are: {', '.join(verbs)}. For go north say n.")

    def hint(self) -> None:
        """Print the next command of a winning play."""
        if self.is_over:
            self.say("The game is over. Type undo, restart or quit.")
            return
        way = self.way_to_win()
        if way is None:
            self.say("The solver found no way to win from here. Type undo or restart.")
            return
        commands, shortest = way
        rest = f"{len(commands) - 1} more after it" + (", the fewest" if shortest else "")
        if len(commands) > self.left:
            rest += f"; only {self.left:.0f} left: undo or restart"
        self.say(f"Hint: {commands[0]}" + (f" ({rest})" if commands[1:] else " (that wins)"))

    def undo(self, count: int = 1) -> None:
        """Undo the last `count` commands."""
        if not self.past or not count:
            self.say("undo takes a number from 1 on." if self.past else "There is nothing to undo.")
            return
        count = min(count, len(self.past))
        self.now = self.past[-count]
        del self.past[-count:]
        self.batch.load_buffers(self.now.saved)
        self.say(f"Taken back: {'one step' if count == 1 else f'{count} steps'}.\n")
        self.tell(self.info()["description"])

    def map(self) -> None:
        """Draw the rooms seen so far."""
        self.console.print(self.drawn(), style="cyan")

    def history(self) -> None:
        """List the commands so far, with what they gained."""
        for k, (command, gain) in enumerate(zip(self.now.commands, self.now.gains, strict=True), 1):
            self.say(f"{k:3} {command}" + (f"   {gain:+}" if gain else ""))
        if not self.now.commands:
            self.say("Nothing yet.")

    def commands(self) -> None:
        """List what can be done now."""
        self.say(", ".join(self.info()["admissible_commands"]))

    def score(self) -> None:
        """Print points and turns."""
        self.say(self.status(self.info()))

    def restart(self) -> None:
        """Begin the same game again; `undo` undoes that too."""
        self.past.append(self.now)
        self.now = self._first()
        self.tell()

    # ------------------------------------------------------------------ the state

    def _first(self) -> Checkpoint:
        # Always by the seed: `restart` begins the same game, where an unseeded reset would draw the next one.
        self.batch.reset_rows(self.seed)
        return self._checkpoint()

    def _checkpoint(self, commands: tuple = (), gains: tuple = (), rooms: tuple = ()) -> Checkpoint:
        room = int(self.game[0]["room"])
        return Checkpoint(self.batch.save_buffers(), commands, gains, rooms if room in rooms else (*rooms, room))

    @property
    def is_over(self) -> bool:
        """Whether the game is won or lost, or its time is up."""
        return bool(self.batch.over[0])

    def info(self) -> dict[str, Any]:
        """Return the game's `info`, about its present state."""
        return self.batch.info(0)

    @property
    def pool(self) -> Pool:
        """The games of the world."""
        from llm_envs.text.interface.expert import Solutions  # not at the top: it loads the solver

        solution = self.batch.world.solution
        assert isinstance(solution, Solutions), "is_text_game() has asked for a world of games"
        return solution.pool

    @property
    def left(self) -> float:
        """How many commands the time allows; infinity without a limit."""
        limit = self.batch.world.max_steps
        return limit - int(self.batch.records[0][0]["t"]) if limit else float("inf")

    @property
    def game(self) -> np.ndarray:
        """The game's state, (1,), live."""
        return self.batch.records[0]["game"]

    @property
    def level(self) -> np.ndarray:
        """The game that is played, as it was compiled, (1,)."""
        states, levels = self.batch.records
        index = int(states[0]["level"])
        return levels[index : index + 1]

    def symbols(self) -> SymbolTable:
        """Return the names of the game that is played."""
        # A level's index counts the split's levels, its key the pool's games.
        return self.pool.symbols[int(self.level[0]["key"])]

    def way_to_win(self) -> tuple[list[str], bool] | None:
        """Return commands that win from here, and whether they are the fewest; None where none are found."""
        from llm_envs.text.solver.solve import solve_level

        with self.console.status("thinking ..."):
            found = solve_level(self.level, self.pool.size, self.game.copy(), limit=HINT_LIMIT)  # it plays on the copy
        if not found or not found[0]:
            return None
        names = self.symbols().numbers.commands
        return [names[number] for number in found[0]], bool(found[1])

    def drawn(self) -> str:
        """Return the map of the rooms seen so far."""
        symbols = self.symbols()
        ids = list(symbols.numbers.rooms)
        exits = [way_out for room in self.now.rooms for way_out in exits_of(room, self.game[0], self.level[0])]
        names = {room: symbols.game.things[ids[room]].name.title() or ids[room] for room in self.now.rooms}
        return draw_map(names, exits, int(self.game[0]["room"]))

    # ------------------------------------------------------------------ output

    def say(self, text: str, style: str = "") -> None:
        """Print a text, wrapped."""
        width = min(self.console.width, WIDEST)
        styled = Text("\n".join("\n".join(wrap(line, width)) for line in text.split("\n")), style)
        for pattern, look in STYLES.items():
            styled.highlight_regex(pattern, look)
        self.console.print(styled)

    def tell(self, text: str | None = None) -> None:
        """Print the game's last reply, or `text`, and the player's points and turns."""
        info = self.info()
        self.say(laid_out(text or info["feedback"]))
        self.say(self.status(info), "dim")
        if self.is_over:
            reason = "" if info["won"] or info["lost"] else "The time is up. "
            self.say(reason + "Type undo, restart or quit.")

    def status(self, info: dict[str, Any]) -> str:
        """Return a line with points and turns, and how many commands are left when these are few."""
        parts = [f"Score {info['score']} of {info['max_score']}", f"Turn {int(self.game[0]['turns'])}"]
        if self.left <= FEW and not self.is_over:
            parts.append(f"{self.left:.0f} {'command' if self.left == 1 else 'commands'} left")
        return "   ".join(parts)


def laid_out(feedback: str) -> str:
    """Return the game's words with the names of rooms, and the end, in paragraphs of their own."""
    text = feedback.removesuffix(TEMPLATES[RESTART_PROMPT]).rstrip()
    text = re.sub(r"\s+(-= .+? =-\n)", r"\n\n\1", text)
    return re.sub(r"\s+(\*\*\* .+? \*\*\*)\s+", r"\n\n\1\n\n", text)
