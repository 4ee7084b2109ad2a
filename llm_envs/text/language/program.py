"""The instruction set of texts: what descriptions and replies are compiled to, and `interpreter` runs.

A program is a run of numbers (int16) that appends tokens to an observation:

    instruction                       numbers                     what it prints
    END                               op                          nothing: the text is complete
    LITERAL, + ATTACHES, SPACE_AFTER  op start count              `count` tokens from `start` on
    JUMP                              op target                   nothing: continues at `target`
    TEST                              op target count (kind of)*  nothing: continues after its `count` conditions if
                                                                  all hold, else at `target`
    CONTENTS                          op holder                   the list of what is there
    PRINTED_NAME                      op thing                    its name, with what became of food
    NAME THE_NAME CONTENTS_OF WAY     op register                 [x] [the x] [contents x] [way x] of `replies`
    HANDS VERB LINK                   op                          [hands] [verb] [link]
    GAIN SCORE MOST POINTS TURNS      op                          [gain] [score] [most] [points] [turns]

A register is 0, 1 or 2: the x, y or z of the state. Targets lead forward only, so every program ends.

White space. A token after white space differs from one that continues the token before ("key", "##key"), and which
it is may depend on the branches that were taken. So the interpreter remembers whether white space was printed last: a
literal with SPACE_AFTER ends in some, everything else does not. Most literals can arise in one form only, and hold it.
One that ATTACHES holds both forms of its first token: for white space at `start`, the continuation at `start` - 1.
THE_NAME attaches as well; other slots are always printed as after white space.

Addresses. The programs and tokens of replies are constants of the library (`phrases`), those of descriptions belong to
the level. An address of a program below len(phrases.CODE) is in phrases.CODE, the others continue in level.code; a
literal's `start` counts in phrases.TOKENS or level.tokens, wherever its program is.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from llm_envs.text.language.pieces import CONTINUATION, split

END, LITERAL, ATTACHES, SPACE_AFTER = 0, 4, 1, 2  # ATTACHES and SPACE_AFTER are bits of a literal's number, 4 to 7
(
    JUMP, TEST, CONTENTS, PRINTED_NAME,
    NAME, THE_NAME, CONTENTS_OF, WAY,
    HANDS, VERB, LINK,
    GAIN, SCORE, MOST, POINTS, TURNS,
) = range(8, 24)  # fmt: skip
# Conditions: (kind, lock) for the first three, (kind, holder) for the others.
IS_OPEN, IS_SHUT, IS_LOCKED, HAS_SOME, HAS_NONE, HAS_ONE = range(6)
Condition = tuple[int, int]


def length_of(op: int, conditions: int = 0) -> int:
    """Return how many numbers an instruction is; `conditions`: how many a test has."""
    if op == TEST:
        return 3 + 2 * conditions
    if op == END or op >= HANDS:
        return 1
    return 3 if op < JUMP else 2


@dataclass
class Step:
    """An instruction whose addresses are not known yet."""

    op: int
    text: str = ""  # of a literal
    operand: int = -1  # a register, holder or thing
    conditions: tuple[Condition, ...] = ()  # of a test
    target: int = -1  # of a test or jump: the number of a step


class Literal(NamedTuple):
    """The pieces of a literal; if it `attaches`, the other form of its first piece comes before them."""

    run: tuple[str, ...]
    attaches: bool


class Program:
    """A text in the making, written from front to back."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._last_bound = -1  # the last step that something leads to: no literal before it may grow

    def literal(self, text: str) -> None:
        """Append text as it is."""
        # Grow the last literal, unless a jump leads to its end: one instruction, and pieces cut as in one text.
        if self.steps and self.steps[-1].op == LITERAL and self._last_bound < len(self.steps):
            self.steps[-1].text += text
        elif text:
            self.steps.append(Step(LITERAL, text=text))

    def slot(self, op: int, operand: int = -1) -> None:
        """Append what an instruction with one operand, or none, prints."""
        self.steps.append(Step(op, operand=operand))

    def test(self, *conditions: Condition) -> Step:
        """Append a test: the text continues here if all conditions hold, else where its step is given to `bind`."""
        self.steps.append(Step(TEST, conditions=conditions))
        return self.steps[-1]

    def jump(self) -> Step:
        """Append a jump to where its step is given to `bind`."""
        self.steps.append(Step(JUMP))
        return self.steps[-1]

    def bind(self, *jumps: Step) -> None:
        """Let these jumps and failed tests lead to the step that is appended next."""
        for jump in jumps:
            jump.target = len(self.steps)
        self._last_bound = len(self.steps)

    @property
    def length(self) -> int:
        """How many numbers `assemble` returns."""
        return sum(length_of(step.op, len(step.conditions)) for step in self.steps) + length_of(END)

    @cached_property
    def literals(self) -> dict[int, Literal]:
        """The pieces of each literal, by the number of its step; to be read once nothing is appended any more.

        Follows all paths at once, which is possible in one pass as they lead forward only.
        """
        spaced: list[set[bool]] = [set() for _ in range(len(self.steps) + 1)]  # before each step, on some path
        spaced[0].add(True)
        found = {}
        for k, step in enumerate(self.steps):
            after = spaced[k]
            # Control flow prints nothing, so white space before it is white space after it.
            if step.op in (TEST, JUMP):
                spaced[step.target] |= after
            else:
                after = {step.op == LITERAL and step.text[-1].isspace()}
            if step.op != JUMP:
                spaced[k + 1] |= after
            if step.op == LITERAL:
                # sorted() puts False, "no white space before", first: the last variant is the one after white space.
                variants = [tuple(split(step.text, continues=not separate)) for separate in sorted(spaced[k])]
                attaches = len(set(variants)) == 2
                run = variants[-1]
                found[k] = Literal((CONTINUATION + run[0], *run) if attaches else run, attaches)
        return found

    def assemble(self, address: int, places: Mapping[tuple[str, ...], int]) -> list[int]:
        """Return the program's numbers.

        Args:
            address: of its first number.
            places: where in the tokens the run of each literal is.
        """
        # Two passes: targets lead forward, to steps whose addresses are not known in the first.
        addresses = [address]  # of each step, then of END
        for step in self.steps:
            addresses.append(addresses[-1] + length_of(step.op, len(step.conditions)))
        code: list[int] = []
        for k, step in enumerate(self.steps):
            if step.op == LITERAL:
                run, attaches = self.literals[k]
                op = LITERAL + ATTACHES * attaches + SPACE_AFTER * step.text[-1].isspace()
                # The continuation is at `start` - 1, so `start` is one further and the count one less.
                code += [op, places[run] + attaches, len(run) - attaches]
            elif step.op == TEST:
                conditions = [number for condition in step.conditions for number in condition]
                code += [TEST, addresses[step.target], len(step.conditions), *conditions]
            elif step.op == JUMP:
                code += [JUMP, addresses[step.target]]
            else:
                code += [step.op, step.operand] if step.op < HANDS else [step.op]
        return [*code, END]


def share(runs: Iterable[tuple[str, ...]], most: int = 2**31) -> tuple[list[str], dict[tuple[str, ...], int]]:
    """Return one run of pieces that contains all of these, and where each is; a part of another takes no space.

    Once it is longer than `most` the rest is left out, and has no place: a search through it for every run would take
    time that grows with its square.
    """
    # A letter for each piece: then str.find searches runs of pieces, in C.
    letters: dict[str, str] = {}
    whole, places = "", {}
    # The longest first, so that shorter runs are found inside them; sorted, so that the result is the same always.
    for run in sorted(runs, key=lambda run: (-len(run), run)):
        text = "".join([letters.setdefault(piece, chr(len(letters) + 1)) for piece in run])
        at = whole.find(text)
        if at < 0:
            if len(whole) > most:
                break
            at = len(whole)
            whole += text
        places[run] = at
    pieces = list(letters)
    return [pieces[ord(letter) - 1] for letter in whole], places
