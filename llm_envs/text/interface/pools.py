"""Compiled pools that are in use, or were used last: whoever asks for the same games again need not compile them.

`gym.make` in a loop, the copies of a vector environment and a test beside its training all ask for the same pool. A
pool is kept for as long as an environment holds it; of those that none holds, the last ones are, up to a number of
bytes.
"""

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from llm_envs.text.compiler.pool import Pool

KEPT = 2**26  # bytes of pools that nothing holds
OF_A_TABLE = 60_000  # bytes of the strings behind one game; measured: 8,000 (Treasure) to 160,000 (the hardest cooking)


def size_of(pool: Pool) -> int:
    """Return about how many bytes a pool takes."""
    return pool.levels.nbytes + OF_A_TABLE * len(pool.symbols)


class Pools:
    """Pools by what they were made of; `most` is how many bytes of them are kept that nothing else holds."""

    def __init__(self, most: int = KEPT) -> None:
        self.most = most
        self._alive: weakref.WeakValueDictionary[Any, Pool] = weakref.WeakValueDictionary()
        self._kept: OrderedDict[Any, Pool] = OrderedDict()  # the last used is the last
        self._lock = threading.Lock()

    def get(self, key: Any, make: Callable[[], Pool]) -> Pool:
        """Return the pool of a key, made if there is none."""
        with self._lock:
            pool = self._alive.get(key)
        if pool is None:
            pool = make()  # outside of the lock: it may take minutes, and another thread may need another pool
        with self._lock:
            pool = self._alive.setdefault(key, pool)
            self._kept[key] = pool
            self._kept.move_to_end(key)
            while self._kept and sum(map(size_of, self._kept.values())) > self.most:
                self._kept.popitem(last=False)
        return pool

    def clear(self) -> None:
        """Keep none but those that something holds."""
        with self._lock:
            self._kept.clear()
