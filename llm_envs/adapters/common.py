"""What the views share: drawing a row, the options of a reset, the observation and the `info` of one row."""

import secrets
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from llm_envs.engine.batch import BatchEnv
from llm_envs.validation import check_range

SECONDS_PER_FRAME = 0.1
RENDER_MODES = ("ansi", "human", "rgb_array")  # of every world: text can be printed and drawn
METADATA = {"render_modes": list(RENDER_MODES), "render_fps": round(1 / SECONDS_PER_FRAME)}


def fresh_seed() -> int:
    """Return a seed for an environment that was given none: Gymnasium's are not reproducible then."""
    return secrets.randbelow(2**31)


def draw(batch: BatchEnv, row: int, render_mode: str | None) -> Any:
    """Return (or, for "human", print) one row as `render_mode` asks."""
    if render_mode == "rgb_array":
        return batch.frame(row)
    if render_mode is None:
        gym.logger.warn("render() was called on an environment made without a render_mode")
        return None
    text = batch.render(row)
    return text if render_mode == "ansi" else print(text)


# ---------------------------------------------------------------------- beginning episodes


def check_reset_options(options: Mapping[str, Any] | None, allowed: tuple[str, ...] = ("level",)) -> Mapping[str, Any]:
    """Return a reset's options, {} for None; ValueError for one that no reset has."""
    if options is not None and not isinstance(options, Mapping):
        raise TypeError(f"options is {options!r}; it must be a dict, or None")
    for name in options or ():
        if name not in allowed:
            raise ValueError(f"there is no reset option {name!r}; the options are {', '.join(allowed)}")
    return options or {}


def check_level(batch: BatchEnv, options: Mapping[str, Any] | None) -> int | None:
    """Return the level that one row's reset options ask for, or None; ValueError for other options or levels."""
    level = check_reset_options(options).get("level")
    if level is not None:
        check_range("level", level, 0, batch.num_levels - 1)
    return level


# ---------------------------------------------------------------------- one row


def as_observation(batch: BatchEnv, obs: Mapping[str, np.ndarray]) -> Any:
    """Return one row's fields as what its space holds: a text, or copies."""
    # Copies, since the fields are views that the next step overwrites; Gymnasium's users keep observations.
    if batch.world.shows_text:
        return batch.decode_row(obs)
    return {name: value.copy() for name, value in obs.items()}


def signal_keys(batch: BatchEnv) -> dict[str, str]:
    """Return the `info` key of every reward term, the world's and those that were added, by the term's name."""
    return {name: f"signals/{name}" for name in batch.term_names}


def reset_info(batch: BatchEnv, row: int) -> dict[str, Any]:
    """Return a row's `info` after a reset: its level, 0 for every signal, and what the world's string form adds."""
    info = {"level": batch.level_index[row], **dict.fromkeys(signal_keys(batch).values(), np.float32(0))}
    return info | batch.info(row) if batch.world.uses_strings else info
