"""Stable-Baselines3's own callbacks work on our rollouts: what they count, read and stop is as in its own loop."""

import numpy as np
import pytest
from stable_baselines3.common.callbacks import (
    BaseCallback,
    CallbackList,
    CheckpointCallback,
    EvalCallback,
    EveryNTimesteps,
    ProgressBarCallback,
    StopTrainingOnMaxEpisodes,
    StopTrainingOnNoModelImprovement,
    StopTrainingOnRewardThreshold,
)

from agents import A2C, GRPO, PPO, TRPO
from llm_envs.adapters.sb3 import TensorVecEnv

SMALL = {"backbone": {"width": 16, "layers": 1, "heads": 2}}
COPY = {"length": 2, "vocab_size": 3}


def env(rows=8, **config):
    return TensorVecEnv("Tokens/Copy-v0", rows, seed=0, **COPY, **config)


def model_of(algorithm, **options):
    grouped = {"group_size": 4} if algorithm is GRPO else {"group_size": 1}
    steps = {} if algorithm is GRPO else {"n_steps": 16}
    return algorithm("TransformerPolicy", env(**grouped), seed=0, policy_kwargs=dict(SMALL), **steps, **options)


@pytest.mark.parametrize("algorithm", [PPO, A2C, TRPO, GRPO])
def test_all_of_them_at_once(algorithm, tmp_path):
    every = []

    class Count(BaseCallback):
        def _on_step(self):
            every.append(self.num_timesteps)
            return True

    evaluation = EvalCallback(
        env(), eval_freq=8, n_eval_episodes=8, log_path=str(tmp_path), best_model_save_path=str(tmp_path), verbose=0
    )
    callbacks = CallbackList(
        [
            CheckpointCallback(save_freq=16, save_path=str(tmp_path), name_prefix="kept"),
            evaluation,
            ProgressBarCallback(),
            EveryNTimesteps(64, Count()),
        ]
    )
    model = model_of(algorithm)
    model.learn(256, callback=callbacks)
    assert sorted(every)[0] == 64
    assert len(every) == model.num_timesteps // 64
    assert np.load(tmp_path / "evaluations.npz")["results"].shape[1] == 8
    kept = sorted(tmp_path.glob("kept_*.zip"))
    assert kept
    assert algorithm.load(kept[0], env=model.env).num_timesteps == int(kept[0].stem.split("_")[1])
    assert algorithm.load(tmp_path / "best_model.zip").predict(env().reset())[0].shape == (8,)


def test_training_stops_at_a_reward(tmp_path):
    """Any reward is enough: it stops at the first evaluation."""
    stop = EvalCallback(env(), callback_on_new_best=StopTrainingOnRewardThreshold(-1.0), eval_freq=20, verbose=0)
    model = model_of(PPO)
    model.learn(10_000, callback=stop)
    assert model.num_timesteps == 8 * 20


def test_training_stops_without_an_improvement():
    stop = StopTrainingOnNoModelImprovement(max_no_improvement_evals=1, min_evals=1)
    model = model_of(PPO, learning_rate=0.0)  # nothing improves
    model.learn(10_000, callback=EvalCallback(env(), callback_after_eval=stop, eval_freq=10, verbose=0))
    assert model.num_timesteps < 10_000


def test_training_stops_after_a_number_of_episodes():
    ends = []

    class Ends(BaseCallback):
        def _on_step(self):
            ends.append(int(np.sum(self.locals["dones"])))
            return True

    model = model_of(PPO)
    model.learn(100_000, callback=[Ends(), StopTrainingOnMaxEpisodes(10)])
    assert sum(ends[:-1]) < 80 <= sum(ends)  # its limit is per environment
    assert model.num_timesteps == 8 * len(ends)


def test_the_documented_locals_are_there():
    """https://stable-baselines3.readthedocs.io, "Callbacks": what its own callbacks and users' read, as in its loop."""
    seen = {}

    class Look(BaseCallback):
        def _on_step(self):
            seen.update({name: self.locals[name] for name in ("actions", "values", "log_probs", "new_obs", "infos")})
            seen["rewards"] = np.array(self.locals["rewards"])
            assert self.locals["n_steps"] == len(steps) % 16 + 1
            steps.append(1)
            return True

        def _on_training_start(self):
            assert self.locals["total_timesteps"] == 128

    steps = []
    model_of(PPO).learn(128, callback=Look())
    assert (len(seen["actions"]), len(seen["values"]), len(seen["log_probs"]), len(seen["infos"])) == (8, 8, 8, 8)
    assert seen["rewards"].shape == (8,)
    assert set(seen["new_obs"]) >= {"tokens", "length"}
