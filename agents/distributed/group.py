"""`Group`: collectives between the ranks of one training run, and the detection of ranks that were lost.

A thin layer over `torch.distributed`. The error of a failed collective names no rank ("Connection closed by peer"), so
each rank also counts heartbeats in the launcher's store; after a failure the ranks whose count stands still are named.
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

HEARTBEAT_SECONDS = 0.5  # between two heartbeats
MAX_MISSED = 5  # heartbeats without which a rank counts as lost
RESUME = "Start the same command again with --resume to continue from the last checkpoint."


class RankLost(RuntimeError):
    """Another rank died or can no longer be reached."""


class Group:
    """Rank `rank` of `size`. All ranks must call the same methods in the same order, or they wait for each other.

    Every method that communicates raises `RankLost` if another rank is gone.
    """

    def __init__(self, rank: int, size: int, device: torch.device, heartbeat: "Heartbeat") -> None:
        self.rank, self.size, self.device, self.heartbeat = rank, size, device, heartbeat

    def rows_per_rank(self, total: int) -> int:
        """Return each rank's number of `total` rows; ValueError if the ranks do not divide them equally."""
        if total % self.size:
            raise ValueError(f"{total} rows cannot be divided among {self.size} ranks; give a multiple of {self.size}")
        return total // self.size

    def sum(self, tensor: Tensor) -> Tensor:
        """Return the sum over ranks, of the same shape, on the tensor's device; the tensor itself is unchanged."""
        # A copy: all_reduce works in place, and the backend may want another device.
        total = tensor.to(self.device, copy=True)
        with self._detecting_lost_ranks():
            dist.all_reduce(total)
        return total.to(tensor.device)

    def gather(self, tensor: Tensor, dim: int) -> Tensor:
        """Return the tensors of all ranks, of one shape each, concatenated along `dim` in the order of the ranks."""
        mine = tensor.to(self.device).contiguous()
        found = [torch.empty_like(mine) for _ in range(self.size)]
        with self._detecting_lost_ranks():
            dist.all_gather(found, mine)
        return torch.cat(found, dim).to(tensor.device)

    def gather_objects(self, value: Any) -> list[Any]:
        """Return the values of all ranks, in their order; any picklable object."""
        found: list[Any] = [None] * self.size
        with self._detecting_lost_ranks():
            dist.all_gather_object(found, value)
        return found

    def broadcast(self, value: Any) -> Any:
        """Return rank 0's value, any picklable object; the values of the others are ignored."""
        found = [value]
        with self._detecting_lost_ranks():
            dist.broadcast_object_list(found, device=self.device)
        return found[0]

    def broadcast_generators(self) -> None:
        """Copy the state of rank 0's global generators: it alone may have evaluated or warm-started."""
        cuda = torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None
        mine = (random.getstate(), np.random.get_state(), torch.get_rng_state(), cuda)  # noqa: NPY002
        python, numpy, cpu, cuda = self.broadcast(mine)
        if self.rank == 0:
            return
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        torch.set_rng_state(cpu)
        if cuda is not None:
            torch.cuda.set_rng_state(cuda)

    def close(self) -> None:
        """Wait for all ranks, then end the process group and the heartbeat."""
        with self._detecting_lost_ranks():
            dist.barrier()
        self.heartbeat.stop()
        dist.destroy_process_group()

    @contextmanager
    def _detecting_lost_ranks(self) -> Iterator[None]:
        """Turn a failed collective into `RankLost` with the names of the ranks that are gone."""
        try:
            yield
        except RuntimeError as error:  # gloo's failures have no class of their own
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the launcher's would end us before the report
            raise RankLost(self.heartbeat.report("a message to the others failed")) from error


class Heartbeat(threading.Thread):
    """A thread that increments this rank's counter in the launcher's store.

    It must have ended before the interpreter does: a thread that returns from the store's C++ after that aborts the
    process. The store of a busy launcher may take seconds to answer.
    """

    def __init__(self, rank: int, size: int) -> None:
        super().__init__(daemon=True)
        self.rank, self.size = rank, size
        address = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        store = dist.TCPStore(*address, is_master=False, timeout=timedelta(seconds=30))
        # A restarted run must not read the counters of the one before.
        self._store = dist.PrefixStore(f"agents/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)
        self._stopped = threading.Event()

    def run(self) -> None:
        """Count until stopped, or until the launcher and its store are gone."""
        try:
            while not self._stopped.wait(HEARTBEAT_SECONDS):
                self._store.add(str(self.rank), 1)
        except RuntimeError as error:
            print(f"rank {self.rank}: the launcher's store does not answer: {error}", file=sys.stderr)

    def stop(self) -> None:
        """End the thread; waits for the store's answer to a request in flight."""
        self._stopped.set()
        self.join()

    def missing_ranks(self) -> list[int]:
        """Return the ranks whose counters stand still; takes MAX_MISSED heartbeats."""
        before = [self._store.add(str(rank), 0) for rank in range(self.size)]
        time.sleep(MAX_MISSED * HEARTBEAT_SECONDS)
        return [rank for rank, count in enumerate(before) if self._store.add(str(rank), 0) == count]

    def report(self, reason: str) -> str:
        """Return the message of a rank that stops because of `reason`: which ranks are lost, and what to do."""
        try:
            lost = [f"rank {rank}" for rank in self.missing_ranks()]
            who = f"{', '.join(lost)} of {self.size} died or cannot be reached" if lost else "all ranks are still alive"
        except RuntimeError:
            who = "the launcher, which knows the other ranks, does not answer"
        return f"rank {self.rank} stops: {who} ({reason}). {RESUME}"


def start(backend: str = "gloo", timeout: float = 1800.0) -> Group | None:
    """Join the other processes that torchrun started; return None outside torchrun, or for a single process.

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
    # Functions of this module have the default group as a default argument. Parts of torch import it later; it would
    # then keep the group alive after `close`, and a thread of gloo's that frees a tensor while the interpreter ends
    # aborts the process.
    importlib.import_module("torch.distributed.nn.functional")
    dist.init_process_group(backend, timeout=timedelta(seconds=timeout))
    heartbeat = Heartbeat(dist.get_rank(), dist.get_world_size())
    heartbeat.start()
    atexit.register(heartbeat.stop)  # for ranks that end without `close`
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: _end(heartbeat))
    return Group(heartbeat.rank, heartbeat.size, device, heartbeat)


def _end(heartbeat: Heartbeat) -> None:
    """Exit with a report, where the launcher ends this rank because another one failed."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit(heartbeat.report("told to stop by SIGTERM"))
