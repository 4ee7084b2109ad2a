"""A batch seen through Gymnasium and Stable-Baselines3: equal to what their own classes show, fit for their tools."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import wrappers
from same import assert_same
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


# ---------------------------------------------------------------------- Gymnasium


def test_make_and_make_vec_give_the_native_views():
    assert isinstance(gym.make(ADDITION).unwrapped, GymEnv)
    envs = gym.make_vec(ADDITION, num_envs=3, digits=2)
    assert isinstance(envs.unwrapped, GymVectorEnv)
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
    signals = {"signals/exact": 1.0, "signals/match": 0.5, "signals/length": 1.0, "signals/wellformed": 1.0}
    assert info == {**signals, "level": 0}
    assert {type(info[name]) for name in signals} == {np.float32}
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
    assert [info["signals/exact"] for info in infos] == [1.0, 0.0]
    assert [info["level"] for info in infos] == [0, 0]
    assert env.reset_infos[0] == {"level": 0, **dict.fromkeys(("signals/exact", "signals/match"), 0.0)} | {
        "signals/length": 0.0,
        "signals/wellformed": 0.0,
    }
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
    assert np.array_equal(env.get_attr("action_masks", indices=[1])[0](), masks[1])
    assert env.env_method("render", indices=0) == env.batch.decode(env.batch.arrays.obs)[:1]
    assert env.get_attr("num_levels", indices=1) == [env.batch.num_levels]
    assert env.get_attr("action_names")[2][0] == "go north"
    env.set_attr("note", "x", indices=[0, 2])
    assert env.get_attr("note") == ["x", None, "x"]
    assert env.env_is_wrapped(gym.Wrapper) == [False] * 3
    with pytest.raises(AttributeError, match="nothing"):
        env.get_attr("nothing")


def test_sb3_resets_some_rows_and_chosen_levels():
    env = TensorVecEnv(ADDITION, 3, levels=[(2, 3), (4, 5), (6, 7)], split="all")
    env.seed(0)
    env.set_options([{"level": 2}, {}, {"level": 0}])
    env.reset()
    assert [info["level"] for info in env.reset_infos][::2] == [2, 0]
    env.step(np.full(3, 5))
    before = env.batch.to_host().obs["length"][:, 0].tolist()
    ((obs, info),) = env.env_method("reset", options={"level": 1}, indices=[1])
    assert (obs["length"].tolist(), info["level"]) == ([4], 1)
    assert env.batch.to_host().obs["length"][:, 0].tolist() == [before[0], 4, before[2]]
    assert env.get_attr("level") == [2, 1, 0]
    saved = env.batch.read_buffers()
    for name in ("reset_rows", "restart", "restore", "step_rows"):
        with pytest.raises(AttributeError, match=f"a row has no method '{name}'"):
            env.env_method(name, indices=[0])
    env.set_options({"levels": 1})
    with pytest.raises(ValueError, match="there is no reset option 'levels'"):
        env.reset()
    assert env.batch.read_buffers() == saved


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
