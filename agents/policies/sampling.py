"""How actions are sampled: temperature, top-k, top-p, epsilon-greedy, in that order, and the draw itself.

Training must use the log-probs of the distribution that was really sampled from. Top-k and top-p depend on the logits
at the time of sampling, so an update, whose logits have changed, is given the mask from then: `top_k_top_p_mask` is
computed once while acting and stored, `adjusted_log_probs` takes it. N rows, A actions.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from stable_baselines3.common.distributions import CategoricalDistribution, Distribution
from torch import Tensor, nn

from agents.distributed.group import Group

ILLEGAL = -1e8  # logit of actions that cannot be drawn; finite, because with -inf gradients of KL and entropy are NaN
LEGAL_ABOVE = -1e7  # separates legal logits, which are never so low, from illegal ones


@dataclass(frozen=True)
class Sampling:
    """How to sample; the defaults leave the policy's distribution as it is. ValueError if out of range."""

    temperature: float = 1.0  # divides the logits, > 0; greedy decoding is top_k=1
    top_k: int = 0  # only the k most probable actions (Fan et al., 2018); 0: all
    top_p: float = 1.0  # only the fewest whose probabilities reach p, in (0, 1] (Holtzman et al., 2020)
    epsilon: float = 0.0  # probability of a legal action drawn uniformly instead, in [0, 1]

    def __post_init__(self) -> None:
        if not 0.0 < self.temperature < math.inf:
            raise ValueError(f"temperature is {self.temperature}; it must be positive and finite (greedy: top_k=1)")
        if self.top_k != int(self.top_k) or self.top_k < 0:
            raise ValueError(f"top_k is {self.top_k}; it must be a whole number, 0 for all actions")
        if not 0.0 < self.top_p <= 1.0:
            raise ValueError(f"top_p is {self.top_p}; it must be in (0, 1]")
        if not 0.0 <= self.epsilon <= 1.0:
            raise ValueError(f"epsilon is {self.epsilon}; it must be in [0, 1]")

    @property
    def restricts(self) -> bool:
        """Whether top-k or top-p exclude actions, so that `adjusted_log_probs` needs their mask."""
        return self.top_k > 0 or self.top_p < 1.0


def top_k_top_p_mask(logits: Tensor, sampling: Sampling) -> Tensor:
    """Return (N, A) bool: the actions that top-k and then top-p, renormalised, keep of logits (N, A).

    Of actions that tie at the threshold the first stay, so top-k keeps no more than k. At least one is kept; illegal
    ones (-1e8) never are, unless a row has no other.
    """
    legal = _legal(logits)
    ordered, order = _scaled(logits, sampling.temperature).sort(dim=-1, descending=True, stable=True)  # (N, A)
    kept = legal.gather(-1, order)
    if sampling.top_k:
        kept &= torch.arange(logits.shape[-1], device=logits.device) < sampling.top_k
    if sampling.top_p < 1.0:
        probs = ordered.masked_fill(~kept, -math.inf).softmax(-1)
        # The nucleus is the shortest prefix that reaches p: an action stays while the mass before it is below p.
        before = nn.functional.pad(probs[..., :-1].cumsum(-1), (1, 0))
        kept &= before < sampling.top_p
    return torch.zeros_like(kept).scatter(-1, order, kept)  # back to the order of the actions


def adjusted_log_probs(logits: Tensor, kept: Tensor | None, sampling: Sampling) -> Tensor:
    """Return log-probs (N, A) of the distribution sampled from; the logits themselves if `sampling` changes nothing.

        pi(a) = (1 - epsilon) softmax(logits / temperature restricted to kept)_a + epsilon / #legal

    Actions that cannot be drawn have about -1e8 and gradient 0. Epsilon goes to all legal actions, kept or not.

    Args:
        logits: (N, A), illegal actions at -1e8.
        kept: (N, A) bool, the `top_k_top_p_mask` at the time of sampling; None without top-k and top-p.
        sampling: how it was sampled.

    Raises:
        ValueError: top-k or top-p without `kept`.
    """
    if sampling.restricts and kept is None:
        raise ValueError(f"{sampling} needs `kept`, the top_k_top_p_mask at the time of sampling")
    if sampling == Sampling() and kept is None:
        return logits
    legal = _legal(logits)
    drawable = legal if kept is None else legal & kept
    log_probs = _scaled(logits, sampling.temperature).masked_fill(~drawable, ILLEGAL).log_softmax(-1)
    if not sampling.epsilon:
        return log_probs
    # The mixture in log space: log((1 - epsilon) p + epsilon u), with u uniform over the legal actions.
    uniform = legal.sum(-1, keepdim=True).to(logits.dtype).log().neg().expand_as(logits).masked_fill(~legal, ILLEGAL)
    policy = log_probs + (math.log1p(-sampling.epsilon) if sampling.epsilon < 1.0 else ILLEGAL)
    return torch.logaddexp(policy, uniform + math.log(sampling.epsilon))


def categorical(logits: Tensor) -> CategoricalDistribution:
    """Return SB3's distribution over A actions, from logits (B, A)."""
    distribution = CategoricalDistribution(logits.shape[-1])
    # Not SB3's proba_distribution: it validates its arguments, which on a GPU waits for the device at every step.
    distribution.distribution = torch.distributions.Categorical(logits=logits, validate_args=False)
    return distribution


def sample(distribution: Distribution, deterministic: bool, group: Group | None = None) -> Tensor:
    """Return actions drawn from a distribution over N rows, or the most likely ones: (N,), or (N, ...) of a Gaussian.

    With a `group`, the actions are this rank's rows of what a single process would draw for all rows.
    """
    if deterministic:
        return distribution.mode()
    if isinstance(distribution, CategoricalDistribution):
        # argmax_a p_a / E_a with E_a ~ Exp(1) is distributed as p (an exponential race). It is bit for bit the draw of
        # Categorical.sample(), without torch.multinomial's check of its arguments, which waits for the device.
        probs = distribution.distribution.probs  # (N, A)
        return (probs / _random_like(probs, group, Tensor.exponential_)).argmax(dim=-1)
    if group is not None:
        normal = distribution.distribution
        assert isinstance(normal, torch.distributions.Normal)
        return normal.loc + normal.scale * _random_like(normal.loc, group, Tensor.normal_)
    return distribution.sample()


def _random_like(like: Tensor, group: Group | None, fill: Callable[[Tensor], Tensor]) -> Tensor:
    """Return random numbers of a tensor's shape: this rank's part of those that `fill` draws for all ranks."""
    size, rank = (1, 0) if group is None else (group.size, group.rank)
    return fill(like.new_empty((size, *like.shape)))[rank]


def _legal(logits: Tensor) -> Tensor:
    """Return (N, A) bool; all True in a row without a legal action."""
    legal = logits > LEGAL_ABOVE
    return legal | ~legal.any(-1, keepdim=True)


def _scaled(logits: Tensor, temperature: float) -> Tensor:
    """Return logits / temperature, shifted so that the largest is 0: a small temperature then overflows nothing."""
    return ((logits - logits.detach().amax(-1, keepdim=True)) / temperature).clamp(min=ILLEGAL)
