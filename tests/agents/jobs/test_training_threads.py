"""Torch's threads of a training run: chosen by the model's size, the user's wins, kept for a resumed run."""

import pytest
import torch
import yaml
from training import PPO_QUICK

from agents.jobs import threads
from agents.jobs.job import set_up, train
from agents.jobs.settings import SAVED, parse

FLAG = PPO_QUICK.index("--threads")
UNSAID = PPO_QUICK[:FLAG] + PPO_QUICK[FLAG + 2 :]  # without the number of threads


@pytest.fixture(autouse=True)
def keep_threads(monkeypatch):
    """Let torch's own choice be 3, and leave its threads as they were."""
    before = torch.get_num_threads()
    monkeypatch.setattr(threads, "TORCH", 3)
    yield
    torch.set_num_threads(before)


def test_small_models_on_the_cpu_have_one_thread():
    assert threads.choose_threads(threads.SMALL - 1, "cpu") == 1
    assert threads.choose_threads(threads.SMALL, "cpu") == 3
    assert threads.choose_threads(1, "cuda") == 3


def set_up_with(tmp_path, *args):
    job, _, _ = set_up(parse(["Tokens/Addition-v0", *UNSAID, *args, "--out", str(tmp_path)]))
    return job.options.threads, torch.get_num_threads()


def test_a_run_has_the_chosen_number_and_the_users_wins(tmp_path):
    assert set_up_with(tmp_path) == (1, 1)
    assert set_up_with(tmp_path, "--threads", "2") == (2, 2)


def test_a_resumed_run_has_the_number_that_was_chosen(tmp_path, monkeypatch):
    monkeypatch.setattr(threads, "SMALL", 0)  # so that this model counts as large
    args = ["Tokens/Addition-v0", *UNSAID, "--out", str(tmp_path), "--steps"]
    train(parse([*args, "64"]))
    assert yaml.safe_load((tmp_path / SAVED).read_text())["threads"] == 3
    monkeypatch.undo()  # the rule alone would now choose one thread
    job, _, history = set_up(parse(["--resume", "--out", str(tmp_path)]))
    assert history is not None  # there was a checkpoint to go on from
    assert (job.options.threads, torch.get_num_threads()) == (3, 3)
