"""What the engine owns: randomness, levels, weights, threads and forks."""

import dataclasses
import struct
import subprocess
import sys
import threading
import zlib

import numpy as np
import pytest
from numba import config, njit

import llm_envs
from llm_envs.engine import snapshot
from llm_envs.engine.levels import SHARES, percentile, select
from llm_envs.registration import find
from llm_envs.rng import randint, uniform
from llm_envs.testing import trajectory_digest
from llm_envs.tokens.tasks.addition import addition
from llm_envs.tokens.tasks.copy import copy
from llm_envs.world import record, state_record, values

ADDITION, COPY = "Tokens/Addition-v0", "Tokens/Copy-v0"
THREADS = config.NUMBA_NUM_THREADS


# ---------------------------------------------------------------------- randomness and records


def test_equal_records_are_one_object():
    """Numba knows structured types by address: a freed one's place must not be taken by another."""
    assert record(a=(np.int32, (5,)), b=np.int8) is record(a=(np.int32, (5,)), b=np.int8)
    one, other = copy(length=5), copy(length=5)
    assert one.observation is other.observation
    assert one.levels.dtype is other.levels.dtype


@njit
def draw(states, n, whole, real):
    for k in range(len(whole)):
        whole[k] = randint(states[0], n)
        real[k] = uniform(states[0])


