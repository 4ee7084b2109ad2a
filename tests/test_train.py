"""The training job: its files and logs, the command, and refusing what is wrong before anything is written."""

import csv
import json
import subprocess
import sys
import time

import numpy as np
import pytest
import yaml
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import CSVOutputFormat, Logger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from training import PPO_QUICK

from agents import checkpoints, logs
from agents.ppo import PPO
from agents.settings import parse
from agents.train import main, train
from llm_envs.adapters.sb3 import TensorVecEnv


def told(*more):
    return parse(["Tokens/Addition-v0", *PPO_QUICK, *more])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    (out / "checkpoint-000000000001").mkdir()
    (out / "thesis.txt").write_text("years of work")
    results = train(told("--out", str(out), "--steps", "640", "--kl.coefficient", "0.1"))
    return out, results


def test_the_folder_of_a_run(run, capsys):
    out, results = run
    assert json.loads((out / "results.json").read_text()) == results
    assert (results["steps"], results["algo"]) == (640, "ppo")
    assert 0.0 <= results["before"]["signals"]["exact"] <= 1.0
    assert len(results["after"]["transcripts"]) == min(10, results["after"]["episodes"])
    assert (out / "curve.png").read_bytes()[:4] == b"\x89PNG"
    assert (out / "model.zip").exists()
    assert (out / "thesis.txt").exists()
    assert not (out / "checkpoint-000000000001").exists()
    assert yaml.safe_load((out / "options.yaml").read_text())["algorithms"]["ppo"]["kl"]["coefficient"] == 0.1


def test_logs_hold_every_quantity(run):
    out, _ = run
    rows = list(csv.DictReader((out / "progress.csv").open()))
    assert [int(row["time/total_timesteps"]) for row in rows] == [128, 256, 384, 512, 640]
    names = "signals/exact signals/match kl/per_token kl/coefficient train/approx_kl train/entropy_loss"
    names += " train/clip_fraction train/explained_variance rollout/entropy rollout/ep_rew_mean"
    for name in names.split():
        assert np.isfinite(float(rows[-1][name])), name
    for row in rows:
        shares = [float(row[f"time/{part}_share"]) for part in ("rollout", "update", "other")]
        assert sum(shares) == pytest.approx(1.0)
        assert float(row["time/tokens_per_second"]) > 0
    events = EventAccumulator(str(out / "tensorboard")).Reload()
    told = [event.value for event in events.Scalars("signals/exact")]
    np.testing.assert_allclose(told, [float(row["signals/exact"]) for row in rows], rtol=1e-6)
    assert {"time/tokens_per_second", "validation/exact"} <= set(events.Tags()["scalars"])


def test_the_meter_works_beside_other_callbacks_and_loggers(tmp_path):
    """The entropy that is logged is that of SB3's own loss, up to sampling: the policy starts out all but uniform."""

    class Count(BaseCallback):
        def _on_step(self):
            return True

    env = TensorVecEnv("Tokens/Addition-v0", 64, digits=1)
    model = PPO("TransformerPolicy", env, n_steps=8, batch_size=512, policy_kwargs={"backbone": {"width": 16}})
    model.set_logger(Logger(str(tmp_path), [CSVOutputFormat(str(tmp_path / "mine.csv"))]))
    count = Count()
    model.learn(1024, callback=[logs.Meter(), count])
    assert count.n_calls == 16
    rows = list(csv.DictReader((tmp_path / "mine.csv").open()))
    assert float(rows[1]["rollout/entropy"]) == pytest.approx(-float(rows[1]["train/entropy_loss"]), abs=0.2)


def test_a_logger_that_goes_on_drops_what_came_after_the_checkpoint(tmp_path):
    for steps, values in ((0, {10: 1.5, 20: 2.5, 30: 3.5}), (20, {30: 9.5, 40: 4.5})):
        logger = logs.make_logger(tmp_path, steps)
        for at, value in values.items():
            logger.record("a", value)
            logger.record(logs.TOTAL, at, exclude="tensorboard")
            logger.dump(at)
        logger.close()
        time.sleep(1.1 if not steps else 0)  # TensorBoard reads event files in the order of their seconds
    rows = [(int(row[logs.TOTAL]), float(row["a"])) for row in csv.DictReader((tmp_path / "progress.csv").open())]
    assert rows == [(10, 1.5), (20, 2.5), (30, 9.5), (40, 4.5)]
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload().Scalars("a")
    assert [(event.step, event.value) for event in events] == rows


def test_a_fresh_run_removes_only_what_a_run_wrote(tmp_path):
    """The folder is the user's: `--out` may name one that holds other things."""
    (tmp_path / "thesis.txt").write_text("years of work")
    (tmp_path / "checkpoint-000000000001").mkdir()
    (tmp_path / "results.json").write_text("{}")
    checkpoints.clear(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        (["--set", "digits"], ValueError, "name=value"),
        (["--set", "colour=red"], TypeError, "no option 'colour'"),
        (["--metric", "beauty"], ValueError, "no signal 'beauty'"),
        (["--weights", "beauty=1"], ValueError, "no signal 'beauty'"),
        (["--weights", "match=much"], ValueError, "the weight of 'match' is 'much'; it must be a finite number"),
        (["--frozen", "nose"], ValueError, "no parameter's name"),
    ],
)
def test_bad_options_are_refused_before_anything_is_written(tmp_path, more, error, message):
    out = tmp_path / "run"
    with pytest.raises(error, match=message):
        train(told("--out", str(out), *more))
    assert not out.exists()


def test_an_unknown_world_is_refused(tmp_path):
    with pytest.raises(ValueError, match="there is no world"):
        train(parse(["No/Such-v0", "--out", str(tmp_path / "run")]))


def test_the_command(tmp_path, capsys):
    args = [sys.executable, "-m", "agents.train", "Tokens/Addition-v0", *PPO_QUICK, "--steps", "256"]
    done = subprocess.run([*args, "--out", str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "before RL" in done.stdout
    with pytest.raises(SystemExit) as refused:
        main(["--kl.target", "3"])
    assert (refused.value.code, capsys.readouterr().err.count("\n")) == (2, 1)
