"""REINFORCE (Williams, 1992) and RLOO (Ahmadian et al., 2024): advantages of whole episodes under A2C's loss."""

from typing import Any

import torch
from torch import Tensor

from agents.algorithms.a2c import A2C
from agents.algorithms.episodic import WholeEpisodes, normalized
from agents.objectives.advantages import MovingAverage, leave_one_out
from llm_envs.validation import check_choice

BASELINES = ("none", "moving_average", "learned", "leave_one_out")


class REINFORCE(WholeEpisodes, A2C):
    """REINFORCE: one gradient step a rollout on -sum_t (G_t - b) log pi(a_t | s_t), averaged over episodes.

    Sutton & Barto (2018), section 13.4, with the sum over an episode's steps.

    Args:
        policy: as A2C's.
        env: a bare `TensorVecEnv`; with baseline="leave_one_out" its `group_size` must be 2 or more.
        baseline: b. "none"; "moving_average" of earlier rollouts' returns; "learned", the critic's V(s_t);
            "leave_one_out", the mean return of the other episodes of the same level.
        normalize: "batch" standardises the rollout's advantages, "none" leaves them unchanged.
        kwargs: A2C's. Its defaults here: Adam for RMSprop, vf_coef 0 unless the baseline is learned, gamma 1.

    Raises:
        ValueError: an unknown choice, or groups of one with a leave-one-out baseline.
    """

    def __init__(
        self, policy: Any, env: Any, baseline: str = "moving_average", normalize: str = "none", **kwargs: Any
    ) -> None:
        self.baseline, self.normalize = baseline, normalize
        self.moving_average = MovingAverage()
        defaults = {"n_steps": 0, "gamma": 1.0, "gae_lambda": 1.0, "use_rms_prop": False}
        defaults["vf_coef"] = 0.5 if baseline == "learned" else 0.0
        super().__init__(policy, env, **{**defaults, **kwargs})

    def _setup_model(self) -> None:
        check_choice("baseline", self.baseline, BASELINES)
        check_choice("normalize", self.normalize, ("none", "batch"))
        super()._setup_model()
        if self.env is not None and self.baseline == "leave_one_out" and self.group_size < 2:
            raise ValueError("baseline 'leave_one_out' needs several rows a level: TensorVecEnv(..., group_size=8)")

    def episode_advantages(self, returns: Tensor, values: Tensor, used: Tensor) -> Tensor:
        """Return returns to go less the baseline, (T, N)."""
        advantages = returns - self._baselines(returns, values)
        return normalized(advantages, used, self.normalize)

    def _baselines(self, returns: Tensor, values: Tensor) -> Tensor:
        """Return the baseline b of each return, (T, N)."""
        if self.baseline == "learned":
            return values
        if self.baseline == "leave_one_out":
            baselines = returns[0] - leave_one_out(returns[0].view(-1, self.group_size)).view(-1)  # (N,)
        elif self.baseline == "moving_average":
            baselines = self.moving_average.value.to(returns)
            self.moving_average.update(returns[0].cpu())  # after its value is read: see MovingAverage
        else:
            baselines = torch.zeros_like(returns[0])
        baselines = baselines.expand_as(returns).clone()
        self._buffer.tensors["baselines"] = baselines  # stored with the rollout, for replay
        return baselines

    def weigh_replayed(self, advantages: Tensor, used: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the advantages, normalised as fresh ones are, and the tokens' weights of the batch."""
        return super().weigh_replayed(normalized(advantages, used, self.normalize), used)


class RLOO(REINFORCE):
    """REINFORCE leave-one-out: every token's advantage is its episode's return less the mean of the group's others.

    The whole return, not the return to go: the sequence is one action (Ahmadian et al., 2024).

    Raises:
        ValueError: groups of one, or `replay`: stored episodes are not in groups.
    """

    def __init__(self, policy: Any, env: Any, **kwargs: Any) -> None:
        if kwargs.get("replay") is not None:
            raise ValueError("RLOO compares fresh episodes of one level; use replay with REINFORCE or A2C")
        super().__init__(policy, env, **{"baseline": "leave_one_out", **kwargs})

    def episode_advantages(self, returns: Tensor, values: Tensor, used: Tensor) -> Tensor:
        """Return each episode's return less the mean of its group's others, at all of its steps, (T, N)."""
        whole = leave_one_out(returns[0].view(-1, self.group_size)).view(-1)
        return normalized(torch.where(used, whole, 0.0), used, self.normalize)