@pytest.mark.parametrize("n", [1, 2, 10, 1000, 2**31, 2**32])
def test_draws_are_in_range_and_even(n):
    whole, real, count = np.zeros(100_000, np.int64), np.zeros(100_000), 100_000
    states = np.zeros(1, state_record(unused=np.int32))
    states["rng"] = 12345
    draw(states, n, whole, real)
    assert whole.min() >= 0
    assert whole.max() < n
    assert real.min() >= 0
    assert real.max() < 1
    cells = min(n, 10)
    for places in (whole * cells // n, (real * 10).astype(int)):
        seen = np.bincount(places, minlength=cells)
        expected = count / len(seen)
        assert ((seen - expected) ** 2).sum() / expected < 27.9  # chi-square of 9 degrees of freedom, 99.9 %


@pytest.mark.parametrize("name", ["size", "take", "data", "base", "T", "sum"])
def test_record_refuses_names_that_numpy_would_hide(name):
    with pytest.raises(ValueError, match=name):
        record(good=np.int32, **{name: np.int32})


def test_values_wants_every_field():
    assert values(record(a=np.int32, b=np.int32), a=1, b=2).tolist() == [(1, 2)]
    with pytest.raises(TypeError, match="exactly these fields"):
        values(record(a=np.int32, b=np.int32), a=1)


# ---------------------------------------------------------------------- levels


def prompts(batch) -> list[str]:
    return batch.decode(batch.arrays.obs)


def test_splits_have_their_shares_of_every_kind_of_level():
    for levels in (addition().levels, addition(digits=2).levels, copy().levels):
        places = percentile(levels)
        for share in SHARES.values():
            part = np.isin(places, share).mean()
            assert abs(part - len(share) / 100) < 0.015


def test_a_level_keeps_its_split_when_the_pool_grows_or_its_records_widen():
    pairs = [(a, 3 * a % 997) for a in range(900)]
    few, many = addition(levels=pairs[300:600]), addition(levels=pairs[::-1])
    assert (percentile(few.levels)[::-1] == percentile(many.levels)[300:600]).all()
    texts = [[a % 16, a // 16, 0, 0] for a in range(256)]
    narrow, wide = copy(levels=texts), copy(levels=texts, length=40)
    assert narrow.levels.dtype.itemsize < wide.levels.dtype.itemsize
    assert (percentile(narrow.levels) == percentile(wide.levels)).all()


def test_equal_levels_have_one_split():
    places = percentile(addition(levels=[(5, 6), (6, 5), (5, 6)]).levels)
    assert places[0] == places[2]
    assert places[0] != places[1]


def test_splits_share_out_all_levels_and_training_meets_no_other():
    seen = {}
    for split in SHARES:
        count = llm_envs.make_batch(ADDITION, 1, digits=2, split=split).num_levels
        batch = llm_envs.make_batch(ADDITION, count, digits=2, split=split, order="sweep")
        batch.reset_rows(0)
        seen[split] = set(prompts(batch))
    total = llm_envs.make_batch(ADDITION, 1, digits=2, split="all").num_levels
    assert sum(map(len, seen.values())) == len(set().union(*seen.values())) == total
    training = llm_envs.make_batch(ADDITION, 64, digits=2)
    for seed in range(20):
        training.reset_rows(seed)
        assert seen["train"].issuperset(prompts(training))


PADDED = [("Nav/FourRooms-v0", {"pool": 200}), ("Text/Collector-v0", {"pool": 8})]


@pytest.mark.parametrize(("world_id", "config"), PADDED, ids=[world_id for world_id, _ in PADDED])
def test_equal_batches_take_up_each_others_snapshots_whatever_memory_held_before(world_id, config):
    found = set()
    for k in range(6):
        batch = llm_envs.make_batch(world_id, 2, seed=1, **config)
        used = batch.num_levels * batch.world.levels.itemsize
        batch.reset_rows()
        found.add((batch.pool_checksum, batch.snapshot(), *(part.tobytes() for part in batch.row(1)[:3])))
        rubbish = [np.full(size, 17 * k + 1, np.uint8) for size in (batch.world.state.itemsize, used, used)]
        del rubbish  # the next batch's arrays get its memory
    assert len(found) == 1


@pytest.mark.parametrize("split", ["train", "all"])
def test_the_padding_of_own_records_moves_no_level(split):
    world = find("Nav/FourRooms-v0")(pool=200)
    soiled = np.full(world.levels.nbytes, 0xA5, np.uint8).view(world.levels.dtype)
    soiled[...] = world.levels  # field by field
    assert soiled.tobytes() != world.levels.tobytes()
    assert (percentile(soiled) == percentile(world.levels)).all()
    chosen = [select(dataclasses.replace(world, levels=levels), split) for levels in (world.levels, soiled)]
    assert chosen[0].tobytes() == chosen[1].tobytes()


def test_own_levels_are_all_used_unless_a_split_is_asked_for():
    own = [(a, a) for a in range(50)]
    assert llm_envs.make_batch(ADDITION, 1, levels=own).num_levels == 50
    counts = [llm_envs.make_batch(ADDITION, 1, levels=own, split=split).num_levels for split in SHARES]
    assert sum(counts) == 50
    empty = "test" if percentile(addition(levels=own[:1]).levels)[0] in SHARES["train"] else "train"
    with pytest.raises(ValueError, match=f"split='{empty}' holds none of the 1 levels"):
        llm_envs.make_batch(ADDITION, 1, levels=own[:1], split=empty)
    with pytest.raises(ValueError, match="'train', 'validation', 'test', 'all'"):
        llm_envs.make_batch(ADDITION, 1, split="dev")


def test_a_sweep_gives_each_group_the_next_levels():
    batch = llm_envs.make_batch(ADDITION, 4, levels=[(a, 0) for a in range(5)], order="sweep", group_size=2)
    visited = []
    for _ in range(3):
        batch.reset_rows()
        visited.append(batch.level_index.tolist())
    assert visited == [[0, 0, 1, 1], [2, 2, 3, 3], [4, 4, 0, 0]]
    assert prompts(batch) == ["4+0="] * 2 + ["0+0="] * 2


def test_groups_share_levels_and_differ_from_one_another():
    batch = llm_envs.make_batch(ADDITION, 64, group_size=8)
    batch.reset_rows(3)
    texts = np.array(prompts(batch)).reshape(8, 8)
    assert (texts == texts[:, :1]).all()
    assert len(set(texts[:, 0])) == 8
    with pytest.raises(ValueError, match="divide"):
        llm_envs.make_batch(ADDITION, 5, group_size=2)


# ---------------------------------------------------------------------- weights, threads, sizes


def test_weights_override_defaults_and_unknown_ones_are_refused():
    batch = llm_envs.make_batch(ADDITION, 1, levels=[(2, 3)], weights={"match": 4.0, "length": -1.0})
    assert batch.weights == {"exact": 1.0, "match": 4.0, "length": -1.0, "wellformed": 0.0}
    batch.reset_rows(0)
    rewards = []
    for action in (4 + 5, 1):  # "5" <end>
        batch.step_rows([action])
        rewards.append(float(batch.arrays.reward[0]))
    assert rewards == [2.0, 1.0 + 2.0 - 1.0]  # match is 1/2 for each of two tokens
    with pytest.raises(ValueError, match="no signal 'speed'; the signals are exact, match, length, wellformed"):
        llm_envs.make_batch(ADDITION, 1, weights={"speed": 1.0})
    with pytest.raises(ValueError, match="finite"):
        llm_envs.make_batch(ADDITION, 1, weights={"exact": float("nan")})


def test_bad_threads_are_refused():
    for threads in (0, THREADS + 1):
        with pytest.raises(ValueError, match="threads"):
            llm_envs.make_batch(COPY, 4, threads=threads)
    with pytest.raises(TypeError, match="threads"):
        llm_envs.make_batch(COPY, 4, threads=1.0)


def test_rows_do_not_depend_on_the_number_of_rows():
    small, large = llm_envs.make_batch(COPY, 3), llm_envs.make_batch(COPY, 2000)
    rng = np.random.default_rng(0)
    for batch in (small, large):
        batch.reset_rows(5)
    for _ in range(60):
        actions = rng.integers(0, 19, 2000)
        large.step_rows(actions)
        small.step_rows(actions[:3])
        for part, whole in zip(small.save_buffers(), large.save_buffers(), strict=True):
            assert whole.startswith(part)


def test_a_snapshot_whose_header_is_nonsense_is_refused():
    """It comes from a stranger, with a right checksum: whatever stands in it, the answer is ValueError."""
    batch = llm_envs.make_batch(COPY, 2)
    batch.reset_rows(0)
    for text in (b"[" * 200_000, b"[]", b"{}", b"\xff", b"", b'"' * 10):
        body = snapshot.MAGIC + struct.pack("<I", len(text)) + text
        with pytest.raises(ValueError, match="snapshot"):
            batch.restore(body + struct.pack("<I", zlib.crc32(body)))


def test_two_batches_in_two_threads_do_not_disturb_each_other():
    """They share the process's helper threads."""
    expected = [trajectory_digest(COPY, 64, 200, seed, threads=1) for seed in (1, 2)]
    found = [None, None]

    def work(k: int) -> None:
        found[k] = trajectory_digest(COPY, 64, 200, k + 1, threads=THREADS)

    workers = [threading.Thread(target=work, args=(k,)) for k in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert found == expected


FORK = """
import os, sys, threading
import numpy as np, llm_envs
from llm_envs.testing import trajectory_digest

def play(batch, steps):
    for k in range(steps):
        batch.step_rows(np.arange(64) * (k + 3) % 19)
    return batch.snapshot()

def make(threads):
    batch = llm_envs.make_batch("Tokens/Copy-v0", 64, threads=threads)
    batch.reset_rows(1)
    return batch

threads = int(sys.argv[1])
expected, fresh = play(make(1), 80), trajectory_digest("Tokens/Copy-v0", 64, 50, 4, threads=1)
batch, busy = make(threads), make(threads)
play(batch, 30)
background = threading.Thread(target=play, args=(busy, 3000))
background.start()  # so that the fork happens while helpers that the child does not have are at work
again = lambda k: batch.step_rows(np.arange(64) * (k + 3) % 19)
reader, writer = os.pipe()
child = os.fork()
for k in range(30, 80):
    again(k)
right = batch.snapshot() == expected and trajectory_digest("Tokens/Copy-v0", 64, 50, 4, threads=threads) == fresh
if child == 0:
    os.write(writer, b"child right" if right else b"child wrong")
    os._exit(0)
background.join()
os.waitpid(child, 0)
print(os.read(reader, 100).decode(), "parent", "right" if right else "wrong")
"""


def test_a_batch_goes_on_after_a_fork_in_parent_and_child():
    """Threads do not survive a fork: the child must start helpers of its own, and wait for none of the parent's."""
    command = [sys.executable, "-c", FORK, str(THREADS)]
    done = subprocess.run(command, timeout=120, check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["child", "right", "parent", "right"], done.stderr


def test_no_record_begins_another() -> None:
    """Numba would take the longer one for a subtype of the shorter one, whichever was made first."""
    record(only_here=np.int32, second=np.int64)
    for fields in ({"only_here": np.int32}, {"only_here": np.int32, "second": np.int64, "third": np.int8}):
        with pytest.raises(ValueError, match=r"'only_here'.* begin alike"):
            record(**fields)
    assert record(only_here=np.int64) is record(only_here=np.int64)
    record(only_here=np.int32, third=np.int64)
