"""Warm start: supervised cross-entropy on reference episodes of the train split.

From a random start a reward at the end of a text is never met; a few epochs of imitation make it reachable. The
references are a world's own `solution`s, played through the environment, so any world that has one can be imitated.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from agents.sequences import gather, on_device
from llm_envs import make_batch


def demonstrations(world_id: str, episodes: int, **config: Any) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor]:
    """Play the solutions of `episodes` levels of the train split.

    Returns:
        Observations (T, N, ...), actions (T, N, ...), rewards (T, N) and which steps belong to an episode, (T, N) bool.

    Raises:
        ValueError: the world has no solution of its own.
    """
    count = min(episodes, make_batch(world_id, 1, split="train", **config).num_levels)
    batch = make_batch(world_id, count, split="train", order="sweep", **{"threads": 1, **config})
    if batch.world.solution is None:
        raise ValueError(f"{world_id} has no solutions to imitate; start without a warm start")
    obs = batch.reset(seed=0)
    plans = [batch.world.solution(*batch.row(i)[1:]) for i in range(count)]
    longest = max(map(len, plans))
    seen = {name: value.new_empty((longest, *value.shape)) for name, value in obs.items()}
    played, paid = [], []
    for t in range(longest):
        for name, value in obs.items():
            seen[name][t] = value
        played.append(torch.as_tensor(np.array([plan[min(t, len(plan) - 1)] for plan in plans])))
        transition = batch.step(played[-1])
        paid.append(transition.reward.clone())
        obs = transition.obs
    inside = torch.arange(longest)[:, None] < torch.tensor([len(plan) for plan in plans])
    return seen, torch.stack(played), torch.stack(paid), inside


def discounted(rewards: Tensor, inside: Tensor, gamma: float) -> Tensor:
    """Return what is still to be gained before each step, (T, N): sum_k gamma^k r_{t+k} up to the episode's end."""
    returns = torch.zeros_like(rewards)
    ahead = torch.zeros_like(rewards[0])
    for t in reversed(range(len(rewards))):
        returns[t] = ahead = torch.where(inside[t], rewards[t] + gamma * ahead, 0.0)
    return returns


def warmup_cosine(step: int, steps: int, warmup: int = 50) -> float:
    """Return the factor on the learning rate at `step` of `steps`: a linear rise, then half a cosine down to zero."""
    return min(1.0, (step + 1) / warmup) * (0.5 + 0.5 * math.cos(math.pi * min(1.0, step / steps)))


def descend(loss: Tensor, parts: Sequence[nn.Module], optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Take a step down the gradient of `loss`, whose norm over the parameters of each part is clipped to 1."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    optimizer.zero_grad()
    loss.backward()
    seen: set[nn.Parameter] = set()
    for part in parts:
        own = [parameter for parameter in part.parameters() if parameter not in seen]
        torch.nn.utils.clip_grad_norm_(own, 1.0)
        seen.update(own)
    optimizer.step()


def warm_start(
    model: Any,
    world_id: str,
    episodes: int = 40_000,
    epochs: int = 6,
    batch_size: int = 256,
    learning_rate: float = 3e-3,
    value_coef: float = 0.0,
    stop: Callable[[int, float], bool] | None = None,
    seed: int = 0,
    **config: Any,
) -> int:
    """Train an SB3 model's policy to imitate solutions, by cross-entropy; return the number of steps taken.

    Args:
        model: an SB3 model; its policy's actor is trained, by its own optimiser.
        world_id: one of `llm_envs.ids()`.
        episodes: reference episodes, from the train split.
        epochs: most passes over them.
        batch_size: episodes in a minibatch.
        learning_rate: the optimiser's highest; it rises over 50 steps and falls to zero along half a cosine.
        value_coef: weight of half the squared error of the values from the solutions' discounted returns.
        stop: called after each step with (step, cross-entropy in nats); True ends the warm start.
        seed: of the order of the minibatches.
        config: the world's configuration.
    """
    obs, actions, rewards, inside = demonstrations(world_id, episodes, **config)
    policy, device = model.policy, model.device
    obs, actions, inside = on_device(obs, device), actions.to(device), inside.to(device)
    returns = discounted(rewards.to(device), inside, model.gamma)
    last = (inside.sum(dim=0) - 1).expand(inside.shape)  # every episode is one run
    optimizer = policy.optimizer  # its moments then fit the weights that RL begins with
    total, count = epochs * -(-inside.shape[1] // batch_size), 0
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for chosen in torch.randperm(inside.shape[1], generator=generator).to(device).split(batch_size):
            step, place = inside[:, chosen].nonzero(as_tuple=True)
            row = chosen[place]
            states: Any
            if "tokens" in obs:
                states = gather(obs, last, step, row)
            else:
                states = {name: value[step, row] for name, value in obs.items()}
            policy.set_training_mode(True)
            values, log_probs, _ = policy.evaluate_actions(states, actions[step, row])
            loss = cross_entropy = -log_probs.mean()
            if value_coef:
                loss = loss + value_coef * (values.flatten() - returns[step, row]).square().mean() / 2
            descend(loss, (policy.value_net, policy), optimizer, learning_rate * warmup_cosine(count, total))
            count += 1
            if stop is not None and stop(count, float(cross_entropy.detach())):
                return count
    return count
