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
from worlds import APPLE_STORY

from agents.algorithms.ppo import PPO
from agents.evaluate.__main__ import main as evaluation_main
from agents.jobs import checkpoints, logs
from agents.jobs.job import main, train
from agents.jobs.settings import parse
from llm_envs.adapters.sb3 import TensorVecEnv


def parsed(*more):
    return parse(["Tokens/Addition-v0", *PPO_QUICK, *more])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    (out / "checkpoint-000000000001").mkdir()
    (out / "options.yaml").write_text("")  # of an earlier run
    (out / "thesis.txt").write_text("years of work")
    results = train(parsed("--out", str(out), "--steps", "640", "--kl.coefficient", "0.1"))
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
    logged = [event.value for event in events.Scalars("signals/exact")]
    np.testing.assert_allclose(logged, [float(row["signals/exact"]) for row in rows], rtol=1e-6)
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
    model.learn(1024, callback=[logs.ThroughputCallback(), count])
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
        (["--set", "colour=red"], TypeError, "got an unexpected keyword argument 'colour'"),
        (["--set", "split=all"], ValueError, "--set takes no split"),
        (["--set", "pool=1"], ValueError, "split='(train|validation|test)' holds none"),
        (["--metric", "beauty"], ValueError, "no signal 'beauty'"),
        (["--weights", "beauty=1"], ValueError, "no signal 'beauty'"),
        (["--weights", "match=much"], ValueError, "the weight of 'match' is 'much'; it must be a finite number"),
        (["--frozen", "nose"], ValueError, "no parameter is named"),
    ],
)
def test_bad_options_are_refused_before_anything_is_written(tmp_path, more, error, message):
    out = tmp_path / "run"
    with pytest.raises(error, match=message):
        train(parsed("--out", str(out), *more))
    assert not out.exists()


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["No/Such-v0"], "there is no world 'No/Such-v0'; the ids are"),
        (["Tokens/Addition-v0", "--set", "digits=0"], "digits is 0; it must be from 1"),
        (["Text/Story-v0", "--set", "stories=['no.yaml']"], "no.yaml: cannot be read"),
        (["Tokens/Addition-v0", "--kl.target", "3"], "kl"),
    ],
)
def test_what_no_run_can_be_set_up_with_is_one_line_and_code_2(tmp_path, capsys, args, reason):
    with pytest.raises(SystemExit) as refused:
        main([*args, "--out", str(tmp_path / "run")])
    errors = capsys.readouterr().err
    assert (refused.value.code, errors.count("\n"), reason in errors) == (2, 1, True)
    assert errors.startswith("agents.train: ")


def test_what_goes_wrong_in_training_is_not_taken_for_bad_input(tmp_path, monkeypatch):
    monkeypatch.setattr("agents.jobs.job.start", lambda *_: int("a bug"))
    with pytest.raises(ValueError, match="a bug"):
        main(["Tokens/Addition-v0", *PPO_QUICK, "--out", str(tmp_path)])


def test_of_stories_of_ones_own_nothing_is_held_out(tmp_path, capsys):
    """One level is trained on, validated on and evaluated; before, each split but one of it was empty."""
    out, world = str(tmp_path / "run"), ["Text/Story-v0", "--set", f"stories=[{APPLE_STORY!r}]", "--set", "max_steps=4"]
    main([*world, *PPO_QUICK[2:], "--steps", "128", "--out", out])
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert (results["before"]["episodes"], results["after"]["episodes"]) == (1, 1)
    assert results["validation"] == results["after"]["signals"][results["metric"]]
    printed = capsys.readouterr().out
    assert "1 training levels, your own: none are held out" in " ".join(printed.split())
    assert "Text/Story-v0, all levels" in printed
    found = evaluation_main([*world, "--model", f"{out}/model.zip"])
    assert found.signals == results["after"]["signals"]


def test_the_command(tmp_path):
    args = [sys.executable, "-m", "agents.train", "Tokens/Addition-v0", *PPO_QUICK, "--steps", "256"]
    done = subprocess.run([*args, "--out", str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "before RL" in done.stdout
