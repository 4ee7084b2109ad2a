"""What a user's value must be: each check names what was given and what is allowed."""

import os
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np

LARGEST_WEIGHT = 1e30  # of a reward term: times any sensible value it stays within float32, which ends at 3.4e38
LONGEST_QUOTE = 80  # characters of a value that an error quotes
LONGEST_MESSAGE = 600  # characters of an error about what a stranger wrote


def printable(text: str, longest: int = LONGEST_MESSAGE) -> str:
    """Return a text for a message: in one line, control characters escaped as in `repr`, its middle left out if long.

    Whoever wrote the text cannot reach the terminal with it, nor fill the screen.
    """
    if len(text) > longest:
        head, tail = longest * 3 // 4, longest // 4 - 5  # 5 for " ... "
        text = f"{text[:head]} ... {text[-tail:]}"
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def quote(value: Any, longest: int = LONGEST_QUOTE) -> str:
    """Return a value as an error quotes it: its `repr`, printable and not longer than `longest`."""
    # Cut before repr(): of a text of a gigabyte it would be another gigabyte.
    if isinstance(value, (str, bytes)) and len(value) > longest:
        return f"{printable(repr(value[: longest * 3 // 4]), longest)}... ({len(value)} long)"
    try:
        text = repr(value)
    except Exception:  # whatever the user's own class does wrong, the message is about the argument
        text = f"<{type(value).__name__}>"
    return printable(text, longest)


def check_range(name: str, value: Any, low: float, high: float) -> None:
    """Raise unless `value` is a number of the kind of `low` (int or float) within [low, high].

    Raises:
        TypeError: it is not such a number (a float where `low` is an int, a bool, ...).
        ValueError: it is out of range, or NaN.
    """
    # True is an int in Python, but `seed=True` is a mistake: bool is refused in both kinds.
    whole = isinstance(low, int)
    allowed = (int, np.integer) if whole else (int, float, np.integer, np.floating)
    if isinstance(value, bool) or not isinstance(value, allowed):
        raise TypeError(f"{name} must be {'an integer' if whole else 'a number'}, not {quote(value)}")
    if not low <= value <= high:  # NaN fails too
        raise ValueError(f"{name} is {quote(value)}; it must be from {low} to {high}")


def check_choice(name: str, value: Any, choices: tuple) -> None:
    """Raise ValueError unless `value` is one of `choices`, and of its kind: neither 1 nor an array of True is True."""
    if not any(_is_choice(value, choice) for choice in choices):
        raise ValueError(f"{name} is {quote(value)}; it must be one of {', '.join(map(repr, choices))}")


def _is_choice(value: Any, choice: Any) -> bool:
    if isinstance(choice, bool):
        return isinstance(value, (bool, np.bool_)) and value == choice
    if isinstance(choice, int):
        return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and value == choice
    return value is None if choice is None else isinstance(value, type(choice)) and value == choice


def check_switch(name: str, value: Any) -> None:
    """Raise TypeError unless `value` is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, not {quote(value)}")


def check_text(name: str, value: Any) -> None:
    """Raise TypeError unless `value` is a string."""
    if not isinstance(value, str):
        raise TypeError(f"{name} is {quote(value)}; it must be a string")


def check_list(name: str, value: Any, of: str, least: int = 0) -> None:
    """Raise unless `value` is a list, tuple or array of at least `least` entries, which a message calls `of`."""
    array = isinstance(value, np.ndarray) and value.ndim > 0
    if not array and (isinstance(value, (str, bytes, bytearray)) or not isinstance(value, Sequence)):
        raise TypeError(f"{name} is {quote(value)}; it must be a list of {of}")
    if len(value) < least:
        raise ValueError(f"{name} has {len(value)} entries; it must be a list of at least {least}: {of}")


def check_path(name: str, value: Any) -> None:
    """Raise unless `value` can be the path of a file."""
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{name} is {quote(value)}; it must be a path")
    path = os.fspath(value)
    if not isinstance(path, str) or not path or "\0" in path:
        raise ValueError(f"{name} is {quote(path)}; it must be a path, not empty and without null characters")


def check_seed(seed: Any) -> None:
    """Raise TypeError or ValueError unless `seed` is an integer from 0 to 2^63 - 1."""
    # Not to 2^64: row i of a batch has the seed `seed + i`, which must fit into uint64 too.
    check_range("seed", seed, 0, 2**63 - 1)


def check_weight(name: str, value: Any) -> None:
    """Raise ValueError unless `value`, the weight of a reward term, is a number that a reward can hold."""
    number = isinstance(value, Real) and not isinstance(value, (bool, np.bool_))
    if not (number and abs(value) <= LARGEST_WEIGHT):  # NaN fails too
        limits = f"from {-LARGEST_WEIGHT:g} to {LARGEST_WEIGHT:g}"
        raise ValueError(f"the weight of {quote(name)} is {quote(value)}; it must be a finite number {limits}")


def power_of_two(least: int) -> int:
    """Return the smallest power of two from `least` on: shapes are rounded up, since each is compiled for itself."""
    return 1 << (least - 1).bit_length()
