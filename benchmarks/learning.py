"""Learning results on levels never trained on: six tasks with three algorithms, and ten text games with PPO.

    python benchmarks/learning.py                  every run that is not there yet, one after another
    python benchmarks/learning.py --only addition  those of one task
    python benchmarks/learning.py --report         docs/results/results.md, docs/results/text-results.md, from the runs
    that are there

A run is `python -m agents.train` with the world's preset and the arguments below, in runs/learning/TASK-ALGORITHM-SEED.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

RUNS = Path("runs/learning")
TASKS = {  # name -> arguments of agents.train
    "addition": ["Tokens/Addition-v0", "--steps", "400_000"],
    "reverse": ["Tokens/Copy-v0", "--set", "task=reverse", "length=6", "--steps", "300_000"],
    "sort": ["Tokens/Copy-v0", "--set", "task=sort", "length=6", "--steps", "300_000"],
    "path-planner": ["PathPlanner-v0", "--steps", "400_000"],
    "four-rooms": ["Nav/FourRooms-v0", "--steps", "2_000_000"],
    "coin": ["Text/Coin-v0", "--steps", "40_000"],
}
SEARCH = [  # games of searching: imitation leaves much to learn, for which the preset's steps are too small
    *("--steps", "60_000", "--learning-rate", "linear:5e-4", "--normalize-advantage", "True"),
    *("--ent-coef", "0.001", "--warm.value-coef", "0"),
]
GAMES = {  # each family of rising difficulty
    # of the collectors 500 games train, as CREST's (arXiv 2009.11896): one that only goes on must see them more often
    "collector-15-1": [*("Text/Collector-v0", "--set", "level=15", "pool=625", *SEARCH), *("--warm.epochs", "20")],
    **{
        f"collector-5-{mode}": ["Text/Collector-v0", "--set", "level=5", f"mode={mode}", "pool=625", *SEARCH]
        for mode in (2, 3)
    },
    **{
        f"treasure-{level}": ["Text/Treasure-v0", "--set", f"level={level}", "pool=2000", "max_steps=100", *SEARCH]
        for level in (5, 15)
    },
    "treasure-21": ["Text/Treasure-v0", "--set", "level=21", "pool=2000", "max_steps=100"],  # larger steps unlearn it
    **{
        f"cooking-{level}": ["Text/Cooking-v0", "--set", f"preset=gata-{level}", "pool=2000", "max_steps=50"]
        for level in (1, 2, 3)
    },
    # from 1,024 tokens the recipe drops out before a fifth of the walkthroughs end
    "cooking-4": [
        *("Text/Cooking-v0", "--set", "preset=gata-4", "pool=2000", "max_steps=50", "window=2048"),
        *("--warm.epochs", "20"),
    ],
}
EVERY = TASKS | GAMES
SUITES = {"results": (TASKS, ("ppo", "trpo", "reinforce")), "text-results": (GAMES, ("ppo",))}  # by page of docs
SEEDS = (0, 1, 2)


def command(task: str, algorithm: str, seed: int) -> list[str]:
    """Return what to run."""
    rest = ["--algo", algorithm, "--seed", str(seed), "--threads", "1", "--out", str(folder(task, algorithm, seed))]
    return [sys.executable, "-m", "agents.train", *EVERY[task], *rest]


def folder(task: str, algorithm: str, seed: int) -> Path:
    """Return a run's folder."""
    return RUNS / f"{task}-{algorithm}-{seed}"


def main() -> None:
    """Run what is missing, or write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(EVERY), default=list(EVERY), help="these tasks")
    parser.add_argument("--report", nargs="*", choices=list(SUITES), help="write these pages of docs, or all")
    options = parser.parse_args()
    if options.report is not None:
        from learning_report import write

        for page in options.report or SUITES:
            write(page, *SUITES[page], SEEDS, folder)
        return
    wanted = [
        (task, algorithm, seed)
        for seed in SEEDS
        for tasks, algorithms in SUITES.values()
        for task in tasks
        for algorithm in algorithms
        if task in options.only
    ]
    failed = [name for name in wanted if not run(*name)]
    sys.exit(f"failed: {failed}" if failed else 0)


def run(task: str, algorithm: str, seed: int) -> bool:
    """Run one if it is not there yet, or go on with it; print its result, and return whether there is one."""
    place = folder(task, algorithm, seed)
    if (place / "results.json").exists():
        return True
    resume = ["--resume"] if (place / "options.yaml").exists() else []
    place.mkdir(parents=True, exist_ok=True)
    with (place / "output.txt").open("a") as output:
        done = subprocess.run([*command(task, algorithm, seed), *resume], stdout=output, stderr=output)
    print(task, algorithm, seed, "failed" if done.returncode else summary(place), flush=True)
    return not done.returncode


def summary(place: Path) -> str:
    """Return a run's result in one line."""
    outcome = json.loads((place / "results.json").read_text())
    metric = outcome["metric"]
    before, after = outcome["before"]["signals"][metric], outcome["after"]["signals"][metric]
    return f"{metric} {before:.3f} -> {after:.3f}, {outcome['steps']:,} steps, {outcome['seconds']:.0f} s"


if __name__ == "__main__":
    main()
