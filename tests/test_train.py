"""The training job: its options, its files and logs, refusing what is wrong, and going on after a kill bit by bit."""

import csv
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
import yaml
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import CSVOutputFormat, Logger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agents import ALGORITHMS, checkpoints, logs, options
from agents.options import parse
from agents.ppo import PPO
from agents.train import main, make_env, make_model, train
from llm_envs import ids
from llm_envs.adapters.sb3 import TensorVecEnv

QUICK = ["--set", "digits=1", "--warm.episodes", "64", "--warm.epochs", "1", "--num-envs", "16", "--threads", "1"]
QUICK += ["--backbone.width", "16", "--backbone.layers", "1", "--backbone.heads", "2", "--backbone.dropout", "0"]
QUICK += ["--checkpoint-every", "0", "--validate-every", "3", "--stop-at", "2.0", "--device", "cpu"]
PPO_QUICK = [*QUICK, "--n-steps", "8", "--batch-size", "64"]
SMALL_WORLDS = {  # configurations that are made in a moment
    "Nav/FourRooms-v0": {"pool": 64},
    "Nav/PathPlanner-v0": {"pool": 64},
    "Text/Coin-v0": {"pool": 64},
    "Tokens/Copy-v0": {"pool": 64},
}
ALIASES = {"PathPlanner-v0": "Nav/PathPlanner-v0", "TextGame-v0": "Text/Coin-v0"}


def told(*more):
    return parse(["Tokens/Addition-v0", *PPO_QUICK, *more])


# ---------------------------------------------------------------------- options


@pytest.mark.parametrize("algo", ALGORITHMS)
@pytest.mark.parametrize("world", [world for world in ids() if world not in ALIASES])
def test_every_world_has_a_preset_with_which_every_algorithm_starts(world, algo):
    assert algo in options.preset(world)["algorithms"]
    for alias in (alias for alias, name in ALIASES.items() if name == world):
        assert options.preset(alias) == options.preset(world)
    chosen = parse([world, "--algo", algo, "--num-envs", "16", "--device", "cpu"])
    config = SMALL_WORLDS.get(world, {})
    model = make_model(chosen, make_env(chosen, config, "cpu"), "cpu")
    assert type(model) is ALGORITHMS[algo]


def test_command_line_over_file_over_preset(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("num_envs: 24\nsteps: 7\nset: {digits: 2}\nalgorithms: {ppo: {n_epochs: 5, clip_range: 0.3}}\n")
    found = parse(
        ["Tokens/Addition-v0", "--config", str(file), "--steps", "9", "--set", "mixed=True", "--n-epochs", "6"]
    )
    assert (found.steps, found.num_envs, found.algorithm.n_epochs, found.algorithm.clip_range) == (9, 24, 6, "0.3")
    assert found.set == ("digits=2", "mixed=True")
    assert found.algorithm.n_steps == 20  # the preset's
    assert found.network.positions == "learned"


def test_the_first_job_is_as_it_was():
    """`make train`: the settings with which three digits go from 0.52 to about 0.97."""
    found = parse([])
    assert (found.world, found.algo, found.steps, found.num_envs) == ("Tokens/Addition-v0", "ppo", 1_000_000, 512)
    ppo = found.algorithm
    assert (ppo.n_steps, ppo.batch_size, ppo.n_epochs, ppo.gamma, ppo.gae_lambda) == (20, 5120, 3, 1.0, 1.0)
    rate = ppo.arguments()["learning_rate"]
    np.testing.assert_allclose([rate(1.0), rate(0.25), rate(0.0)], [1e-3, 2.5e-4, 0.0], rtol=1e-12)
    assert ppo.arguments()["kl"] is None
    assert (found.warm.episodes, found.warm.epochs, found.warm.stop_at) == (40_000, 6, 0.45)


def test_options_reach_the_algorithm_and_the_policy():
    args = "--algo a2c --kl.coefficient 0.1 --kl.estimator k2 --replay.batches 2 --replay.capacity 320 --gamma 0.9"
    args += " --sampling.top-k 3 --low-rank 2 --weight-decay 0.1 --max-tokens-per-pass 99 --vf-coef 0.2 --n-steps 4"
    chosen = parse(["Tokens/Addition-v0", *QUICK, *args.split(), "--frozen", "trunk.norm", "value_net"])
    model = make_model(chosen, make_env(chosen, {"digits": 1}, "cpu"), "cpu")
    assert (model.kl.coefficient, model.kl.estimator, model.gamma, model.vf_coef, model.n_steps) == (
        0.1,
        "k2",
        0.9,
        0.2,
        4,
    )
    assert (model.replay.batches, model.replay.capacity) == (2, 320)
    assert (model.policy.sampling.top_k, model.policy.max_tokens_per_pass) == (3, 99)
    assert not any(p.requires_grad for p in model.policy.value_net.parameters())
    assert {group["weight_decay"] for group in model.policy.optimizer.param_groups} == {0.1, 0.0}


@pytest.mark.parametrize(
    "args",
    [
        "--algo reinforce --clip-range 0.1",
        "--algo trpo --ent-coef 0.1",
        "--algo ppo --group-size 8",
        "--algo rloo --baseline none",
        "--algo ppo --replay.batches 1",
        "--backbone gru --backbone.heads 4",
        "--batch-size many",
    ],
)
def test_what_the_chosen_ones_do_not_have_is_refused(args, capsys):
    with pytest.raises(SystemExit) as refused:
        parse(["Tokens/Addition-v0", *args.split()])
    assert refused.value.code == 2
    flag = args.split()[-2]
    assert flag in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("--algo sarsa", "algo is 'sarsa'"),
        ("--backbone lstm", "backbone is 'lstm'"),
        ("--kl.target 0.1", "kl.coefficient is 0"),
        ("--algo a2c --replay.capacity 100", "replay.batches is 0"),
        ("--learning-rate linear", "no schedule"),
        ("--clip-range linear:x", "no number"),
    ],
)
def test_options_that_make_no_sense_are_refused(args, message):
    with pytest.raises(ValueError, match=message):
        parse(["Tokens/Addition-v0", *args.split()])


