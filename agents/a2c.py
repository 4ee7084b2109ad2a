"""A2C (Mnih et al., 2016) as Stable-Baselines3 has it, with rollouts that stay on the device."""

from typing import ClassVar

from stable_baselines3 import A2C as StockA2C
from stable_baselines3.common.policies import BasePolicy

from agents.policies import TransformerPolicy
from agents.rollouts import OnDeviceRollouts


class A2C(OnDeviceRollouts, StockA2C):
    """SB3's A2C on a `TensorVecEnv`: `A2C("TransformerPolicy", env, policy_kwargs={"backbone": {...}})`."""

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        **StockA2C.policy_aliases,
        "TransformerPolicy": TransformerPolicy,
    }
