"""What the laws in `llm_envs.testing.contract` are checked with: a world under test, random walks, and demands."""

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


@dataclass(frozen=True)
class Subject:
    """The world under test."""

    world_id: str
    config: dict[str, Any]
    world: World
    steps: int

    def batch(self, num_envs: int, **options: Any) -> BatchEnv:
        """Return a batch of the world, over all its levels."""
        return BatchEnv(self.world, num_envs, split="all", identity=identify(self.world_id, self.config), **options)

    def single(self) -> GymEnv:
        """Return the world as a single Gymnasium environment."""
        return GymEnv(self.batch(1, autoreset="never"))

    def limits(self) -> "list[Subject]":
        """Return the world as it is, and with the first short time limit it takes: some refuse one too short to win."""
        if "max_steps" not in inspect.signature(find(self.world_id)).parameters or "max_steps" in self.config:
            return [self]
        for limit in (2, 5, 20, 100, 1000):
            config = {**self.config, "max_steps": limit}
            try:
                return [self, Subject(self.world_id, config, build(self.world_id, config), self.steps)]
            except ValueError as error:
                reason = error
        raise AssertionError(f"max_steps=1000 is refused: {reason}")


def card_sections(world_id: str) -> dict[str, str]:
    """Return the sections of a world's card, its builder's module docstring, by heading."""
    card = sys.modules[find(world_id).__module__].__doc__ or ""
    _, *parts = re.split(r"^(\w+):\s", card, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def digest_walk(batch: BatchEnv, steps: int, seed: int) -> str:
    """Return a hash of the states, observations, outcomes and true final observations of a seeded random walk."""
    digest, rng = hashlib.sha256(), np.random.default_rng(seed)
    batch.reset_rows(seed)
    for _ in range(steps):
        _advance(batch, random_actions(batch, rng))
        states, observations, _, outcomes = batch.read_buffers()  # finals are stale where no episode ended
        now = batch.to_host()
        done = now.terminated | now.truncated
        for raw in (states, observations, outcomes, *(value[done].tobytes() for value in now.final_obs.values())):
            digest.update(raw)
    return digest.hexdigest()


def random_actions(batch: BatchEnv, rng: np.random.Generator) -> np.ndarray | list[str]:
    """Return one action a row: half of the time any, else a legal one by the masks (or a corner, if continuous).

    Where commands are typed: texts, of those that have names.
    """
    world, any_action = batch.world, rng.random() < 0.5
    if world.takes_text:
        return [world.action_names[k] for k in rng.integers(0, len(world.action_names), batch.num_envs)]
    if isinstance(world.actions, int):
        if any_action:
            return rng.integers(0, world.actions, batch.num_envs)
        masks = batch.action_masks()
        return (rng.random(masks.shape) * masks).argmax(1)
    assert isinstance(world.actions, Vector)
    low, high = np.float32(world.actions.low), np.float32(world.actions.high)
    share = rng.random((batch.num_envs, *world.actions.shape), np.float32)
    return np.clip(low + (high - low) * (share if any_action else share.round()), low, high)


def _advance(batch: BatchEnv, actions: np.ndarray | list[str]) -> None:
    if batch.device != "cpu":
        import torch

        actions = torch.as_tensor(actions, device=batch.device)  # type: ignore[assignment]
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
def refused(kind: type[Exception], what: str, names: Any = ()) -> Iterator[None]:
    """Require that the block raises `kind` with a message that has all `names`."""
    try:
        yield
    except kind as error:
        missing = [name for name in names if name not in str(error)]
        require(not missing, f"the refusal of {what} does not name {missing}: {error}")
        return
    raise AssertionError(f"{what} must be refused with {kind.__name__}")
