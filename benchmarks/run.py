"""All speed figures of the project in one run: ratios to other libraries side by side, and steps per second by world.

    python benchmarks/run.py            some minutes, on an otherwise idle machine
    python benchmarks/run.py --quick    a smoke run of seconds; its figures mean nothing

(a) single    FourRooms through gym.Env.step: ours / Minigrid, both bare and both with gym.make's own wrappers.
(b) vector    FourRooms in batches: ours through gym.make_vec and BatchEnv / Minigrid in SyncVectorEnv, SubprocVecEnv.
(c) worlds    BatchEnv.step_rows, ROWS rows of every world, beside `copied`: how many rows of its observations one
              thread copies by np.copyto; what any batch that hands out copies is bound by.
(d) start     Wall clock of a process that imports, makes, resets and steps once, its compiled rules on disk already.

Unit of a-c: environment steps per second with random actions; writing observations and beginning the next episode where
one ends are included. Contenders take turns in one process, and the median over the turns is reported.
"""

import argparse
import importlib.metadata
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import gymnasium as gym
import minigrid  # noqa: F401  (registers its ids)
import numpy as np
import torch
from minigrid.wrappers import ImgObsWrapper
from numba import config as numba_config
from stable_baselines3.common.vec_env import SubprocVecEnv

import llm_envs
from llm_envs.engine.batch import BatchEnv
from llm_envs.testing.random_walks import random_actions

OURS, MINIGRID = "Nav/FourRooms-v0", "MiniGrid-FourRooms-v0"
ROWS, THREADS = 4096, numba_config.NUMBA_NUM_THREADS
BLOCK = 64  # steps of a single environment, or different batches of actions, in one piece of work
WORLDS = [(world_id, {}) for world_id in llm_envs.ids() if "/" in world_id] + [("Tokens/Copy-v0", {"length": 30})]
REQUIRED = dict.fromkeys([("Tokens/Addition-v0", ""), ("Tokens/Copy-v0", "length=30")], ">= 20 M steps/s")
TARGET_SINGLE, TARGET_VECTOR, TARGET_START = "ratio >= 25", "ratio >= 800", "<= 1.0 s"
Work = tuple[Callable[[], object], int]  # what to do, and how many steps that is


@dataclass(frozen=True)
class Figure:
    """One line of the report."""

    section: str
    what: str
    value: float
    unit: str
    ratio: float | None = None
    against: str = ""
    target: str = ""

    def row(self) -> str:
        """Return it as a row of the Markdown table."""
        value = f"{self.value:,.0f}" if self.value >= 10 else f"{self.value:.3f}"
        ratio = "" if self.ratio is None else f"{self.ratio:,.3g}" if self.ratio < 100 else f"{self.ratio:,.0f}"
        return f"| {self.section} | {self.what} | {value} {self.unit} | {ratio} | {self.against} | {self.target} |"


@dataclass(frozen=True)
class Effort:
    """How long to measure."""

    seconds: float  # of each turn
    repeats: int
    processes: int  # of SubprocVecEnv


def rates(contenders: dict[str, Work], effort: Effort) -> dict[str, float]:
    """Return each contender's steps per second: the median over turns, after a warm-up."""
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for work, _ in contenders.values():
        work()
    for _ in range(effort.repeats):
        for name, (work, steps) in contenders.items():
            count, spent, start = 0, 0.0, time.perf_counter()
            while spent < effort.seconds or not count:
                work()
                count, spent = count + 1, time.perf_counter() - start
            found[name].append(count * steps / spent)
    return {name: statistics.median(values) for name, values in found.items()}


def single(env: gym.Env) -> Work:
    """Return BLOCK random steps of one environment, reset by hand."""
    drawn = np.random.default_rng(0).integers(0, env.action_space.n, (64, BLOCK))  # type: ignore[attr-defined]
    blocks = itertools.cycle(drawn.tolist())
    env.reset(seed=0)

    def work() -> None:
        for action in next(blocks):
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()

    return work, BLOCK


def several(step: Callable[[np.ndarray], object], actions: list[np.ndarray]) -> Work:
    """Return one step of a batch, which resets itself, by the next of the given actions."""
    turns = itertools.cycle(actions)
    return lambda: step(next(turns)), len(actions[0])


def batch_work(world_id: str, rows: int, threads: int, **config: object) -> tuple[BatchEnv, Work]:
    """Return a batch, and a step of it."""
    batch = llm_envs.make_batch(world_id, rows, threads=threads, seed=0, **config)
    batch.reset_rows()
    return batch, several(batch.step_rows, [random_actions(batch, np.random.default_rng(k)) for k in range(BLOCK)])


def measure_single(effort: Effort) -> list[Figure]:
    """(a): one environment."""
    envs = {f"{name}, wrapped": gym.make(name) for name in (OURS, MINIGRID)}
    envs |= {f"{name}, bare": gym.make(name).unwrapped for name in (OURS, MINIGRID)}
    found = rates({name: single(env) for name, env in envs.items()}, effort)
    figures = []
    for form, target in (("bare", TARGET_SINGLE), ("wrapped", "")):
        ours, theirs = f"{OURS}, {form}", f"{MINIGRID}, {form}"
        figures.append(Figure("a single", theirs, found[theirs], "steps/s"))
        figures.append(Figure("a single", ours, found[ours], "steps/s", found[ours] / found[theirs], theirs, target))
    return figures


