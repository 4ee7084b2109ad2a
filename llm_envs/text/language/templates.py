"""Compiles descriptions: Inform's text substitutions, as TextWorld uses them, to the code that `telling` runs.

A description is text with [if CONDITIONS] ... [else if CONDITIONS] ... [otherwise] ... [end if], which may be nested,
and what is left open is closed at the end; [noun], the name of what is described; [a list of things in ID], or "on ID",
and [is-are a list of things in ID].
CONDITIONS are joined by "and":

    ID is open, ID is closed, ID is locked; open, closed, locked       of itself; what is locked is closed too
    there is something in ID, there is nothing in ID, ID contains nothing     "on" for supporters; "the ID" is the same

A ' that is not between two letters or digits is printed as ", but not in a bare 's at the start of a text or after
a ]. The code is a run of numbers:

    END                                the text is told
    LITERAL offset count               tokens of level.tokens
    CONTENTS holder                    the list of what is there
    NOUN thing                         a thing's printed name
    TEST target count (kind a) * count go on if all conditions hold, else at target
    JUMP target                        go on at target

Targets are offsets in level.code; they lead forward only.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from llm_envs.text.language.pieces import SLOT, split
from llm_envs.text.model.game import CONTAINERS, SUPPORTERS, kind_of
from llm_envs.text.records.numbering import Numbers

END, LITERAL, CONTENTS, NOUN, TEST, JUMP = range(6)
IS_OPEN, IS_SHUT, IS_LOCKED, HAS_SOME, HAS_NONE, HAS_ONE = range(6)  # kinds of conditions; of a lock, of a holder
LOCK_WORDS = {"open": IS_OPEN, "closed": IS_SHUT, "locked": IS_LOCKED}
CHANGING_NAMES = ("f", "meal")  # types whose printed names tell how they are cooked and cut
_CONDITION = re.compile(
    r"(?:the )?(?P<lock>\S+) is (?P<state>open|closed|locked)"
    r"|(?P<self>open|closed|locked)"
    r"|there is (?P<some>something|nothing) (?P<where>on|in) (?:the )?(?P<holder>\S+)"
    r"|(?:the )?(?P<empty>\S+) contains nothing"
)
_LIST = re.compile(r"(is-are )?a list of things (on|in) (?:the )?(\S+)")
_QUOTE = re.compile(r"(?<![^\W_])(?!(?<![^\]])'s(?![^\s\[]))'|'(?![^\W_])")

Condition = tuple[int, int]  # kind, and number of a lock or a holder
Label = tuple[int, bool]  # a step, and whether white space comes before it
Instruction = tuple[Label, int, tuple]  # see Script.instructions
NOWHERE = (-1, False)  # the label of what nothing leads to


@dataclass
class _Step:
    """One step of a text before its spaces are known."""

    op: int
    text: str = ""  # of a literal
    number: int = -1  # of a thing or holder
    conditions: tuple[Condition, ...] = ()  # of a test
    target: int = -1  # of a test or jump: the number of a step


@dataclass
class Script:
    """A text in the making, written from front to back."""

    numbers: Numbers
    owner: str = ""  # id of what is described
    name: str = ""  # its name
    steps: list[_Step] = field(default_factory=list)
    label: int = -1  # the last step that something jumps to

    def say(self, text: str) -> None:
        """Add text as it is."""
        if self.steps and self.steps[-1].op == LITERAL and self.label < len(self.steps):
            self.steps[-1].text += text
        elif text:
            self.steps.append(_Step(LITERAL, text=text))

    def noun(self, thing: str, name: str) -> None:
        """Add a thing's name, which for food changes with what becomes of it."""
        if kind_of(thing) in CHANGING_NAMES:
            self.steps.append(_Step(NOUN, number=self.numbers.things[thing]))
        else:
            self.say(name)

    def contents(self, holder: str) -> None:
        """Add the list of what is in or on a holder."""
        self.steps.append(_Step(CONTENTS, number=self.numbers.holders[holder]))

    def is_or_are(self, holder: str) -> None:
        """Add "is " if there is one thing in or on a holder, else "are "."""
        several = self.test((HAS_ONE, self.numbers.holders[holder]))
        self.say("is ")
        end = self.jump()
        self.land(several)
        self.say("are ")
        self.land(end)

    def test(self, *conditions: Condition) -> _Step:
        """Go on if all conditions hold; give what this returns to `land` where to go on if not."""
        self.steps.append(_Step(TEST, conditions=conditions))
        return self.steps[-1]

    def jump(self) -> _Step:
        """Go on where what this returns is given to `land`."""
        self.steps.append(_Step(JUMP))
        return self.steps[-1]

    def land(self, *jumps: _Step) -> None:
        """Let these jumps and failed tests lead to what comes next."""
        for jump in jumps:
            jump.target = len(self.steps)
        self.label = len(self.steps)

    def template(self, text: str) -> None:
        """Add text with substitutions.

        Raises:
            ValueError: names the thing described and the substitution that is not understood.
        """
        text = _QUOTE.sub('"', text)
        blocks: list[tuple[_Step | None, list[_Step]]] = []  # of each open [if]: its failed test, jumps to its end
        start = 0
        for slot in SLOT.finditer(text):
            self._literal(text[start : slot.start()])
            start = slot.end()
            words = " ".join(slot.group(1).split())
            if words.startswith("if "):
                blocks.append((self.test(*self._conditions(words[3:])), []))
            elif words in ("otherwise", "else", "end if") or words.startswith(("else if ", "otherwise if ")):
                self._turn(words, blocks)
            elif words == "noun" and self.owner in self.numbers.things:
                self.noun(self.owner, self.name)
            elif found := _LIST.fullmatch(words):
                holder = self._holder(found[3], found[2], words)
                if found[1]:
                    self.is_or_are(holder)
                self.contents(holder)
            else:
                raise self._error(words, "is not understood")
        self._literal(text[start:])
        while blocks:
            self._turn("end if", blocks)

    def _literal(self, text: str) -> None:
        for mark in "[]":
            if mark in text:
                raise self._error(text.strip()[:40], f"has a {mark!r} that belongs to no substitution", bare=True)
        self.say(text)

    def _turn(self, words: str, blocks: list[tuple[_Step | None, list[_Step]]]) -> None:
        """End a branch of the innermost [if], and begin its next if there is one."""
        if not blocks:
            raise self._error(words, "has no [if] before it")
        failed, ends = blocks.pop()
        if words == "end if":
            self.land(*ends, *([failed] if failed else []))
            return
        if failed is None:
            raise self._error(words, "comes after [otherwise]")
        ends.append(self.jump())
        self.land(failed)
        later = words.partition(" if ")[2]
        blocks.append((self.test(*self._conditions(later)) if later else None, ends))

    def _conditions(self, text: str) -> tuple[Condition, ...]:
        return tuple(self._condition(part.strip()) for part in text.split(" and "))

    def _condition(self, text: str) -> Condition:
        found = _CONDITION.fullmatch(text)
        if not found:
            raise self._error(f"if {text}", "has an unknown condition")
        if state := found["state"] or found["self"]:
            lock = found["lock"] or self.owner
            if lock not in self.numbers.locks or kind_of(lock) in SUPPORTERS:
                raise self._error(f"if {text}", f"asks for the state of {lock!r}, which is no container and no door")
            return LOCK_WORDS[state], self.numbers.locks[lock]
        holder = self._holder(found["holder"] or found["empty"], found["where"] or "in", f"if {text}")
        return (HAS_SOME if found["some"] == "something" else HAS_NONE), self.numbers.holders[holder]

    def _holder(self, holder: str, where: str, words: str) -> str:
        kinds, name = (SUPPORTERS, "supporter") if where == "on" else (CONTAINERS, "container")
        if holder not in self.numbers.fixed or kind_of(holder) not in kinds:
            raise self._error(words, f"names {holder!r}, which is no {name} of this game")
        return holder

    def _error(self, words: str, why: str, bare: bool = False) -> ValueError:
        shown = words if bare else f"[{words}]"
        return ValueError(f"the text of {self.owner or 'the objective'}: {shown} {why}")

    def instructions(self) -> list[Instruction]:
        """Return the text as (label, operation, operands), with every space settled; the last one is labelled END.

        A piece that follows white space differs from one that is glued to what is before it, and which it is may depend
        on the branches taken. So a step is laid out once for each of the cases that can arise. Operands: a literal's
        pieces; the number of a holder or thing; a test's conditions and target; a jump's target. Targets are labels.
        """
        cases: list[set[bool]] = [set() for _ in range(len(self.steps) + 1)]
        cases[0].add(True)
        order: list[tuple[Label, _Step, Label]] = []  # with what follows it
        for k, step in enumerate(self.steps):
            for spaced in sorted(cases[k]):
                after = spaced if step.op in (TEST, JUMP) else step.op == LITERAL and step.text[-1].isspace()
                if step.op in (TEST, JUMP):
                    cases[step.target].add(spaced)
                if step.op != JUMP:
                    cases[k + 1].add(after)
                order.append(((k, spaced), step, (k + 1, after)))
        laid: list[Instruction] = []
        for place, (label, step, following) in enumerate(order):
            target = (step.target, label[1])
            operands = {
                LITERAL: tuple(split(step.text, continues=not label[1])),
                CONTENTS: (step.number,),
                NOUN: (step.number,),
                TEST: (step.conditions, target),
                JUMP: (target,),
            }[step.op]
            laid.append((label, step.op, operands))
            if step.op != JUMP and place + 1 < len(order) and order[place + 1][0] != following:
                laid.append((NOWHERE, JUMP, (following,)))
        return [*laid, ((len(self.steps), False), END, ())]


def assemble(instructions: list[Instruction], start: int, literals: Mapping[tuple[str, ...], int]) -> list[int]:
    """Return code that is to stand at offset `start` of level.code; `literals`: where in level.tokens runs stand."""
    end = instructions[-1][0][0]
    places: dict[Label, int] = {}
    at = start
    for label, op, operands in instructions:
        places[label] = at
        at += _length(op, operands)
    places[end, True] = places[end, False]
    code: list[int] = []
    for _, op, operands in instructions:
        if op == TEST:
            conditions, target = operands
            code += [TEST, places[target], len(conditions), *(word for pair in conditions for word in pair)]
        elif op == JUMP:
            code += [JUMP, places[operands[0]]]
        elif op == LITERAL and operands:
            code += [LITERAL, literals[operands], len(operands)]
        elif op != LITERAL:
            code += [op, *operands]
    return code


def _length(op: int, operands: tuple) -> int:
    """Return how many numbers an instruction is; a literal of white space alone is none."""
    if op == LITERAL:
        return 3 if operands else 0
    return 3 + 2 * len(operands[0]) if op == TEST else 1 + len(operands)
