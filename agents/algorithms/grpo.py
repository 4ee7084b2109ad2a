"""GRPO (Shao et al., 2024): PPO's clipped loss on returns normalised within a group of episodes of one level."""

from typing import Any

import torch
from torch import Tensor

from agents.algorithms.episodic import WholeEpisodes
from agents.algorithms.ppo import PPO
from agents.objectives.advantages import group_normalized
from llm_envs.validation import check_choice


class GRPO(WholeEpisodes, PPO):
    """GRPO: no critic; the advantage of every token is its episode's return, normalised within its group.

    Args:
        policy: as PPO's.
        env: a bare `TensorVecEnv` with `group_size` 2 or more.
        scale: divide by the group's standard deviation. False is Dr. GRPO (Liu et al., 2025), which goes with
            weighting="episode".
        weighting: of tokens: "sequence", as in the paper, "episode" or "token"; see
            `agents.objectives.advantages.token_weights`.
        kwargs: PPO's, and its `kl`. Defaults here: one epoch, gamma 1, no value loss.

    Raises:
        ValueError: an unknown weighting, or groups of one.
    """

    def __init__(self, policy: Any, env: Any, scale: bool = True, weighting: str = "sequence", **kwargs: Any) -> None:
        self.scale, self.weighting = scale, weighting
        defaults = {"n_steps": 0, "gamma": 1.0, "gae_lambda": 1.0, "vf_coef": 0.0, "n_epochs": 1}
        super().__init__(policy, env, **{**defaults, **kwargs, "normalize_advantage": False})

    def _setup_model(self) -> None:
        check_choice("weighting", self.weighting, ("sequence", "episode", "token"))
        super()._setup_model()
        if self.env is not None and self.group_size < 2:
            raise ValueError("GRPO needs several rows a level: TensorVecEnv(..., group_size=8)")

    def episode_advantages(self, returns: Tensor, values: Tensor, used: Tensor) -> Tensor:
        """Return each episode's return, normalised within its group, at all of its steps, (T, N)."""
        groups = group_normalized(returns[0].view(-1, self.group_size), self.scale).view(-1)
        return torch.where(used, groups, 0.0)
