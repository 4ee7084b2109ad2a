"""KL to a frozen reference policy, in the reward or in the loss, with a fixed or an adaptive coefficient.

M states, T steps of N rows. In the reward: r_t - beta KL_t (Ziegler et al., 2019, eq. 2); in the loss: + beta mean(KL)
(GRPO: Shao et al., 2024, eq. 3).
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from stable_baselines3.common.distributions import Distribution
from torch import Tensor

from agents.distributed.group import Group
from agents.objectives.kl import AdaptiveCoefficient, FixedCoefficient, estimator
from agents.policies.policy import TransformerPolicy
from agents.rollouts.buffer import SequenceRolloutBuffer
from llm_envs.validation import check_choice


@dataclass(frozen=True)
class KL:
    """A penalty of `coefficient` times the estimated KL of each token, in nats; ValueError for an unknown choice."""

    coefficient: float = 0.05
    estimator: str = "k3"  # one of agents.objectives.kl.ESTIMATORS
    place: str = "loss"  # or "reward": it then enters advantages and values, too (Ziegler et al., 2019)
    target: float = 0.0  # nats a token that an adaptive coefficient steers to; 0: the coefficient is fixed
    horizon: int = 10_000  # of the adaptive coefficient, in episodes

    def __post_init__(self) -> None:
        check_choice("place", self.place, ("loss", "reward"))
        estimator(self.estimator)
        if self.place == "loss" and self.estimator == "k1":
            raise ValueError("estimator is 'k1'; its gradient as a loss is zero: use k2, k3 or full, or place='reward'")

    @classmethod
    def of(cls, given: Any) -> "tuple[KL | None, FixedCoefficient | AdaptiveCoefficient | None]":
        """Return options given as a `KL`, its arguments or None, and a new controller of their coefficient.

        Raises:
            TypeError: something else, or an unknown argument.
            ValueError: an argument out of range.
        """
        if given is None:
            return None, None
        if isinstance(given, Mapping):
            given = cls(**given)
        if not isinstance(given, cls):
            raise TypeError(f"kl is {given!r}; it must be None, a KL or a dict of its arguments")
        return given, given.controller()

    def controller(self) -> FixedCoefficient | AdaptiveCoefficient:
        """Return the coefficient's controller."""
        if self.target:
            return AdaptiveCoefficient(self.coefficient, self.target, self.horizon)
        return FixedCoefficient(self.coefficient)


class KLRegularizer:
    """A frozen reference policy, the KL of a learning policy from it, and what that KL is weighted by.

    Args:
        options: which estimator, and where its value goes.
        policy: the reference is a copy of it, with its present parameters.
        control: of the coefficient.
    """

    def __init__(self, options: KL, policy: TransformerPolicy, control: FixedCoefficient | AdaptiveCoefficient) -> None:
        self.options, self.control = options, control
        self.policy = copy.deepcopy(policy)  # the learning policy changes in place
        self.policy.requires_grad_(False)
        self.policy.set_training_mode(False)

    def divergence(self, obs: Any, actions: Tensor, distribution: Distribution, log_prob: Tensor) -> Tensor:
        """Return the estimated KL of each of M states, (M,), in nats.

        Args:
            obs: M states.
            actions: taken in them, (M, ...).
            distribution: of the learning policy; only the estimator `full` looks at it.
            log_prob: (M,), of the actions under the learning policy.
        """
        with torch.no_grad():
            reference = self.policy.get_distribution(obs)
        if self.options.estimator != "full":
            return estimator(self.options.estimator)(log_prob, reference.log_prob(actions))
        p, q = distribution.distribution, reference.distribution
        assert not isinstance(p, list)
        assert not isinstance(q, list)
        return torch.distributions.kl_divergence(p, q)

    @torch.no_grad()
    def of_rollout(self, policy: TransformerPolicy, buffer: SequenceRolloutBuffer) -> Tensor:
        """Return the KL (T, N) of every step that counts, 0 elsewhere; `policy` is the one that acted."""
        flat = buffer.valid_indices()  # (M,)
        batch = buffer.samples(flat, buffer.runs())
        kl = self.divergence(
            batch.observations, batch.actions, policy.get_distribution(batch.observations), batch.old_log_prob
        )
        found = torch.zeros_like(buffer.tensors["rewards"])
        found[flat % buffer.buffer_size, flat // buffer.buffer_size] = kl.to(found.dtype)
        return found

    def adapt(self, kl: Tensor, states: Tensor, episodes: Tensor, group: Group | None) -> dict[str, float]:
        """Adjust the coefficient by the mean KL; return what to log.

        Args:
            kl: summed over the states, a scalar.
            states: their number.
            episodes: number of episodes that ended since the last call.
            group: of a data parallel run, whose ranks' numbers are added up.
        """
        sums = torch.stack((kl, states.to(kl), episodes.to(kl)))  # one reduction and one transfer for all three
        total, count, ended = (sums if group is None else group.sum(sums)).tolist()
        logged = {"kl/per_token": total / count, "kl/coefficient": self.control.value}
        self.control.update(total / count, int(ended))
        return logged

    def state_dict(self) -> dict[str, Any]:
        """Return the reference's parameters and the coefficient."""
        return {"policy": self.policy.state_dict(), "coefficient": self.control.value}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self.policy.load_state_dict(state["policy"])
        self.control.value = state["coefficient"]
