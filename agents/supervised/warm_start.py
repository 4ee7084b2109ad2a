"""Warm start: supervised cross-entropy on reference episodes of the train split.

From a random start a reward at the end of a text is never met; a few epochs of imitation make it reachable. The
references are a world's own `solution`s, played through the environment, so any world that has one can be imitated.
"""

import math
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from agents.evaluation.runner import sweep_batch
from agents.objectives.advantages import returns_to_go
from agents.policies.compatibility import check_fit
from agents.policies.packing import find_runs, gather, on_device


def demonstrations(
    world_id: str, episodes: int, learner: Any = None, **config: Any
) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor]:
    """Play the solutions of `episodes` levels of the train split (of all, if your own), as far as the time limit lets.

    Returns:
        Observations (T, N, ...), actions (T, N, ...), rewards (T, N) and which steps belong to an episode, (T, N) bool.

    Raises:
        ValueError: the world has no solution of its own, or is not what the policy `learner` reads and acts in.
    """
    # One thread: a second one of OpenMP would be left spinning beside torch, if that has one.
    batch = sweep_batch(world_id, None, episodes, 0, "cpu", {"threads": 1, **config})
    count = batch.num_envs
    if batch.world.solution is None:
        raise ValueError(f"{world_id} has no solutions to imitate; start without a warm start")
    if learner is not None:
        check_fit(learner, batch.world, world_id)
    obs = batch.reset(seed=0)
    plans = [batch.world.solution(batch.row(i)) for i in range(count)]
    longest = max(map(len, plans))
    seen = {name: value.new_empty((longest, *value.shape)) for name, value in obs.items()}
    played, paid, ended = [], [], []
    for t in range(longest):
        for name, value in obs.items():
            seen[name][t] = value
        played.append(torch.as_tensor(np.array([plan[min(t, len(plan) - 1)] for plan in plans])))
        transition = batch.step(played[-1])
        paid.append(transition.reward.clone())
        ended.append(transition.terminated | transition.truncated)
        obs = transition.obs
    lengths, over = torch.tensor([len(plan) for plan in plans]), torch.stack(ended).int()
    inside = (torch.arange(longest)[:, None] < lengths) & (over.cumsum(dim=0) == over)  # no end before
    if cut := int((inside.sum(dim=0) < lengths).sum()):
        warnings.warn(f"the time limit cuts {cut} of {count} solutions of {world_id}; raise max_steps", stacklevel=2)
    return seen, torch.stack(played), torch.stack(paid), inside


def warmup_cosine(step: int, steps: int, warmup: int = 50) -> float:
    """Return the factor on the learning rate at `step` of `steps`: a linear rise, then half a cosine down to zero."""
    return min(1.0, (step + 1) / warmup) * (0.5 + 0.5 * math.cos(math.pi * min(1.0, step / steps)))


def descend(
    loss: Tensor, parts: Iterable[Iterable[nn.Parameter]], optimizer: torch.optim.Optimizer, learning_rate: float
) -> None:
    """Take a step down the gradient of `loss`, whose norm over each part of the parameters is clipped to 1."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    optimizer.zero_grad()
    loss.backward()
    for part in parts:
        torch.nn.utils.clip_grad_norm_(part, 1.0)
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
    obs, actions, rewards, inside = demonstrations(world_id, episodes, model.policy, **config)
    policy, device = model.policy, model.device
    obs, actions, inside = on_device(obs, device), actions.to(device), inside.to(device)
    dones = inside & ~torch.cat((inside[1:], torch.zeros_like(inside[:1])))
    last = find_runs(obs["length"].flatten(1), dones) if getattr(policy, "speaks", False) else None
    returns = returns_to_go(rewards.to(device), dones, model.gamma)
    optimizer = policy.optimizer  # its moments then fit the weights that RL begins with
    actor = [parameter for name, parameter in policy.named_parameters() if not name.startswith("value_net.")]
    parts = actor, list(policy.value_net.parameters())  # apart, so that large returns do not crowd out the actor
    total, count = epochs * -(-inside.shape[1] // batch_size), 0
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for chosen in torch.randperm(inside.shape[1], generator=generator).to(device).split(batch_size):
            step, place = inside[:, chosen].nonzero(as_tuple=True)
            row = chosen[place]
            policy.set_training_mode(True)
            values, log_probs, _ = policy.evaluate_actions(gather(obs, last, step, row), actions[step, row])
            loss = cross_entropy = -log_probs.mean()
            if value_coef:
                loss = loss + value_coef * (values.flatten() - returns[step, row]).square().mean() / 2
            descend(loss, parts, optimizer, learning_rate * warmup_cosine(count, total))
            count += 1
            if stop is not None and stop(count, float(cross_entropy.detach())):
                return count
    return count
