"""Compiled kernels on disk: one file a kernel and signature, which checks itself and depends on no other file.

A cache saves time and may never stop a run: a file that cannot be read is said once, removed and compiled again; a
folder that cannot be written (a full disk, a quota, lost permissions) is said once, and the run continues without it.

Numba's own cache keeps an index beside its files. Two processes that save at the same time can give one file name to
two signatures, and then machine code runs on records of another layout; an emptied or cut file raises at every later
start. Here the name of a file follows from what it holds, files are replaced as a whole, and each begins with the
SHA-256 of the rest: pickled machine code with one wrong byte would load without an error.
"""

import hashlib
import os
import pickle
import uuid
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba.core import serialize
from numba.core.caching import FunctionCache

MAGIC = b"llm-envs kernel 1\n"
DIGEST = hashlib.sha256().digest_size
VERSIONS = (numba.__version__, llvmlite.__version__)  # machine code of other versions is never looked at
_warned: set[tuple] = set()


def warn_once(text: str, *key: Any) -> None:
    """Warn of what is wrong with the cache, once a process for each `key`."""
    if key not in _warned:
        _warned.add(key)
        warnings.warn(text, RuntimeWarning, stacklevel=2)


class KernelFiles:
    """The files of one function, by signature; stands where Numba's `IndexDataCacheFile` stands."""

    def __init__(self, folder: str | Path, stem: str) -> None:
        self.folder, self.stem = Path(folder), stem

    def path(self, key: Any) -> Path:
        """Return the file of a key: its signature, the processor's features and the function's bytecode."""
        return self.folder / f"{self.stem}.{hashlib.sha256(repr((VERSIONS, key)).encode()).hexdigest()[:24]}.kernel"

    def load(self, key: Any) -> Any:
        """Return what was saved under a key, None where nothing was.

        Raises:
            ValueError: the file is damaged.
            OSError: it cannot be read.
        """
        try:
            raw = self.path(key).read_bytes()
        except FileNotFoundError:
            return None
        start = len(MAGIC) + DIGEST
        if raw[:start] != MAGIC + hashlib.sha256(raw[start:]).digest():
            raise ValueError(f"its {len(raw)} bytes are not those that were written")
        return pickle.loads(raw[start:])

    def save(self, key: Any, data: Any) -> None:
        """Save under a key: written beside the file and moved into its place, so that no reader sees a part."""
        body, path = serialize.dumps(data), self.path(key)
        beside = path.with_suffix(f".{uuid.uuid4().hex[:12]}")
        try:
            beside.write_bytes(MAGIC + hashlib.sha256(body).digest() + body)
            os.replace(beside, path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise

    def flush(self) -> None:
        """Remove the files of all signatures."""
        for path in self.folder.glob(f"{self.stem}.*.kernel"):
            path.unlink(missing_ok=True)


class KernelCache(FunctionCache):
    """A dispatcher's cache on disk; whatever fails in it, the function is compiled and the run continues.

    Raises:
        RuntimeError, OSError: when made: there is no folder that can be written.
    """

    def __init__(self, function: Callable, options: Iterable[str] = ()) -> None:
        super().__init__(function)
        # The options that it is compiled with (nogil) are part of the name: the signature does not have them.
        self._cache_file = KernelFiles(self.cache_path, "-".join((self._impl.filename_base, *sorted(options))))

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the compiled function of a signature, None where it has to be compiled."""
        try:
            return super().load_overload(sig, target_context)
        except Exception as error:  # what unpickling and linking raise has no common class
            path = self._cache_file.path(self._index_key(sig, target_context.codegen()))
            warn_once(f"compiled anew, since {path} cannot be used ({describe(error)}); it is removed", path)
            with suppress(OSError):  # the file stays where its folder cannot be written: saving says so
                path.unlink()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a compiled function for the next process."""
        try:
            super().save_overload(sig, data)
        except Exception as error:  # a full disk, a quota, a folder that is gone, what cannot be pickled
            warn_once(f"compiled rules are not kept in {self.cache_path}: {describe(error)}", self.cache_path)


def describe(error: BaseException) -> str:
    """Return an error in one line."""
    return f"{type(error).__name__}: {error}"
