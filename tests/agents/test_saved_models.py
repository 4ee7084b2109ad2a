"""Models saved by an earlier version name classes by the module that they stood in then."""

import pickle

import pytest

from agents import TransformerPolicy
from agents.algorithms.kl_regularizer import KL
from agents.objectives.advantages import MovingAverage
from agents.objectives.kl import AdaptiveCoefficient, FixedCoefficient
from agents.objectives.schedules import linear
from agents.rollouts.buffer import SequenceRolloutBuffer
from agents.rollouts.replay import Replay, ReplayRolloutBuffer

FORMER = {
    "agents.policies": [TransformerPolicy],
    "agents.buffers": [SequenceRolloutBuffer],
    "agents.estimators": [MovingAverage],
    "agents.kl": [AdaptiveCoefficient, FixedCoefficient],
    "agents.reference": [KL],
    "agents.replay": [Replay, ReplayRolloutBuffer],
    "agents.schedules": [linear(1e-3).func],
}


@pytest.mark.parametrize("module", FORMER)
def test_names_of_former_modules_resolve(module):
    for known in FORMER[module]:
        assert pickle.loads(f"c{module}\n{known.__name__}\n.".encode()) is known
