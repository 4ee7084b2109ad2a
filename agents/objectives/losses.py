"""Losses as functions of tensors: what an algorithm minimises, and what it logs of it.

M states of a minibatch. `weights` (M,) multiply each state's term; None: all count the same. `total` is the number of
states that the mean is over; None: M. In a data parallel run it counts those of all ranks: every rank then returns its
share of the loss, and shares and gradients are summed over ranks.
"""

import torch
from torch import Tensor


def weighted_mean(x: Tensor, weights: Tensor | None = None, total: float | None = None) -> Tensor:
    """Return sum_m w_m x_m / total, a scalar, of x (M,)."""
    x = x if weights is None else x * weights
    return x.mean() if total is None else x.sum() / total


def ppo_policy_loss(
    log_prob: Tensor,
    old_log_prob: Tensor,
    advantages: Tensor,
    low: float,
    high: float,
    dual: float | None = None,
    weights: Tensor | None = None,
    total: float | None = None,
) -> Tensor:
    """Return PPO's clipped surrogate as a loss (Schulman et al., 2017, eq. 7).

        -mean min(r A, clip(r, 1 - low, 1 + high) A),  r = exp(log_prob - old_log_prob)

    Args:
        log_prob: (M,), of the actions under the policy that learns.
        old_log_prob: (M,), under the policy that acted.
        advantages: A, (M,).
        low: how far below 1 the ratio is clipped.
        high: how far above 1: more than `low` is DAPO's "clip-higher" (Yu et al., 2025, eq. 10).
        dual: c > 1 bounds the loss of a bad action at -c A, where its ratio is large (dual clip: Ye et al., 2020,
            eq. 5); None for no such bound.
        weights: (M,), see the module.
        total: see the module.
    """
    ratio = (log_prob - old_log_prob).exp()
    surrogate = torch.min(advantages * ratio, advantages * ratio.clamp(1 - low, 1 + high))
    if dual is not None:
        surrogate = torch.where(advantages < 0, torch.max(surrogate, dual * advantages), surrogate)
    return -weighted_mean(surrogate, weights, total)


def surrogate(
    log_prob: Tensor,
    old_log_prob: Tensor,
    advantages: Tensor,
    weights: Tensor | None = None,
    total: float | None = None,
) -> Tensor:
    """Return mean(r A), which TRPO maximises (Schulman et al., 2015, eq. 14), of (M,) each."""
    return weighted_mean(advantages * (log_prob - old_log_prob).exp(), weights, total)


def policy_gradient_loss(
    log_prob: Tensor, advantages: Tensor, weights: Tensor | None = None, total: float | None = None
) -> Tensor:
    """Return -mean(A log_prob), whose gradient is the policy gradient (Sutton & Barto, 2018, eq. 13.8); (M,) each."""
    return -weighted_mean(advantages * log_prob, weights, total)


def value_loss(
    values: Tensor,
    returns: Tensor,
    old_values: Tensor | None = None,
    clip: float | None = None,
    weights: Tensor | None = None,
    total: float | None = None,
) -> Tensor:
    """Return mean((V - returns)^2), of (M,) each.

    With `clip` V moves at most so far from `old_values` (the PPO code of Baselines; Engstrom et al., 2020, section 3).
    """
    if clip is not None:
        assert old_values is not None
        values = old_values + (values - old_values).clamp(-clip, clip)
    return weighted_mean((returns - values).square(), weights, total)


def entropy_loss(entropy: Tensor, weights: Tensor | None = None, total: float | None = None) -> Tensor:
    """Return -mean(H) of entropies (M,): to minimise it is to explore (Williams & Peng, 1991)."""
    return -weighted_mean(entropy, weights, total)


def kl_loss(kl: Tensor, weights: Tensor | None = None, total: float | None = None) -> Tensor:
    """Return mean(KL) of the states' divergences from a reference (M,); `agents.objectives.kl` estimates them."""
    return weighted_mean(kl, weights, total)


@torch.no_grad()
def approximate_kl(log_prob: Tensor, old_log_prob: Tensor, total: float | None = None) -> Tensor:
    """Return mean(r - 1 - log r), an estimate of KL(old || new) (Schulman, 2020, "Approximating KL divergence")."""
    log_ratio = log_prob - old_log_prob
    return weighted_mean((log_ratio.exp() - 1) - log_ratio, None, total)


@torch.no_grad()
def clip_fraction(
    log_prob: Tensor, old_log_prob: Tensor, low: float, high: float, total: float | None = None
) -> Tensor:
    """Return the share of ratios outside [1 - low, 1 + high]."""
    excess = (log_prob - old_log_prob).exp() - 1
    return weighted_mean(((excess > high) | (excess < -low)).to(log_prob.dtype), None, total)


def standardized(advantages: Tensor, of: Tensor | None = None) -> Tensor:
    """Return (A - mean) / (std + 1e-8), as Stable-Baselines3; mean and deviation are those `of` other advantages."""
    of = advantages if of is None else of
    return (advantages - of.mean()) / (of.std() + 1e-8)
