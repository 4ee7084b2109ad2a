"""Warm start: supervised cross-entropy on reference episodes of the train split.

From random weights a reward at the end of a text is practically never reached; a few epochs of imitation make it
reachable. The references are a world's own `solution`s, played through the environment, so any world that has one can
be imitated. T steps of the longest reference, N episodes.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.evaluation.runner import sweep_batch
from agents.objectives.advantages import returns_to_go
from agents.objectives.optimize import optimizer_step, warmup_cosine
from agents.policies.compatibility import check_fit
from agents.policies.packing import find_runs, gather, on_device


def demonstrations(
    world_id: str, episodes: int, learner: Any = None, **config: Any
) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor]:
    """Play the solutions of levels of the train split (all levels, if they are the user's own), up to the time limit.

    Args:
        world_id: one of `llm_envs.ids()`.
        episodes: most levels.
        learner: a policy that must fit the world; None: any.
        config: the world's configuration.

    Returns:
        Observations (T, N, ...), actions (T, N, ...), rewards (T, N) float32, and which steps belong to an episode,
        (T, N) bool.

    Raises:
        ValueError: the world has no solution of its own, or does not fit `learner`.
    """
    batch = sweep_batch(world_id, None, episodes, 0, "cpu", config)
    count = batch.num_envs
    if batch.world.solution is None:
        raise ValueError(f"{world_id} has no solutions to imitate; start without a warm start")
    if learner is not None:
        check_fit(learner, batch.world, world_id)
    obs = batch.reset(seed=0)
    expert_actions = [batch.world.solution(batch.row(i)) for i in range(count)]
    longest = max(map(len, expert_actions))
    observations = {name: value.new_empty((longest, *value.shape)) for name, value in obs.items()}
    actions, rewards, ended = [], [], []
    # Rows whose solution is shorter repeat its last action; `inside` leaves those steps out.
    for t in range(longest):
        for name, value in obs.items():
            observations[name][t] = value
        actions.append(torch.as_tensor(np.array([plan[min(t, len(plan) - 1)] for plan in expert_actions])))
        transition = batch.step(actions[-1])
        rewards.append(transition.reward.clone())
        ended.append(transition.terminated | transition.truncated)
        obs = transition.obs
    lengths, ends = torch.tensor([len(plan) for plan in expert_actions]), torch.stack(ended).int()
    # (T, N): within the solution, and no earlier step ended the episode
    inside = (torch.arange(longest)[:, None] < lengths) & (ends.cumsum(dim=0) == ends)
    if cut := int((inside.sum(dim=0) < lengths).sum()):
        warnings.warn(f"the time limit cuts {cut} of {count} solutions of {world_id}; raise max_steps", stacklevel=2)
    return observations, torch.stack(actions), torch.stack(rewards), inside


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
    """Train an SB3 model's policy to imitate solutions, by cross-entropy; return the number of optimizer steps.

    Args:
        model: an SB3 model; its policy's actor is trained, by the policy's own optimiser.
        world_id: one of `llm_envs.ids()`.
        episodes: reference episodes, from the train split.
        epochs: most passes over them.
        batch_size: episodes in a minibatch.
        learning_rate: the optimiser's highest; it rises over 50 steps and falls to zero along half a cosine.
        value_coef: weight of half the squared error between values and the solutions' discounted returns.
        stop: called after each step with (step, cross-entropy in nats); True ends the warm start.
        seed: of the order of the minibatches.
        config: the world's configuration.

    Raises:
        ValueError: the world has no solutions, or does not fit the policy.
    """
    obs, actions, rewards, inside = demonstrations(world_id, episodes, model.policy, **config)
    policy, device = model.policy, model.device
    obs, actions, inside = on_device(obs, device), actions.to(device), inside.to(device)
    # The last step inside ends the demonstration, whatever the world says.
    dones = inside & ~torch.cat((inside[1:], torch.zeros_like(inside[:1])))
    # Texts come as `Sequences`: each demonstration is read once a minibatch.
    last = find_runs(obs["length"].flatten(1), dones) if getattr(policy, "reads_tokens", False) else None
    returns = returns_to_go(rewards.to(device), dones, model.gamma)
    optimizer = policy.optimizer  # RL continues with its moments
    actor = [parameter for name, parameter in policy.named_parameters() if not name.startswith("value_net.")]
    parts = actor, list(policy.value_net.parameters())  # clipped apart: large returns must not shrink the actor's steps
    total, count = epochs * -(-inside.shape[1] // batch_size), 0
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for chosen in torch.randperm(inside.shape[1], generator=generator).to(device).split(batch_size):
            step, column = inside[:, chosen].nonzero(as_tuple=True)  # (M,) each
            row = chosen[column]
            policy.set_training_mode(True)
            values, log_probs, _ = policy.evaluate_actions(gather(obs, last, step, row), actions[step, row])
            loss = cross_entropy = -log_probs.mean()
            if value_coef:
                loss = loss + value_coef * (values.flatten() - returns[step, row]).square().mean() / 2
            optimizer_step(loss, parts, optimizer, learning_rate * warmup_cosine(count, total))
            count += 1
            if stop is not None and stop(count, float(cross_entropy.detach())):
                return count
    return count
