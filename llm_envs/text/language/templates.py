"""Compiles descriptions: Inform's text substitutions, as TextWorld uses them, to a program, see `program`.

A description is text with [if CONDITIONS] ... [else if CONDITIONS] ... [otherwise] ... [end if], which may be nested,
and what is left open is closed at the end; [noun], the name of what is described; [a list of things in ID], or "on ID",
and [is-are a list of things in ID].
CONDITIONS are joined by "and":

    ID is open, ID is closed, ID is locked; open, closed, locked       of itself; what is locked is closed too
    there is something in ID, there is nothing in ID, ID contains nothing     "on" for supporters; "the ID" is the same

A ' that is not between two letters or digits is printed as ", but not in a bare 's at the start of a text or after
a ].
"""

import re

from llm_envs.text.language import program
from llm_envs.text.language.pieces import SLOT
from llm_envs.text.language.program import Condition, Program, Step
from llm_envs.text.model.game import CONTAINERS, SUPPORTERS, kind_of
from llm_envs.text.records.numbering import Numbers
from llm_envs.validation import quote

LOCK_WORDS = {"open": program.IS_OPEN, "closed": program.IS_SHUT, "locked": program.IS_LOCKED}
CHANGING_NAMES = ("f", "meal")  # types whose printed names say how they are cooked and cut
_CONDITION = re.compile(
    r"(?:the )?(?P<lock>\S+) is (?P<state>open|closed|locked)"
    r"|(?P<self>open|closed|locked)"
    r"|there is (?P<some>something|nothing) (?P<where>on|in) (?:the )?(?P<holder>\S+)"
    r"|(?:the )?(?P<empty>\S+) contains nothing"
)
_LIST = re.compile(r"(is-are )?a list of things (on|in) (?:the )?(\S+)")
# Inform 7 prints ' as " except between letters; a "'s" after a substitution is a genitive.
_QUOTE = re.compile(r"(?<![^\W_])(?!(?<![^\]])'s(?![^\s\[]))'|'(?![^\W_])")


class Template(Program):
    """A description in the making.

    Args:
        numbers: of the game's ids.
        owner: id of what is described, "" for the objective.
        name: its name.
    """

    def __init__(self, numbers: Numbers, owner: str = "", name: str = "") -> None:
        super().__init__()
        self.numbers, self.owner, self.name = numbers, owner, name

    def printed_name(self, thing: str, name: str) -> None:
        """Append a thing's name, which for food changes with what becomes of it."""
        if kind_of(thing) in CHANGING_NAMES:
            self.slot(program.PRINTED_NAME, self.numbers.things[thing])
        else:
            self.literal(name)

    def contents(self, holder: str) -> None:
        """Append the list of what is in or on a holder."""
        self.slot(program.CONTENTS, self.numbers.holders[holder])

    def is_or_are(self, holder: str) -> None:
        """Append "is " if there is one thing in or on a holder, else "are "."""
        # The test falls through if there is exactly one thing.
        several = self.test((program.HAS_ONE, self.numbers.holders[holder]))
        self.literal("is ")
        end = self.jump()
        self.bind(several)
        self.literal("are ")
        self.bind(end)

    def substitute(self, text: str) -> None:
        """Append text with substitutions.

        Raises:
            ValueError: names the thing described and the substitution that is not understood.
        """
        # Before the substitutions are cut out: the rule looks at the characters around each mark.
        text = _QUOTE.sub('"', text)
        blocks: list[tuple[Step | None, list[Step]]] = []  # of each open [if]: its failed test, jumps to its end
        start = 0
        for slot in SLOT.finditer(text):
            self._checked(text[start : slot.start()])
            start = slot.end()
            words = " ".join(slot.group(1).split())
            if words.startswith("if "):
                blocks.append((self.test(*self._conditions(words[3:])), []))
            elif words in ("otherwise", "else", "end if") or words.startswith(("else if ", "otherwise if ")):
                self._end_branch(words, blocks)
            # The objective describes nothing, so it has no noun.
            elif words == "noun" and self.owner in self.numbers.things:
                self.printed_name(self.owner, self.name)
            elif found := _LIST.fullmatch(words):
                holder = self._holder(found[3], found[2], words)
                if found[1]:
                    self.is_or_are(holder)
                self.contents(holder)
            else:
                raise self._error(words, "is not understood")
        self._checked(text[start:])
        while blocks:
            self._end_branch("end if", blocks)

    def _checked(self, text: str) -> None:
        """Append what stands between two substitutions."""
        for mark in "[]":
            if mark in text:
                raise self._error(text.strip()[:40], f"has a {mark!r} that belongs to no substitution", bare=True)
        self.literal(text)

    def _end_branch(self, words: str, blocks: list[tuple[Step | None, list[Step]]]) -> None:
        """End a branch of the innermost [if], and begin its next if there is one."""
        if not blocks:
            raise self._error(words, "has no [if] before it")
        failed, ends = blocks.pop()
        if words == "end if":
            self.bind(*ends, *([failed] if failed else []))
            return
        if failed is None:
            raise self._error(words, "comes after [otherwise]")
        # A branch that was taken skips all that follow; a failed test falls into the next.
        ends.append(self.jump())
        self.bind(failed)
        later = words.partition(" if ")[2]
        blocks.append((self.test(*self._conditions(later)) if later else None, ends))

    def _conditions(self, text: str) -> tuple[Condition, ...]:
        return tuple(self._condition(part.strip()) for part in text.split(" and "))

    def _condition(self, text: str) -> Condition:
        found = _CONDITION.fullmatch(text)
        if not found:
            raise self._error(f"if {text}", "has an unknown condition")
        if state := found["state"] or found["self"]:
            # Inform's bare "[if open]" asks about the thing described.
            lock = found["lock"] or self.owner
            if lock not in self.numbers.locks or kind_of(lock) in SUPPORTERS:
                raise self._error(
                    f"if {text}", f"asks for the state of {quote(lock)}, which is no container and no door"
                )
            return LOCK_WORDS[state], self.numbers.locks[lock]
        holder = self._holder(found["holder"] or found["empty"], found["where"] or "in", f"if {text}")
        return (program.HAS_SOME if found["some"] == "something" else program.HAS_NONE), self.numbers.holders[holder]

    def _holder(self, holder: str, where: str, words: str) -> str:
        kinds, name = (SUPPORTERS, "supporter") if where == "on" else (CONTAINERS, "container")
        if holder not in self.numbers.fixed or kind_of(holder) not in kinds:
            raise self._error(words, f"names {quote(holder)}, which is no {name} of this game")
        return holder

    def _error(self, words: str, why: str, bare: bool = False) -> ValueError:
        quoted = quote(words)[1:-1]
        return ValueError(f"the text of {self.owner or 'the objective'}: {quoted if bare else f'[{quoted}]'} {why}")
