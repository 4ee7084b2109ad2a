"""PPO (Schulman et al., 2017), with Stable-Baselines3's numbers."""

from typing import Any, ClassVar

from stable_baselines3 import PPO as StockPPO
from stable_baselines3.common.policies import BasePolicy
from torch import Tensor

from agents.algorithms.base import OnPolicy
from agents.objectives.losses import approximate_kl, clip_fraction, entropy_loss, ppo_policy_loss, value_loss
from agents.policies.policy import TransformerPolicy
from agents.rollouts.buffer import Minibatch


class PPO(OnPolicy, StockPPO):
    """SB3's PPO on a `TensorVecEnv`: `PPO("TransformerPolicy", env, policy_kwargs={"backbone": {...}})`.

    Args:
        args: SB3's.
        clip_range_high: how far above 1 the probability ratio is clipped; None: as far as below, `clip_range`.
        dual_clip: c > 1 bounds the loss of an action that was worse than expected; see `ppo_policy_loss`.
        kwargs: SB3's, and `kl` (agents.algorithms.kl_regularizer.KL).

    Raises:
        ValueError: a `clip_range_high` that is not positive, a `dual_clip` that is not above 1, or as SB3's.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        **StockPPO.policy_aliases,
        "TransformerPolicy": TransformerPolicy,
    }
    dual_clip: float | None = None  # models that were saved before it was there have none

    def __init__(
        self, *args: Any, clip_range_high: float | None = None, dual_clip: float | None = None, **kwargs: Any
    ) -> None:
        self.clip_range_high, self.dual_clip = clip_range_high, dual_clip
        super().__init__(*args, **kwargs)

    def _setup_model(self) -> None:
        # Here, since `load` comes this way and sets attributes without __init__.
        if self.clip_range_high is not None and not self.clip_range_high > 0:
            raise ValueError(f"clip_range_high is {self.clip_range_high}; it must be positive")
        if self.dual_clip is not None and not self.dual_clip > 1:
            raise ValueError(f"dual_clip is {self.dual_clip}; it must be above 1")
        super()._setup_model()

    def clip_ranges(self) -> tuple[float, float, float | None]:
        """Return how far the ratio is clipped below and above 1, and the value from its old one (None: not), now."""
        progress, ratio, values = self._current_progress_remaining, self.clip_range, self.clip_range_vf
        assert callable(ratio)  # schedules, since SB3's _setup_model
        low = ratio(progress)
        return low, self.clip_range_high or low, values(progress) if callable(values) else None

    def loss(self, batch: Minibatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return policy loss + vf_coef value loss + ent_coef entropy loss (+ beta KL), and the terms to log."""
        now, old, total = self.evaluate(batch), batch.old_log_prob, batch.total
        low, high, clip_values = self.clip_ranges()
        advantages = self.normalized_advantages(batch)
        policy = ppo_policy_loss(now.log_prob, old, advantages, low, high, self.dual_clip, batch.weights, total)
        value = value_loss(now.values, batch.returns, batch.old_values, clip_values, total=total)
        entropy = entropy_loss(now.entropy, total=total)
        terms = {
            "policy_gradient_loss": policy,
            "value_loss": value,
            "entropy_loss": entropy,
            "approx_kl": approximate_kl(now.log_prob, old, total),
            "clip_fraction": clip_fraction(now.log_prob, old, low, high, total),
        }
        return self.with_kl(policy + self.ent_coef * entropy + self.vf_coef * value, terms, now, batch)

    def exceeds_target_kl(self, terms: dict[str, Tensor]) -> bool:
        """Return whether the estimated KL from the policy that acted is above 1.5 target_kl."""
        return self.target_kl is not None and float(terms["approx_kl"]) > 1.5 * self.target_kl

    def train(self) -> None:
        """Update the policy on the newest rollout."""
        self._update(self.n_epochs, self.batch_size)
        low, _, values = self.clip_ranges()
        self.logger.record("train/clip_range", low)
        if values is not None:
            self.logger.record("train/clip_range_vf", values)
