"""Runs a compiled function on a batch's rows in chunks, on the calling thread and on helpers that sleep in between.

Whoever is free takes the next chunk. A helper that has to wait for its core, since another process uses it, delays the
rest by one chunk at most, and one that comes too late finds nothing to do. An OpenMP region gives each thread a fixed
share and lets threads spin while they wait for each other: on a busy machine that is slower than one thread, and
whether they spin is settled by whichever library loads OpenMP first (docs/design/architecture.md has the figures).

Helpers are Python threads; compiled with `nogil`, the function runs without the interpreter's lock.
"""

import operator
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from typing import Any, NamedTuple

CHUNKS = 4  # of one thread: more of them wait less for the last one, and cost more calls
SHARED = 2  # the arguments before this one are given whole to every chunk, the others have a row each


class Work(NamedTuple):
    """One call on all rows, while it runs."""

    function: Callable
    chunks: Iterator[Sequence]  # the arguments of each; under the interpreter's lock next() is one step
    finished: "SimpleQueue[BaseException | None]"  # a message of each chunk that is done: its error, if any

    def take(self) -> None:
        """Run chunks until none is left."""
        for arguments in self.chunks:
            error = None
            try:
                self.function(*arguments)
            except BaseException as raised:  # whatever it is, `on_threads` raises it once no chunk is at work
                error = raised
            self.finished.put(error)


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
        waiting.get().take()  # no name holds the work, or it and its batch would live until the next


helpers = Helpers()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=helpers.__init__)  # type: ignore[misc]


def on_threads(function: Callable, threads: int) -> Callable:
    """Return what does `function(*arguments)` on `threads` threads; arguments from SHARED on are arrays of N rows."""
    bound: tuple = ()
    chunks: list[Sequence] = []

    def run(*arguments: Any) -> None:
        nonlocal bound, chunks
        # A batch calls with the same arrays every time: they are cut once.
        if len(bound) != len(arguments) or not all(map(operator.is_, arguments, bound)):
            bound, chunks = arguments, _split(arguments, threads * CHUNKS)
        work = Work(function, iter(chunks), SimpleQueue())
        helpers.call(work, min(threads, len(chunks)) - 1)
        work.take()
        for error in [work.finished.get() for _ in chunks]:
            if error is not None:
                raise error

    return run


def _split(arguments: Sequence, count: int) -> list[Sequence]:
    """Return the arguments of at most `count` chunks, whose rows are views."""
    shared, rows = arguments[:SHARED], arguments[SHARED:]
    size = -(-len(rows[0]) // count)
    return [(*shared, *(a[first : first + size] for a in rows)) for first in range(0, len(rows[0]), size)]
