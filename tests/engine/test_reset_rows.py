"""`BatchEnv.reset` of some rows, on chosen levels, by lists of seeds: each row as a single environment of that seed."""

import numpy as np
import pytest

from llm_envs import make_batch
from llm_envs.testing.random_walks import random_actions

IDS = ("Tokens/Copy-v0", "Nav/FourRooms-v0", "Nav/PathPlanner-v0", "Text/KeyQuest-v0")
N = 5


def walked(world_id, steps=20, **options):
    batch, rng = make_batch(world_id, N, **options), np.random.default_rng(0)
    batch.reset_rows(3)
    for _ in range(steps):
        batch.step_rows(random_actions(batch, rng))
    return batch


def rows_of(batch):
    states, observations, *_ = batch.read_buffers()
    return [np.frombuffer(raw, np.uint8).reshape(N, -1) for raw in (states, observations)]


@pytest.mark.parametrize("world_id", IDS)
def test_only_the_masked_rows_begin_anew(world_id):
    batch, twin, mask = walked(world_id), walked(world_id), np.array([True, False, False, True, False])
    before, episodes = rows_of(batch), batch.episode
    batch.reset_rows(rows=mask)
    twin.reset_rows()
    for now, old, whole in zip(rows_of(batch), before, rows_of(twin), strict=True):
        assert (now[~mask] == old[~mask]).all()
        assert (now[mask] == whole[mask]).all()
    assert (batch.episode - episodes == mask).all()


@pytest.mark.parametrize("world_id", IDS)
def test_a_list_of_seeds_seeds_each_row(world_id):
    seeds, batch = [7, 7, 0, 123456789, 2**62], walked(world_id)
    batch.reset_rows(seeds)
    for i, seed in enumerate(seeds):
        single = make_batch(world_id, 1, seed=seed)
        single.reset_rows()
        assert single.read_buffers()[0] == rows_of(batch)[0][i].tobytes()
    batch.reset_rows([1, 2, 3, 4, 5], rows=np.arange(N) == 1)
    single = make_batch(world_id, 1, seed=2)
    single.reset_rows()
    assert single.read_buffers()[0] == rows_of(batch)[0][1].tobytes()


@pytest.mark.parametrize("options", [{}, {"order": "sweep"}, {"group_size": 5}])
def test_chosen_levels_are_played_and_said(options):
    batch = make_batch("Tokens/Copy-v0", N, autoreset="same_step", **options)
    batch.reset_rows(levels=[4, None, 0, -1, batch.num_levels - 1])
    assert batch.arrays.level[[0, 2, 4]].tolist() == [4, 0, batch.num_levels - 1]
    drawn = make_batch("Tokens/Copy-v0", N, **options)
    drawn.reset_rows()
    assert (batch.arrays.level[[1, 3]] == drawn.arrays.level[[1, 3]]).all()
    assert all(int(batch.row(i).level.length) == int(batch.records[1][k]["length"]) for i, k in ((0, 4), (2, 0)))
    first = batch.arrays.level.copy()
    while not (over := batch.arrays.terminated).any():
        batch.step_rows(np.ones(N, np.int64))  # <end>
    assert (batch.arrays.final_level == first).all()
    assert over.all()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"levels": [0, 1]}, ValueError, "a list of 5 levels"),
        ({"levels": "01234"}, ValueError, "a list of 5 levels"),
        ({"levels": 3}, ValueError, "a list of 5 levels"),
        ({"levels": [0, 0, 10**9, 0, 0]}, ValueError, r"levels\[2\] is 1000000000; it must be from 0 to"),
        ({"levels": [0, -2, 0, 0, 0]}, ValueError, r"levels\[1\] is -2"),
        ({"levels": [0, 0.5, 0, 0, 0]}, TypeError, r"levels\[1\] must be an integer"),
        ({"rows": [True]}, ValueError, r"bool of shape \(5,\)"),
        ({"rows": [1, 0, 0, 0, 0]}, ValueError, "int64"),
        ({"seed": [1, 2]}, ValueError, "seed has 2 entries"),
        ({"seed": [1, 2, 3, 4, -1]}, ValueError, "seed is -1"),
        ({"seed": 1.5}, TypeError, "seed must be an integer"),
    ],
)
def test_refusals_change_nothing(arguments, error, message):
    batch = walked("Tokens/Copy-v0")
    before = batch.read_buffers()
    with pytest.raises(error, match=message):
        batch.reset(**arguments)
    assert batch.read_buffers() == before


def test_the_first_reset_is_of_every_row():
    batch = make_batch("Tokens/Copy-v0", N)
    with pytest.raises(RuntimeError, match="the first reset must begin every row"):
        batch.reset(rows=np.arange(N) < 2)
    assert not batch.started


def test_none_in_a_list_of_seeds_continues_a_row():
    batch, twin = walked("Nav/FourRooms-v0"), walked("Nav/FourRooms-v0")
    batch.reset_rows([None, 8, None, None, 9])
    twin.reset_rows()
    own, other = rows_of(batch)[0], rows_of(twin)[0]
    assert (own[[0, 2, 3]] == other[[0, 2, 3]]).all()
    for row, seed in ((1, 8), (4, 9)):
        single = make_batch("Nav/FourRooms-v0", 1, seed=seed)
        single.reset_rows()
        assert single.read_buffers()[0] == own[row].tobytes()
