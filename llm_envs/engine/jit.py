"""Compiled functions that are kept on disk, under names that hold a fingerprint of everything they reach.

A cache by file would look at a function's own file only; with the fingerprint in its name an edited rule, helper or
constant, in whatever file, makes another function. `engine.kernel_cache` has the files.

Kernels of different processes meet in the cache. Inside of them Numba names functions by numbers that every process
counts from 1, records' types too, so that two kernels had different functions of one name, and whichever was loaded
first lent its own to the other: wrong offsets, corrupted memory. Here each process counts from a number of its own.
"""

import dis
import hashlib
import itertools
import os
import secrets
import types
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import config, njit
from numba.core.bytecode import FunctionIdentity

from llm_envs.engine.kernel_cache import KernelCache, describe, warn_once

LIBRARIES = ("numpy", "numba", "math")  # modules whose contents are no part of a rule


def _count_from_anywhere() -> None:
    """Let Numba number the functions that it compiles from a random number on (48 bits)."""
    FunctionIdentity._unique_ids = itertools.count(secrets.randbits(48))


_count_from_anywhere()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count_from_anywhere)


def fingerprint(function: Callable) -> str:
    """Return a hash of a function's code and, through its globals and closure, of everything it calls and reads.

    Numba's disk cache looks at the driver's own file only; with this in the driver's name an edited rule, helper or
    constant, in whatever file, is a different driver.
    """
    digest = hashlib.sha256()
    _hash_function(function, digest, set())
    return digest.hexdigest()[:16]


def _hash_function(function: Any, digest: Any, seen: set) -> None:
    options = getattr(function, "targetoptions", None)  # of njit, such as fastmath
    function = getattr(function, "py_func", function)
    if id(function) in seen:
        return
    seen.add(id(function))
    digest.update(repr((options, function.__defaults__)).encode())
    for cell in function.__closure__ or ():
        _hash_value(cell.cell_contents, digest, seen)
    _hash_code(function.__code__, function.__globals__, digest, seen)


def _hash_code(code: types.CodeType, names: dict[str, Any], digest: Any, seen: set) -> None:
    digest.update(code.co_code + repr((code.co_names, code.co_varnames, code.co_freevars)).encode())
    for value in code.co_consts:
        if isinstance(value, types.CodeType):  # the inside of a comprehension
            _hash_code(value, names, digest, seen)
        else:
            _hash_value(value, digest, seen)
    # Only what is read as a global: `level.coin` must not reach a function `coin` of the same file.
    for name in dict.fromkeys(i.argval for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL"):
        value = names.get(name)
        if isinstance(value, types.ModuleType) and value.__name__.partition(".")[0] not in LIBRARIES:
            for attribute in code.co_names:
                _hash_value(vars(value).get(attribute), digest, seen)
        else:
            _hash_value(value, digest, seen)


def _hash_value(value: Any, digest: Any, seen: set) -> None:
    if isinstance(getattr(value, "py_func", value), types.FunctionType):
        _hash_function(value, digest, seen)
    elif isinstance(value, np.ndarray):
        digest.update(repr((value.dtype, value.shape)).encode() + value.tobytes())
    elif isinstance(value, type):
        digest.update(value.__qualname__.encode())
    elif isinstance(value, (set, frozenset)):  # whose order differs from process to process
        digest.update(repr(sorted(map(repr, value))).encode())
    elif not isinstance(value, types.ModuleType):
        digest.update(repr(value).encode())


def specialise(template: Callable, jit: Callable, **names: Any) -> Callable:
    """Return `jit` of a copy of `template` that sees `names` as globals, under a name that has its fingerprint."""
    copy = types.FunctionType(template.__code__, {**template.__globals__, **names}, template.__name__)
    copy.__qualname__ = f"{template.__name__}.u{fingerprint(copy)}"  # u: since names are unique, see the module
    return jit(copy)


def cached(**options: Any) -> Callable:
    """Return numba.njit with a cache on disk, or without one where no folder for it can be written."""

    def jit(function: Callable) -> Callable:
        compiled = njit(**options)(function)
        if plain_python():
            return compiled
        try:
            compiled._cache = KernelCache(function, options)
        except (RuntimeError, OSError) as error:  # Numba: "no locator available"
            warn_once(f"compiled rules are not kept: {describe(error)}", "no folder")
        return compiled

    return jit


def plain_python() -> bool:
    """Return whether the rules run interpreted (NUMBA_DISABLE_JIT=1): records then need attribute access."""
    return bool(config.DISABLE_JIT)
