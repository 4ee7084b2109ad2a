"""docs/results/results.md, docs/results/text-results.md and their pictures, from the runs of benchmarks/learning.py."""

import csv
import json
import shlex
from collections.abc import Callable, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from agents import evaluate
from agents.evaluation.runner import load_policy
from llm_envs.cli.arguments import parse_values

mpl.use("Agg")
from matplotlib import pyplot as plt

DOCS = Path("docs/results")
Place = Callable[[str, str, int], Path]
Tasks = dict[str, list[str]]  # name -> arguments of agents.train
Found = dict[str, dict[int, dict[str, Any]]]  # what runs of a task found, by algorithm and seed
WHEN, AFTER = ("before", "after"), ("warm start", "PPO")
HEADS = {
    "results": """# Learning results

`python benchmarks/learning.py` runs them, one CPU thread each; `--report` writes this page. The metric is the world's
first signal (1 for a solved episode), over all levels of the test split, none of which was trained on, with the most
likely actions. A cell gives the mean over the seeds and their range; "warm start" is the same policy after imitation
and before RL (no imitation: an untrained policy), "random" draws legal actions uniformly (on at most 1,000 levels), and
every oracle, the world's own `solution`, scores 1.
""",
    "text-results": """# Learning results on text games

`python benchmarks/learning.py --only cooking-1 ...` runs them, one CPU thread each; `--report text-results` writes this
page. The policy reads the transcript of the game and types its commands word by word, under the mask of admissible
commands: a transformer of two layers and width 64, which imitates the oracle's walkthroughs of up to 2,000 training
games and is then trained by PPO. All figures are of the games of the test split, none of which was trained on; "won"
and "lost" are shares of them, with the most likely words or, where it says so, sampled ones; mean over the seeds and,
where there are several, their range. "Turns" are commands a game. "Random" draws admissible commands uniformly, at most
`max_steps` of them; the policy types at most `max_steps` times the words of the longest command, so it has up to three
times as many short ones. The oracle wins every game with all points.
""",
}


def write(page: str, tasks: Tasks, algorithms: Sequence[str], seeds: Sequence[int], place: Place) -> None:
    """Write a page and one picture a task; runs that are not there are named as missing."""
    found = {
        task: {a: {s: outcome for s in seeds if (outcome := results(place(task, a, s)))} for a in algorithms}
        for task in tasks
    }
    table = games_table if page == "text-results" else tasks_table
    lines = [HEADS[page], *table(tasks, found, place)]
    lines += ["", "| task | steps | seconds a run | command |", "|---|---|---|---|"]
    for task, by_algorithm in found.items():
        known = [outcome for by_seed in by_algorithm.values() for outcome in by_seed.values()]
        if known:
            steps, seconds = (span([outcome[name] for outcome in known]) for name in ("steps", "seconds"))
            command = f"python -m agents.train {shlex.join(tasks[task])} --threads 1"
            lines.append(f"| {task} | {steps} | {seconds} | `{command}` |")
            draw(task, by_algorithm, place)
    lines += ["", *(f"![{task}](pictures/learning-{task}.png)" for task in tasks if any(found[task].values()))]
    runs = [(task, a, [str(s) for s in seeds if s not in found[task][a]]) for task in tasks for a in algorithms]
    missing = [f"{task} {a} ({', '.join(absent)})" for task, a, absent in runs if absent]
    if missing:
        lines += ["", f"Seeds without a run: {'; '.join(missing)}."]
    notes = DOCS / f"{page}-notes.md"
    lines += ["", notes.read_text().strip()] if notes.exists() else []
    (DOCS / f"{page}.md").write_text("\n".join(lines) + "\n")


