"""Checks for worlds, the suite's and your own: `check_world("Mine/Corridor-v0")` in a test of your project."""

from typing import Any

from llm_envs.registration import build, make_batch
from llm_envs.testing.contract import LAWS, TENSOR_LAWS, TEXT_LAWS
from llm_envs.testing.random_walks import Subject, digest_walk


def check_world(world_id: str, steps: int = 2000, **config: Any) -> None:
    """Check that a registered world keeps the contract; a world that shows or takes strings, in its single form.

    Args:
        world_id: one of `llm_envs.ids()`; your own are, after `llm_envs.register`.
        steps: length of the longest random walks.
        config: the world's own keywords.

    Raises:
        AssertionError: names the law that is broken, states it, and says what was found.
    """
    subject = Subject(world_id, config, build(world_id, config), steps)
    for law in (*LAWS, *(TEXT_LAWS if subject.world.uses_strings else TENSOR_LAWS)):
        try:
            law(subject)
        except Exception as error:
            found = str(error) if isinstance(error, AssertionError) else f"{type(error).__name__}: {error}"
            raise AssertionError(f"{world_id} {config} breaks {law.__name__}. {law.__doc__} Found: {found}") from error


def trajectory_digest(world_id: str, num_envs: int, steps: int, seed: int, device: str = "cpu", **config: Any) -> str:
    """Return a hash of all states, observations, outcomes and final observations of a seeded random walk.

    Equal for any number of threads, for compiled and interpreted rules, and on any device that rounds alike. `config`
    may hold options of `make_batch` too.
    """
    return digest_walk(make_batch(world_id, num_envs, device=device, **config), steps, seed)
