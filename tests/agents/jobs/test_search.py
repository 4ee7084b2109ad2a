"""Sweeps: what is searched, going on after a kill, and what is written."""

import csv
import multiprocessing
import os
import signal
import time

import optuna
import pytest
import torch
import tyro

from agents.jobs import search
from agents.jobs.search import Options, Range, parse_range

TINY = [
    "Tokens/Copy-v0",
    "--set",
    "length=2",
    "vocab_size=2",
    "pool=256",
    "--warm.episodes",
    "32",
    "--warm.epochs",
    "1",
]
TINY += ["--num-envs", "8", "--n-steps", "4", "--batch-size", "32", "--steps", "64", "--validate-every", "1"]
TINY += ["--backbone.width", "16", "--backbone.layers", "1", "--backbone.heads", "2", "--threads", "1"]
TINY += ["--device", "cpu", "--checkpoint-every", "0", "--stop-at", "2.0"]


def sweep_options(out, *search, **options):
    return Options(search=(search,), out=out, **options)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("0.1,0.2", Range(choices=("0.1", "0.2"))),
        ([0.1, 2], Range(choices=("0.1", "2"))),
        ("log:1e-4:1e-2", Range(kind="log", low=1e-4, high=1e-2)),
        ("uniform:-1:1", Range(kind="uniform", low=-1.0, high=1.0)),
        ("int:16:64:16", Range(kind="int", low=16, high=64, step=16)),
        ("linear:{log:1e-4:1e-2}:end=0", Range("linear:{}:end=0", kind="log", low=1e-4, high=1e-2)),
        ("cosine:{1e-3,2e-3}", Range("cosine:{}", choices=("1e-3", "2e-3"))),
        ("linear:1e-3", Range(choices=("linear:1e-3",))),
    ],
)
def test_ranges(text, found):
    assert parse_range("x", text) == found


@pytest.mark.parametrize(
    "text", ["log:0:1", "uniform:2:1", "int:1:2.5", "log:1", "log:a:b", "uniform:0:1:2", "{{1}}", "a{1"]
)
def test_malformed_ranges_are_refused(text):
    with pytest.raises(ValueError, match="searched over"):
        parse_range("x", text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "nothing to search"),
        ({"search": (("gamma",),)}, "name=range"),
        ({"search": (("gamma=uniform:0:1",),), "sampler": "grid"}, "a grid needs"),
        ({"search": (("learning_rate=line:{1,2}",),)}, "no schedule"),
    ],
)
def test_sweeps_that_make_no_sense_are_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        search.sweep(Options(out=tmp_path, **options), TINY)


def test_repeated_flags_add_up():
    given = ["--search", "gamma=0.9,1", "--search", "n_epochs=1,2", "seed=0,1"]
    assert list(search.search_space(tyro.cli(Options, args=given))) == ["gamma", "n_epochs", "seed"]


def test_an_option_that_the_algorithm_does_not_have_ends_the_sweep_before_it_begins(tmp_path, capsys):
    with pytest.raises(SystemExit):
        search.sweep(sweep_options(tmp_path / "a", "clip_range=0.1,0.2"), [*TINY, "--algo", "reinforce"])
    assert "--clip-range" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


def test_a_grid_covers_every_point_and_is_over_then(tmp_path, capsys):
    space = tmp_path / "space.yaml"
    space.write_text("n_epochs: [1, 2]\n")
    args = [*TINY, "--space", str(space), "--search", "gamma=0.9,1.0", "--sampler", "grid", "--out", str(tmp_path)]
    search.main(args)
    rows = list(csv.DictReader((tmp_path / "results.csv").open()))
    assert {(row["n_epochs"], row["gamma"]) for row in rows} == {("1", "0.9"), ("1", "1.0"), ("2", "0.9"), ("2", "1.0")}
    assert [row["state"] for row in rows] == ["complete"] * 4
    values = [float(row["value"]) for row in rows]
    assert values == sorted(values, reverse=True)
    assert (tmp_path / "parallel.png").read_bytes()[:4] == b"\x89PNG"
    assert "best first" in capsys.readouterr().out
    written = (tmp_path / "trial-0003" / "model.zip").stat().st_mtime_ns
    search.main(args)
    assert (tmp_path / "trial-0003" / "model.zip").stat().st_mtime_ns == written
    assert not (tmp_path / "trial-0004").exists()
    with pytest.raises(SystemExit):
        search.main([*args, "--search", "gamma=0.5,1.0"])
    assert "other ranges" in capsys.readouterr().err


