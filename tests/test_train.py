"""The training job: its files, resuming after a kill, and refusing what is wrong."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from agents import checkpoints
from agents.ppo import PPO
from agents.train import Options, Reinforcement, WarmStart, train
from llm_envs.adapters.sb3 import TensorVecEnv

QUICK = ["--set", "digits=1", "--warm.episodes", "64", "--warm.epochs", "1", "--ppo.num-envs", "16"]
QUICK += ["--ppo.rollout-steps", "8", "--ppo.batch-size", "64", "--backbone.width", "16", "--backbone.layers", "1"]
QUICK += ["--checkpoint-every", "0", "--validate-every", "3", "--ppo.stop-at", "2.0", "--threads", "1"]


def command(out, steps, *more):
    steps = ["--ppo.steps", str(steps)]
    return [sys.executable, "-m", "agents.train", "Tokens/Addition-v0", *QUICK, *steps, "--out", str(out), *more]


def test_a_killed_run_resumes_from_its_last_whole_checkpoint(tmp_path):
    out = tmp_path / "run"
    running = subprocess.Popen(command(out, 10_000_000), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + 90
    while len(checkpoints.checkpoints(out)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(running.pid, signal.SIGKILL)
    running.communicate()
    place = checkpoints.checkpoints(out)[-1]
    (out / ".writing-1").mkdir()  # what a kill during a write leaves
    reached = int(place.name.split("-")[1])
    done = subprocess.run(command(out, reached + 400, "--resume"), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"resumed at {reached:,} steps" in done.stdout
    results = json.loads((out / "results.json").read_text())
    assert results["steps"] >= reached + 400
    assert 0.0 <= results["before"]["signals"]["exact"] <= 1.0
    assert len(results["after"]["transcripts"]) == min(10, results["after"]["episodes"])
    assert (out / "curve.png").read_bytes()[:4] == b"\x89PNG"
    assert list((out / "tensorboard").rglob("events*"))
    assert "before RL" in done.stdout


def test_a_checkpoint_continues_bit_by_bit(tmp_path):
    """Train on from a checkpoint twice: parameters, optimiser, generators and environment are all in it."""
    env = TensorVecEnv("Tokens/Addition-v0", 8, digits=1)
    model = PPO("TransformerPolicy", env, n_steps=8, batch_size=32, policy_kwargs={"backbone": {"width": 16}})
    model.learn(128)
    place = checkpoints.save(tmp_path, model, {"note": 1})
    ends = []
    for _ in range(2):
        again = TensorVecEnv("Tokens/Addition-v0", 8, digits=1)
        loaded, history = checkpoints.load(place, PPO, again, "cpu")
        loaded.learn(128, reset_num_timesteps=False)
        ends.append([p.detach().clone() for p in loaded.policy.parameters()])
        assert history == {"note": 1}
        assert loaded.num_timesteps == 256
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


def test_a_fresh_run_removes_only_what_a_run_wrote(tmp_path):
    """The folder is the user's: `--out` may name one that holds other things."""
    (tmp_path / "thesis.txt").write_text("years of work")
    (tmp_path / "checkpoint-000000000001").mkdir()
    (tmp_path / "results.json").write_text("{}")
    checkpoints.clear(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_only_the_newest_checkpoints_are_kept(tmp_path):
    env = TensorVecEnv("Tokens/Addition-v0", 2, digits=1)
    model = PPO("TransformerPolicy", env, n_steps=4, batch_size=8, policy_kwargs={"backbone": {"width": 16}})
    env.reset_tensor()
    for steps in (10, 20, 30):
        model.num_timesteps = steps
        checkpoints.save(tmp_path, model, {})
    assert [int(place.name.split("-")[1]) for place in checkpoints.checkpoints(tmp_path)] == [20, 30]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"world": "No/Such-v0"}, ValueError, "there is no world"),
        ({"set": ("digits",)}, ValueError, "name=value"),
        ({"set": ("colour=red",)}, TypeError, "no option 'colour'"),
        ({"metric": "beauty"}, ValueError, "no signal 'beauty'"),
        ({"weights": ("beauty=1",)}, ValueError, "no signal 'beauty'"),
    ],
)
def test_bad_options_are_refused_before_anything_is_written(tmp_path, options, error, message):
    out = tmp_path / "run"
    with pytest.raises(error, match=message):
        train(Options(out=out, warm=WarmStart(epochs=0), ppo=Reinforcement(steps=0), **options))
    assert not out.exists()
