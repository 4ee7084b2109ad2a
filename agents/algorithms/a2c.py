"""A2C (Mnih et al., 2016), with Stable-Baselines3's numbers, and with experience replay."""

from collections.abc import Mapping
from typing import Any, ClassVar

from stable_baselines3 import A2C as StockA2C
from stable_baselines3.common.policies import BasePolicy
from torch import Tensor

from agents.algorithms.base import OnPolicy
from agents.objectives.losses import entropy_loss, policy_gradient_loss, value_loss
from agents.policies.policy import TransformerPolicy
from agents.rollouts.buffer import Minibatch
from agents.rollouts.replay import Replay


class A2C(OnPolicy, StockA2C):
    """SB3's A2C on a `TensorVecEnv`: `A2C("TransformerPolicy", env, policy_kwargs={"backbone": {...}})`.

    Args:
        args: SB3's.
        replay: {"capacity": 10_000, "batches": 4, ...}, or a `Replay`, adds updates on stored rollouts. A saved model
            has the options, not the transitions; to load it for another environment than a bare `TensorVecEnv`, give
            `load` the argument `replay=None`.
        kwargs: SB3's, and `kl` (agents.algorithms.kl_regularizer.KL).
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        **StockA2C.policy_aliases,
        "TransformerPolicy": TransformerPolicy,
    }

    def __init__(self, *args: Any, replay: Replay | Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        self.replay = Replay.of(replay)
        super().__init__(*args, **kwargs)

    def loss(self, batch: Minibatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return policy loss + vf_coef value loss + ent_coef entropy loss (+ beta KL), and the terms to log."""
        now, total = self.evaluate(batch), batch.total
        policy = policy_gradient_loss(now.log_prob, self.normalized_advantages(batch), batch.weights, total)
        value = value_loss(now.values, batch.returns, total=total)
        entropy = entropy_loss(now.entropy, total=total)
        terms = {"policy_loss": policy, "value_loss": value, "entropy_loss": entropy}
        return self.with_kl(policy + self.ent_coef * entropy + self.vf_coef * value, terms, now, batch)

    def train(self) -> None:
        """Take one gradient step on the newest rollout, and one on each replayed batch."""
        self._update(1, None)
