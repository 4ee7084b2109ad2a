"""What the command lines share: pairs of name and value, and how they report bad input."""

import ast
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import tyro

from llm_envs.validation import printable, quote

LONGEST = 2_000  # characters of an error in the terminal

# Each use of the flag is a group of name=value pairs, and a further use adds to them: `parse_values(*groups)`.
Pairs = tyro.conf.UseAppendAction[tuple[tuple[str, ...], ...]]


@contextmanager
def refusing(program: str) -> Iterator[None]:
    """Turn an error about bad input into one line on stderr, after the program's name, and exit code 2."""
    # Only these three kinds: any other exception is a mistake of the program's own, and keeps its traceback.
    try:
        yield
    except (OSError, TypeError, ValueError) as error:
        print(f"{program}: {printable(' '.join(str(error).split()), LONGEST)}", file=sys.stderr)
        sys.exit(2)


def parse_values(*groups: Iterable[str]) -> dict[str, Any]:
    """Return {"digits": 2} for ("digits=2",); values are Python literals or else strings, later ones win.

    Raises:
        ValueError: a pair that is not name=value.
    """
    found = {}
    for pair in chain(*groups):
        name, equals, text = pair.partition("=")
        if not equals or not name.isidentifier():
            raise ValueError(f"{quote(pair)} is not of the form name=value")
        # Literals only: an argument may come out of a script, and must not be executed.
        try:
            found[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError):
            found[name] = text
        except (RecursionError, MemoryError):  # of Python's own parser
            raise ValueError(f"the value of {name}, {quote(text)}, is nested too deeply") from None
    return found
