"""The kernels' cache on disk saves time and never stops a run: damage, full disks, lost folders, many processes."""

import resource
import shutil
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from numba import config

from llm_envs.engine import kernel_cache
from llm_envs.engine.jit import cached, plain_python, specialise
from llm_envs.engine.kernel_cache import KernelFiles

pytestmark = pytest.mark.skipif(plain_python(), reason="nothing is compiled")


def thrice(x):
    """Stand for a kernel."""
    return 3 * x


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a cache folder of the test's own; each warning is to be seen again."""
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(kernel_cache, "_warned", set())
    return tmp_path


def run():
    """Compile or load `thrice` as a new process would; return whether it was found."""
    kernel = specialise(thrice, cached())
    assert kernel(2) == 6
    return sum(kernel.stats.cache_hits.values()) == 1


def quiet():
    """Run, and fail on any warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return run()


def kept(folder) -> Path:
    """Return the one file of the cache."""
    (path,) = folder.rglob("*.kernel")
    return path


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip(path):
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1  # inside the machine code: unpickled, it would run
    path.write_bytes(raw)


def not_code(path):
    """Keep a right checksum over what is no compiled function."""
    files = KernelFiles(path.parent, "other")
    files.save("key", (1, 2, 3))
    shutil.move(files.path("key"), path)


DAMAGE = {
    "emptied": lambda path: path.write_bytes(b""),
    "cut": cut,
    "one bit": flip,
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "a text": lambda path: path.write_text("hello"),
    "no code": not_code,
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_file_is_named_once_removed_and_compiled_anew(folder, kind):
    assert not quiet()
    assert quiet()
    DAMAGE[kind](path := kept(folder))
    with pytest.warns(RuntimeWarning, match="compiled anew") as told:
        assert not run()
    assert len(told) == 1
    assert str(path) in str(told[0].message)
    assert quiet()  # and it is whole again
    DAMAGE[kind](path)
    assert not quiet()  # not said twice in one process


def test_a_file_that_can_be_neither_read_nor_replaced(folder):
    """A folder stands in its place: reading, removing and writing all fail."""
    run()
    (path := kept(folder)).unlink()
    (path / "inside").mkdir(parents=True)
    with pytest.warns(RuntimeWarning) as told:
        assert not run()
    assert ["compiled anew" in str(one.message) for one in told] == [True, False]
    assert "not kept" in str(told[1].message)


def test_a_full_disk_is_said_once_and_leaves_nothing_behind(folder):
    """The largest size of a file stands for the disk's: writing fails with OSError in the middle."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.warns(RuntimeWarning, match="not kept in .*: OSError") as told:
            assert not run()
        assert len(told) == 1
        assert not quiet()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path for path in folder.rglob("*") if path.is_file()] == []
    assert not quiet()
    assert quiet()  # the disk has space again


def test_a_folder_that_is_lost_while_it_runs(folder):
    kernel = specialise(thrice, cached())
    for inside in folder.iterdir():
        shutil.rmtree(inside)
        inside.write_text("a file where the folder was")
    with pytest.warns(RuntimeWarning, match="not kept in"):
        assert kernel(2) == 6


def test_no_folder_at_all(folder, monkeypatch):
    monkeypatch.setattr(config, "CACHE_LOCATOR_CLASSES", "ZipCacheLocator")
    with pytest.warns(RuntimeWarning, match="not kept: RuntimeError"):
        assert not run()


def test_other_versions_and_signatures_have_other_files(tmp_path, monkeypatch):
    """Numba's index could give one name to two signatures that two processes saved at once."""
    files = KernelFiles(tmp_path, "kernel")
    wide, narrow = (np.dtype([("a", kind)]) for kind in (np.int64, np.int32))
    assert files.path(wide) != files.path(narrow)
    before = files.path(wide)
    monkeypatch.setattr(kernel_cache, "VERSIONS", ("0.0", "0.0"))
    assert files.path(wide) != before


def test_readers_and_writers_at_once_see_whole_files(tmp_path):
    files, data, seen = KernelFiles(tmp_path, "kernel"), list(range(10_000)), []

    def work():
        for _ in range(50):
            files.save("key", data)
            seen.append(files.load("key") == data)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [True] * 200
    files.flush()
    assert files.load("key") is None
    assert list(tmp_path.iterdir()) == []
