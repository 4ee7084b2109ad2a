"""Copies and pickles of batches continue bit for bit, in this process and in another, and are independent of them."""

import copy
import multiprocessing
import pickle

import numpy as np
import pytest
import torch
from numba import config

from llm_envs import make_batch
from llm_envs.engine.batch import BatchEnv
from llm_envs.registration import build
from llm_envs.rewards import Reward
from llm_envs.testing.random_walks import random_actions

CASES = [
    ("Tokens/Addition-v0", {}),
    ("Tokens/Copy-v0", {"order": "sweep", "autoreset": "next_step", "weights": {"match": 0.5}}),
    ("Nav/FourRooms-v0", {"threads": 2}),
    ("Nav/PathPlanner-v0", {"action": "continuous", "split": "test"}),
    ("Text/KeyQuest-v0", {"pool": 4, "group_size": 2}),
    ("Text/World-v0", {"action": "text"}),
]


def longer(transition):
    """Return how much longer the text became, (M,)."""
    return (transition.obs["length"] - transition.before["length"])[:, 0].float()


class Counting:
    """A term with a state of its own: the number of its calls."""

    def __init__(self):
        self.calls = 0

    def __call__(self, transition):
        self.calls += 1
        return torch.full(transition.terminated.shape, float(self.calls))


def walk(batch, steps, seed):
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        batch.step_rows(random_actions(batch, rng))
    return batch.read_buffers()


def made(world_id, options):
    batch = make_batch(world_id, 4, seed=5, **options)
    batch.reset_rows()
    walk(batch, 15, 0)
    return batch


@pytest.mark.parametrize(("world_id", "options"), CASES)
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda batch: pickle.loads(pickle.dumps(batch))])
def test_a_copy_continues_bit_for_bit(world_id, options, duplicate):
    batch = made(world_id, options)
    twin, unmoved = duplicate(batch), duplicate(batch)
    assert walk(batch, 40, 1) == walk(twin, 40, 1)
    batch.reset_rows(), twin.reset_rows()
    assert walk(batch, 10, 2) == walk(twin, 10, 2)
    assert walk(unmoved, 40, 1) == walk(duplicate(made(world_id, options)), 40, 1)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda batch: pickle.loads(pickle.dumps(batch))])
def test_reward_terms_are_copied_with_their_state(duplicate):
    batch = made("Tokens/Copy-v0", {"rewards": [longer, Reward(Counting(), 0.5, "count")]})
    twin = duplicate(batch)
    assert torch.equal(twin.tensors.signals["count"], batch.tensors.signals["count"])
    walk(batch, 5, 1)
    assert (batch.tensors.signals["count"] == 20).all()
    assert walk(twin, 5, 1) == batch.read_buffers()
    assert (twin.tensors.signals["count"] == 20).all()


def test_a_copy_before_the_first_reset_has_none_either():
    twin = copy.deepcopy(make_batch("Tokens/Copy-v0", 2))
    with pytest.raises(RuntimeError, match=r"reset\(\) must be called"):
        twin.step(np.zeros(2, int))


def test_a_spawned_process_continues():
    batch = made("Nav/FourRooms-v0", {})
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        there = pool.apply(walk, (batch, 20, 3))
    assert there == walk(batch, 20, 3)


def test_a_pickle_is_loaded_on_a_machine_with_fewer_cores(monkeypatch):
    """Threads change no number, so that those which are not there are not needed."""
    monkeypatch.setattr(config, "NUMBA_NUM_THREADS", 8)
    batch = make_batch("Nav/FourRooms-v0", 64, threads=8)
    batch.reset_rows(0)
    given = pickle.dumps(batch)
    monkeypatch.setattr(config, "NUMBA_NUM_THREADS", 1)
    assert walk(pickle.loads(given), 9, 0) == walk(batch, 9, 0)


def test_a_batch_of_a_world_object_is_copied_but_not_pickled():
    batch = BatchEnv(build("Tokens/Copy-v0", {}), 2)
    batch.reset_rows()
    assert walk(copy.deepcopy(batch), 9, 0) == walk(batch, 9, 0)
    with pytest.raises(TypeError, match=r"make it by llm_envs\.make_batch"):
        pickle.dumps(batch)


def test_a_pickle_of_another_pool_is_refused():
    state = made("Tokens/Copy-v0", {}).__getstate__()
    other = make_batch("Tokens/Copy-v0", 4, length=3)
    before = other.read_buffers()
    with pytest.raises(ValueError, match=r"differs .* in \['configuration', .*'levels'"):
        other.__setstate__(state)
    assert other.read_buffers() == before


def test_a_copy_is_of_the_batch_not_of_what_its_arguments_became():
    weights, levels = {"match": 0.5}, [[0, 1], [2]]
    batch = make_batch("Tokens/Copy-v0", 2, seed=1, weights=weights, levels=levels)
    batch.reset_rows()
    weights["match"] = 7.0
    levels.append([3])
    for twin in (copy.deepcopy(batch), pickle.loads(pickle.dumps(batch))):
        original = copy.deepcopy(batch)
        assert walk(twin, 20, 0) == walk(original, 20, 0)
        assert twin.weights["match"] == 0.5
