"""The gradient steps of an update, for every algorithm that descends a loss."""

from collections.abc import Iterable
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from agents.distributed.group import Group
from agents.rollouts.buffer import Minibatch


class Learner(Protocol):
    """What an update needs of an algorithm."""

    policy: Any  # with its `optimizer`
    group: Group | None
    max_grad_norm: float

    def minibatches(self, batch_size: int | None) -> Iterable[Minibatch]:
        """Yield the minibatches of one pass over the newest rollout."""

    def loss(self, batch: Minibatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return what is to be descended, a scalar, and the terms to log."""

    def exceeds_target_kl(self, terms: dict[str, Tensor]) -> bool:
        """Return whether to stop before the step of the minibatch with these terms."""


class Diagnostics:
    """Means of named scalars over the minibatches, which stay on the device until `means` reads them all at once."""

    def __init__(self) -> None:
        self.values: dict[str, list[Tensor]] = {}

    def add(self, terms: dict[str, Tensor]) -> None:
        """Add one value to each of these names."""
        for name, value in terms.items():
            self.values.setdefault(name, []).append(value.detach())

    def forget(self, *names: str) -> None:
        """Begin the means of these names again."""
        for name in names:
            self.values.pop(name, None)

    def means(self) -> dict[str, float]:
        """Return the mean of each name."""
        means = [torch.stack(values).double().mean() for values in self.values.values()]
        return dict(zip(self.values, torch.stack(means).tolist() if means else [], strict=True))


def update(model: Learner, epochs: int, batch_size: int | None) -> tuple[dict[str, float], int]:
    """Take a gradient step on each minibatch of `epochs` passes over the newest rollout.

    Args:
        model: its minibatches are taken one by one, and its loss is descended.
        epochs: passes; `target_kl` may end them early, before the step that it forbids.
        batch_size: states of a minibatch, of all ranks; None: all in one.

    Returns:
        Each term that `loss` names, as a mean over the minibatches; as Stable-Baselines3 logs them, `approx_kl` is over
        the last epoch's and `loss` the last one's. And the number of passes that were begun.
    """
    parameters, optimizer, group = list(model.policy.parameters()), model.policy.optimizer, model.group
    found = Diagnostics()
    for epoch in range(epochs):
        found.forget("approx_kl")
        for batch in model.minibatches(batch_size):
            loss, terms = model.loss(batch)
            terms = of_all_ranks({**terms, "loss": loss}, group)
            found.forget("loss")
            found.add(terms)
            if model.exceeds_target_kl(terms):
                return found.means(), epoch + 1
            optimizer.zero_grad()
            loss.backward()
            sum_gradients(parameters, group)
            found.add({"gradient_norm": nn.utils.clip_grad_norm_(parameters, model.max_grad_norm)})  # before the clip
            optimizer.step()
    return found.means(), epochs


def of_all_ranks(terms: dict[str, Tensor], group: Group | None) -> dict[str, Tensor]:
    """Return scalars added up over the ranks, each of which has its share of them; detached."""
    values = torch.stack([value.detach() for value in terms.values()])  # (K,)
    return dict(zip(terms, values if group is None else group.sum(values), strict=True))  # one reduction for all


def sum_gradients(parameters: Iterable[nn.Parameter], group: Group | None) -> None:
    """Add up the ranks' gradients, each of its share of the loss, in place."""
    if group is None:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    total = group.sum(torch.cat([gradient.flatten() for gradient in gradients]))  # one reduction for all
    for gradient, part in zip(gradients, total.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))
