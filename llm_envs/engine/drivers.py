"""What runs a world's kernels on the CPU: one thread or several, also in the child of a fork."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import config, get_num_threads, njit, prange, set_num_threads

from llm_envs.engine.jit import cached, plain_python, specialise
from llm_envs.engine.kernels import legality, reset_rows, rule_names, step_rows
from llm_envs.engine.records import Records
from llm_envs.world import Rules, World

PARALLEL_FROM = 1024  # rows from which a parallel region pays for its barrier, when `threads` is not given


class Drivers(NamedTuple):
    """What a batch runs on: where its records live, and what calls the rules on all rows of them."""

    make_records: Callable[..., Any]  # as `Records`
    reset: Callable  # of kernels.reset_rows
    step: Callable  # of kernels.step_rows
    device: str  # of torch's tensors over the records


class _Regions:
    """The process's parallel regions: one at a time, and none in the child of a fork.

    Two Python threads in parallel regions at once end the process under numba's workqueue layer, and a region after a
    fork ends it under GNU OpenMP. OpenMP is kept because it is 2.4 times as fast here (docs/design/architecture.md).
    """

    lock = threading.Lock()
    entered = False  # whether this process, or the one it was forked from, has run a region
    allowed = True

    @classmethod
    def after_fork(cls) -> None:
        """In a child: take a lock that no lost thread holds, and run serially if OpenMP's threads are lost."""
        cls.lock, cls.allowed = threading.Lock(), not cls.entered


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_Regions.after_fork)


@cache
def _drivers(rules: Rules, legal: Callable, *, parallel: bool) -> tuple[Callable, Callable]:
    """Compile-once table of the CPU drivers, by rules: every batch of a world, in any configuration, shares them."""
    names = rule_names(rules, legal, njit)
    jit = cached(parallel=True) if parallel else cached()
    loop = prange if parallel else range
    return specialise(reset_rows, jit, rows=loop, **names), specialise(step_rows, jit, rows=loop, **names)


def cpu_drivers(world: World, num_envs: int, threads: int | None) -> Drivers:
    """Return what runs a batch on the CPU, with `threads` threads; None for one below PARALLEL_FROM rows, else all."""
    rules = (world.rules, legality(world))
    if threads is None:
        threads = config.NUMBA_NUM_THREADS if num_envs >= PARALLEL_FROM else 1
    serial = _drivers(*rules, parallel=False)
    if plain_python():
        serial = tuple(map(_with_overflow, serial))  # type: ignore[assignment]
    if threads == 1:
        return Drivers(Records, *serial, "cpu")
    reset, step = (
        _in_region(parallel, alone, threads)
        for parallel, alone in zip(_drivers(*rules, parallel=True), serial, strict=True)
    )
    return Drivers(Records, reset, step, "cpu")


def _with_overflow(driver: Callable) -> Callable:
    """Return an interpreted driver without NumPy's warnings: the generator's products overflow by design."""

    def run(*arguments: Any) -> None:
        with np.errstate(over="ignore"):
            driver(*arguments)

    return run


def _in_region(parallel: Callable, serial: Callable, threads: int) -> Callable:
    """Return what runs `parallel` in the process's one parallel region, or `serial` where a fork lost the threads."""

    def run(*arguments: Any) -> None:
        if not _Regions.allowed:
            serial(*arguments)
            return
        with parallel_region(threads):
            parallel(*arguments)

    return run


@contextlib.contextmanager
def parallel_region(threads: int) -> Iterator[None]:
    """Hold the process's one parallel region, on `threads` threads."""
    with _Regions.lock:
        _Regions.entered = True
        before = get_num_threads()
        set_num_threads(threads)
        try:
            yield
        finally:
            set_num_threads(before)
