"""Schedules for learning rates, clip ranges and coefficients, as functions of SB3's `progress_remaining` (1 -> 0).

They are `functools.partial` objects of module functions, so that SB3 can pickle them into saved models.
"""

import math
from collections.abc import Callable
from functools import partial

Schedule = Callable[[float], float]
OPTIONS = {"linear": ("end", "fraction"), "cosine": ("end", "warmup")}
EXAMPLES = "'1e-3', 'linear:1e-3:end=1e-4:fraction=0.8' or 'cosine:1e-3:warmup=0.05:end=1e-5'"


def constant(value: float) -> Schedule:
    """Return a constant schedule; ValueError if `value` is negative or not finite."""
    _check_values(value=value)
    return partial(_constant, value=value)


def linear(start: float, end: float = 0.0, fraction: float = 1.0) -> Schedule:
    """Return a schedule from `start` linearly to `end` over the first `fraction` of training, then constant at `end`.

    ValueError for values that are negative or not finite, or a fraction outside (0, 1].
    """
    _check_values(start=start, end=end)
    if not 0.0 < fraction <= 1.0:
        raise ValueError(f"fraction is {fraction}; it must be in (0, 1]")
    return partial(_linear, start=start, end=end, fraction=fraction)


def cosine(start: float, end: float = 0.0, warmup: float = 0.0) -> Schedule:
    """Return a schedule linearly from 0 to `start` over the fraction `warmup`, then along half a cosine to `end`.

    Loshchilov & Hutter (2017), "SGDR", eq. 5, without restarts. ValueError for values that are negative or not finite,
    or a warm-up outside [0, 1).
    """
    _check_values(start=start, end=end)
    if not 0.0 <= warmup < 1.0:
        raise ValueError(f"warmup is {warmup}; it must be in [0, 1)")
    return partial(_cosine, start=start, end=end, warmup=warmup)


def parse(text: str | float) -> Schedule:
    """Return the schedule that a number or a text describes, such as "1e-3" or "cosine:1e-3:warmup=0.05:end=1e-5".

    Omitted options have the defaults of `linear` and `cosine`. Raises ValueError for anything malformed.
    """
    if not isinstance(text, str):
        return constant(_number(text, text))
    kind, *parts = text.split(":")
    if kind not in OPTIONS and not parts:
        return constant(_number(kind, text))
    if kind not in OPTIONS or not parts:
        raise ValueError(f"there is no schedule {text!r}; write for example {EXAMPLES}")
    options: dict[str, float] = {}
    for part in parts[1:]:
        name, equals, value = part.partition("=")
        if not equals or name not in OPTIONS[kind] or name in options:
            raise ValueError(
                f"{part!r} in {text!r}: {kind} takes {' and '.join(OPTIONS[kind])}, once each, as name=number"
            )
        options[name] = _number(value, text)
    return (linear if kind == "linear" else cosine)(_number(parts[0], text), **options)


def _constant(progress_remaining: float, value: float) -> float:
    return value


def _linear(progress_remaining: float, start: float, end: float, fraction: float) -> float:
    done = min((1.0 - progress_remaining) / fraction, 1.0)
    return start + done * (end - start)


def _cosine(progress_remaining: float, start: float, end: float, warmup: float) -> float:
    passed = min(1.0 - progress_remaining, 1.0)  # SB3's last rollout may overshoot: progress_remaining < 0
    if passed < warmup:
        return start * passed / warmup
    # end + (start - end) (1 + cos(pi x)) / 2, x from 0 at the end of the warm-up to 1 at the end of training
    return end + (start - end) * (0.5 + 0.5 * math.cos(math.pi * (passed - warmup) / (1.0 - warmup)))


def _number(value: str | float, text: str | float) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{value!r} in {text!r} is not a number; write for example {EXAMPLES}") from None


def _check_values(**values: float) -> None:
    for name, value in values.items():
        if not 0.0 <= value < math.inf:
            raise ValueError(f"{name} is {value}; it must be finite and not negative")
