"""A batch seen through Gymnasium and Stable-Baselines3: equal to what their own classes show, fit for their tools."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import wrappers
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from sb3_contrib import MaskablePPO
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.vec_env import VecCheckNan, VecMonitor, VecNormalize

import llm_envs
from llm_envs.adapters.gym import GymEnv, GymVectorEnv
from llm_envs.adapters.sb3 import TensorVecEnv

ADDITION, COIN, PLANNER, ROOMS = "Tokens/Addition-v0", "Text/Coin-v0", "Nav/PathPlanner-v0", "Nav/FourRooms-v0"
CASES = [
    (ADDITION, {"digits": 2, "max_steps": 3}),
    (COIN, {"max_steps": 7}),
    (PLANNER, {"action": "continuous", "max_steps": 9}),
    (ROOMS, {"size": 7, "max_steps": 20}),
]


def assert_same(ours, theirs, where=""):
    """Compare nested observations and infos: keys, shapes, dtypes and every bit."""
    assert type(ours) is type(theirs), where
    if isinstance(ours, dict):
        assert set(ours) == set(theirs), where
        for key in ours:
            assert_same(ours[key], theirs[key], f"{where}.{key}")
    elif isinstance(ours, np.ndarray) and ours.dtype != object:
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape), where
        assert np.array_equal(ours, theirs), where
    elif isinstance(ours, (tuple, np.ndarray)):
        for k, pair in enumerate(zip(ours, theirs, strict=True)):
            assert_same(*pair, f"{where}[{k}]")
    else:
        assert ours == theirs, where


# ---------------------------------------------------------------------- Gymnasium


def test_make_and_make_vec_give_the_native_views():
    assert isinstance(gym.make(ADDITION).unwrapped, GymEnv)
    envs = gym.make_vec(ADDITION, num_envs=3, digits=2)
    assert isinstance(envs.unwrapped, GymVectorEnv)
    assert envs.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert (envs.num_envs, envs.single_action_space.n, envs.action_space.shape) == (3, 14, (3,))


@pytest.mark.parametrize("option", ["autoreset", "num_envs", "group_size"])
def test_gym_make_refuses_what_makes_no_sense_for_one_row(option):
    with pytest.raises(TypeError, match=option):
        gym.make(ADDITION, **{option: 1})


def test_make_vec_and_sb3_refuse_a_batch_that_does_not_reset_itself():
    """They promise that an ended row begins again in the same step."""
    with pytest.raises(TypeError, match="autoreset"):
        gym.make_vec(ADDITION, num_envs=2, autoreset="never")
    with pytest.raises(ValueError, match="autoreset"):
        TensorVecEnv(llm_envs.make_batch(ADDITION, 2, autoreset="never"))


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP], ids=lambda mode: mode.value)
@pytest.mark.parametrize(("world_id", "config"), CASES, ids=[case[0] for case in CASES])
def test_the_vector_view_equals_gymnasiums_own(world_id, config, mode):
    ours = gym.make_vec(world_id, num_envs=3, autoreset_mode=mode, **config)
    theirs = SyncVectorEnv([lambda: gym.make(world_id, **config)] * 3, autoreset_mode=mode)
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    ours.action_space.seed(1)
    for seed in (5, None):
        assert_same(ours.reset(seed=seed), theirs.reset(seed=seed))
        for _ in range(150):
            actions = ours.action_space.sample()
            for name, one, other in zip(
                ("obs", "reward", "terminated", "truncated", "info"),
                ours.step(actions),
                theirs.step(actions),
                strict=True,
            ):
                assert_same(one, other, name)


def test_vector_wrappers_of_gymnasium():
    """Statistics and reward wrappers work; Gymnasium's observation wrappers refuse SAME_STEP, its own too."""
    envs = wrappers.vector.RecordEpisodeStatistics(gym.make_vec(ROOMS, num_envs=2, max_steps=4))
    envs = wrappers.vector.TransformReward(envs, lambda reward: reward + 1)
    envs.reset(seed=0)
    for _ in range(4):
        _, rewards, _, truncated, infos = envs.step(np.array([0, 1]))
    assert rewards.tolist() == [1, 1]
    assert truncated.all()
    assert infos["episode"]["l"].tolist() == [4, 4]
    sync = SyncVectorEnv([lambda: gym.make(ROOMS)] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
    for same_step in (gym.make_vec(ROOMS, num_envs=2), sync):
        with pytest.raises(ValueError, match="NEXT_STEP or DISABLED"):
            wrappers.vector.TransformObservation(same_step, lambda obs: obs)
    native = gym.make_vec(ROOMS, 2, autoreset_mode="NextStep")
    envs = wrappers.vector.TransformObservation(native, lambda obs: {**obs, "image": obs["image"] + 1})
    assert envs.reset(seed=0)[0]["image"].min() == 1
    with pytest.raises(ValueError, match="autoreset_mode is 'Disabled'"):
        gym.make_vec(ROOMS, 2, autoreset_mode="Disabled")


def test_wrappers_of_gymnasium_for_one_environment(tmp_path):
    env = gym.make(ROOMS, max_steps=50, render_mode="rgb_array")
    env = wrappers.RecordVideo(env, str(tmp_path / "videos"), episode_trigger=lambda k: True, disable_logger=True)
    env = wrappers.FlattenObservation(wrappers.TimeLimit(wrappers.RecordEpisodeStatistics(env), 6))
    obs, _ = env.reset(seed=0)
    assert obs.shape == (7 * 7 * 3 + 1,)
    flags = [env.step(0)[2:] for _ in range(6)]
    assert [truncated for _, truncated, _ in flags] == [False] * 5 + [True]
    env.close()
    assert [path.suffix for path in (tmp_path / "videos").iterdir()] == [".mp4"]


def test_one_environment_never_resets_itself():
    env = gym.make(ADDITION, levels=[(2, 3)]).unwrapped
    with pytest.raises(RuntimeError, match="before step"):
        env.step(9)
    env.reset(seed=0)
    env.step(9)
    obs, reward, terminated, truncated, info = env.step(1)
    assert (reward, terminated, truncated) == (1.0, True, False)
    assert info["signals"] == {"exact": 1.0, "match": 0.5, "length": 1.0, "wellformed": 1.0}
    assert obs["length"].tolist() == [6]
    with pytest.raises(RuntimeError, match="the episode is over"):
        env.step(1)


# ---------------------------------------------------------------------- Stable-Baselines3


def test_sb3_contract():
    env = TensorVecEnv(ADDITION, 2, levels=[(2, 3)], max_steps=2)
    env.seed(4)
    first = env.reset()
    assert first["tokens"].tolist() == [[6, 2, 7, 3] + [0] * 12] * 2
    _, rewards, dones, infos = env.step(np.array([9, 9]))
    assert not dones.any()
    assert [info["TimeLimit.truncated"] for info in infos] == [False, False]
    obs, rewards, dones, infos = env.step(np.array([1, 9]))
    assert (rewards.tolist(), rewards.dtype, dones.tolist(), dones.dtype) == ([1, 0], np.float32, [True] * 2, bool)
    assert [info["TimeLimit.truncated"] for info in infos] == [False, True]  # an end of its own wins
    assert [info["terminal_observation"]["tokens"][:7].tolist() for info in infos] == [
        [6, 2, 7, 3, 9, 1, 0],
        [6, 2, 7, 3, 9, 9, 0],
    ]
    assert infos[0]["signals"]["exact"] == 1.0
    assert_same(obs, first)
    env.step(np.array([5, 5]))
    assert_same(obs, first)  # a copy, no view


def test_sb3_seeds_attributes_and_methods():
    env = TensorVecEnv(COIN, 3, render_mode="ansi")
    starts = []
    for seed in (1, 1, 2):
        env.seed(seed)
        starts.append(env.reset()["tokens"].tobytes())
    assert starts[0] == starts[1] != starts[2]
    masks = env.action_masks()
    assert (masks.shape, masks.dtype) == ((3, 8), bool)
    assert np.array_equal(np.stack(env.env_method("action_masks")), masks)
    assert np.array_equal(env.env_method("action_masks", indices=[2])[0], masks[2])
    assert env.env_method("render", indices=0) == env.batch.decode(env.batch.arrays.obs)[:1]
    assert env.get_attr("num_levels", indices=1) == [env.batch.num_levels]
    assert env.get_attr("action_names")[2][0] == "go north"
    env.set_attr("note", "x", indices=[0, 2])
    assert env.get_attr("note") == ["x", None, "x"]
    assert env.env_is_wrapped(gym.Wrapper) == [False] * 3
    with pytest.raises(AttributeError, match="nothing"):
        env.get_attr("nothing")


@pytest.mark.parametrize(("world_id", "config"), CASES, ids=[case[0] for case in CASES])
def test_step_tensor_equals_step(world_id, config):
    numpy, tensor = (TensorVecEnv(world_id, 5, **config) for _ in range(2))
    numpy.action_space.seed(2)
    numpy.seed(8)
    obs = numpy.reset()
    live = tensor.reset_tensor(8)
    for _ in range(60):
        assert_same(obs, {name: value.numpy() for name, value in live.items()})
        actions = np.stack([numpy.action_space.sample() for _ in range(5)])
        obs, rewards, dones, infos = numpy.step(actions)
        step = tensor.step_tensor(torch.as_tensor(actions))
        live = step.obs
        assert step.reward.tolist() == rewards.tolist()
        assert (step.terminated | step.truncated).tolist() == dones.tolist()
        for i in np.flatnonzero(dones):
            final = {name: value[i].numpy() for name, value in step.final_obs.items()}
            assert_same(infos[i]["terminal_observation"], final)


def test_wrappers_of_sb3():
    venv = VecMonitor(VecCheckNan(TensorVecEnv(PLANNER, 4, max_steps=5), raise_exception=True))
    env = VecNormalize(venv, norm_obs_keys=["state"], norm_reward=False)
    env.reset()
    for _ in range(5):
        obs, _, dones, infos = env.step(np.zeros(4, int))
    assert dones.all()
    assert [info["episode"]["l"] for info in infos] == [5] * 4
    assert np.array_equal(obs["goal"], env.get_original_obs()["goal"])
    assert not np.array_equal(obs["state"], env.get_original_obs()["state"])
    env = VecNormalize(TensorVecEnv(ADDITION, 4), norm_obs=False)
    env.reset()
    assert env.step(np.full(4, 5))[0]["tokens"].dtype == np.int32


@pytest.mark.parametrize(
    ("algorithm", "world_id", "settings"),
    [
        (PPO, ADDITION, {"n_steps": 32, "n_epochs": 2}),
        (PPO, ROOMS, {"n_steps": 32, "n_epochs": 2}),
        (DQN, PLANNER, {"buffer_size": 1000, "learning_starts": 50}),
        (MaskablePPO, COIN, {"n_steps": 32, "n_epochs": 2}),
    ],
    ids=["PPO-Addition", "PPO-FourRooms", "DQN-PathPlanner", "MaskablePPO-Coin"],
)
def test_stock_algorithms_learn(algorithm, world_id, settings):
    model = algorithm("MultiInputPolicy", TensorVecEnv(world_id, 4), seed=0, **settings)
    before = [parameter.clone() for parameter in model.policy.parameters()]
    model.learn(256)
    assert any(not torch.equal(*pair) for pair in zip(before, model.policy.parameters(), strict=True))
    assert all(bool(parameter.isfinite().all()) for parameter in model.policy.parameters())


@pytest.mark.parametrize("config", [{"observation": "text"}, {"action": "text"}], ids=str)
def test_sb3_refuses_worlds_of_strings(config):
    with pytest.raises(ValueError, match="no text spaces"):
        TensorVecEnv(COIN, 2, **config)