def measure_vector(effort: Effort) -> list[Figure]:
    """(b): batches. Minigrid in SubprocVecEnv shows its image alone, since SB3 has no spaces for its mission text."""
    rng, contenders = np.random.default_rng(0), {}
    sync = gym.make_vec(MINIGRID, 64, vectorization_mode="sync")
    processes = SubprocVecEnv([lambda: ImgObsWrapper(gym.make(MINIGRID))] * effort.processes)
    theirs = {"SyncVectorEnv(64)": sync, f"SubprocVecEnv({effort.processes})": processes}
    ours = {f"gym.make_vec, {rows:,} rows": gym.make_vec(OURS, rows) for rows in (64, 1024)}
    for name, env in (theirs | ours).items():
        env.reset()
        contenders[name] = several(env.step, list(rng.integers(0, 7, (BLOCK, env.num_envs))))
    for threads in sorted({1, THREADS}):
        contenders[f"BatchEnv, {ROWS:,} rows, {threads} threads"] = batch_work(OURS, ROWS, threads)[1]
    found = rates(contenders, effort)
    processes.close()
    figures = [Figure("b vector", f"Minigrid, {name}", found[name], "steps/s") for name in theirs]
    for name, other in itertools.product(list(found)[len(theirs) :], theirs):
        target = TARGET_VECTOR if "BatchEnv" in name else ""
        ratio = found[name] / found[other]
        figures.append(Figure("b vector", name, found[name], "steps/s", ratio, f"Minigrid, {other}", target))
    return figures


def measure_worlds(effort: Effort) -> list[Figure]:
    """(c): every world, and the copying of its observations."""
    figures = []
    for world_id, config in WORLDS:
        contenders = {}
        for threads in sorted({1, THREADS}):
            batch, contenders[f"{threads} threads"] = batch_work(world_id, ROWS, threads, **config)
        size = batch.world.observation.itemsize
        source, target = np.ones((2, ROWS * size), np.uint8)
        contenders["copied"] = partial(np.copyto, target, source), ROWS
        found, options = rates(contenders, effort), ", ".join(f"{name}={value}" for name, value in config.items())
        against = f"copied, {size} bytes a row"
        for name, value in found.items():
            goal = REQUIRED.get((world_id, options), "") if name == f"{THREADS} threads" else ""
            what = " ".join(filter(None, (world_id, options, name)))
            figures.append(Figure("c worlds", what, value, "steps/s", value / found["copied"], against, goal))
    return figures


def measure_start(effort: Effort) -> list[Figure]:
    """(d): a fresh process; the first of each kind, which may have to compile, does not count."""
    program = "import gymnasium, llm_envs; e = gymnasium.make({!r}); e.reset(seed=0); e.step(e.action_space.sample())"
    kinds = {"import llm_envs": "import llm_envs", "python alone": "pass"}
    kinds |= {f"make, reset, step {name}": program.format(name) for name, config in WORLDS if not config}
    figures = []
    for what, code in kinds.items():
        spent = []
        for _ in range(effort.repeats + 1):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            spent.append(time.perf_counter() - start)
        target = TARGET_START if "make" in what else ""
        figures.append(Figure("d start", what, statistics.median(spent[1:]), "s", target=target))
    return figures


def machine() -> dict[str, object]:
    """Return what the figures depend on."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    names = ("gymnasium", "minigrid", "numba", "numpy", "stable_baselines3", "torch")
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    return {
        "commit": subprocess.run(git, capture_output=True, text=True).stdout.strip(),
        "cpu": models[0].partition(": ")[2] if models else platform.processor(),
        "cores": os.cpu_count(),
        "threads": THREADS,
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in names},
    }


def main() -> None:
    """Measure all, print a Markdown table and, as the last line, JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run of seconds; its figures mean nothing")
    quick = parser.parse_args().quick
    effort = Effort(0.02, 1, 2) if quick else Effort(0.5, 7, 8)
    about, figures = machine() | {"quick": quick, "loadavg_before": os.getloadavg()}, []
    if quick:
        torch.set_num_threads(1)
    for measure in (measure_single, measure_vector, measure_worlds, measure_start):
        print(measure.__doc__, file=sys.stderr, flush=True)
        figures += measure(effort)
    about["loadavg_after"] = os.getloadavg()
    print("\n".join(f"{name}: {value}" for name, value in about.items()))
    print("\n| section | what | value | ratio | against | target |\n| --- | --- | --- | --- | --- | --- |")
    print("\n".join(figure.row() for figure in figures))
    print("\nsteps/s include observation writing and automatic resets. A target holds for the row's ratio or value.\n")
    print(json.dumps(about | {"figures": [asdict(figure) for figure in figures]}))


if __name__ == "__main__":
    main()
