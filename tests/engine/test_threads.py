"""Chunks of rows on several threads: every row once, errors, late helpers, forks, and what OpenMP is told."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from llm_envs.engine.threads import on_threads
from llm_envs.testing import trajectory_digest


def count(setup, levels, rows, copies):
    """Count a visit of every row, beside what all chunks share."""
    assert (len(setup), len(levels), len(copies)) == (1, 3, len(rows))
    rows += setup[0]
    copies += 1


@pytest.mark.parametrize("num_rows", [1, 2, 5, 64, 1001])
@pytest.mark.parametrize("threads", [2, 3, 8])
def test_each_row_is_visited_once(num_rows, threads):
    run = on_threads(count, threads)
    rows, copies = np.zeros(num_rows, int), np.zeros(num_rows, int)
    for k in range(1, 50):
        run(np.ones(1, int), np.zeros(3), rows, copies)
        assert (rows == k).all()
        assert (copies == k).all()


def test_other_arguments_are_not_mistaken_for_those_before():
    run, shared = on_threads(count, 2), (np.ones(1, int), np.zeros(3))
    first, second = np.zeros((2, 8), int)
    run(*shared, first, first.copy())
    run(*shared, second, second.copy())
    assert first.tolist() == second.tolist() == [1] * 8


def test_an_error_in_any_chunk_is_raised_where_the_work_was_ordered():
    """And only after all chunks are done: nobody may write into the rows of a call that has returned."""
    visited = np.zeros(16, int)

    def fail(setup, levels, rows):
        visited[rows[0]] += 1
        if rows[0] == setup[0]:
            raise ValueError(f"row {rows[0]}")

    run, rows = on_threads(fail, 2), np.arange(16)
    for bad in range(0, 16, 2):  # two threads have chunks of two rows
        visited[:] = 0
        with pytest.raises(ValueError, match=f"row {bad}"):
            run(np.array([bad]), np.zeros(1), rows)
        assert visited[::2].tolist() == [1] * 8


def test_work_is_done_without_helpers_that_are_kept_waiting():
    """As by another process that has their core: the calling thread then takes every chunk itself."""
    entered, leave = threading.Semaphore(0), threading.Event()
    caller = threading.get_ident()

    def stop(setup, levels, rows):
        entered.release()
        assert leave.wait(60)

    def mark(setup, levels, rows):
        rows[:] = threading.get_ident()

    # Eight threads of that call wait: seven helpers, all there are for a call of eight, and its own.
    blocked = [threading.Thread(target=on_threads(stop, 8), args=(np.zeros(1), np.zeros(1), np.zeros(64)))]
    blocked[0].start()
    for _ in range(8):
        assert entered.acquire(timeout=60)
    rows = np.zeros(64, np.int64)
    on_threads(mark, 8)(np.zeros(1), np.zeros(1), rows)
    leave.set()
    blocked[0].join()
    assert (rows == caller).all()


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
