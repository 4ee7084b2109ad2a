"""What Gymnasium loads for an id: `single/ID` and `vector/ID` of this module, each a function of the options alone.

An entry point knows its id itself. Were the id a keyword of one function for all, `gym.make("Nav/FourRooms-v0",
world_id="Text/Coin-v0")` would make another world than its id names.
"""

from collections.abc import Callable
from typing import Any

import gymnasium as gym

from llm_envs.adapters.common import METADATA
from llm_envs.adapters.gym import make_single, make_vector

KINDS: dict[str, Callable[..., gym.Env | gym.vector.VectorEnv]] = {"single": make_single, "vector": make_vector}


class EntryPoint:
    """Makes the environments of one id; from `metadata` Gymnasium knows the render modes before one is made."""

    metadata = METADATA

    def __init__(self, kind: str, world_id: str) -> None:
        self.make, self.world_id = KINDS[kind], world_id

    def __call__(self, **options: Any) -> gym.Env | gym.vector.VectorEnv:
        """Return an environment; the options are those of `make_single` or `make_vector`."""
        return self.make(self.world_id, **options)


def __getattr__(name: str) -> EntryPoint:
    """Return the entry point "single/ID" or "vector/ID", as Gymnasium names it."""
    kind, _, world_id = name.partition("/")
    if kind not in KINDS or not world_id:
        raise AttributeError(f"there is no entry point {name!r}; their names are 'single/ID' and 'vector/ID'")
    return EntryPoint(kind, world_id)