def tasks_table(tasks: Tasks, found: dict[str, Found], place: Place) -> list[str]:
    """Return a line a task: the metric of random play, after imitation, and after each algorithm."""
    algorithms = list(next(iter(found.values())))
    lines = [f"| task | random | warm start | {' | '.join(a.upper() for a in algorithms)} |"]
    lines.append("|---" * (3 + len(algorithms)) + "|")
    for task, by_algorithm in found.items():
        runs = [outcome for by_seed in by_algorithm.values() for outcome in by_seed.values()]
        if runs:
            before = cell([signal(outcome, "before", outcome["metric"]) for outcome in runs])
            after = [by_algorithm[a].values() for a in algorithms]
            cells = [cell([signal(outcome, "after", outcome["metric"]) for outcome in by_seed]) for by_seed in after]
            chance = played("random", tasks[task])[runs[0]["metric"]]
            lines.append(f"| {task} | {chance:.3f} | {before} | {' | '.join(cells)} |")
    return lines


def games_table(tasks: Tasks, found: dict[str, Found], place: Place) -> list[str]:
    """Return a line a game: shares won and points, of random commands, after imitation, and after PPO."""
    columns = (
        "game",
        "won: random",
        *AFTER,
        "PPO, sampled",
        "lost: PPO",
        "turns: PPO",
        "points: random",
        *AFTER,
        "oracle",
    )
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for task, by_algorithm in found.items():
        runs = by_algorithm["ppo"]
        if not runs:
            continue
        chance = played("random", tasks[task], action="admissible")
        models = [load_policy(place(task, "ppo", seed) / "model.zip", "cpu") for seed in runs]
        sampled = [played(model, tasks[task], deterministic=False)["win"] for model in models]
        outcome = list(runs.values())
        best = outcome[0]["after"]["mean_return"] + outcome[0]["after"]["estimates"]["regret"]["mean"]
        won, points = ([cell([signal(t, when, s) for t in outcome]) for when in WHEN] for s in ("win", "score"))
        lost, turns = (cell([signal(t, "after", name) for t in outcome]) for name in ("lose", "turn"))
        lines.append(
            f"| {task} | {chance['win']:.3f} | {won[0]} | {won[1]} | {cell(sampled)} | {lost} | {turns} "
            f"| {chance['score']:.2f} | {points[0]} | {points[1]} | {best:g} |"
        )
    return lines


def results(folder: Path) -> dict[str, Any] | None:
    """Return what a run found, or None if it is not there."""
    path = folder / "results.json"
    return json.loads(path.read_text()) if path.exists() else None


def signal(outcome: dict[str, Any], when: str, name: str) -> float:
    """Return a signal's mean total in an episode, "before" or "after" RL."""
    return outcome[when]["signals"][name]


def cell(values: Sequence[float]) -> str:
    """Return the mean, and the range if there is one."""
    if not values:
        return ""
    low, high = min(values), max(values)
    return f"{np.mean(values):.3f}" + (f" ({low:.3f} to {high:.3f})" if low < high else "")


def span(values: Sequence[float]) -> str:
    """Return the range of whole numbers, or the one that all are."""
    return " to ".join(dict.fromkeys(f"{limit(values):,.0f}" for limit in (min, max)))


def played(model: Any, arguments: list[str], **settings: Any) -> dict[str, float]:
    """Return the signals' means on test levels, at most 1,000, of the world that agents.train's arguments name."""
    given = takewhile(lambda text: not text.startswith("--"), arguments[2:]) if "--set" in arguments else ()
    config = parse_values(tuple(given)) | settings
    return evaluate(model, arguments[0], "test", max_levels=1000, oracle=False, resamples=1, **config).signals


def draw(task: str, found: Found, place: Place) -> None:
    """Draw rollouts' metric against environment steps: thin lines for seeds, thick ones for their means."""
    figure, axes = plt.subplots(figsize=(7, 4), constrained_layout=True)
    for color, (algorithm, by_seed) in enumerate(found.items()):
        curves = []
        for seed, outcome in by_seed.items():
            with (place(task, algorithm, seed) / "progress.csv").open() as file:
                rows = [row for row in csv.DictReader(file) if row.get(f"signals/{outcome['metric']}")]
            steps = np.array([float(row["time/total_timesteps"]) for row in rows])
            curves.append((steps, np.array([float(row[f"signals/{outcome['metric']}"]) for row in rows])))
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
