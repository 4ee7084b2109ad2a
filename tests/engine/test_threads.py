"""Rows on several threads: every row once, errors, late helpers, forks, and what OpenMP is told."""

import os
import subprocess
import sys
import threading
import time
from functools import partial

import numpy as np
import pytest
from numba import njit

from llm_envs.engine import threads as threads_module
from llm_envs.engine.threads import ALONE, on_threads, share
from llm_envs.testing import trajectory_digest


@njit(nogil=True)
def count(turn, setup, levels, rows, copies):
    """Count a visit of every row."""
    first, stop = share(turn, -1, len(rows))
    while first < stop:
        for i in range(first, stop):
            rows[i] += setup[0]
            copies[i] += 1
        first, stop = share(turn, first, len(rows))


@pytest.mark.parametrize("num_rows", [1, 2, 5, 64, 1001])
@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_each_row_is_visited_once(num_rows, threads):
    run = on_threads(count, threads) if threads > 1 else partial(count, ALONE)
    rows, copies = np.zeros(num_rows, int), np.zeros(num_rows, int)
    for k in range(1, 300):
        run(np.ones(1, int), np.zeros(3), rows, copies)
        assert (rows == k).all()
        assert (copies == k).all()


def test_two_batches_can_be_stepped_at_once():
    """Each call has a counter of its own, whichever helpers come."""
    rows = np.zeros((4, 999), int)

    def work(own):
        run = on_threads(count, 3)
        for _ in range(500):
            run(np.ones(1, int), np.zeros(3), own, own.copy())

    threads = [threading.Thread(target=work, args=(own,)) for own in rows]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (rows == 500).all()


def test_an_error_is_raised_where_the_work_was_ordered_once_nobody_is_at_work():
    """Nobody may write into the rows of a call that has returned."""
    working = []

    def fail(turn, setup, levels, rows):
        working.append(threading.get_ident())
        both.wait(60)
        if (threading.get_ident() == caller) == (setup[0] == 0):
            raise ValueError("a rule")
        time.sleep(0.05)
        working.remove(threading.get_ident())

    caller = threading.get_ident()
    for who in (0, 1):  # the caller's own part fails, or the helper's
        both, working[:] = threading.Barrier(2), []
        with pytest.raises(ValueError, match="a rule"):
            on_threads(fail, 2)(np.array([who]), np.zeros(1), np.arange(16))
        assert len(working) == 1  # the one that failed: the other had ended when the error was raised


def test_work_is_done_without_helpers_that_are_kept_waiting():
    """As by another process that has their core: the calling thread then runs every row itself."""
    entered, leave = threading.Semaphore(0), threading.Event()

    def stop(turn, setup, levels, rows):
        entered.release()
        assert leave.wait(60)

    # Eight threads of that call wait: seven helpers, all there are for a call of eight, and its own.
    blocked = [threading.Thread(target=on_threads(stop, 8), args=(np.zeros(1), np.zeros(1), np.zeros(64)))]
    blocked[0].start()
    for _ in range(8):
        assert entered.acquire(timeout=60)
    rows, copies = np.zeros((2, 64), int)
    on_threads(count, 8)(np.ones(1, int), np.zeros(3), rows, copies)
    assert (rows == 1).all()
    leave.set()
    blocked[0].join()
    on_threads(count, 8)(np.ones(1, int), np.zeros(3), rows, copies)  # those who came too late have changed nothing
    assert (rows == 2).all()


def test_an_interrupt_leaves_a_call_done_or_not_begun(monkeypatch):
    """Ctrl-C as the helpers are called: none of them is at work, or comes to it, once the exception is out."""
    call = threads_module.helpers.call

    def interrupted(work, number):
        call(work, number)
        time.sleep(rng.choice([0.0, 1e-5, 1e-3]))
        raise KeyboardInterrupt

    rng, rows, copies = np.random.default_rng(0), *np.zeros((2, 4096), int)
    run, seen = on_threads(count, 3), set()
    run(np.ones(1, int), np.zeros(3), rows, copies)
    monkeypatch.setattr(threads_module.helpers, "call", interrupted)
    for _ in range(200):
        before = rows[0]
        with pytest.raises(KeyboardInterrupt):
            run(np.ones(1, int), np.zeros(3), rows, copies)
        after = rows.copy()
        assert (after == after[0]).all()
        seen.add(after[0] - before)
        time.sleep(1e-4)
        assert (rows == after).all()
    assert 1 in seen
    assert seen <= {0, 1}


# ---------------------------------------------------------------------- beside other libraries


PARALLEL = "import numba, numpy\nnumba.njit(parallel=True)(lambda a: a + 1)(numpy.ones(9))"
ORDERS = {
    "llm_envs first": "import llm_envs, torch",
    "torch first": "import torch; torch.ones(200, 200) @ torch.ones(200, 200); import llm_envs",
    "numba first": f"{PARALLEL}\nimport llm_envs, torch",
}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_trajectories_are_the_same_in_every_order_of_imports(order):
    program = (
        f"{order}\nfrom llm_envs.testing import trajectory_digest\n"
        "print(trajectory_digest('Tokens/Copy-v0', 64, 50, 4, threads=2))"
    )
    environment = {**os.environ, "NUMBA_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == str(trajectory_digest("Tokens/Copy-v0", 64, 50, 4, threads=1))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "PASSIVE"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE"),
        ({"GOMP_SPINCOUNT": "1000"}, "None"),
        ({"KMP_BLOCKTIME": "5"}, "None"),
    ],
)
def test_openmp_is_told_to_sleep_unless_the_user_has_said_how_it_waits(given, expected):
    known = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
    environment = {name: value for name, value in os.environ.items() if name not in known}
    program = "import os, llm_envs; print(os.environ.get('OMP_WAIT_POLICY'))"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment | given)
    assert done.stdout.strip() == expected
