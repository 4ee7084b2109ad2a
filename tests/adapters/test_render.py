"""Every id is drawn in every mode, by Gymnasium and by Stable-Baselines3, which asks each one for `rgb_array`."""

import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import wrappers
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecVideoRecorder
from worlds import DISTINCT

import llm_envs
from llm_envs.adapters.sb3 import TensorVecEnv

ADDITION, COIN, ROOMS, PLANNER = "Tokens/Addition-v0", "Text/Coin-v0", "Nav/FourRooms-v0", "Nav/PathPlanner-v0"


def test_text_is_returned_printed_or_drawn(capsys):
    env = gym.make(ADDITION, levels=[(2, 3)], render_mode="ansi")
    env.reset(seed=0)
    env.step(9)
    assert env.render() == "2+3=5"
    env = gym.make(ADDITION, levels=[(2, 3)], render_mode="human")
    env.reset(seed=0)
    env.step(9)
    assert capsys.readouterr().out == "2+3=\n2+3=5\n"
    env = gym.make(ADDITION, levels=[(2, 3)], render_mode="rgb_array")
    env.reset(seed=0)
    assert np.array_equal(env.render(), env.unwrapped.batch.frame(0))


def test_the_entry_points_declare_what_every_id_can_draw():
    """Gymnasium looks there for rgb_array_list, and warns of a mode that is not among them."""
    for world_id in llm_envs.ids():
        entry = gym.envs.registration.load_env_creator(gym.spec(world_id).entry_point)
        assert entry.metadata["render_modes"] == ["ansi", "human", "rgb_array"]
    env = gym.make(COIN, render_mode="rgb_array_list")
    env.reset(seed=0)
    env.step(6)
    assert [frame.shape for frame in env.render()] == [(480, 960, 3)] * 2
    envs = gym.make_vec(ROOMS, num_envs=2, render_mode="rgb_array", size=7)
    envs.reset(seed=0)
    assert [(image.shape, image.dtype) for image in envs.render()] == [((112, 112, 3), np.uint8)] * 2


@pytest.mark.parametrize("make", [gym.make, gym.make_vec, TensorVecEnv], ids=lambda make: make.__name__)
def test_an_unknown_mode_is_refused(make):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Gymnasium warns first
        with pytest.raises(ValueError, match="render_mode is 'x'; it must be one of 'ansi', 'human', 'rgb_array'"):
            make(ADDITION, render_mode="x")


@pytest.mark.parametrize("world_id", [ADDITION, COIN, PLANNER])
def test_gymnasium_records_videos(world_id, tmp_path):
    env = gym.make(world_id, render_mode="rgb_array")
    env = wrappers.RecordVideo(env, str(tmp_path / "videos"), episode_trigger=lambda episode: True, disable_logger=True)
    env.reset(seed=0)
    env.step(1)
    env.close()
    assert [path.suffix for path in (tmp_path / "videos").iterdir()] == [".mp4"]


@pytest.mark.parametrize("world_id", DISTINCT)
def test_stable_baselines_makes_every_id_by_name(world_id):
    envs = make_vec_env(world_id, 2, seed=0)
    envs.reset()
    picture = envs.render()
    assert picture.ndim == 3
    assert picture.shape[2] == 3
    assert len(TensorVecEnv(world_id, 2, render_mode="rgb_array").get_images()) == 2


def test_stable_baselines_takes_an_id_for_an_environment(tmp_path):
    model = PPO("MultiInputPolicy", "llm_envs:Text/Coin-v0", n_steps=8, n_epochs=1, batch_size=8)
    model.learn(8)
    assert isinstance(model.get_env(), DummyVecEnv)
    envs = make_vec_env("llm_envs:Tokens/Copy-v0", 2, vec_env_cls=SubprocVecEnv)
    envs = VecVideoRecorder(envs, str(tmp_path), lambda step: step == 0, video_length=3)
    envs.reset()
    for _ in range(3):
        envs.step([5, 6])
    envs.close()
    assert [path.suffix for path in tmp_path.iterdir()] == [".mp4"]
