"""Models saved by an earlier version name classes by the module that they stood in then."""

import pickle

import pytest

from agents import TransformerPolicy
from agents.algorithms.kl_regularizer import KL
from agents.objectives.advantages import MovingAverage
from agents.objectives.kl import AdaptiveCoefficient, FixedCoefficient
from agents.objectives.schedules import linear
from agents.rollouts.buffer import SequenceRolloutBuffer
from agents.rollouts.replay import Replay

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
