"""What the command lines share: pairs of name and value, and what they say of bad input."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import tyro

# Each use of the flag is a group of name=value pairs, and a further use adds to them: `parse_values(*groups)`.
Pairs = tyro.conf.UseAppendAction[tuple[tuple[str, ...], ...]]


@contextmanager
def refusing(program: str) -> Iterator[None]:
    """Turn what is said of bad input into one line on stderr, after the program's name, and exit code 2."""
    try:
        yield
    except (OSError, TypeError, ValueError) as error:
        print(f"{program}: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
