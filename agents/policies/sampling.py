"""Which actions are sampled, and how: temperature, top-k, top-p, epsilon-greedy, in that order, and the draw itself.

Training must use the log-probs of the distribution that was really sampled from. Top-k and top-p cut it by the logits
of the moment, so an update, whose logits have moved on, has to be given the actions that were left then: `support` is
read once while acting and kept, `shaped` takes it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from stable_baselines3.common.distributions import CategoricalDistribution, Distribution
from torch import Tensor, nn

from agents.distributed.group import Group

ILLEGAL = -1e8  # logit of actions that cannot be drawn; finite, because with -inf gradients of KL and entropy are NaN
LEGAL_ABOVE = -1e7  # policies give illegal actions -1e8; no legal logit is near


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
        """Whether top-k or top-p leave actions out, so that `shaped` needs a support."""
        return self.top_k > 0 or self.top_p < 1.0


def support(logits: Tensor, sampling: Sampling) -> Tensor:
    """Return (N, A) bool: the actions that top-k and then top-p, renormalised, leave of logits (N, A).

    Of actions that tie at the edge the first stay, so top-k leaves no more than k. At least one stays; illegal ones
    (-1e8) never do, unless a row has no other.
    """
    legal = _legal(logits)
    ordered, order = _heated(logits, sampling.temperature).sort(dim=-1, descending=True, stable=True)
    kept = legal.gather(-1, order)
    if sampling.top_k:
        kept &= torch.arange(logits.shape[-1], device=logits.device) < sampling.top_k
    if sampling.top_p < 1.0:
        probs = ordered.masked_fill(~kept, -math.inf).softmax(-1)
        before = nn.functional.pad(probs[..., :-1].cumsum(-1), (1, 0))  # mass of the more probable actions
        kept &= before < sampling.top_p
    return torch.zeros_like(kept).scatter(-1, order, kept)


def shaped(logits: Tensor, allowed: Tensor | None, sampling: Sampling) -> Tensor:
    """Return the distribution sampled from as normalised log-probs (N, A); the logits themselves if nothing changes.

    `allowed` (N, A) bool is what `support` gave when the action was sampled, None without top-k and top-p. Epsilon is
    spread over all legal actions, also those not allowed. What cannot be drawn has about -1e8 and gradient 0.
    """
    if sampling.restricts and allowed is None:
        raise ValueError(f"{sampling} needs `allowed`, the support at the time of sampling")
    if sampling == Sampling() and allowed is None:
        return logits
    legal = _legal(logits)
    drawable = legal if allowed is None else legal & allowed
    log_probs = _heated(logits, sampling.temperature).masked_fill(~drawable, ILLEGAL).log_softmax(-1)
    if not sampling.epsilon:
        return log_probs
    uniform = legal.sum(-1, keepdim=True).to(logits.dtype).log().neg().expand_as(logits).masked_fill(~legal, ILLEGAL)
    policy = log_probs + (math.log1p(-sampling.epsilon) if sampling.epsilon < 1.0 else ILLEGAL)
    return torch.logaddexp(policy, uniform + math.log(sampling.epsilon))


def sample(distribution: Distribution, deterministic: bool, group: Group | None = None) -> Tensor:
    """Draw actions, or take the most likely ones; with a `group`, what one process would draw for this rank's rows.

    For discrete actions the draw is bit for bit that of `Categorical.sample()` (an exponential race), without the check
    of its arguments by which `torch.multinomial` waits for the device.
    """
    if deterministic:
        return distribution.mode()
    if isinstance(distribution, CategoricalDistribution):
        probs = distribution.distribution.probs
        return (probs / _own(probs, group, Tensor.exponential_)).argmax(dim=-1)
    if group is not None:
        normal = distribution.distribution
        assert isinstance(normal, torch.distributions.Normal)
        return normal.loc + normal.scale * _own(normal.loc, group, Tensor.normal_)
    return distribution.sample()


def _own(like: Tensor, group: Group | None, fill: Callable[[Tensor], Tensor]) -> Tensor:
    """Return random numbers of a tensor's shape: this rank's rows of those that `fill` draws for all ranks."""
    size, rank = (1, 0) if group is None else (group.size, group.rank)
    return fill(like.new_empty((size, *like.shape)))[rank]


def _legal(logits: Tensor) -> Tensor:
    """Return (N, A) bool; all True in a row without a legal action."""
    legal = logits > LEGAL_ABOVE
    return legal | ~legal.any(-1, keepdim=True)


def _heated(logits: Tensor, temperature: float) -> Tensor:
    """Divide by the temperature; the largest becomes 0, so that a small temperature overflows nothing."""
    return ((logits - logits.detach().amax(-1, keepdim=True)) / temperature).clamp(min=ILLEGAL)
