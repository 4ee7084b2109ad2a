"""What the tests of whole training runs share: small runs, and what must be equal of two that are done."""

import csv

import numpy as np
import torch
from stable_baselines3.common.save_util import load_from_zip_file

QUICK = ["--set", "digits=1", "--warm.episodes", "64", "--warm.epochs", "1", "--num-envs", "16", "--threads", "1"]
QUICK += ["--backbone.width", "16", "--backbone.layers", "1", "--backbone.heads", "2", "--backbone.dropout", "0"]
QUICK += ["--checkpoint-every", "0", "--validate-every", "3", "--stop-at", "2.0", "--device", "cpu"]
PPO_QUICK = [*QUICK, "--n-steps", "8", "--batch-size", "64"]


def state(out):
    """Return all tensors of a finished run: parameters, optimiser, reference."""
    data, parts, _ = load_from_zip_file(out / "model.zip", device="cpu")
    found = {}
    for part, tensors in parts.items():
        if part == "policy.optimizer":
            tensors = {f"{i}.{name}": value for i, each in tensors["state"].items() for name, value in each.items()}
        found |= {f"{part}.{name}": value for name, value in tensors.items()}
    if data.get("kl_control") is not None:
        found["coefficient"] = torch.tensor(data["kl_control"].value, dtype=torch.float64)
    if "moving_average" in data:
        found["baseline"] = data["moving_average"].value
    return found


def same(one, other):
    """Say whether two finished runs are equal bit by bit, in what they learned, logged and validated."""
    first, second = state(one), state(other)
    assert first.keys() == second.keys()
    assert any(name.startswith("policy.optimizer") for name in first)
    assert [row.keys() for row in logged(one)] == [row.keys() for row in logged(other)]
    for told, again in zip(logged(one), logged(other), strict=True):
        for name in told:
            np.testing.assert_array_equal(told[name], again[name], err_msg=name)  # where NaN equals NaN
    return all(torch.equal(first[name], second[name]) for name in first)


def logged(out):
    """Return what was logged but for times, as float32: what went through a checkpoint is printed with more digits."""
    rows = [row.items() for row in csv.DictReader((out / "progress.csv").open())]
    return [{name: np.float32(text) for name, text in row if text and not name.startswith("time/")} for row in rows]
