"""What the invariants of `llm_envs.testing` are checked with: a world under test, random walks, assertions."""

import contextlib
import hashlib
import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from llm_envs.adapters.gym import GymEnv
from llm_envs.engine.batch import BatchEnv, Step
from llm_envs.registration import build, find, identify
from llm_envs.world import Vector, World

SEED = 11  # of every walk: a failure is the same one when it is looked for again


@dataclass(frozen=True)
class WorldUnderTest:
    """A world with how it was built, from which an invariant makes the batches and environments that it needs."""

    world_id: str
    config: dict[str, Any]  # the builder's keywords
    world: World  # what they built
    steps: int  # of the longest random walks; an invariant that steps several batches takes a share of it

    def batch(self, num_envs: int, **options: Any) -> BatchEnv:
        """Return a batch of the world, over all its levels."""
        return BatchEnv(self.world, num_envs, split="all", identity=identify(self.world_id, self.config), **options)

    def single(self) -> GymEnv:
        """Return the world as a single Gymnasium environment."""
        return GymEnv(self.batch(1, autoreset="never"))

    def limits(self) -> "list[WorldUnderTest]":
        """Return the world as it is, and with the shortest of a few time limits that its builder takes.

        Raises:
            AssertionError: the builder takes none of them, though it has `max_steps`.
        """
        if "max_steps" not in inspect.signature(find(self.world_id)).parameters or "max_steps" in self.config:
            return [self]
        # Short, so that random walks reach it; but some builders refuse one in which no play can win.
        for limit in (2, 5, 20, 100, 1000):
            config = {**self.config, "max_steps": limit}
            try:
                return [self, WorldUnderTest(self.world_id, config, build(self.world_id, config), self.steps)]
            except ValueError as error:
                reason = error
        raise AssertionError(f"max_steps=1000 is refused: {reason}")


def card_sections(world_id: str) -> dict[str, str]:
    """Return the sections of a world's card, its builder's module docstring, by heading."""
    # re.split with a group: text before the first heading, heading, section, heading, section, ...
    card = sys.modules[find(world_id).__module__].__doc__ or ""
    _, *parts = re.split(r"^(\w+):\s", card, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def digest_walk(batch: BatchEnv, steps: int, seed: int) -> str:
    """Return a hash of the states, observations, outcomes and true final observations of a seeded random walk."""
    digest, rng = hashlib.sha256(), np.random.default_rng(seed)
    batch.reset_rows(seed)
    for _ in range(steps):
        _advance(batch, random_actions(batch, rng))
        # Whole final observations are left out: stale where no episode ended. Those rows' are added below.
        states, observations, _, outcomes = batch.read_buffers()
        now = batch.to_host()
        done = now.terminated | now.truncated
        for raw in (states, observations, outcomes, *(value[done].tobytes() for value in now.final_obs.values())):
            digest.update(raw)
    return digest.hexdigest()


def random_actions(batch: BatchEnv, rng: np.random.Generator) -> np.ndarray | list[str]:
    """Return one random action a row: (N,) int64, (N, *shape) float32, or N commands where commands are typed.

    In half of the calls any action, in the others a legal one by the masks (or a corner, if continuous).
    """
    world, any_action = batch.world, rng.random() < 0.5
    if world.takes_text:
        return [world.action_names[k] for k in rng.integers(0, len(world.action_names), batch.num_envs)]
    if isinstance(world.actions, int):
        if any_action:
            return rng.integers(0, world.actions, batch.num_envs)
        # Unmasked actions hardly ever win; masked ones never try what a rule must refuse. Hence half of each.
        masks = batch.action_masks()  # (N, A)
        # The largest of independent uniform numbers is each one with the same chance: a uniform legal action, (N,).
        return (rng.random(masks.shape) * masks).argmax(1)
    assert isinstance(world.actions, Vector)
    low, high = np.float32(world.actions.low), np.float32(world.actions.high)
    share = rng.random((batch.num_envs, *world.actions.shape), np.float32)
    # Clipped, since low + (high - low) * 1 may round to beyond high.
    return np.clip(low + (high - low) * (share if any_action else share.round()), low, high)


def _advance(batch: BatchEnv, actions: np.ndarray | list[str]) -> None:
    if batch.device != "cpu":
        import torch

        batch.step_rows(torch.as_tensor(actions, device=batch.device))
    else:  # no torch is loaded for a walk on the CPU
        batch.step_rows(actions)


def walk(batch: BatchEnv, steps: int, seed: int) -> Iterator[tuple[Any, Step]]:
    """Reset with `seed` and walk at random; yield each step's actions and (live) results."""
    rng = np.random.default_rng(seed)
    batch.reset_rows(seed)
    for _ in range(steps):
        actions = random_actions(batch, rng)
        batch.step_rows(actions)
        yield actions, batch.arrays


def require(fact: Any, message: str) -> None:
    """Raise AssertionError unless `fact` holds."""
    if not fact:
        raise AssertionError(message)


@contextlib.contextmanager
def raises(kind: type[Exception], what: str, names: Any = ()) -> Iterator[None]:
    """Require that the block raises `kind` with a message that has all `names`; AssertionError where it does not."""
    try:
        yield
    except kind as error:
        missing = [name for name in names if name not in str(error)]
        require(not missing, f"the error for {what} does not name {missing}: {error}")
        return
    # Another exception passes through: `check_world` reports it with its type.
    raise AssertionError(f"{what} must raise {kind.__name__}")
