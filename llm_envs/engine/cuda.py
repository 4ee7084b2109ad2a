"""BatchEnv on a GPU: records in torch's memory, the same loop over rows as a grid of CUDA threads, one thread a row.

A step is one kernel launch on torch's current stream: no allocation, no copy, no wait. After one warm-up step, which
compiles, it can be captured in a CUDA graph together with the policy.

Without a GPU the whole of this runs in Numba's simulator (NUMBA_ENABLE_CUDASIM=1 NUMBA_DISABLE_JIT=1): then memory is
the host's and the batch's `device` is "cpu".
"""

import importlib.util
import re
import warnings
from collections.abc import Callable
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING, Any

import numba
import numpy as np

from llm_envs.engine import kernels
from llm_envs.engine.jit import plain_python, specialise
from llm_envs.validation import quote

if importlib.util.find_spec("numba_cuda") is not None:
    from numba import cuda
if TYPE_CHECKING:
    import torch

    from llm_envs.world import Rules, World

THREADS = 128  # a block; rules branch by row, so that larger blocks only wait longer for their slowest row
BLOCKS = 65_536  # at most; rows beyond BLOCKS * THREADS are further rounds of the grid
SIMULATED = bool(numba.config.ENABLE_CUDASIM)
STATES = 2  # place of the states among the drivers' arguments
TURN = 0  # a grid takes no turns: its threads know their rows


def require(device: str) -> None:
    """Raise ValueError, with what was given and what is missing, unless a batch can live on `device`."""
    if not re.fullmatch(r"cuda(:\d+)?", device):
        raise ValueError(f"device is {quote(device)}; it must be 'cpu', 'cuda' or 'cuda:N'")
    if missing := _missing(int(device.partition(":")[2] or 0)):
        raise ValueError(f"device is {quote(device)}, but {missing}; device='cpu' works")


def _missing(index: int) -> str:
    """Return what keeps GPU number `index` from use, or nothing."""
    if importlib.util.find_spec("numba_cuda") is None:
        return "numba-cuda[cu13] is not installed"
    if SIMULATED:
        return "" if plain_python() else "NUMBA_ENABLE_CUDASIM=1 needs NUMBA_DISABLE_JIT=1 beside it"
    from torch.cuda import device_count, is_available

    if not is_available():
        return "torch finds no CUDA GPU"
    if index >= device_count():
        return f"there are {device_count()} GPUs, counted from 0"
    return "" if cuda.is_available() else f"numba-cuda finds no GPU ({cuda.cuda_error()})"


def torch_device(device: str) -> str:
    """Return where the tensors of a batch on `device` live: the GPU with its number, or "cpu" in the simulator."""
    if SIMULATED:
        return "cpu"
    from torch.cuda import current_device

    return device if ":" in device else f"{device}:{current_device()}"


class DeviceRecords:
    """`records.Records` in a GPU's memory: `records` for the kernels and `tensors` for torch, over the same bytes."""

    def __init__(self, count: int, kind: np.dtype, columns: bool = False, *, device: str) -> None:
        import torch

        self.kind, self.columns = kind, columns
        self.records: Any
        if SIMULATED:
            self.records = cuda.to_device(np.zeros(count, kind).view(np.recarray))  # "to" host memory of its own
            self._bytes = torch.from_numpy(np.asarray(self.records.view(np.uint8))).zero_()  # padding too
        else:
            # Torch allocates, Numba gets a view: one allocator keeps the books, and tensors need no copy.
            self._bytes = torch.zeros(count * kind.itemsize, dtype=torch.uint8, device=device)
            with torch.cuda.device(device):
                self.records = cuda.as_cuda_array(self._bytes).view(kind)

    @cached_property
    def words(self) -> Any:
        """The records' bytes as whole numbers as wide as their alignment, (N, words), for the kernels."""
        return self.records.view(f"u{self.kind.alignment}").reshape(self.records.shape[0], -1)

    @cached_property
    def tensors(self) -> dict[str, "torch.Tensor"]:
        """Each field as a live torch view of shape (N, *field shape)."""
        return {name: self._field(name) for name in self.kind.names or () if self.kind[name].base.names is None}

    def _field(self, name: str) -> "torch.Tensor":
        import torch

        fields = self.kind.fields
        assert fields is not None, "a record type has fields"
        kind, offset = fields[name][:2]
        # (N * itemsize,) bytes -> (N, itemsize) -> the field's own columns (N, bytes of the field): still a view
        rows = self._bytes.view(-1, self.kind.itemsize)[:, offset : offset + kind.itemsize]
        shape = kind.shape or ((1,) if self.columns else ())
        # -> (N, entries) of the field's type -> (N, *shape). Torch demands that the record's size and the offset are
        # multiples of the entry's size, which aligned records fulfil.
        return rows.view(getattr(torch, kind.base.name)).view(-1, *shape)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """Each field as a NumPy view, in the simulator only; RuntimeError on a GPU."""
        if not SIMULATED:
            raise RuntimeError(f"NumPy cannot see memory on {self._bytes.device}; use tensors, or to_host()")
        return {name: value.numpy() for name, value in self.tensors.items()}

    def read(self) -> bytes:
        """Return a copy of the buffer's bytes; this waits for the device."""
        return self._bytes.cpu().numpy().tobytes()

    def copy(self) -> "torch.Tensor":
        """Return a copy on the device for `write` to restore."""
        return self._bytes.clone()

    def write(self, raw: "bytes | np.ndarray | torch.Tensor") -> None:
        """Overwrite the whole buffer, from bytes, from an array of records or from a `copy`."""
        import torch

        if isinstance(raw, torch.Tensor):
            self._bytes.copy_(raw)
            return
        # A bytearray, since torch warns of a buffer that it may not write to.
        data = bytearray(raw if isinstance(raw, bytes) else raw.tobytes())
        self._bytes.copy_(torch.frombuffer(data, dtype=torch.uint8))

    def part(self, i: int) -> np.ndarray:
        """Return record i as an array (1,), a copy on the host."""
        return self._bytes.view(-1, self.kind.itemsize)[i].cpu().numpy().copy().view(self.kind)

    def row(self, i: int) -> np.ndarray:
        """Return record i, with attribute access, as a copy on the host."""
        return self.part(i).view(np.recarray)[0]


