"""What a batch takes as actions, observations and rows: every form that is meant, and a reason for every other."""

import math

import numpy as np
import pytest
import torch

import llm_envs

COPY, PLANNER = "Tokens/Copy-v0", "Nav/PathPlanner-v0"


def make(world_id=COPY, **options):
    """Return a batch of two rows after its reset."""
    batch = llm_envs.make_batch(world_id, 2, pool=8, split="all", **options)
    batch.reset(0)
    return batch


NO_ACTIONS = {
    "floats": [1.0, 2.0],
    "fractions": np.array([0.5, 1.5]),
    "NaN": [math.nan, 1.0],
    "a huge number": [2**70, 1],
    "truth values": [True, False],
    "strings in an array": np.array(["a", "b"]),
    "None": None,
    "nothing": [],
    "a dict": {"a": 1},
    "ragged": [[1], [1, 2]],
    "one number": 3,
    "too many": [1, 2, 3],
    "a column": [[1], [2]],
    "objects": [object(), object()],
    "a float tensor": torch.ones(2, requires_grad=True),
    "bfloat16": torch.ones(2, dtype=torch.bfloat16),
    "complex": torch.ones(2, dtype=torch.complex64),
    "a bool tensor": torch.ones(2, dtype=torch.bool),
}


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("kind", NO_ACTIONS)
def test_what_is_no_action_is_refused_and_nothing_moves(kind, check, recwarn):
    """Also unchecked: only the range is, since a cast would make some other action of it."""
    batch = make(check_actions=check)
    before = batch.save_buffers()
    with pytest.raises(ValueError, match=r"^actions "):
        batch.step(NO_ACTIONS[kind])
    assert batch.save_buffers() == before
    assert len(recwarn) == 0


@pytest.mark.parametrize(
    "actions", [[3, 4], (3, 4), np.array([3, 4], np.uint8), torch.tensor([3, 4], dtype=torch.int16), range(3, 5)]
)
def test_integers_of_every_kind_are_one_action(actions):
    batch, twin = make(), make()
    batch.step(actions)
    twin.step(np.array([3, 4]))
    assert batch.save_buffers() == twin.save_buffers()


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_pushes_of_every_kind_are_one_action(dtype, check):
    """A policy's own output may have gradients, and half its bits; what it means is clear."""
    batch, twin = (make(PLANNER, action="continuous", check_actions=check) for _ in range(2))
    pushes = torch.tensor([[0.5, -0.25], [1.0, 0.0]], dtype=dtype, requires_grad=True)
    batch.step(pushes)
    twin.step(np.array([[0.5, -0.25], [1.0, 0.0]]))
    assert batch.save_buffers() == twin.save_buffers()


def test_unchecked_an_action_out_of_range_is_no_action():
    batch = make(check_actions=False)
    obs = {name: value.clone() for name, value in batch.tensors.obs.items()}
    step = batch.step([-1, 10**6])
    assert all(torch.equal(step.obs[name], obs[name]) for name in obs)
    batch = make(PLANNER, action="continuous", check_actions=False)
    where = batch.tensors.obs["state"].clone()
    assert torch.equal(batch.step([[math.nan, 0.0], [2.0, 0.0]]).obs["state"], where)


@pytest.mark.parametrize("view", ["row", "frame", "render", "text", "info"])
@pytest.mark.parametrize("row", [99, 2, -1, 1.5, None, "0", True])
def test_a_row_that_there_is_not(view, row):
    with pytest.raises((TypeError, ValueError), match=r"^row "):
        getattr(make("Text/Coin-v0"), view)(row)


def test_observations_that_are_none_of_this_world():
    batch = make()
    for obs in ({}, None, {"tokens": np.zeros((1, 32), np.int32)}, {"other": [1]}, 3):
        with pytest.raises(ValueError, match=r"the observations have the fields .*; they must have tokens, length"):
            batch.decode(obs)
    with pytest.raises(ValueError, match=r"the fields have \[2, 1\] rows"):
        batch.decode({"tokens": batch.arrays.obs["tokens"], "length": batch.arrays.obs["length"][:1]})


def test_the_clock_counts_on_where_32_bits_end():
    """Without a time limit an episode may last for days."""
    batch = make()
    batch._states.arrays["t"][:] = 2**31 - 1
    batch.step([-1 % 3, 3])
    assert batch.records[0]["t"].max() == 2**31
    assert not batch.tensors.truncated.any()
