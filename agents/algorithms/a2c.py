"""A2C (Mnih et al., 2016) as Stable-Baselines3 has it, with rollouts that stay on the device and experience replay."""

from typing import ClassVar

from stable_baselines3 import A2C as StockA2C
from stable_baselines3.common.policies import BasePolicy

from agents.algorithms.kl_regularizer import Regularized
from agents.policies.policy import TransformerPolicy
from agents.rollouts.replay import Replaying


class A2C(Replaying, Regularized, StockA2C):
    """SB3's A2C on a `TensorVecEnv`: `A2C("TransformerPolicy", env, policy_kwargs={"backbone": {...}})`.

    `replay={"capacity": 10_000, "batches": 4, ...}`, or a `Replay`, adds updates on stored rollouts.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        **StockA2C.policy_aliases,
        "TransformerPolicy": TransformerPolicy,
    }
