"""RL Baselines3 Zoo trains our algorithms on our worlds, through its own manager and its own command line."""

import argparse
import sys

import gymnasium as gym
import numpy as np
import pytest
import yaml
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

import llm_envs  # noqa: F401  # registers the ids
from agents import ALGORITHMS
from agents.evaluation.runner import load_policy
from llm_envs.adapters.sb3 import TensorVecEnv

rl_zoo3 = pytest.importorskip("rl_zoo3")
from agents.jobs import zoo  # noqa: E402

WORLD = "Tokens/Addition-v0"
SETTINGS = {
    "policy": "TransformerPolicy",
    "n_envs": 8,
    "n_timesteps": 256,
    "learning_rate": "lin_0.001",
    "policy_kwargs": {"backbone": {"width": 16, "layers": 1, "heads": 2}},
    "env_kwargs": {"digits": 1, "weights": {"match": 1.0, "length": 1.0}},
}


@pytest.fixture(autouse=True)
def registry(monkeypatch):
    """Leave the zoo as it was."""
    monkeypatch.setattr(rl_zoo3.exp_manager.ExperimentManager, "default_vec_env_cls", None)
    known = dict(rl_zoo3.utils.ALGOS)
    yield
    rl_zoo3.utils.ALGOS.clear()
    rl_zoo3.utils.ALGOS.update(known)


def manager(folder, algo, **settings):
    (folder / "mine.yml").write_text(yaml.safe_dump({WORLD: {**SETTINGS, **settings}}))
    config, log = str(folder / "mine.yml"), str(folder / "logs")
    return rl_zoo3.exp_manager.ExperimentManager(
        argparse.Namespace(), algo, WORLD, log, eval_freq=128, log_interval=-1, config=config, device="cpu", verbose=0
    )


@pytest.mark.filterwarnings("ignore:Evaluation environment is not wrapped")
@pytest.mark.parametrize("algo", ALGORITHMS)
def test_the_zoo_trains_every_algorithm(tmp_path, algo):
    zoo.register(group_size=4)
    experiment = manager(tmp_path, algo)
    model, _ = experiment.setup_experiment()
    assert type(model) is ALGORITHMS[algo]
    assert type(model.env) is TensorVecEnv
    assert (model.env.num_envs, model.env.batch.group_size, model.env.batch.num_levels) == (8, 4, 81)
    before = [p.detach().clone() for p in model.policy.parameters()]
    experiment.learn(model)
    experiment.save_trained_model(model)
    assert model.num_timesteps >= 256
    assert any(not np.array_equal(a, b.detach()) for a, b in zip(before, model.policy.parameters(), strict=True))
    saved = load_policy(f"{experiment.save_path}/{WORLD.replace('/', '-')}.zip", "cpu")
    assert (saved.action_net is None, saved.trunk.width) == (True, 16)
    assert len(np.load(f"{experiment.save_path}/evaluations.npz")["timesteps"]) > 0


def test_without_batches_the_zoo_goes_through_numpy(tmp_path):
    zoo.register(batched=False)
    experiment = manager(tmp_path, "ppo", n_steps=16, batch_size=64)
    with pytest.warns(UserWarning, match="rollouts go through NumPy"):
        model, _ = experiment.setup_experiment()
    assert type(model.env) is DummyVecEnv
    experiment.learn(model)
    assert model.num_timesteps == 256
    assert model.ep_info_buffer[0].keys() >= {"r", "l", "t"}  # from SB3's Monitor


@pytest.mark.filterwarnings("ignore:Evaluation environment is not wrapped")
def test_the_zoos_command_line(tmp_path, monkeypatch):
    import rl_zoo3.train

    zoo.register()
    (tmp_path / "mine.yml").write_text(yaml.safe_dump({WORLD: SETTINGS}))
    command = f"train --algo reinforce --env {WORLD} --conf-file {tmp_path / 'mine.yml'} -f {tmp_path / 'logs'}"
    monkeypatch.setattr(sys, "argv", [*command.split(), "--gym-packages", "llm_envs", "--device", "cpu", "-n", "64"])
    rl_zoo3.train.train()
    assert list((tmp_path / "logs" / "reinforce").rglob("Tokens-Addition-v0.zip"))


def test_what_is_wrapped_otherwise_stays_so():
    """A wrapper may change what is seen: those rows remain the zoo's."""

    def plain():
        return Monitor(gym.make(WORLD, digits=1))

    def wrapped():
        return Monitor(gym.wrappers.FlattenObservation(gym.make(WORLD, digits=1)))

    assert type(zoo.make_rows([plain] * 3, group_size=2)) is TensorVecEnv
    assert type(zoo.make_rows([wrapped] * 3)) is DummyVecEnv
    assert type(zoo.make_rows([lambda: Monitor(gym.make("CartPole-v1"))] * 2)) is DummyVecEnv
