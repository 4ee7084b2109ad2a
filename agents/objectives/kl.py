"""KL(policy || reference) of each token, and the coefficient that it is weighted by.

`k1`, `k2`, `k3` see the log-probs of sampled actions (Schulman, 2020, "Approximating KL divergence"), `full` sees all
logits. With actions drawn from the policy itself:

    name   as a value   differentiated as a loss, its expected gradient is that of
    k1     unbiased     nothing: it is zero
    k2     biased       KL(policy || reference), unbiased
    k3     unbiased     KL(reference || policy), the other direction
    full   exact        KL(policy || reference), exact

That gradient is the next token's. The text's KL also depends on which prefixes the policy goes to; added to the reward,
an estimator that is unbiased as a value (k1, k3, full) accounts for both (Tang & Munos, 2025, "On a few pitfalls in KL
divergence gradient estimation for RL").
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from llm_envs.validation import check_choice

MAX_ERROR = 0.2  # clip of the relative error in one update (Ziegler et al., 2019)


def k1(log_probs: Tensor, reference_log_probs: Tensor) -> Tensor:
    """Return log(p/q), in nats, of the log-probs' shape; can be negative, and has high variance."""
    return log_probs - reference_log_probs


def k2(log_probs: Tensor, reference_log_probs: Tensor) -> Tensor:
    """Return log(p/q)^2 / 2, of the log-probs' shape: never negative; exact to second order where p is near q."""
    return 0.5 * (log_probs - reference_log_probs).square()


def k3(log_probs: Tensor, reference_log_probs: Tensor) -> Tensor:
    """Return q/p - 1 - log(q/p), of the log-probs' shape: never negative. GRPO's (Shao et al., 2024, eq. 4)."""
    log_ratio = reference_log_probs - log_probs
    return torch.expm1(log_ratio) - log_ratio  # expm1: no cancellation where the policies are close


def full(logits: Tensor, reference_logits: Tensor) -> Tensor:
    """Return KL(p || q) = sum_a p_a (log p_a - log q_a), (P,), from logits (P, A).

    Illegal actions must have a finite logit such as -1e8 in both: they then add 0, and 0 to the gradient. (With -inf it
    would be 0 * nan.)
    """
    log_probs, reference = logits.log_softmax(-1), reference_logits.log_softmax(-1)
    return (log_probs.exp() * (log_probs - reference)).sum(-1)


ESTIMATORS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"k1": k1, "k2": k2, "k3": k3, "full": full}


def estimator(name: str) -> Callable[[Tensor, Tensor], Tensor]:
    """Return an estimator by name (`full` takes logits, the others log-probs); ValueError for an unknown name."""
    check_choice("KL estimator", name, tuple(ESTIMATORS))
    return ESTIMATORS[name]


@dataclass
class FixedCoefficient:
    """A constant coefficient, with the interface of an adaptive one; ValueError unless finite and not negative."""

    value: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.value < math.inf:
            raise ValueError(f"the KL coefficient is {self.value}; it must be finite and not negative")

    def update(self, kl: float, episodes: int) -> None:
        """Leave the coefficient as it is."""


@dataclass
class AdaptiveCoefficient:
    """A proportional controller that steers the KL to `target` (Ziegler et al., 2019, section 2.2).

        error = clip((kl - target) / target, -0.2, 0.2)
        value <- value (1 + error episodes / horizon)

    Their K_beta = 0.1 is episodes / horizon. `kl` and `target` have the same unit: nats a text, or nats a token.
    ValueError unless value, target and horizon are finite and positive.
    """

    value: float
    target: float
    horizon: int = 10_000  # episodes over which a clipped error moves the value by a factor of about e^0.2

    def __post_init__(self) -> None:
        for name in ("value", "target", "horizon"):
            if not 0.0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be finite and positive")

    def update(self, kl: float, episodes: int) -> None:
        """Adjust the coefficient, given the mean KL of `episodes` new episodes.

        Raises ValueError for a KL that is not finite, or so many episodes that the value could reach zero.
        """
        if not math.isfinite(kl):
            raise ValueError(f"the measured KL is {kl}; the policy or the reference gave log-probs that are not finite")
        gain = episodes / self.horizon
        if not 0.0 <= gain * MAX_ERROR < 1.0:
            raise ValueError(f"{episodes} episodes an update need a horizon above {MAX_ERROR * episodes:g}")
        error = min(max(kl / self.target - 1.0, -MAX_ERROR), MAX_ERROR)
        self.value *= 1.0 + error * gain
