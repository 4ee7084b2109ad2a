"""Which levels a batch draws: splits by content, so that what is held out stays held out, and each row's stream.

A level's split follows from a hash of its bytes alone. Enlarging a pool, reordering it or widening its records moves no
level from one split to another, and equal levels are always in the same split.
"""

import zlib

import numpy as np

from llm_envs.engine.records import without_padding
from llm_envs.rng import GOLDEN, mix
from llm_envs.validation import check_choice
from llm_envs.world import World

SPLITS = ("train", "validation", "test", "all")
ORDERS = ("random", "sweep")
SHARES = {"train": range(0, 80), "validation": range(80, 90), "test": range(90, 100)}  # percent


def percentile(levels: np.ndarray) -> np.ndarray:
    """Return each level's place in 0..99, from its bytes without trailing zeros; padding does not count.

    A level with a field `key` is known by that: a hash of its content, where its bytes depend on the rest of the pool.
    """
    named = np.ascontiguousarray(levels["key"]) if "key" in (levels.dtype.names or ()) else without_padding(levels)
    raw = named.view(np.uint8).reshape(len(levels), -1)
    # CRC-32 is linear: multiply before taking the top bits, or near levels fall into near places.
    codes = np.array([zlib.crc32(row.tobytes().rstrip(b"\0")) for row in raw], np.uint64)
    spread = (codes * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)
    return (spread * np.uint64(100) >> np.uint64(32)).astype(np.int64)


def select(world: World, split: str | None) -> np.ndarray:
    """Return the levels of a split, without padding; None means "train", or "all" where the user brought the levels.

    Raises:
        ValueError: an unknown split, or one that holds none of the pool's levels.
    """
    split = split or ("all" if world.own_levels else "train")
    check_choice("split", split, SPLITS)
    if split == "all":
        return without_padding(world.levels)
    places, share = percentile(world.levels), SHARES[split]
    chosen = without_padding(world.levels[(places >= share.start) & (places < share.stop)])
    if not len(chosen):
        raise ValueError(
            f"split={split!r} holds none of the {len(world.levels)} levels; add levels or pass split='all'"
        )
    return chosen


def seeded_states(kind: np.dtype, seed: int, num_envs: int, group_size: int, order: str, num_levels: int) -> np.ndarray:
    """Return states (N,) that hold nothing but their generators; row i has those of a single row seeded `seed + i`.

    `stream` decides the levels, see `kernels.begin`: a hash in random order, the first level in a sweep. The rows of a
    group share the stream of the group's first row.
    """
    states = np.zeros(num_envs, kind)
    rows = np.arange(num_envs, dtype=np.uint64)
    groups = rows // np.uint64(group_size)
    mixer = getattr(mix, "py_func", mix)
    with np.errstate(over="ignore"):
        states["rng"] = mixer(mixer(rows + np.uint64(seed)) ^ GOLDEN)
        if order == "sweep":
            states["stream"] = (groups + np.uint64(seed)) % np.uint64(num_levels)
        else:
            states["stream"] = mixer(groups * np.uint64(group_size) + np.uint64(seed) + GOLDEN)
    states["episode"] = -1
    return states
