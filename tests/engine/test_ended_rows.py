"""Rows at the end of an episode: they stand still, are not paid again, and their actions are not looked at."""

import copy

import numpy as np
import pytest

from llm_envs import make_batch
from llm_envs.testing.random_walks import random_actions

IDS = ("Tokens/Copy-v0", "Tokens/Addition-v0", "Nav/PathPlanner-v0", "Text/Coin-v0")


@pytest.mark.parametrize("world_id", IDS)
def test_without_autoreset_ended_rows_stand_still_and_can_be_saved(world_id):
    batch, rng = make_batch(world_id, 8, autoreset="never", max_steps=6), np.random.default_rng(0)
    batch.reset_rows(0)
    for _ in range(20):
        over, before = batch.over, [np.frombuffer(raw, np.uint8).reshape(8, -1) for raw in batch.read_buffers()[:2]]
        batch.step_rows(random_actions(batch, rng))
        now = [np.frombuffer(raw, np.uint8).reshape(8, -1) for raw in batch.read_buffers()[:2]]
        assert all((new[over] == old[over]).all() for new, old in zip(now, before, strict=True))
        assert not batch.arrays.reward[over].any()
        assert not (batch.arrays.terminated | batch.arrays.truncated)[over].any()
        copy.deepcopy(batch).restore(batch.snapshot())
    assert batch.over.all()


@pytest.mark.parametrize("autoreset", ["same_step", "next_step"])
def test_an_ended_row_of_another_mode_begins_the_next_episode(autoreset):
    ended = make_batch("Tokens/Copy-v0", 2, autoreset="never")
    ended.reset_rows(0)
    ended.step_rows([1, 3])  # <end>, a symbol
    batch = make_batch("Tokens/Copy-v0", 2, autoreset=autoreset)
    batch.restore(ended.snapshot())
    batch.step_rows([1, 3])
    assert batch.episode.tolist() == [1, 0]
    assert batch.arrays.reward[0] == 0
    assert not batch.arrays.terminated[0]


@pytest.mark.parametrize("autoreset", ["next_step", "never"])
def test_actions_of_ended_rows_are_not_checked(autoreset):
    batch = make_batch("Tokens/Copy-v0", 2, autoreset=autoreset)
    batch.reset_rows(0)
    batch.step_rows([1, 3])
    batch.step_rows([10**6, 3])
    with pytest.raises(ValueError, match="actions reach"):
        batch.step_rows([3, 10**6])


def test_terms_do_not_pay_rows_that_stand_still():
    batch = make_batch("Tokens/Copy-v0", 2, autoreset="never", rewards=[lambda t: t.obs["length"][:, 0].float()])
    batch.reset_rows(0)
    batch.step_rows([1, 3])
    batch.step_rows([1, 3])
    assert batch.arrays.reward[0] == 0
    assert batch.arrays.reward[1] > 0
