"""`Group`: what the ranks of one training run tell each other, and how they notice that one of them is gone.

A thin layer over `torch.distributed`. A failed collective says little ("Connection closed by peer"), so each rank also
gives a sign of life through the launcher's store; after a failure the ranks without one are named.
"""

import atexit
import importlib
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

BEAT = 0.5  # seconds between two signs of life
PATIENCE = 5  # beats without one after which a rank counts as gone
RESUME = "Start the same command again with --resume to go on from the last checkpoint."


class RankLost(RuntimeError):
    """Another rank died or can no longer be reached."""


class Group:
    """Rank `rank` of `size`. All ranks must call the same methods in the same order, or they wait for each other."""

    def __init__(self, rank: int, size: int, device: torch.device, pulse: "Pulse") -> None:
        self.rank, self.size, self.device, self.pulse = rank, size, device, pulse

    def share(self, total: int) -> int:
        """Return how many of `total` rows each rank has; ValueError if the ranks do not divide them."""
        if total % self.size:
            raise ValueError(f"{total} rows are not the same number for each of {self.size} ranks; take a multiple")
        return total // self.size

    def sum(self, tensor: Tensor) -> Tensor:
        """Return the sum over ranks, of the same shape."""
        total = tensor.to(self.device, copy=True)
        with self._all_reached():
            dist.all_reduce(total)
        return total.to(tensor.device)

    def gather(self, tensor: Tensor, dim: int) -> Tensor:
        """Return the tensors of all ranks, of one shape each, joined along `dim` in the order of the ranks."""
        mine = tensor.to(self.device).contiguous()
        found = [torch.empty_like(mine) for _ in range(self.size)]
        with self._all_reached():
            dist.all_gather(found, mine)
        return torch.cat(found, dim).to(tensor.device)

    def gather_objects(self, value: Any) -> list[Any]:
        """Return what each rank has, pickled on the way."""
        found: list[Any] = [None] * self.size
        with self._all_reached():
            dist.all_gather_object(found, value)
        return found

    def agree(self, value: Any) -> Any:
        """Return what rank 0 has, pickled on the way; the others may give None."""
        found = [value]
        with self._all_reached():
            dist.broadcast_object_list(found, device=self.device)
        return found[0]

    def agree_generators(self) -> None:
        """Take over the state of rank 0's global generators: it alone may have evaluated or warm-started."""
        cuda = torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None
        mine = (random.getstate(), np.random.get_state(), torch.get_rng_state(), cuda)  # noqa: NPY002
        python, numpy, cpu, cuda = self.agree(mine)
        if self.rank == 0:
            return
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        torch.set_rng_state(cpu)
        if cuda is not None:
            torch.cuda.set_rng_state(cuda)

    def close(self) -> None:
        """Wait for all ranks, then end the group."""
        with self._all_reached():
            dist.barrier()
        self.pulse.stop()
        dist.destroy_process_group()

    @contextmanager
    def _all_reached(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:  # gloo's failures have no class of their own
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the launcher's, which would end us before we have said why
            raise RankLost(self.pulse.report("a message to the others failed")) from error


class Pulse(threading.Thread):
    """A thread that counts up this rank's number in the launcher's store.

    It must have ended before the interpreter does: a thread that comes back from the store's C++ after that aborts the
    process. The store of a busy launcher may take seconds to answer; it ends a call by answering or by its own end.
    """

    def __init__(self, rank: int, size: int) -> None:
        super().__init__(daemon=True)
        self.rank, self.size = rank, size
        place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        store = dist.TCPStore(*place, is_master=False, timeout=timedelta(seconds=30))
        self._store = dist.PrefixStore(f"agents/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)
        self._stopped = threading.Event()

    def run(self) -> None:
        """Beat until stopped, or until the launcher and its store are gone."""
        try:
            while not self._stopped.wait(BEAT):
                self._store.add(str(self.rank), 1)
        except RuntimeError as error:
            print(f"rank {self.rank}: the launcher's store does not answer: {error}", file=sys.stderr)

    def stop(self) -> None:
        """End the thread; waits for the store's answer, if it is in the middle of a message."""
        self._stopped.set()
        self.join()

    def silent(self) -> list[int]:
        """Return the ranks that gave no sign of life; takes PATIENCE beats."""
        before = [self._store.add(str(rank), 0) for rank in range(self.size)]
        time.sleep(PATIENCE * BEAT)
        return [rank for rank, count in enumerate(before) if self._store.add(str(rank), 0) == count]

    def report(self, reason: str) -> str:
        """Return the message of a rank that stops because of `reason`: who is gone, and what to do."""
        try:
            gone = [f"rank {rank}" for rank in self.silent()]
            who = f"{', '.join(gone)} of {self.size} died or cannot be reached" if gone else "all ranks are still alive"
        except RuntimeError:
            who = "the launcher, which knows of the other ranks, does not answer"
        return f"rank {self.rank} stops: {who} ({reason}). {RESUME}"


def start(backend: str = "gloo", timeout: float = 1800.0) -> Group | None:
    """Join the other processes that torchrun started; return None outside torchrun, or where there is but one.

    Args:
        backend: of torch.distributed: "gloo" for the CPU; "nccl" for GPUs, each rank on the one of its local rank.
        timeout: seconds to wait for a rank that neither answers nor is known to be dead.
    """
    if not dist.is_torchelastic_launched() or int(os.environ["WORLD_SIZE"]) == 1:
        return None
    device = torch.device("cpu")
    if backend == "nccl":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    # Its functions have the group as a default argument. Imported later, as parts of torch do, they would keep it after
    # `close`; a thread of gloo's that drops a tensor while the interpreter ends then aborts the process.
    importlib.import_module("torch.distributed.nn.functional")
    dist.init_process_group(backend, timeout=timedelta(seconds=timeout))
    pulse = Pulse(dist.get_rank(), dist.get_world_size())
    pulse.start()
    atexit.register(pulse.stop)  # for ranks that end without `close`
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: _end(pulse))
    return Group(pulse.rank, pulse.size, device, pulse)


def _end(pulse: Pulse) -> None:
    """Say why, where the launcher ends this rank because another one failed."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(pulse.report("told to stop by SIGTERM"))
