"""Checks for worlds, the suite's and your own: `check_world("Mine/Corridor-v0")` in a test of your project."""

from typing import Any

from llm_envs.registration import build, make_batch
from llm_envs.testing.contract import INVARIANTS, STRING_INVARIANTS, TENSOR_INVARIANTS
from llm_envs.testing.random_walks import WorldUnderTest, digest_walk


def check_world(world_id: str, steps: int = 2000, **config: Any) -> None:
    """Check that a registered world keeps the contract; one with strings in its single form.

    Args:
        world_id: one of `llm_envs.ids()`; your own are, after `llm_envs.register`.
        steps: length of the longest random walks.
        config: the world's own keywords.

    Raises:
        AssertionError: names the invariant that fails, states it, and reports what was found.
    """
    tested = WorldUnderTest(world_id, config, build(world_id, config), steps)
    for invariant in (*INVARIANTS, *(STRING_INVARIANTS if tested.world.uses_strings else TENSOR_INVARIANTS)):
        try:
            invariant(tested)
        except Exception as error:
            # Whatever a world raises, the report begins with the invariant that it was found by.
            found = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
            broken = f"{world_id} {config} breaks {invariant.__name__}. {invariant.__doc__}"
            raise AssertionError(f"{broken} Found: {found}") from error


def trajectory_digest(world_id: str, num_envs: int, steps: int, seed: int, device: str = "cpu", **config: Any) -> str:
    """Return a hash of all states, observations, outcomes and final observations of a seeded random walk.

    Equal for any number of threads, for compiled and interpreted rules, and on any device that rounds alike. `config`
    may hold options of `make_batch` too.
    """
    return digest_walk(make_batch(world_id, num_envs, device=device, **config), steps, seed)
