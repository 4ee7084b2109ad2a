"""Schedules against SB3's and torch's, at single points, and how they are written on a command line."""

import pickle

import numpy as np
import pytest
import torch
from stable_baselines3.common.utils import LinearSchedule

from agents.objectives import schedules


@pytest.mark.parametrize("fraction", [1.0, 0.4])
def test_linear_is_sb3s(fraction):
    ours, theirs = schedules.linear(1e-3, 1e-5, fraction), LinearSchedule(1e-3, 1e-5, fraction)
    for progress_remaining in (1.0, 0.9, 0.6, 0.59, 0.1, 0.0, -0.01):
        assert ours(progress_remaining) == pytest.approx(theirs(progress_remaining), abs=1e-12)


def test_cosine():
    schedule = schedules.cosine(2.0, end=1.0, warmup=0.2)
    points = {1.0: 0.0, 0.9: 1.0, 0.8: 2.0, 0.4: 1.5, 0.6: 1.5 + 0.5 * np.sqrt(0.5), 0.0: 1.0, -0.05: 1.0}
    for progress_remaining, value in points.items():
        assert schedule(progress_remaining) == pytest.approx(value)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=3.0)
    torchs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10, eta_min=0.5)
    for step in range(11):
        assert schedules.cosine(3.0, 0.5)(1 - step / 10) == pytest.approx(torchs.get_last_lr()[0])
        optimizer.step()
        torchs.step()


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("1e-3", schedules.constant(1e-3)),
        (3e-4, schedules.constant(3e-4)),
        ("linear:1e-3", schedules.linear(1e-3, 0.0, 1.0)),
        ("linear:1e-3:fraction=0.5:end=1e-4", schedules.linear(1e-3, 1e-4, 0.5)),
        ("cosine:1e-3:warmup=0.05:end=1e-5", schedules.cosine(1e-3, 1e-5, 0.05)),
    ],
)
def test_parse(text, same):
    schedule = pickle.loads(pickle.dumps(schedules.parse(text)))
    for progress_remaining in (1.0, 0.97, 0.7, 0.3, 0.0):
        assert schedule(progress_remaining) == same(progress_remaining)


MALFORMED = [
    "fast",
    "nan",
    "1e-3:linear",
    "linear",
    "linear:",
    "linear:x",
    "linear:-1",
    "linear:1e-3:0.5",
    "linear:1:warmup=0.1",
    "linear:1:fraction=0",
    "cosine:1e-3:end=",
    "cosine:1e-3:end=0:end=1",
    "cosine:1:warmup=1",
]


@pytest.mark.parametrize("text", [*MALFORMED, "", None])
def test_parse_refuses(text):
    with pytest.raises(ValueError, match=r"schedule|number|takes|must be"):
        schedules.parse(text)
