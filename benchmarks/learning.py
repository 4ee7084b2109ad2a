"""Learning results: six tasks, three algorithms, three seeds, on levels never trained on, for docs/results.md.

    python benchmarks/learning.py                  every run that is not there yet, one after another
    python benchmarks/learning.py --only addition  those of one task
    python benchmarks/learning.py --report         docs/results.md and its pictures, from the runs that are there

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
ALGORITHMS = ("ppo", "trpo", "reinforce")
SEEDS = (0, 1, 2)


def command(task: str, algorithm: str, seed: int) -> list[str]:
    """Return what to run."""
    rest = ["--algo", algorithm, "--seed", str(seed), "--threads", "1", "--out", str(folder(task, algorithm, seed))]
    return [sys.executable, "-m", "agents.train", *TASKS[task], *rest]


def folder(task: str, algorithm: str, seed: int) -> Path:
    """Return a run's folder."""
    return RUNS / f"{task}-{algorithm}-{seed}"


def main() -> None:
    """Run what is missing, or write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(TASKS), default=list(TASKS), help="these tasks")
    parser.add_argument("--report", action="store_true", help="write docs/results.md")
    options = parser.parse_args()
    if options.report:
        from learning_report import write

        write(TASKS, ALGORITHMS, SEEDS, folder)
        return
    for seed in SEEDS:
        for task in options.only:
            for algorithm in ALGORITHMS:
                place = folder(task, algorithm, seed)
                if (place / "results.json").exists():
                    continue
                place.mkdir(parents=True, exist_ok=True)
                with (place / "output.txt").open("w") as output:
                    done = subprocess.run(command(task, algorithm, seed), stdout=output, stderr=output)
                print(task, algorithm, seed, "failed" if done.returncode else summary(place), flush=True)


def summary(place: Path) -> str:
    """Return a run's result in one line."""
    told = json.loads((place / "results.json").read_text())
    metric = told["metric"]
    before, after = told["before"]["signals"][metric], told["after"]["signals"][metric]
    return f"{metric} {before:.3f} -> {after:.3f}, {told['steps']:,} steps, {told['seconds']:.0f} s"


if __name__ == "__main__":
    main()
