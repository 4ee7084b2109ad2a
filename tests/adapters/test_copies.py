"""Copies and pickles of the views continue bit for bit, also in other processes."""

import copy
import pickle
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from same import assert_same
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

from llm_envs.adapters.sb3 import TensorVecEnv

STRINGS = {"observation": "text", "action": "text"}
CASES = {
    "tokens": ("Tokens/Addition-v0", {"digits": 2}),
    "text": ("Text/Coin-v0", {"max_steps": 7}),
    "strings": ("Text/Treasure-v0", {"pool": 4, "max_steps": 7, **STRINGS}),
    "grid": ("Nav/FourRooms-v0", {"size": 7, "max_steps": 9}),
    "plane": ("Nav/PathPlanner-v0", {"action": "continuous", "max_steps": 9}),
}
COPIES = {"deepcopy": copy.deepcopy, "pickle": lambda env: pickle.loads(pickle.dumps(env))}


def action_of(env, rng):
    """Return a random action of one row, or of all rows of a vector environment."""
    world, count = env.unwrapped.batch.world, getattr(env, "num_envs", None)
    if not world.takes_text:
        return env.action_space.sample()
    names = [world.action_names[k] for k in rng.integers(0, len(world.action_names), count or 1)]
    return tuple(names) if count else names[0]


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("vector", [None, "NextStep", "SameStep"])
def test_a_copy_continues_bit_for_bit_and_leaves_the_original_alone(vector, case, how):
    """Taken in the middle of an episode; the copy is stepped first, by the actions that the original takes after it."""
    world_id, config = CASES[case]
    env = gym.make_vec(world_id, 3, autoreset_mode=vector, **config) if vector else gym.make(world_id, **config)
    rng = np.random.default_rng(0)
    env.reset(seed=3)
    env.action_space.seed(0)
    env.step(action_of(env, rng))
    twin = COPIES[how](env)
    actions = [action_of(env, rng) for _ in range(30)]

    def played(one):
        told = []
        for action in actions:
            told.append(one.step(action))
            if not vector and (told[-1][2] or told[-1][3]):
                told.append(one.reset())
        return [*told, one.reset(seed=8), one.reset()]

    assert_same(played(twin), played(env))
    assert twin.observation_space == env.observation_space


@pytest.mark.parametrize("how", COPIES)
def test_an_environment_copied_before_its_first_reset_or_after_its_end(how):
    env = gym.make("Tokens/Addition-v0", levels=[(2, 3)], seed=4).unwrapped
    with pytest.raises(RuntimeError, match="before step"):
        COPIES[how](env).step(5)
    env.reset()
    env.step(1)
    with pytest.raises(RuntimeError, match="the episode is over"):
        COPIES[how](env).step(5)
    env.reset(seed=6)
    twin = COPIES[how](env)
    assert (twin.np_random_seed, twin.np_random.random()) == (6, env.np_random.random())


@pytest.mark.parametrize("how", COPIES)
def test_sb3s_view_is_copied_with_its_pending_seeds_and_attributes(how):
    env = TensorVecEnv("Text/Coin-v0", 3, max_steps=7)
    env.reset()
    env.set_attr("note", "x", indices=[1])
    env.seed(5)
    twin = COPIES[how](env)
    assert_same(twin.reset(), env.reset())
    for k in range(20):
        assert_same(twin.step(np.full(3, k % 8)), env.step(np.full(3, k % 8)))
    assert twin.get_attr("note") == [None, "x", None]
    twin.step(np.zeros(3, int))
    assert twin.batch.read_buffers() != env.batch.read_buffers()


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_async_vector_env_equals_sync_vector_env(context):
    """Its workers get the functions that make the environments, and here environments inside them."""
    made = gym.make("Nav/FourRooms-v0", size=7, max_steps=9, seed=1).unwrapped
    makers = [partial(copy.deepcopy, made)] * 2
    theirs = SyncVectorEnv(makers)
    ours = AsyncVectorEnv(makers, context=context)
    try:
        assert_same(ours.reset(seed=3), theirs.reset(seed=3))
        for action in (2, 2, 1, 2, 0, 2):
            assert_same(ours.step([action, 2]), theirs.step([action, 2]))
    finally:
        ours.close()


def test_subproc_vec_env_equals_dummy_vec_env():
    theirs, ours = (
        make_vec_env("llm_envs:Tokens/Copy-v0", 2, seed=0, vec_env_cls=kind) for kind in (DummyVecEnv, SubprocVecEnv)
    )
    try:
        assert_same(dict(ours.reset()), dict(theirs.reset()))
        for token in (4, 5, 1):
            obs, rewards, dones, _ = ours.step([token, 5])
            expected, paid, ended, _ = theirs.step([token, 5])
            assert_same([dict(obs), dones], [dict(expected), ended])
            assert rewards.tolist() == paid.tolist()  # float64 of the one and float32 of the other
    finally:
        ours.close()
