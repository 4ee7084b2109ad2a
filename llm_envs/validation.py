"""What a user's value must be: each check names what was given and what is allowed."""

from typing import Any

import numpy as np


def check_range(name: str, value: Any, low: float, high: float) -> None:
    """Raise unless `value` is a number of the kind of `low` (int or float) within [low, high]."""
    whole = isinstance(low, int)
    allowed = (int, np.integer) if whole else (int, float, np.integer, np.floating)
    if isinstance(value, bool) or not isinstance(value, allowed):
        raise TypeError(f"{name} must be {'an integer' if whole else 'a number'}, not {value!r}")
    if not low <= value <= high:
        raise ValueError(f"{name} is {value}; it must be from {low} to {high}")


def check_choice(name: str, value: Any, choices: tuple) -> None:
    """Raise unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(map(repr, choices))}")


def check_switch(name: str, value: Any) -> None:
    """Raise TypeError unless `value` is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, not {value!r}")


def check_seed(seed: Any) -> None:
    """Raise unless `seed` is an integer from 0 to 2^63 - 1."""
    check_range("seed", seed, 0, 2**63 - 1)


def power_of_two(least: int) -> int:
    """Return the smallest power of two from `least` on: shapes are rounded up, since each is compiled anew."""
    return 1 << (least - 1).bit_length()