def test_a_trial_that_cannot_be_trained_is_told_and_the_others_go_on(tmp_path):
    lines = search.sweep(sweep_options(tmp_path, "backbone.heads=2,3", sampler="grid"), TINY)
    assert [line["state"] for line in lines] == ["complete", "fail"]
    assert "heads" in lines[1]["error"]


def test_trials_below_the_median_are_pruned(tmp_path, monkeypatch):
    """Four trials that validate at their number of epochs: those of 1, after those of 2, fall below the median."""

    def train(options, on_validation):
        for steps in (10, 20):
            on_validation(steps, float(options.algorithm.n_epochs))
        return {"validation": float(options.algorithm.n_epochs)}

    monkeypatch.setattr(search, "train", train)
    monkeypatch.setattr(optuna.samplers, "RandomSampler", lambda _: Scripted([2, 2, 1, 3]))
    lines = search.sweep(sweep_options(tmp_path, "n_epochs=int:1:3", sampler="random", trials=4, startup=2), TINY)
    assert [(line["n_epochs"], line["state"]) for line in lines] == [
        (3, "complete"),
        (2, "complete"),
        (2, "complete"),
        (1, "pruned"),
    ]


class Scripted(optuna.samplers.BaseSampler):
    """Draws given values one after another."""

    def __init__(self, values):
        self.values = iter(values)

    def infer_relative_search_space(self, study, trial):
        return {}

    def sample_relative(self, study, trial, search_space):
        return {}

    def sample_independent(self, study, trial, param_name, param_distribution):
        return next(self.values)


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_sweep_that_goes_on_draws_anew(tmp_path, monkeypatch, sampler):
    monkeypatch.setattr(search, "train", lambda options, on_validation: {"validation": options.algorithm.gamma})
    gamma = "gamma=uniform:0:1"
    search.sweep(sweep_options(tmp_path, gamma, sampler=sampler, trials=3), TINY)
    lines = search.sweep(sweep_options(tmp_path, gamma, sampler=sampler, trials=6), TINY)
    assert len({line["gamma"] for line in lines}) == len(lines) == 6
    assert lines[0]["value"] == max(line["gamma"] for line in lines)


def run_quietly(options, args):
    """Sweep in a process of its own, its output thrown away."""
    torch.set_num_threads(1)
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 1)
        os.dup2(nothing.fileno(), 2)
        search.sweep(options, args)


def test_a_killed_sweep_goes_on_and_its_killed_trial_from_its_checkpoint(tmp_path):
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["agents.sweep"])
    options = sweep_options(tmp_path, "n_epochs=1,2", sampler="grid", prune=False)
    running = processes.Process(target=run_quietly, args=(options, [*TINY, "--steps", "1000000"]))
    running.start()
    while running.is_alive() and not list(tmp_path.glob("trial-0000/checkpoint-*[1-9]*")):
        time.sleep(0.01)
    os.kill(running.pid, signal.SIGKILL)
    running.join()
    assert running.exitcode == -signal.SIGKILL
    reached = max(int(place.name.split("-")[1]) for place in tmp_path.glob("trial-0000/checkpoint-*"))
    lines = search.sweep(options, [*TINY, "--steps", str(reached + 64)])
    assert sorted(line["n_epochs"] for line in lines) == ["1", "2"]
    assert [line["state"] for line in lines] == ["complete"] * 2
    assert 0 not in [line["trial"] for line in lines]
    with (tmp_path / "trial-0000" / "progress.csv").open() as file:
        steps = [int(row["time/total_timesteps"]) for row in csv.DictReader(file)]
    assert steps == list(range(32, reached + 65, 32))
    assert sorted(place.name for place in tmp_path.glob("trial-*")) == ["trial-0000", "trial-0001"]
