"""What runs a world's kernels on the CPU: one thread or several."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
from numba import config, njit

from llm_envs.engine.jit import cached, plain_python, specialise
from llm_envs.engine.kernels import Drivers, legality, reset_rows, rule_names, step_rows
from llm_envs.engine.records import Records
from llm_envs.engine.threads import ALONE, on_threads, share
from llm_envs.world import Rules, World

PARALLEL_FROM = 1024  # rows from which waking a second thread pays, when `threads` is not given


@cache
def _drivers(rules: Rules, legal: Callable) -> tuple[Callable, Callable]:
    """Compile-once table of the CPU drivers, by rules: every batch of a world, in any configuration, shares them."""
    names, jit = rule_names(rules, legal, njit), cached(nogil=True)  # without the interpreter's lock: see threads.py
    return specialise(reset_rows, jit, share=share, **names), specialise(step_rows, jit, share=share, **names)


def make_drivers(world: World, num_envs: int, device: str, threads: int | None) -> Drivers:
    """Return what runs a batch on `device`; ValueError where it cannot."""
    if device == "cpu":
        return cpu_drivers(world, num_envs, threads)
    from llm_envs.engine import cuda  # needs torch

    return cuda.drivers(world, device)


def cpu_drivers(world: World, num_envs: int, threads: int | None) -> Drivers:
    """Return what runs a batch on the CPU, with `threads` threads; None for one below PARALLEL_FROM rows, else all."""
    if threads is None:
        threads = config.NUMBA_NUM_THREADS if num_envs >= PARALLEL_FROM else 1
    reset, step = _drivers(world.rules, legality(world))
    if plain_python():
        reset, step, threads = _with_overflow(reset), _with_overflow(step), 1  # threads of Python take turns
    run = partial(on_threads, threads=threads) if threads > 1 else _alone
    return Drivers(Records, run(reset), run(step), "cpu")


def _alone(driver: Callable) -> Callable:
    """Return a driver of all rows on the calling thread."""
    return partial(driver, ALONE)


def _with_overflow(driver: Callable) -> Callable:
    """Return an interpreted driver without NumPy's warnings: the generator's products overflow by design."""

    def run(*arguments: Any) -> None:
        with np.errstate(over="ignore"):
            driver(*arguments)

    return run
