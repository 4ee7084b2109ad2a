"""YAML read for people who make mistakes: every piece knows its line and column, and says them in its errors."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from llm_envs.validation import printable, quote

LONGEST_GUESSED = 200  # characters of a name whose spelling is compared with others
LARGEST = 2**17  # characters of a story: a level has no space for more, and PyYAML reads these in 3 s
WHOLE = "the document"  # how errors call it; its parts are called by their names, with ">" between them
KINDS = {"scalar": "a single value", "sequence": "a list", "mapping": "entries of the form `name: value`"}


@dataclass(frozen=True)
class Item:
    """A piece of a YAML document: a value, a list, or entries."""

    node: Any  # of PyYAML's tree
    source: str  # the file's name
    what: str  # how errors call it: "quests > 2 > reward"
    key: Any = None  # the node of its name, where it is an entry

    def error(self, message: str, at_name: bool = False) -> ValueError:
        """Return an error that says where this piece stands; `at_name`: where its name does."""
        return ValueError(printable(f"{self.source}, {place(self.key if at_name else self.node)}: {message}"))

    @property
    def line(self) -> int:
        """The line on which it begins, its name if it has one."""
        return (self.key or self.node).start_mark.line + 1

    @property
    def empty(self) -> bool:
        """Whether nothing was written: `name:`."""
        return self.node.id == "scalar" and self.node.tag.endswith(":null")

    @property
    def is_word(self) -> bool:
        """Whether it is a single value, and one is written."""
        return self.node.id == "scalar" and not self.empty

    @property
    def is_list(self) -> bool:
        """Whether it is a list."""
        return self.node.id == "sequence"

    @property
    def is_entries(self) -> bool:
        """Whether it has entries."""
        return self.node.id == "mapping"

    def entries(self, allowed: Collection[str] = (), required: Iterable[str] = ()) -> dict[str, "Item"]:
        """Return the entries by name; nothing written means none.

        Args:
            allowed: The names that there may be; empty for any.
            required: The names that must be there.

        Raises:
            ValueError: names what is no entry, a name that is given twice or not allowed, or one that is missing.
        """
        if not self.empty:
            self._must_be("mapping")
        found: dict[str, Item] = {}
        for key, value in self.node.value if self.is_entries else ():
            if key.id != "scalar":
                raise Item(key, self.source, "").error(f"a name in {self.what} must be a single value")
            name = key.value
            entry = Item(value, self.source, self._part(name), key)
            if name in found:
                raise entry.error(f"{quote(name)} is in {self.what} already, on line {found[name].line}", at_name=True)
            if allowed and name not in allowed:
                raise entry.error(f"{self.what} has {unknown('entry', name, allowed)}", at_name=True)
            found[name] = entry
        for name in required:
            if name not in found:
                raise self.error(f"{self.what} needs an entry {name!r}")
        return found

    def items(self) -> list["Item"]:
        """Return the pieces of a list."""
        self._must_be("sequence")
        return [Item(node, self.source, self._part(str(i))) for i, node in enumerate(self.node.value, 1)]

    def text(self) -> str:
        """Return a value as it is written."""
        self._must_be("scalar")
        if not self.node.value.strip() or self.empty:
            raise self.error(f"{self.what} is empty")
        return self.node.value

    def prose(self, longest: int) -> str:
        """Return a value of printable characters, with single spaces for line breaks and runs of spaces."""
        text = " ".join(self.text().split())
        if len(text) > longest:
            raise self.error(f"{self.what} has {len(text)} characters; it may have {longest}")
        if not text.isprintable():
            wrong = next(character for character in text if not character.isprintable())
            raise self.error(f"{self.what} has the character {wrong!r}, which cannot be printed")
        return text

    def choice(self, allowed: Collection[str]) -> str:
        """Return a value that is one of these."""
        if self.text() not in allowed:
            raise self.error(f"{self.what} is {quote(self.text())}; it must be one of {', '.join(allowed)}")
        return self.text()

    def name(self, known: Collection[str], kind: str) -> str:
        """Return a value that is one of these names of things of a kind."""
        if self.text() not in known:
            raise self.error(f"{self.what} has {unknown(kind, self.text(), known)}")
        return self.text()

    def number(self, low: int, high: int) -> int:
        """Return a whole number from `low` to `high`."""
        value, digits = self.text(), self.node.value.removeprefix("-")
        right = self.node.tag.endswith(":int") and digits.isascii() and digits.isdigit() and len(digits) < 19
        if not right or not low <= int(value) <= high:
            raise self.error(f"{self.what} is {quote(value)[1:-1]}; it must be a whole number from {low} to {high}")
        return int(value)

    def flag(self) -> bool:
        """Return a value that is true or false, or yes or no."""
        value = self.text()
        if not self.node.tag.endswith(":bool"):
            raise self.error(f"{self.what} is {quote(value)}; it must be true or false")
        return value.lower() in ("yes", "true", "on")

    def _part(self, name: str) -> str:
        shown = quote(name)[1:-1]
        return f"{self.what} > {shown}" if self.what != WHOLE else shown

    def _must_be(self, kind: str) -> None:
        if self.node.id != kind:
            raise self.error(f"{self.what} must be {KINDS[kind]}, not {KINDS[self.node.id]}")


def read(text: str, source: str) -> Item:
    """Read a YAML document.

    Raises:
        ValueError: it is too long, or names the line and column at which it is not YAML.
        ModuleNotFoundError: PyYAML is not installed.
    """
    import yaml  # an optional dependency

    if len(text) > LARGEST:
        raise ValueError(printable(f"{source}: has more than {LARGEST} characters, the most that a story may have"))
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}"
        raise ValueError(printable(f"{source}, {where}: {error.problem}")) from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position].split("\n")
        where = f"line {len(before)}, column {len(before[-1]) + 1}"
        reason = f"character #x{error.character:04x} is not allowed in YAML"
        raise ValueError(printable(f"{source}, {where}: {reason}")) from None
    except RecursionError:
        raise ValueError(printable(f"{source}: lists and entries are nested too deeply")) from None
    if node is None:
        raise ValueError(printable(f"{source}, line 1, column 1: {WHOLE} is empty"))
    return Item(node, source, WHOLE)


def place(node: Any) -> str:
    """Return where a node begins, in words."""
    return f"line {node.start_mark.line + 1}, column {node.start_mark.column + 1}"


def unknown(kind: str, name: str, known: Collection[str]) -> str:
    """Return "unknown KIND 'NAME'" with what was perhaps meant, or with what there is."""
    near = get_close_matches(name, known, 1) if len(name) <= LONGEST_GUESSED else ()
    few = sorted(known)[:12]
    listed = ", ".join(quote(one)[1:-1] for one in few) + (", ..." if len(known) > len(few) else "")
    hint = f"did you mean {near[0]!r}?" if near else f"there is {listed}" if known else "there is none"
    return f"unknown {kind} {quote(name)}; {hint}"
