"""Evaluation by sweep: every level of a split is played once, in a batch, by the policy's best or sampled actions."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from llm_envs import make_batch
from llm_envs.batch import BatchEnv

Act = Callable[[dict[str, Tensor]], Tensor]  # observations (N, ...) -> actions (N, ...)


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found; means are over episodes, one for each level."""

    episodes: int
    mean_return: float
    mean_length: float
    terminated: float  # share of episodes that the task ended, not the time limit
    signals: dict[str, float]  # mean total of each signal in an episode
    transcripts: list[str]  # the first final observations as text

    def as_dict(self) -> dict[str, Any]:
        """Return plain numbers and strings, for JSON."""
        return asdict(self)


def policy_actions(policy: Any, deterministic: bool) -> Act:
    """Return a function that acts by an SB3 policy."""
    policy.set_training_mode(False)

    def act(obs: dict[str, Tensor]) -> Tensor:
        with torch.no_grad():
            return policy._predict({name: value.to(policy.device) for name, value in obs.items()}, deterministic)

    return act


def random_actions(batch: BatchEnv, seed: int) -> Act:
    """Return a function that draws uniformly among the legal actions, or from the box."""
    generator, world = torch.Generator().manual_seed(seed), batch.world

    def act(obs: dict[str, Tensor]) -> Tensor:
        if not isinstance(world.actions, int):
            low, high = world.actions.low, world.actions.high
            return low + (high - low) * torch.rand(batch.num_envs, *world.actions.shape, generator=generator)
        legal = obs["action_mask"].float() if "action_mask" in obs else torch.ones(batch.num_envs, world.actions)
        return torch.multinomial(legal, 1, generator=generator).flatten()

    return act


def evaluate(
    model: Any,
    world_id: str,
    split: str = "test",
    deterministic: bool = True,
    levels_at_once: int = 1024,
    max_levels: int = 0,
    transcripts: int = 10,
    device: str = "cpu",
    seed: int = 0,
    **config: Any,
) -> Evaluation:
    """Play every level of a split once and return means over all of them.

    Args:
        model: an SB3 model or policy, a function from observations to actions, or "random".
        world_id: one of `llm_envs.ids()`.
        split: "train", "validation", "test" or "all".
        deterministic: take the most likely actions.
        levels_at_once: rows of the batch.
        max_levels: stop after so many levels, chosen by the sweep's order; 0 for all.
        transcripts: how many final observations to keep as text.
        device: of the batch.
        seed: of the batch and of random actions.
        config: the world's configuration, and `weights` or `rewards`.
    """
    probe = make_batch(world_id, 1, split=split, **config)
    count = min(probe.num_levels, max_levels) if max_levels else probe.num_levels
    rows = min(levels_at_once, count)
    batch = make_batch(world_id, rows, split=split, order="sweep", seed=0, device=device, **config)
    if model == "random":
        act = random_actions(batch, seed)
    elif hasattr(model, "policy") or hasattr(model, "_predict"):
        act = policy_actions(getattr(model, "policy", model), deterministic)
    else:
        act = model
    # Row i plays levels i, i + rows, ...: so many episodes of each row are the sweep; later ones do not count.
    due = (count - np.arange(rows) + rows - 1) // rows
    obs = batch.reset(seed=0)
    names = list(batch.tensors.signals)
    total, length = np.zeros(rows), np.zeros(rows)
    sums = {name: np.zeros(rows) for name in names}
    ends: list[tuple] = []
    texts: list[str] = []
    while due.any():
        step = batch.step(act(obs))
        obs, now = step.obs, batch.to_host()
        total += now.reward
        length += 1
        for name in names:
            sums[name] += np.nan_to_num(now.signals[name])
        ended = now.terminated | now.truncated
        counted = np.flatnonzero(ended & (due > 0))
        for i in counted:
            ends.append((total[i], length[i], now.terminated[i], *(sums[name][i] for name in names)))
        if len(texts) < transcripts and len(counted):
            chosen = counted[: transcripts - len(texts)]
            texts += batch.decode({name: value[chosen] for name, value in now.final_obs.items()})
        due[counted] -= 1
        for held in (total, length, *sums.values()):
            held[ended] = 0
    means = np.mean(np.array(ends, np.float64), axis=0)
    return Evaluation(
        len(ends),
        float(means[0]),
        float(means[1]),
        float(means[2]),
        dict(zip(names, means[3:].tolist(), strict=True)),
        texts,
    )
