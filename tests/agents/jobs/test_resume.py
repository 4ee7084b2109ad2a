"""Resuming after a kill continues bit for bit, with every algorithm."""

import multiprocessing
import os
import random
import shutil
import signal
import time

import pytest
import torch
from training import PPO_QUICK, QUICK, same

from agents.algorithms.ppo import PPO
from agents.jobs import checkpoints
from agents.jobs.job import train
from agents.jobs.settings import parse
from llm_envs.adapters.sb3 import TensorVecEnv


def test_only_the_newest_checkpoints_are_kept(tmp_path):
    env = TensorVecEnv("Tokens/Addition-v0", 2, digits=1)
    model = PPO("TransformerPolicy", env, n_steps=4, batch_size=8, policy_kwargs={"backbone": {"width": 16}})
    env.reset_tensor()
    for steps in (10, 20, 30):
        model.num_timesteps = steps
        checkpoints.save(tmp_path, model, {})
    assert [int(place.name.split("-")[1]) for place in checkpoints.checkpoints(tmp_path)] == [20, 30]


CONTINUED = {
    "ppo": "--steps 640 --n-steps 9 --batch-size 64 --kl.coefficient 0.1 --kl.target 0.01 --backbone.dropout 0.1",
    "a2c": "--steps 640 --n-steps 6 --replay.batches 2 --replay.capacity 300 --weight-decay 0.1 --sampling.top-p 0.9",
    "trpo": "--steps 512 --n-steps 8 --batch-size 64 --kl.coefficient 0.1 --backbone.dropout 0",
    "reinforce": "--steps 640 --normalize batch --use-rms-prop True",
    "rloo": "--steps 640 --group-size 4 --low-rank 2",
    "grpo": "--steps 640 --group-size 4 --batch-size 64 --n-epochs 2 --kl.coefficient 0.1",
}


@pytest.mark.parametrize("algo", CONTINUED)
def test_checkpoints_change_nothing_and_each_goes_on_bit_by_bit(tmp_path, monkeypatch, algo):
    """Parameters, optimiser, schedules, generators, environment, reference, baseline, memory: all are in it."""
    monkeypatch.setattr(checkpoints, "MAX_CHECKPOINTS", 99)
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    args = ["Tokens/Addition-v0", "--algo", algo, *QUICK, *CONTINUED[algo].split(), "--weights", "match=1", "length=1"]
    train(parse([*args, "--out", str(whole), "--checkpoint-every", "1e9"]))
    assert len(checkpoints.checkpoints(whole)) == 1
    train(parse([*args, "--out", str(resumed)]))
    saved = checkpoints.checkpoints(resumed)
    assert same(whole, resumed)
    for kept in {1, len(saved) // 2, len(saved) - 1}:
        trial = tmp_path / f"from-{kept}"
        shutil.copytree(resumed, trial)
        for later in saved[kept:]:
            shutil.rmtree(trial / later.name)
        train(parse(["--resume", "--out", str(trial)]))
        assert same(whole, trial), saved[kept - 1].name


def run_quietly(args):
    """Train in a process of its own, its output thrown away."""
    torch.set_num_threads(1)
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 1)
        os.dup2(nothing.fileno(), 2)
        train(parse(args))


def test_runs_killed_at_random_times_end_bit_by_bit_as_one_that_was_not(tmp_path):
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["agents.train"])
    args = ["Tokens/Addition-v0", *PPO_QUICK, "--steps", "1536", "--kl.coefficient", "0.1"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    reference = processes.Process(target=run_quietly, args=([*args, "--out", str(whole)],))
    reference.start()
    generator, kills = random.Random(0), 0
    while not (killed / "model.zip").exists():
        resume = ["--resume"] if (killed / "options.yaml").exists() else []
        running = processes.Process(target=run_quietly, args=([*args, "--out", str(killed), *resume],))
        running.start()
        had = newest(killed)
        while running.is_alive() and newest(killed) == had:
            time.sleep(0.005)
        running.join(generator.uniform(0.0, 0.2))
        if running.is_alive() and kills < 3:
            os.kill(running.pid, signal.SIGKILL)
            kills += 1
        running.join()
        assert running.exitcode in (0, -signal.SIGKILL)
    reference.join()
    assert reference.exitcode == 0
    assert kills >= 2
    assert same(whole, killed)


def newest(out):
    return max((place.name for place in checkpoints.checkpoints(out)), default="")
