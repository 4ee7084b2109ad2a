"""Checks of a user's actions and weights: each error names what was given and what is allowed."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from llm_envs.validation import check_weight, quote
from llm_envs.world import World


def check_actions(world: World, actions: np.ndarray, shape: tuple[int, ...]) -> None:
    """Raise ValueError for actions of the wrong dtype, shape or range.

    Args:
        world: whose `actions` are allowed.
        actions: of any dtype and shape.
        shape: that they must have, (N,) or (N, *shape of one).
    """
    # In this order: a range means nothing before the kind and the shape are right. Any integer or float type fits,
    # since it is cast into the action buffer; bool does not: as an action it is most often a mistake.
    allowed = world.actions
    if isinstance(allowed, np.dtype):  # the rule itself refuses what its level does not have
        fits, wanted = actions.dtype == allowed, "texts"
    else:
        kinds, wanted = ("iu", "integers") if isinstance(allowed, int) else ("f", "floats")
        fits = actions.dtype.kind in kinds
    if not fits:
        raise ValueError(f"actions have dtype {actions.dtype}; they must be {wanted}")
    if actions.shape != tuple(shape):
        raise ValueError(f"actions have shape {actions.shape}; it must be {tuple(shape)}")
    if isinstance(allowed, np.dtype):
        return
    # Two reductions over the batch are cheaper than a mask of every entry; the error is about the worst ones.
    low, high = (0, allowed - 1) if isinstance(allowed, int) else (allowed.low, allowed.high)
    least, most = actions.min(), actions.max()
    if not (least >= low and most <= high):  # NaN fails too
        raise ValueError(f"actions reach from {least} to {most}; they must be from {low} to {high}")


def is_text(actions: Any) -> bool:
    """Return whether actions are given as typed commands: a string, or a list or tuple that holds one."""
    return isinstance(actions, str) or (isinstance(actions, (list, tuple)) and any(isinstance(a, str) for a in actions))


def merge_weights(world: World, weights: Mapping[str, float] | None) -> dict[str, float]:
    """Return the weight of every signal: the world's defaults, overridden by `weights`.

    Raises:
        TypeError: `weights` is no mapping.
        ValueError: there is no such signal, or a weight is no finite number.
    """
    if weights is not None and not isinstance(weights, Mapping):
        raise TypeError(f"weights is {quote(weights)}; it must be a dict of signals' names and numbers, or None")
    for name, weight in (weights or {}).items():
        if name not in world.signals:
            raise ValueError(f"weights has no signal {quote(name)}; the signals are {', '.join(world.signals)}")
        check_weight(name, weight)
    return {**world.signals, **(weights or {})}
