"""docs/results.md and its pictures, from the runs of benchmarks/learning.py."""

import csv
import json
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from agents import evaluate
from llm_envs.checks import parse_values

mpl.use("Agg")
from matplotlib import pyplot as plt

DOCS = Path("docs")
Place = Callable[[str, str, int], Path]
HEAD = """# Learning results

`python benchmarks/learning.py` runs them, one CPU thread each; `--report` writes this page. The metric is the world's
first signal (1 for a solved episode), over all levels of the test split, none of which was trained on, with the most
likely actions. A cell gives the mean over the seeds and their range; "warm start" is the same policy after imitation
and before RL (no imitation: an untrained policy), "random" draws legal actions uniformly, and every oracle, the world's
own `solution`, scores 1.
"""


def write(tasks: dict[str, list[str]], algorithms: Sequence[str], seeds: Sequence[int], place: Place) -> None:
    """Write the page and one picture a task; runs that are not there are named as missing."""
    lines = [HEAD, f"| task | random | warm start | {' | '.join(a.upper() for a in algorithms)} |"]
    lines.append("|---" * (3 + len(algorithms)) + "|")
    missing = []
    for task, arguments in tasks.items():
        found = {a: {s: told for s in seeds if (told := results(place(task, a, s)))} for a in algorithms}
        missing += [f"{task}-{a}-{s}" for a in algorithms for s in seeds if s not in found[a]]
        runs = [told for by_seed in found.values() for told in by_seed.values()]
        if not runs:
            continue
        before = cell([value(told, "before") for told in runs])
        cells = [cell([value(told, "after") for told in found[a].values()]) for a in algorithms]
        lines.append(f"| {task} | {random_score(arguments, runs[0]['metric']):.3f} | {before} | {' | '.join(cells)} |")
        draw(task, found, place)
    lines += ["", "| task | steps | seconds a run | command |", "|---|---|---|---|"]
    for task, arguments in tasks.items():
        spent = [results(place(task, a, s)) for a in algorithms for s in seeds]
        known = [told for told in spent if told]
        if known:
            steps = " to ".join(f"{f(told['steps'] for told in known):,}" for f in (min, max))
            seconds = " to ".join(f"{f(told['seconds'] for told in known):.0f}" for f in (min, max))
            command = f"python -m agents.train {shlex.join(arguments)} --threads 1"
            lines.append(f"| {task} | {steps} | {seconds} | `{command}` |")
    lines += ["", *(f"![{task}](pictures/learning-{task}.png)" for task in tasks)]
    if missing:
        lines += ["", f"Runs that are not there: {', '.join(missing)}."]
    notes = DOCS / "results-notes.md"
    lines += ["", notes.read_text().strip()] if notes.exists() else []
    (DOCS / "results.md").write_text("\n".join(lines) + "\n")


def results(folder: Path) -> dict[str, Any] | None:
    """Return what a run found, or None if it is not there."""
    path = folder / "results.json"
    return json.loads(path.read_text()) if path.exists() else None


def value(told: dict[str, Any], when: str) -> float:
    """Return the metric before or after RL."""
    return told[when]["signals"][told["metric"]]


def cell(values: Sequence[float]) -> str:
    """Return mean and range."""
    if not values:
        return ""
    return f"{np.mean(values):.3f}" + (f" ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else "")


def random_score(arguments: list[str], metric: str) -> float:
    """Return the metric of random actions on test levels."""
    config = {}
    if "--set" in arguments:
        rest = arguments[arguments.index("--set") + 1 :]
        config = parse_values([text for text in rest[: rest.index("--steps")] if "=" in text])
    found = evaluate("random", arguments[0], "test", max_levels=1000, oracle=False, resamples=1, **config)
    return found.signals[metric]


def draw(task: str, found: dict[str, dict[int, dict[str, Any]]], place: Place) -> None:
    """Draw rollouts' metric against environment steps: thin lines for seeds, thick ones for their means."""
    figure, axes = plt.subplots(figsize=(7, 4), constrained_layout=True)
    for color, (algorithm, by_seed) in enumerate(found.items()):
        curves = []
        for seed, told in by_seed.items():
            with (place(task, algorithm, seed) / "progress.csv").open() as file:
                rows = [row for row in csv.DictReader(file) if row.get(f"signals/{told['metric']}")]
            steps = np.array([float(row["time/total_timesteps"]) for row in rows])
            curves.append((steps, np.array([float(row[f"signals/{told['metric']}"]) for row in rows])))
            axes.plot(*curves[-1], color=f"C{color}", lw=0.7, alpha=0.4)
        if curves:
            grid = np.linspace(min(s[0] for s, _ in curves), max(s[-1] for s, _ in curves), 200)
            mean = np.mean([np.interp(grid, *curve) for curve in curves], axis=0)
            axes.plot(grid, mean, color=f"C{color}", lw=2, label=f"{algorithm.upper()}, {len(curves)} seeds")
    axes.set(xlabel="environment steps", ylabel="metric in rollouts, sampled actions", title=task, ylim=(-0.02, 1.02))
    axes.grid(alpha=0.3)
    axes.legend()
    (DOCS / "pictures").mkdir(exist_ok=True)
    figure.savefig(DOCS / "pictures" / f"learning-{task}.png", dpi=100)
    plt.close(figure)
