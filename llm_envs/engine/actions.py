"""Checks of a user's actions and weights: each error names what was given and what is allowed."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from llm_envs.engine.levels import SPLITS
from llm_envs.validation import check_choice, check_text, check_weight, quote
from llm_envs.world import World


def as_array(actions: Any) -> np.ndarray:
    """Return actions as an array on the host: of a tensor its values, without gradients, bfloat16 as float32.

    Raises:
        ValueError: they are no rectangular list of numbers.
    """
    if hasattr(actions, "detach"):  # a torch tensor; torch itself is not imported for this
        plain = actions.detach().cpu()
        return (plain.float() if plain.is_floating_point() else plain).numpy()
    try:
        return np.asarray(actions)
    except (TypeError, ValueError) as error:
        raise ValueError(f"actions are {quote(actions)}; they must be numbers, one or one vector a row") from error


def check_actions(world: World, actions: Any, shape: tuple[int, ...], checked: Any = slice(None)) -> None:
    """Raise ValueError for actions, an array or a tensor, of the wrong dtype or shape, or range in the `checked` rows.

    Without the range check an illegal action is a no-op; dtype and shape are seen without reading a value, and a cast
    of what is no action would make some other action of it.

    Args:
        world: whose `actions` are allowed.
        actions: of any dtype and shape.
        shape: that they must have, (N,) or (N, *shape of one).
        checked: the rows whose values are looked at, a slice or a mask (N,); None for none of them.
    """
    # In this order: a range means nothing before the kind and the shape are right. Any integer or float type fits,
    # since it is cast into the action buffer; bool does not: as an action it is most often a mistake.
    allowed = world.actions
    if isinstance(allowed, np.dtype):  # the rule itself refuses what its level does not have
        fits, wanted = actions.dtype == allowed, "texts"
    else:
        kinds, wanted = ("iu", "integers") if isinstance(allowed, int) else ("f", "floats")
        fits = _kind(actions.dtype) in kinds
    if not fits:
        raise ValueError(f"actions have dtype {actions.dtype}; they must be {wanted}")
    if tuple(actions.shape) != tuple(shape):
        raise ValueError(f"actions have shape {tuple(actions.shape)}; it must be {tuple(shape)}")
    if checked is None or isinstance(allowed, np.dtype):
        return
    actions = actions[checked]
    if not len(actions):
        return
    # Two reductions over the batch are cheaper than a mask of every entry; the error is about the worst ones.
    low, high = (0, allowed - 1) if isinstance(allowed, int) else (allowed.low, allowed.high)
    least, most = actions.min(), actions.max()
    if not (least >= low and most <= high):  # NaN fails too
        raise ValueError(f"actions reach from {least} to {most}; they must be from {low} to {high}")


def _kind(dtype: Any) -> str:
    """Return NumPy's letter for the kind of a NumPy or torch dtype."""
    if isinstance(dtype, np.dtype):
        return dtype.kind
    return "f" if dtype.is_floating_point else "c" if dtype.is_complex else "b" if str(dtype) == "torch.bool" else "i"


def check_settings(split: Any, check_actions: Any, rewards: Any, device: Any) -> tuple:
    """Return a batch's reward terms as a tuple; raise for arguments that nothing else in the engine looks at.

    Raises:
        TypeError, ValueError: names the argument, what was given and what is allowed.
    """
    check_choice("split", split, (None, *SPLITS))
    check_choice("check_actions", check_actions, (None, True, False))
    if type(device).__name__ != "device":  # a torch.device, which is told apart without importing torch
        check_text("device", device)
    if isinstance(rewards, (str, bytes, Mapping, np.ndarray)) or not isinstance(rewards, Iterable):
        form = "functions, (function, weight) pairs or Rewards"
        raise TypeError(f"rewards is {quote(rewards)}; it must be a list of {form}")
    return tuple(rewards)


def check_fields(world: World, obs: Any) -> None:
    """Raise ValueError unless `obs` maps the names of a world's observation fields to as many rows each."""
    names = world.observation.names or ()
    if not isinstance(obs, Mapping) or set(obs) != set(names):
        given = sorted(map(str, obs)) if isinstance(obs, Mapping) else obs
        raise ValueError(f"the observations have the fields {quote(given)}; they must have {', '.join(names)}")
    if len({len(value) for value in obs.values()}) > 1:
        raise ValueError(f"the fields have {[len(value) for value in obs.values()]} rows; they must have as many each")


def check_texts(texts: Any, count: int) -> None:
    """Raise ValueError if `texts` are no list, tuple or array of `count` entries."""
    if not isinstance(texts, (list, tuple, np.ndarray)) or len(texts) != count:
        raise ValueError(f"actions are {quote(texts)}; they must be a list of {count} strings, one a row")


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
    for name in weights or {}:
        if name not in world.signals:
            raise ValueError(f"weights has no signal {quote(name)}; the signals are {', '.join(world.signals)}")
    merged = {**world.signals, **(weights or {})}
    for name, weight in merged.items():  # the world's own too
        check_weight(name, weight)
    return merged
