"""Runs a compiled loop over a batch's rows on the calling thread and on helpers that sleep in between.

Whoever is free takes the next few rows, by an atomic counter. A helper that has to wait for its core, since another
process uses it, delays the rest by one such share at most, and one that comes too late finds nothing to do. An OpenMP
region gives each thread a fixed share and lets threads spin while they wait for each other: on a busy machine that is
slower than one thread, and whether they spin is settled by whichever library loads OpenMP first
(docs/design/architecture.md has the figures).

Helpers are Python threads; compiled with `nogil`, the loop runs without the interpreter's lock, which each thread
needs once a call.
"""

import os
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

SHARES = 8  # of one thread: more of them wait less for the last one
STATES = 2  # place of the states among the drivers' arguments
NEXT, SIZE = range(2)  # of a turn: the first row that nobody has taken, and how many a share has
ALONE = np.zeros(2, np.int64)  # the turn of a caller that shares with nobody


@intrinsic
def fetch_add(typing, array, value):
    """Add to array[0], int64, and return what it was: one step, whatever other threads do."""
    signature = types.int64(array, types.int64)

    def generate(context, builder, signature, arguments):
        made = context.make_array(signature.args[0])(context, builder, arguments[0])
        # Monotonic: the counter orders nothing but itself. The lock in `Work` orders what the rows hold.
        return builder.atomic_rmw("add", made.data, arguments[1], "monotonic")

    return signature, generate


@njit
def share(turn, last, n):
    """Return the next rows to run, first and one past the last; `last` is where those before began, at first -1."""
    if turn[SIZE] == 0:
        return (0, n) if last < 0 else (n, n)
    first = min(fetch_add(turn, turn[SIZE]), n)
    return first, min(first + turn[SIZE], n)


class Work:
    """One call on all rows, while it runs."""

    def __init__(self, function: Callable, arguments: tuple) -> None:
        self.function, self.arguments = function, arguments
        self.lock, self.inside, self.closed = threading.Lock(), 0, False
        self.emptied: SimpleQueue[None] = SimpleQueue()  # a message when the last helper has left
        self.errors: list[BaseException] = []

    def help(self) -> None:
        """Take part, unless the caller has done everything already."""
        with self.lock:
            if self.closed:
                return
            self.inside += 1
        self._run()
        with self.lock:
            self.inside -= 1
            if self.closed and not self.inside:
                self.emptied.put(None)

    def finish(self) -> None:
        """Take part, wait for those who still run rows, and raise what any of them raised."""
        self._run()
        with self.lock:
            self.closed = True
            waits = self.inside > 0
        if waits:
            self.emptied.get()
        if self.errors:
            raise self.errors[0]

    def abandon(self) -> None:
        """Wait for those who still run rows; whoever is inside runs all that are left, and nobody else comes in."""
        with self.lock:
            self.closed = True
        while self.inside:
            time.sleep(1e-5)

    def _run(self) -> None:
        try:
            self.function(*self.arguments)
        except BaseException as error:  # whatever it is, `finish` raises it once nobody is at work
            self.errors.append(error)


class Helpers:
    """The process's sleeping threads, for all batches. The child of a fork has none of them and starts its own."""

    def __init__(self) -> None:
        self.lock, self.count = threading.Lock(), 0
        self.waiting: SimpleQueue[Work] = SimpleQueue()

    def call(self, work: Work, count: int) -> None:
        """Wake `count` helpers for this work, starting those that do not exist yet."""
        if self.count < count:
            with self.lock:
                for _ in range(self.count, count):
                    threading.Thread(target=_help, args=(self.waiting,), name="llm_envs", daemon=True).start()
                self.count = max(self.count, count)
        for _ in range(count):
            self.waiting.put(work)


def _help(waiting: "SimpleQueue[Work]") -> None:
    """Take part in whatever work comes."""
    while True:
        waiting.get().help()  # no name holds the work, or it and its batch would live until the next


helpers = Helpers()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=helpers.__init__)  # type: ignore[misc]


def on_threads(function: Callable, threads: int) -> Callable:
    """Return what does `function(turn, *arguments)` on `threads` threads; arguments[STATES] has N rows.

    The function runs the rows that `share` gives it, until there are none.
    """

    def run(*arguments: Any) -> None:
        rows = len(arguments[STATES])
        size = -(-rows // (threads * SHARES))
        work = Work(function, (np.array([0, size]), *arguments))
        try:
            helpers.call(work, min(threads, -(-rows // size)) - 1)
            work.finish()
        except BaseException:  # an interrupt may come anywhere: the call is then done or not begun, as on one thread
            work.abandon()
            raise

    return run
