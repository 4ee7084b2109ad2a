"""KL to a frozen reference policy, in the reward or in the loss, with a fixed or an adaptive coefficient.

M states, T steps of N rows. In the reward: r_t - beta KL_t (Ziegler et al., 2019, eq. 2); in the loss: + beta mean(KL)
(GRPO: Shao et al., 2024, eq. 3).
"""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from stable_baselines3.common.distributions import Distribution
from torch import Tensor

from agents.objectives.kl import AdaptiveCoefficient, FixedCoefficient, estimator
from agents.policies.packing import flat_indices
from agents.policies.policy import TransformerPolicy
from agents.rollouts.buffer import SequenceRolloutBuffer
from agents.rollouts.collector import OnDeviceRollouts
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

    def controller(self) -> FixedCoefficient | AdaptiveCoefficient:
        """Return the coefficient's controller."""
        if self.target:
            return AdaptiveCoefficient(self.coefficient, self.target, self.horizon)
        return FixedCoefficient(self.coefficient)


class Reference:
    """A frozen policy, and the KL of the learning policy from it.

    Args:
        options: which estimator.
        policy: the reference is a copy of it, with its present parameters.
    """

    def __init__(self, options: KL, policy: TransformerPolicy) -> None:
        self.options = options
        self.policy = copy.deepcopy(policy)  # the learning policy changes in place
        self.policy.requires_grad_(False)
        self.policy.set_training_mode(False)

    def per_token(self, obs: Any, log_probs: Tensor, actions: Tensor, distribution: Distribution | None) -> Tensor:
        """Return the estimated KL of each of M states, (M,), in nats.

        `full` needs the learning policy's `distribution`, the others its log-probs (M,) of the actions (M, ...).
        """
        with torch.no_grad():
            reference = self.policy.get_distribution(obs)
        if self.options.estimator != "full":
            return estimator(self.options.estimator)(log_probs, reference.log_prob(actions))
        assert distribution is not None
        p, q = distribution.distribution, reference.distribution
        assert not isinstance(p, list)
        assert not isinstance(q, list)
        return torch.distributions.kl_divergence(p, q)


