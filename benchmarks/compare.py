"""Speed of this checkout beside another one's, such as a worktree of an older commit, in one run.

    git worktree add ../before COMMIT; python benchmarks/compare.py ../before

Two processes, one a checkout, take turns on every case, on one thread and by the processor's time, which another
process disturbs less than the clock's; the ratio is the median over the turns of ours / theirs. With `--cold` also how
long a first reset and step takes with nothing compiled, each in a new process and an empty cache.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parents[1]
CASES = [
    *(("batch", world_id, {}) for world_id in ("Tokens/Copy-v0", "Tokens/Addition-v0", "Nav/FourRooms-v0")),
    ("batch", "Tokens/Copy-v0", {"length": 30}),
    ("batch", "Nav/PathPlanner-v0", {}),
    ("batch", "Text/Coin-v0", {}),
    ("batch", "Text/World-v0", {}),
    ("batch", "Text/World-v0", {"action": "index"}),
    ("batch", "Text/Cooking-v0", {"preset": "ftwp-hardest", "pool": 16, "action": "admissible"}),
    ("single", "Tokens/Addition-v0", {}),
    ("single", "Nav/FourRooms-v0", {}),
    ("single", "Text/World-v0", {"observation": "text", "action": "text", "facts": True}),
]
COLD = [("Text/World-v0", {}), ("Tokens/Addition-v0", {})]

# The worker uses what both checkouts have: make_batch, reset, step, gym.make.
WORKER = """
import json, sys, time
import gymnasium as gym, numpy as np
import llm_envs

def batch_work(world_id, config):
    batch = llm_envs.make_batch(world_id, 1024, threads=1, seed=0, **config)
    obs, rng, actions = batch.reset(), np.random.default_rng(0), []
    for _ in range(64):  # legal actions, so that games go on
        masks = batch.action_masks()
        actions.append((rng.random(masks.shape) * masks).argmax(1))
        batch.step(actions[-1])
    def run(seconds):
        batch.reset(seed=0)
        steps, start = 0, time.process_time()
        while time.process_time() - start < seconds:
            batch.step(actions[steps % 64])
            steps += 1
        return 1024 * steps / (time.process_time() - start)
    return run

def single_work(world_id, config):
    env, rng = gym.make(world_id, disable_env_checker=True, **config).unwrapped, np.random.default_rng(0)
    def run(seconds):
        _, info = env.reset(seed=0)
        steps, start = 0, time.process_time()
        while time.process_time() - start < seconds:
            names = info.get("admissible_commands")
            _, _, terminated, truncated, info = env.step(names[steps % len(names)] if names else 3)
            steps += 1
            if terminated or truncated:
                _, info = env.reset()
        return steps / (time.process_time() - start)
    return run

works = {}
for line in sys.stdin:
    kind, world_id, config, seconds = json.loads(line)
    key = json.dumps([kind, world_id, config])
    if key not in works:
        works[key] = (batch_work if kind == "batch" else single_work)(world_id, config)
    print(works[key](seconds), flush=True)
"""
FIRST = """
import json, sys, time
start = time.process_time()
import llm_envs
batch = llm_envs.make_batch(sys.argv[1], 1, **json.loads(sys.argv[2]))
batch.reset()
batch.step([0])
print(time.process_time() - start)
"""


def environment(checkout: Path, **more: str) -> dict[str, str]:
    """Return the variables under which a process imports from `checkout`."""
    return {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1", **more}


class Worker:
    """A process that imports from one checkout and measures on request."""

    def __init__(self, checkout: Path) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER], stdin=pipe, stdout=pipe, text=True, cwd=checkout, env=environment(checkout)
        )

    def rate(self, kind: str, world_id: str, config: dict, seconds: float) -> float:
        """Return steps per second."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([kind, world_id, config, seconds]) + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def first_step(checkout: Path, world_id: str, config: dict) -> float:
    """Return the seconds to a first step with an empty cache."""
    with tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, "-c", FIRST, world_id, json.dumps(config)]
        env = environment(checkout, NUMBA_CACHE_DIR=cache)
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=checkout, env=env)
    return float(done.stdout)


def main() -> None:
    """Print a table of ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("other", type=Path)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--only", default="", help="run the cases whose line holds this text")
    options = parser.parse_args()
    checkouts = (HERE, options.other.resolve())
    workers = [Worker(checkout) for checkout in checkouts]
    print("| case | here, steps/s | there | here / there |\n|---|---|---|---|")
    for case in CASES:
        kind, world_id, config = case
        what = " ".join([kind, world_id, *(f"{name}={value}" for name, value in config.items())])
        if options.only not in what:
            continue
        for worker in workers:
            worker.rate(*case, 0.01)  # compiles
        turns = [[worker.rate(*case, options.seconds) for worker in workers] for _ in range(options.turns)]
        ours, theirs = (statistics.median(rates) for rates in zip(*turns, strict=True))
        ratio = statistics.median(our / their for our, their in turns)
        print(f"| {what} | {ours:,.0f} | {theirs:,.0f} | {ratio:.2f} |", flush=True)
    for world_id, config in COLD * options.cold:
        ours, theirs = (first_step(checkout, world_id, config) for checkout in checkouts)
        print(f"| first step, nothing compiled, {world_id} | {ours:.1f} s | {theirs:.1f} s | {ours / theirs:.2f} |")


if __name__ == "__main__":
    main()
