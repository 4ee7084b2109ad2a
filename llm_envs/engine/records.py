"""Records in CPU memory, seen three ways without a copy: as records by the rules, as NumPy fields, as torch fields.

`llm_envs.engine.cuda` has the same class for device memory.
"""

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from llm_envs.engine.jit import plain_python

if TYPE_CHECKING:
    import torch


def without_padding(records: np.ndarray) -> np.ndarray:
    """Return a copy of records (M,) whose padding bytes are 0, so that equal records have equal bytes.

    NumPy copies records field by field: what lies between fields, a new array has from whatever used its memory before.
    """
    clean = np.zeros(len(records), records.dtype)
    clean[...] = records
    return clean


class Records:
    """A buffer of N records of one type on the CPU.

    `records` is what the rules get. `arrays` and `tensors` map each field to a live view of shape (N, *field shape);
    with `columns`, scalar fields have shape (N, 1), as Gymnasium's one-element boxes have.
    """

    def __init__(self, count: int, kind: np.dtype, columns: bool = False) -> None:
        # Zeros, the padding included: snapshots and digests are made of whole buffers.
        array = np.zeros(count, kind)
        self.kind, self.columns = kind, columns
        # Compiled rules read fields as attributes; rules that run as plain Python need a recarray for that.
        self.records = array.view(np.recarray) if plain_python() else array
        self._array = array

    @cached_property
    def words(self) -> np.ndarray:
        """The records' bytes as whole numbers as wide as their alignment, (N, words): what is quick to copy."""
        return self._array.view(f"u{self.kind.alignment}").reshape(len(self._array), -1)

    def _field(self, name: str) -> np.ndarray:
        view = self._array[name]
        return view[:, None] if self.columns and view.ndim == 1 else view

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """Each field as a NumPy view; nested records are left out, which torch has no type for."""
        return {name: self._field(name) for name in self.kind.names or () if self.kind[name].names is None}

    @cached_property
    def tensors(self) -> dict[str, "torch.Tensor"]:
        """Each field as a torch view of the same memory."""
        import torch

        return {name: torch.from_numpy(view) for name, view in self.arrays.items()}

    def read(self) -> bytes:
        """Return a copy of the buffer's bytes."""
        return self._array.tobytes()

    def copy(self) -> bytes:
        """Return a copy for `write` to restore."""
        return self.read()

    def write(self, raw: bytes | np.ndarray) -> None:
        """Overwrite the whole buffer, from bytes or from an array of records."""
        self._array[:] = np.frombuffer(raw, self.kind) if isinstance(raw, bytes) else raw

    def part(self, i: int) -> np.ndarray:
        """Return record i as an array (1,), a live view."""
        return self.records[i : i + 1]

    def row(self, i: int) -> Any:
        """Return record i with attribute access, a live view."""
        return self.part(i).view(np.recarray)[0]
