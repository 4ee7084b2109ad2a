"""What the views share: drawing a row, beginning some rows, the observation and the `info` of one row."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, cast

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


def begin_rows(
    batch: BatchEnv,
    seed: int | Sequence[int | None] | None = None,
    rows: np.ndarray | None = None,
    levels: Any = None,
) -> None:
    """Call `BatchEnv.reset_rows`; in a list of seeds some may be None, and those rows continue their streams.

    Raises:
        TypeError, ValueError: a seed, mask or level of the wrong kind, shape or range; no row has changed.
        RuntimeError: only some rows are to begin before all have begun once.
    """
    if seed is None or not isinstance(seed, (list, tuple)) or None not in seed:
        batch.reset_rows(cast("int | Sequence[int] | None", seed), rows=rows, levels=levels)  # no None in the list
        return
    if len(seed) != batch.num_envs:
        raise ValueError(f"seed has {len(seed)} entries; it must have {batch.num_envs}, one a row")
    # `filled` gives the others the seed that they would have in a seeded batch; it is used only where `given` holds, or
    # where nothing has begun.
    given = np.array([one is not None for one in seed])
    filled = [batch.seed + i if one is None else one for i, one in enumerate(seed)]
    if not batch.started:  # nothing to continue yet: those rows have the seeds that the batch was made with
        batch.reset_rows(filled, rows=rows, levels=levels)
        return
    # BatchEnv.reset takes seeds for all of its rows or for none: two resets of disjoint sets of rows.
    chosen = np.ones(batch.num_envs, bool) if rows is None else rows
    if (given & chosen).any():  # first: it refuses bad seeds and levels before anything has changed
        batch.reset_rows(filled, rows=given & chosen, levels=levels)
    batch.reset_rows(rows=~given & chosen, levels=levels)


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
