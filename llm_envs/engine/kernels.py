"""The loop around the rules, written once and specialised per world for serial CPU, CPU threads and CUDA.

`begin`, `advance`, `start_rows` and `step_rows` are templates: `reset`, `step`, `observe`, `legal` and `rows` are names
that `specialise` binds to one world's rules and to `range`, `numba.prange` or the CUDA grid. Only the two loops index
arrays; everything below them takes records, which carry no reference counts (measured: a factor of 2 to 3).
"""

import contextlib
import os
import threading
import types
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
from numba import get_num_threads, njit, prange, set_num_threads

from llm_envs.engine.jit import cached, specialise
from llm_envs.rng import EPISODES, below, mix
from llm_envs.world import World, keep, record

# Names that specialise() binds; the templates below never run with these.
reset = step = observe = legal = rows = None
choose_row = begin_row = advance_row = clear_row = None

AUTORESETS = ("never", "same_step", "next_step")
NEVER, SAME_STEP, NEXT_STEP = range(3)
PARALLEL_FROM = 1024  # rows from which a parallel region pays for its barrier, when `threads` is not given


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


def setup_record(world: World) -> np.dtype:
    """Return the record of all that is constant while a batch lives: the world's params and the engine's settings."""
    return record(
        params=world.params.dtype,
        weights=(np.float32, (len(world.signals),)),
        num_actions=np.int64,
        num_levels=np.int64,
        stride=np.int64,  # order="sweep": levels between a row's episodes; 0 for order="random"
        max_steps=np.int32,  # 0 for no time limit
        autoreset=np.int32,  # index into AUTORESETS
        low=np.float32,  # range of a continuous action
        high=np.float32,
    )


def outcome_record(world: World) -> np.dtype:
    """Return the record of one step's result; `values` are the signals' bytes seen as a float vector."""
    signals = record(**dict.fromkeys(world.signals, np.float32))
    count = len(world.signals)
    kind = np.dtype(
        {
            "names": ["reward", "terminated", "truncated", "signals", "values"],
            "formats": [np.float32, np.bool_, np.bool_, signals, (np.float32, (count,))],
            "offsets": [0, 4, 5, 8, 8],
            "itemsize": 8 + 4 * count,
            "aligned": True,
        }
    )
    return keep(kind)


def action_record(world: World) -> np.dtype:
    """Return the record that holds one action; the rule gets `index` itself, or the record for its `vector`."""
    if isinstance(world.actions, int):
        return record(index=np.int64)
    return record(vector=(np.float32, world.actions.shape))


def legal_index(action, setup):
    """Say whether a discrete action is in range; the engine lets any other pass the turn."""
    return 0 <= action < setup.num_actions


def legal_vector(action, setup):
    """Say whether a continuous action is finite and in range; the engine lets any other pass the turn."""
    for k in range(action.vector.shape[0]):  # noqa: SIM110 (numba compiles no generators)
        if not setup.low <= action.vector[k] <= setup.high:
            return False
    return True


def choose(state, setup):
    """Choose the level of the row's next episode and set its clock to zero."""
    state.episode += 1
    if setup.stride > 0:
        state.level = (np.int64(state.stream) + np.int64(state.episode) * setup.stride) % setup.num_levels
    else:
        state.level = below(mix(state.stream + np.uint64(state.episode) * EPISODES), setup.num_levels)
    state.t = 0
    state.over = 0


def begin(state, level, setup, observation):
    """Begin the chosen level and show it."""
    reset(state, level, setup.params)
    observe(state, level, setup.params, observation)


def clear(outcome):
    """Take back what the last step left in the outcome."""
    for k in range(outcome.values.shape[0]):
        outcome.values[k] = 0.0
    outcome.reward = 0.0
    outcome.terminated = False
    outcome.truncated = False


def advance(state, level, setup, action, observation, outcome):
    """Take one step of one row, observe, weight the signals, and return whether the episode is over."""
    clear_row(outcome)
    state.t += 1
    terminated = False
    if legal(action, setup):
        terminated = step(state, level, setup.params, action, outcome.signals)
        observe(state, level, setup.params, observation)
    outcome.terminated = terminated
    outcome.truncated = 0 < setup.max_steps <= state.t  # both may hold on the last allowed step
    reward = np.float32(0.0)
    for k in range(outcome.values.shape[0]):
        reward += setup.weights[k] * outcome.values[k]
    outcome.reward = reward
    state.over = outcome.terminated or outcome.truncated
    return state.over


def start_rows(setup, levels, states, observations):
    """Begin the next episode in every row."""
    for i in rows(states.shape[0]):
        choose_row(states[i], setup[0])
        begin_row(states[i], levels[states[i].level], setup[0], observations[i])


def step_rows(setup, levels, states, observations, words, finals, actions, outcomes):
    """Step every row; where an episode ends, keep its final observation and begin the next as `autoreset` says.

    `words` are the observations' bytes as whole numbers, `finals` those of the final ones: a record assigned to a
    record would be copied byte by byte on a GPU.
    """
    for i in rows(states.shape[0]):
        if setup[0].autoreset == NEXT_STEP and states[i].over:
            clear_row(outcomes[i])
            choose_row(states[i], setup[0])
            begin_row(states[i], levels[states[i].level], setup[0], observations[i])
        elif advance_row(states[i], levels[states[i].level], setup[0], actions[i], observations[i], outcomes[i]):
            for k in range(words.shape[1]):
                finals[i, k] = words[i, k]
            if setup[0].autoreset == SAME_STEP:
                choose_row(states[i], setup[0])
                begin_row(states[i], levels[states[i].level], setup[0], observations[i])


def rule_names(world: World, jit: Callable) -> dict[str, Any]:
    """Return what the templates' names mean in this world, with the per-row templates made by `jit`."""
    rules = {"reset": world.reset, "step": world.step, "observe": world.observe}
    rules["legal"] = jit(legal_index if isinstance(world.actions, int) else legal_vector)
    rules["choose_row"], rules["clear_row"] = jit(choose), jit(clear)
    rules["begin_row"], rules["advance_row"] = specialise(begin, jit, **rules), specialise(advance, jit, **rules)
    return rules


@cache
def _drivers(reset: Any, step: Any, observe: Any, discrete: bool, parallel: bool) -> tuple[Callable, Callable]:
    """Compile-once table of the CPU drivers, by rules: every batch of a world, in any configuration, shares them."""
    view = types.SimpleNamespace(reset=reset, step=step, observe=observe, actions=0 if discrete else None)
    names = rule_names(view, njit)  # type: ignore[arg-type]
    jit = cached(parallel=True) if parallel else cached()
    loop = prange if parallel else range
    return specialise(start_rows, jit, rows=loop, **names), specialise(step_rows, jit, rows=loop, **names)


def cpu_drivers(world: World, parallel: bool) -> tuple[Callable, Callable]:
    """Return (start_rows, step_rows) of a world for one thread or for numba's threads."""
    return _drivers(world.reset, world.step, world.observe, isinstance(world.actions, int), parallel)


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


def parallel_allowed() -> bool:
    """Say whether a parallel region may be entered: not in the child of a process that had entered one."""
    return _Regions.allowed