def records_on(device: str) -> Callable[..., DeviceRecords]:
    """Return what makes buffers on `device`, called as `records.Records` is."""
    return partial(DeviceRecords, device=torch_device(device))


def share(turn, last, n):
    """Return this thread's next row, first and one past it: a stride of the whole grid behind `last`, at first -1."""
    first = cuda.grid(1) if last < 0 else last + cuda.gridsize(1)
    return min(first, n), min(first + 1, n)


def sources(rules: "Rules", legal: Callable, jit: Callable) -> tuple[Callable, Callable]:
    """Return `jit` of (reset_rows, step_rows) with the rules and a loop over the grid."""
    # Rules are compiled for the CPU and for the GPU from the same njit functions; numba-cuda takes these as they are.
    names = kernels.rule_names(rules, legal, numba.njit) | {"share": cuda.jit(share, device=True)}
    return specialise(kernels.reset_rows, jit, **names), specialise(kernels.step_rows, jit, **names)


@cache
def _kernels(rules: "Rules", legal: Callable, device: str) -> tuple[Callable, Callable]:
    """Compile-once table of the kernels, by rules and GPU."""
    return sources(rules, legal, cuda.jit)


def drivers(world: "World", device: str) -> kernels.Drivers:
    """Return what runs a batch on `device`."""
    require(device)
    place = torch_device(device)
    # With the GPU's number in it: a kernel is loaded into one device.
    made = _kernels(world.rules, kernels.legality(world), place)
    launcher = _simulation if SIMULATED else _launcher
    return kernels.Drivers(records_on(device), launcher(made[0], place), launcher(made[1], place), place)


def _simulation(kernel: Any, _: str) -> Callable:
    """Return a function that runs `kernel` in the simulator."""

    def launch(*arguments: Any) -> None:
        with warnings.catch_warnings():  # np.errstate would not reach the simulator's threads
            warnings.filterwarnings("ignore", "overflow encountered", RuntimeWarning)  # the generator's, by design
            kernel[1, 4](TURN, *arguments)  # a thread is a Python thread, so few of them

    return launch


def _launcher(kernel: Any, device: str) -> Callable:
    """Return a function that launches `kernel` on torch's current stream of `device`."""
    import torch

    configured: dict[tuple[int, int], Callable] = {}  # by stream and rows: to configure costs more than to launch

    def launch(*arguments: Any) -> None:
        with torch.cuda.device(device):
            # Of this moment, not of the first call: in a CUDA graph's capture torch's current stream is another one.
            key = torch.cuda.current_stream().cuda_stream, arguments[STATES].shape[0]
            if key not in configured:
                stream = cuda.external_stream(key[0]) if key[0] else 0  # 0 is the default stream, for both
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # "low occupancy": the number of rows is the user's choice
                    configured[key] = kernel[min(-(-key[1] // THREADS), BLOCKS), THREADS, stream]
            configured[key](TURN, *arguments)

    return launch