class Regularized(OnDeviceRollouts):
    """On-device rollouts with a KL term: `kl=KL(...)`, or its arguments as a dict; None for no such term.

    A mixin, first in the bases of an SB3 on-policy algorithm. The reference is the policy as it is at the first
    `learn()`, after any warm start; `set_reference` makes it another.
    """

    kl: KL | None
    kl_control: FixedCoefficient | AdaptiveCoefficient | None
    reference: Reference | None = None

    def __init__(self, *args: Any, kl: KL | dict[str, Any] | None = None, **kwargs: Any) -> None:
        self.kl = KL(**kl) if isinstance(kl, dict) else kl
        self.kl_control = self.kl.controller() if self.kl is not None else None
        super().__init__(*args, **kwargs)

    def set_reference(self, policy: TransformerPolicy | None = None) -> None:
        """Make a frozen copy of `policy`, or of the algorithm's own, the reference; ValueError without a KL term."""
        if self.kl is None:
            raise ValueError("this algorithm has no KL term; give it kl={'coefficient': ...}")
        self.reference = Reference(self.kl, policy or self.policy)  # type: ignore[attr-defined]
        self.reference.policy.to(self.device)  # type: ignore[attr-defined]

    def _setup_learn(self, *args: Any, **kwargs: Any) -> Any:
        if self.kl is not None and self.reference is None:
            self.set_reference()
        return super()._setup_learn(*args, **kwargs)  # type: ignore[misc]

    def _apply_kl_penalty(self, buffer: SequenceRolloutBuffer) -> None:
        """Subtract beta KL from the rewards of a whole rollout, if so asked, before advantages are computed."""
        if self.kl is None or self.kl.place != "reward":
            return
        assert self.reference is not None
        assert self.kl_control is not None
        flat = buffer.valid_indices()  # (M,)
        batch = buffer.samples(flat, buffer.runs())
        with torch.no_grad():
            own = self.policy.get_distribution(batch.observations) if self.kl.estimator == "full" else None  # type: ignore[attr-defined]
            kl = self.reference.per_token(batch.observations, batch.old_log_prob, batch.actions, own)
        rows, steps = flat // buffer.buffer_size, flat % buffer.buffer_size
        buffer.tensors["rewards"][steps, rows] -= self.kl_control.value * kl
        self._update_coefficient(kl.sum(), kl.new_tensor(float(len(kl))))

    def _update_coefficient(self, kl: Tensor, states: Tensor) -> None:
        """Log the mean KL and adjust the coefficient by it; in a data parallel run, by that of all ranks.

        `kl` is summed over a number of `states`, both scalars.
        """
        assert self.kl_control is not None
        buffer: Any = self.rollout_buffer  # type: ignore[attr-defined]
        ended = (buffer.tensors["dones"] & ~buffer.tensors["unused"]).sum()
        sums = torch.stack((kl, states, ended.to(kl)))  # one reduction and one transfer for all three
        total, count, episodes = (sums if self.group is None else self.group.sum(sums)).tolist()
        self.logger.record("kl/per_token", total / count)  # type: ignore[attr-defined]
        self.logger.record("kl/coefficient", self.kl_control.value)  # type: ignore[attr-defined]
        self.kl_control.update(total / count, int(episodes))

    def _update(self) -> None:
        """Run the algorithm's `train()`; with the KL in the loss, c_H H - beta KL replaces the entropy.

        SB3 adds -ent_coef mean(entropy): with ent_coef 1 that is -c_H mean(H) + beta mean(KL). Token weights apply to
        the KL as they do to advantages: GRPO's KL stands inside the mean over each episode (its eq. 3).
        """
        if self.kl is None or self.kl.place != "loss":
            super()._update()
            return
        reference, control, entropy_coefficient = self.reference, self.kl_control, self.ent_coef  # type: ignore[has-type]
        assert reference is not None
        assert control is not None
        weights = self.rollout_buffer.tensors.get("weights")  # type: ignore[attr-defined]
        sums = torch.zeros(3, device=self.device)  # type: ignore[attr-defined]  # of KL, entropy and states

        def regularizer(obs: Any, actions: Tensor, distribution: Distribution, log_probs: Tensor) -> Tensor:
            kl = reference.per_token(obs, log_probs, actions, distribution)
            entropy = distribution.entropy()
            assert entropy is not None
            if torch.is_grad_enabled():  # not in the passes that only measure
                sums.add_(torch.stack((kl.detach().sum(), entropy.detach().sum(), kl.new_tensor(float(len(kl))))))
            if (flat := flat_indices(obs)) is not None and weights is not None:
                kl = kl * weights[flat % len(weights), flat // len(weights)]
            return entropy_coefficient * entropy - control.value * kl

        policy: TransformerPolicy = self.policy  # type: ignore[attr-defined]
        # SB3's train() reads both at each minibatch; restored whatever happens.
        policy.regularizer, self.ent_coef = regularizer, 1.0
        try:
            super()._update()
        finally:
            policy.regularizer, self.ent_coef = None, entropy_coefficient
        kl, entropy, count = sums
        self.logger.record("train/entropy_loss", -float(entropy / count))  # type: ignore[attr-defined]
        self._update_coefficient(kl, count)

    # ------------------------------------------------------------------ saving

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        # The reference is saved as weights, next to the policy's.
        state_dicts, tensors = super()._get_torch_save_params()  # type: ignore[misc]
        return ([*state_dicts, "reference.policy"] if self.reference is not None else state_dicts), tensors

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "reference", "_actor"]  # type: ignore[misc]

    def set_parameters(self, load_path_or_dict: Any, *args: Any, **kwargs: Any) -> None:
        """SB3's, with the reference made first where the saved model has one."""
        if isinstance(load_path_or_dict, dict) and "reference.policy" in load_path_or_dict and self.reference is None:
            self.set_reference()
        super().set_parameters(load_path_or_dict, *args, **kwargs)  # type: ignore[misc]
