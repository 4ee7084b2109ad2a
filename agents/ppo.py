"""PPO (Schulman et al., 2017) as Stable-Baselines3 has it, with rollouts that stay on the device.

`train()`, losses, schedules, logging, saving and callbacks are SB3's, unchanged; see `agents.rollouts` for what is not.
"""

from typing import ClassVar

from stable_baselines3 import PPO as StockPPO
from stable_baselines3.common.policies import BasePolicy

from agents.policies import TransformerPolicy
from agents.rollouts import OnDeviceRollouts


class PPO(OnDeviceRollouts, StockPPO):
    """SB3's PPO on a `TensorVecEnv`: `PPO("TransformerPolicy", env, policy_kwargs={"backbone": {...}})`."""

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        **StockPPO.policy_aliases,
        "TransformerPolicy": TransformerPolicy,
    }
