"""The rows of a batch by attribute and method, as vector environments of single ones have them.

Gymnasium's `call`, `get_attr`, `set_attr` and Stable-Baselines3's `env_method`, `get_attr`, `set_attr` stand on this.
There is no environment behind a row, so what can be asked is listed here, and each concerns that row alone.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from llm_envs.adapters.common import as_observation, check_level, draw, reset_info
from llm_envs.engine.batch import BatchEnv

METHODS = ("action_masks", "render", "reset")
# Attributes of the batch: one value a row, and one for all rows.
BY_ROW = {"level": "level_index", "level_index": "level_index", "episode": "episode", "over": "over"}
SHARED = ("device", "order", "group_size", "weights", "autoreset", "num_levels", "identity", "world")


class Rows:
    """The rows of `batch`; `shared` are the view's own attributes, the same for every row.

    What `set` writes is kept here and read by `get` alone: no rule sees it.
    """

    def __init__(self, batch: BatchEnv, **shared: Any) -> None:
        self.batch, self.shared = batch, shared
        self.written: dict[str, list[Any]] = {}  # name -> one value a row

    def call(self, name: str, rows: Iterable[int], *args: Any, **kwargs: Any) -> list[Any]:
        """Call a method of METHODS on each of the rows.

        Raises:
            AttributeError: another name; what concerns all rows at once is a method of the batch.
        """
        if name not in METHODS:
            raise AttributeError(
                f"a row has no method {name!r}; its methods are {', '.join(METHODS)}. What concerns all rows is a "
                "method of the view's `batch`"
            )
        if name == "action_masks":  # of all rows at once: MaskablePPO asks before every step
            return list(self.batch.action_masks(*args, **kwargs)[list(rows)])
        if name == "render":
            return [draw(self.batch, row, self.shared["render_mode"], *args, **kwargs) for row in rows]
        return [self._reset(row, *args, **kwargs) for row in rows]

    def _call_one(self, name: str, row: int, *args: Any, **kwargs: Any) -> Any:
        return self.call(name, [row], *args, **kwargs)[0]

    def _reset(self, row: int, *, seed: int | None = None, options: dict | None = None) -> tuple[Any, dict]:
        """Begin the next episode of one row, as `GymEnv.reset` does; no other row changes."""
        n, level = self.batch.num_envs, check_level(self.batch, options)
        levels = None if level is None else [level if i == row else None for i in range(n)]
        self.batch.reset_rows(None if seed is None else [seed] * n, rows=np.arange(n) == row, levels=levels)
        # (N, ...) -> (...)
        fields = {name: value[row] for name, value in self.batch.to_host().obs.items()}
        return as_observation(self.batch, fields), reset_info(self.batch, row)

    def get(self, name: str, rows: Iterable[int]) -> list[Any]:
        """Return an attribute of each of the rows: one set by `set`, a method, the view's, the batch's or the world's.

        Raises:
            AttributeError: there is none of this name.
        """
        # What a wrapper or callback wrote comes first: it must read it back.
        if name in self.written:
            return [self.written[name][row] for row in rows]
        if name in METHODS:  # sb3_contrib asks so whether there are action masks
            return [partial(self._call_one, name, row) for row in rows]
        if name in BY_ROW:
            values = getattr(self.batch, BY_ROW[name])
            return [values[row].item() for row in rows]
        if name in self.shared:
            return [self.shared[name] for _ in rows]
        owner = self.batch if name in SHARED else self.batch.world
        value = getattr(owner, name, None)
        # A world's rules and functions are no methods of a row.
        if not hasattr(owner, name) or name.startswith("_") or callable(value):
            raise AttributeError(f"neither the rows nor their world have an attribute {name!r}")
        return [value for _ in rows]

    def set(self, name: str, values: Sequence[Any], rows: Iterable[int]) -> None:
        """Write an attribute of each of the rows, one value a row; ValueError for more or fewer values than rows."""
        every = range(self.batch.num_envs)
        try:
            known = self.get(name, every)
        except AttributeError:
            known = [None for _ in every]  # what `get` then returns for rows that were never written
        for row, value in zip(rows, values, strict=True):
            known[row] = value
        self.written[name] = known
