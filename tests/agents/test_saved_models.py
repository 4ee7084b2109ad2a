"""Models saved by an earlier version name classes by the module that they stood in then."""

import pickle

import pytest

from agents import A2C, GRPO, PPO, REINFORCE, TRPO, TransformerPolicy
from agents.algorithms.kl_regularizer import KL
from agents.objectives.advantages import MovingAverage
from agents.objectives.kl import AdaptiveCoefficient, FixedCoefficient
from agents.objectives.schedules import linear
from agents.rollouts.buffer import SequenceRolloutBuffer
from agents.rollouts.replay import Replay
from llm_envs.adapters.sb3 import TensorVecEnv

SMALL = {"backbone": {"width": 16, "layers": 1, "heads": 2}}
COPY = {"length": 2, "vocab_size": 3, "group_size": 4}
FORMER = {
    "agents.policies": [TransformerPolicy],
    "agents.buffers": [SequenceRolloutBuffer],
    "agents.estimators": [MovingAverage],
    "agents.kl": [AdaptiveCoefficient, FixedCoefficient],
    "agents.reference": [KL],
    "agents.replay": [Replay],
    "agents.schedules": [linear(1e-3).func],
}


@pytest.mark.parametrize("module", FORMER)
def test_names_of_former_modules_resolve(module):
    for known in FORMER[module]:
        assert pickle.loads(f"c{module}\n{known.__name__}\n.".encode()) is known


def test_the_buffer_of_a_model_with_replay_is_the_plain_one():
    """Its memory is a part of its own now; SB3 saves the class of a model's buffer by its name."""
    assert pickle.loads(b"cagents.replay\nReplayRolloutBuffer\n.") is SequenceRolloutBuffer


def saved(algorithm, place, **options):
    """Train and save a small model; return its environment."""
    env = TensorVecEnv("Tokens/Copy-v0", 8, seed=0, **COPY)
    steps = {} if algorithm in (GRPO, REINFORCE) else {"n_steps": 8}
    model = algorithm("TransformerPolicy", env, policy_kwargs=dict(SMALL), **steps, **options)
    model.learn(64)
    model.save(place)
    return env


@pytest.mark.parametrize("before", [None, {"coefficient": 0.1}, {"coefficient": 0.1, "target": 0.01}])
@pytest.mark.parametrize("given", [None, {"coefficient": 0.7}, KL(0.7), {"coefficient": 0.7, "target": 0.02}])
def test_a_kl_term_that_is_given_at_load_holds(tmp_path, before, given):
    """Whatever was saved: in place of another term, where there was none, or none where there was one."""
    env = saved(PPO, tmp_path / "model", kl=before)
    model = PPO.load(tmp_path / "model", env=env, kl=given)
    if given is None:
        assert (model.kl, model.kl_control) == (None, None)
    else:
        assert model.kl == (given if isinstance(given, KL) else KL(**given))
        assert model.kl_control.value == 0.7
    model.learn(64, reset_num_timesteps=False)
    logged = model.logger.name_to_value
    assert ("kl/coefficient" in logged) == (given is not None)
    assert logged.get("kl/coefficient", 0.7) == 0.7
    model.save(tmp_path / "again")
    assert PPO.load(tmp_path / "again", env=env).kl == model.kl


@pytest.mark.parametrize(
    ("algorithm", "given", "message"),
    [
        (PPO, {"clip_range_high": -1.0}, "clip_range_high is -1.0; it must be positive"),
        (PPO, {"dual_clip": 0.5}, "dual_clip is 0.5; it must be above 1"),
        (PPO, {"kl": {"coefficient": -1.0}}, "the KL coefficient is -1.0"),
        (TRPO, {"fisher_share": 2.0}, "fisher_share is 2.0"),
        (TRPO, {"kl": {"place": "loss"}}, "TRPO's loss has no such term"),
        (A2C, {"replay": {"capacity": 0}}, "capacity is 0"),
        (GRPO, {"weighting": "row"}, "weighting is 'row'"),
        (REINFORCE, {"baseline": "mean"}, "baseline is 'mean'"),
        (REINFORCE, {"normalize": "all"}, "normalize is 'all'"),
    ],
)
def test_an_argument_given_at_load_is_checked_as_the_constructor_checks_it(tmp_path, algorithm, given, message):
    env = saved(algorithm, tmp_path / "model")
    with pytest.raises(ValueError, match=message):
        algorithm.load(tmp_path / "model", env=env, **given)
    with pytest.raises(TypeError, match=r"kl is 0\.7; it must be None, a KL or a dict of its arguments"):
        algorithm.load(tmp_path / "model", env=env, kl=0.7)
