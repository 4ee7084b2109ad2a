"""Which levels a batch draws: splits by content, so that what is held out stays held out, and each row's stream.

A level's split follows from a hash of its bytes alone. Enlarging a pool, reordering it or widening its records moves no
level from one split to another, and equal levels are always in the same split.
"""

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from llm_envs.engine.records import without_padding
from llm_envs.rng import GOLDEN, mix
from llm_envs.validation import check_choice, check_range, check_seed, quote
from llm_envs.world import World

SPLITS = ("train", "validation", "test", "all")
ORDERS = ("random", "sweep")
DRAW, LEAVE = -1, -2  # what a reset asks of a row: its stream's next level, nothing; else the index of a level
SHARES = {"train": range(0, 80), "validation": range(80, 90), "test": range(90, 100)}  # percent


def percentile(levels: np.ndarray) -> np.ndarray:
    """Return each level's place in 0..99, from its bytes without trailing zeros; padding does not count.

    A level with a field `key` is known by that: a hash of its content, where its bytes depend on the rest of the pool.
    """
    named = np.ascontiguousarray(levels["key"]) if "key" in (levels.dtype.names or ()) else without_padding(levels)
    raw = named.view(np.uint8).reshape(len(levels), -1)
    # CRC-32 is linear: multiply before taking the top bits, or near levels fall into near places.
    codes = np.array([zlib.crc32(row.tobytes().rstrip(b"\0")) for row in raw], np.uint64)
    # (code * golden ratio) mod 2^64, its upper 32 bits h, then floor(h * 100 / 2^32): a place from 0 to 99.
    spread = (codes * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)
    return (spread * np.uint64(100) >> np.uint64(32)).astype(np.int64)


def select(world: World, split: str | None) -> np.ndarray:
    """Return the levels of a split, without padding; None means "train", or "all" where the user brought the levels.

    Raises:
        ValueError: an unknown split, or one that holds none of the pool's levels.
    """
    check_choice("split", split, (None, *SPLITS))
    if split is None:
        split = "all" if world.custom_levels else "train"
    if split == "all":
        return without_padding(world.levels)
    # By place, not by index: where the pool grows, no held-out level moves into training.
    places, share = percentile(world.levels), SHARES[split]
    chosen = without_padding(world.levels[(places >= share.start) & (places < share.stop)])
    if not len(chosen):
        raise ValueError(
            f"split={split!r} holds none of the {len(world.levels)} levels; add levels or pass split='all'"
        )
    return chosen


Seeds = int | Sequence[int | None] | None  # of a reset: row i has seed + i, or seed[i]; None continues its stream


def row_seeds(seed: int | Sequence[int], num_envs: int) -> np.ndarray:
    """Return the seed of every row, (N,) uint64: `seed + i`, or the N seeds that are given.

    Raises:
        TypeError, ValueError: not an integer from 0 to 2^63 - 1, or not N of them.
    """
    # One by one, so that the error names the seed; NumPy would cut a float off in silence.
    if isinstance(seed, (list, tuple)) or (isinstance(seed, np.ndarray) and seed.ndim):
        if len(seed) != num_envs:
            raise ValueError(f"seed has {len(seed)} entries; it must be an integer or {num_envs} of them, one a row")
        for one in seed:
            check_seed(one)
        return np.array(seed, np.uint64)
    check_seed(seed)
    return np.arange(num_envs, dtype=np.uint64) + np.array(seed, np.uint64)


def new_seeds(seed: Seeds, seeds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the seeds after a reset by `seed`, (N,) uint64, and which rows it seeds, (N,) bool.

    None, alone or in a list, leaves a row the one it has in `seeds` (N,). Errors are those of `row_seeds`.
    """
    if seed is None:
        return seeds, np.zeros(len(seeds), bool)
    if not isinstance(seed, (list, tuple)) or len(seed) != len(seeds):
        return row_seeds(seed, len(seeds)), np.ones(len(seeds), bool)  # type: ignore[arg-type]
    given = [int(old) if one is None else one for one, old in zip(seed, seeds, strict=True)]
    return row_seeds(given, len(seeds)), np.array([one is not None for one in seed])


def level_requests(rows: Any, levels: Sequence[int | None] | None, num_envs: int, num_levels: int) -> np.ndarray:
    """Return what a reset asks of every row, (N,) int64: the index of a level, DRAW or LEAVE.

    Raises:
        ValueError: `rows` is no mask (N,) bool, or `levels` are not N indices of levels.
    """
    requests = np.full(num_envs, DRAW, np.int64)
    if levels is not None:
        if hasattr(levels, "tolist"):  # an array or tensor
            levels = levels.tolist()
        if not isinstance(levels, (list, tuple)) or len(levels) != num_envs:
            raise ValueError(f"levels is {quote(levels)}; it must be a list of {num_envs} levels, one a row")
        for i, level in enumerate(levels):
            # None, or -1 for callers that keep their levels in an array, asks for the stream's next level.
            if level is not None and not (isinstance(level, (int, np.integer)) and level == DRAW):
                check_range(f"levels[{i}]", level, 0, num_levels - 1)
                requests[i] = level
    if rows is not None:
        try:
            mask = np.asarray(rows.cpu() if hasattr(rows, "cpu") else rows)
        except ValueError as error:  # a ragged list
            raise ValueError(f"rows is {quote(rows)}; it must be bool of shape ({num_envs},)") from error
        if mask.dtype != np.bool_ or mask.shape != (num_envs,):
            raise ValueError(f"rows is {mask.dtype} of shape {mask.shape}; it must be bool of shape ({num_envs},)")
        requests[~mask] = LEAVE
    return requests


def seeded_states(kind: np.dtype, seeds: np.ndarray, group_size: int, order: str, num_levels: int) -> np.ndarray:
    """Return states (N,) that hold nothing but their generators; row i has those of a single row seeded `seeds[i]`.

    `stream` decides the levels, see `kernels.choose`: a hash in random order, the first level in a sweep. The rows of a
    group share the stream of the group's first row.
    """
    states = np.zeros(len(seeds), kind)
    rows = np.arange(len(seeds))
    group = rows // group_size
    first = seeds[group * group_size]  # of the row's group
    # As plain Python, over whole arrays; under NUMBA_DISABLE_JIT it is that already. It wraps at 2^64 by design.
    mixer = getattr(mix, "py_func", mix)
    with np.errstate(over="ignore"):
        # Hashed: consecutive seeds, as rows have them, must not be near places in one generator's sequence.
        states["rng"] = mixer(mixer(seeds) ^ GOLDEN)
        if order == "sweep":
            # Consecutive groups sweep from consecutive levels: seeds are `group_size` apart, levels 1.
            states["stream"] = (first - (group * (group_size - 1)).astype(np.uint64)) % np.uint64(num_levels)
        else:
            states["stream"] = mixer(first + GOLDEN)
    states["episode"] = -1  # none has begun; the first is number 0
    return states
