"""Adam's settings, and one step of supervised optimisation, which warm starts and reward models share."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

# Adam for small transformers, as nanoGPT has it. With SB3's eps=1e-5 and beta2=0.999 a warm start on 3-digit addition
# reached 24 % exact match where this reached 89 % (600 steps of 256 problems).
ADAM = {"betas": (0.9, 0.99), "eps": 1e-8, "fused": True}
MAX_GRAD_NORM = 1.0  # of each part of the parameters


def warmup_cosine(step: int, steps: int, warmup: int = 50) -> float:
    """Return the learning rate's factor, from 0 to 1, at `step` of `steps`: a linear rise, then half a cosine to 0."""
    return min(1.0, (step + 1) / warmup) * (0.5 + 0.5 * math.cos(math.pi * min(1.0, step / steps)))


def optimizer_step(
    loss: Tensor, parts: Iterable[Iterable[nn.Parameter]], optimizer: torch.optim.Optimizer, learning_rate: float
) -> None:
    """Take one step of gradient descent.

    Args:
        loss: a scalar.
        parts: the parameters, in parts whose gradient norms are clipped to `MAX_GRAD_NORM` one by one, so that large
            gradients of one part do not shrink the steps of another.
        optimizer: of the parameters; all its groups get `learning_rate`.
        learning_rate: of this step.
    """
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    optimizer.zero_grad()
    loss.backward()
    for part in parts:
        torch.nn.utils.clip_grad_norm_(part, MAX_GRAD_NORM)
    optimizer.step()