@pytest.mark.parametrize(
    ("text", "message"),
    [("- 1", "must map"), ("algorithms: {sarsa: {}}", "sarsa"), ("backbones: {lstm: {}}", "lstm")],
)
def test_a_file_that_makes_no_sense_is_refused(tmp_path, text, message):
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        parse(["--config", str(tmp_path / "bad.yaml")])


def test_an_unknown_name_in_a_file_is_refused(tmp_path, capsys):
    (tmp_path / "bad.yaml").write_text("algorithms: {ppo: {n_step: 3}}")
    with pytest.raises(SystemExit):
        parse(["--config", str(tmp_path / "bad.yaml")])
    assert "--n-step" in capsys.readouterr().err


def test_saved_options_are_what_a_run_goes_on_with(tmp_path):
    first = told("--out", str(tmp_path), "--n-epochs", "2", "--weights", "match=0.5", "--frozen", "value_net")
    options.save(first, tmp_path)
    again = parse(["--resume", "--out", str(tmp_path)])
    assert options.as_settings(again) == options.as_settings(first)
    repeated = parse(["--config", str(tmp_path / options.SAVED)])
    assert options.as_settings(repeated) == options.as_settings(first)
    longer = parse(["--resume", "--out", str(tmp_path), "--steps", "9", "--threads", "2"])
    assert (longer.steps, longer.threads, longer.algorithm.n_epochs) == (9, 2, 2)
    for other in (["--n-epochs", "3"], ["--seed", "1"], ["--algo", "a2c"], ["--set", "digits=2"], ["--num-envs=8"]):
        with pytest.raises(ValueError, match="these differ"):
            parse(["--resume", "--out", str(tmp_path), *other])
    with pytest.raises(ValueError, match=r"world Tokens/Addition-v0 -> Tokens/Copy-v0"):
        parse(["Tokens/Copy-v0", "--resume", "--out", str(tmp_path)])


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        (["--set", "digits"], ValueError, "name=value"),
        (["--set", "colour=red"], TypeError, "no option 'colour'"),
        (["--metric", "beauty"], ValueError, "no signal 'beauty'"),
        (["--weights", "beauty=1"], ValueError, "no signal 'beauty'"),
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


# ---------------------------------------------------------------------- files and logs


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


# ---------------------------------------------------------------------- going on


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
    monkeypatch.setattr(checkpoints, "KEPT", 99)
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


def state(out):
    """Return all tensors of a finished run: parameters, optimiser, reference."""
    from stable_baselines3.common.save_util import load_from_zip_file

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
    args = ["Tokens/Addition-v0", *PPO_QUICK, "--steps", "1536", "--resume", "--kl.coefficient", "0.1"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    reference = processes.Process(target=run_quietly, args=([*args, "--out", str(whole)],))
    reference.start()
    generator, kills = random.Random(0), 0
    while not (killed / "model.zip").exists():
        running = processes.Process(target=run_quietly, args=([*args, "--out", str(killed)],))
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


def test_the_command(tmp_path, capsys):
    args = [sys.executable, "-m", "agents.train", "Tokens/Addition-v0", *PPO_QUICK, "--steps", "256"]
    done = subprocess.run([*args, "--out", str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "before RL" in done.stdout
    with pytest.raises(SystemExit) as refused:
        main(["--kl.target", "3"])
    assert (refused.value.code, capsys.readouterr().err.count("\n")) == (2, 1)


def test_sub_sampling_is_refused_where_there_is_no_text():
    chosen = parse(["PathPlanner-v0", "--algo", "trpo", "--sub-sampling-factor", "2", "--num-envs", "2"])
    with pytest.raises(ValueError, match="shows tokens"):
        make_model(chosen, make_env(chosen, {"pool": 64}, "cpu"), "cpu")
