"""Rollouts of whole episodes, for estimators that need an episode's whole return: REINFORCE, RLOO, GRPO.

Every row begins a new episode; the rollout ends when each has ended one. What a row does after its end does not count.
With the environment's `group_size` the rows of a group get the same level.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from agents.objectives.advantages import returns_to_go, token_weights
from agents.rollouts.buffer import SequenceRolloutBuffer
from agents.rollouts.collector import OnDeviceRollouts
from llm_envs.adapters.sb3 import TensorVecEnv
from llm_envs.validation import check_choice


class WholeEpisodes(OnDeviceRollouts):
    """Mixin, first in the bases of an SB3 on-policy algorithm; a subclass says what an episode's advantage is.

    `n_steps` is the most that an episode may take; 0, the default, for the world's time limit, or its window. An
    episode that is longer counts as it stands then. Every row ends one episode a rollout, so `n_envs` is the number of
    episodes an update.
    """

    n_steps: int
    weighting = "episode"  # of tokens, see agents.objectives.advantages.token_weights

    def _setup_model(self) -> None:
        if self.env is not None:
            if not isinstance(self.env, TensorVecEnv):
                raise TypeError(f"{type(self).__name__} needs a bare TensorVecEnv, not {type(self.env).__name__}")
            if not self.n_steps:
                self.n_steps = episode_limit(self.env)
        super()._setup_model()
        if self.env is not None:
            self.policy.shares_beginnings = self.group_size > 1  # type: ignore[attr-defined]

    @property
    def group_size(self) -> int:
        """Rows that share a level."""
        return self.env.batch.group_size

    def _begin_rollout(self, env: TensorVecEnv) -> None:
        env.batch.align_groups()
        env.reset_tensor()
        self._idle = torch.zeros(env.num_envs, dtype=torch.bool, device=self.device)  # type: ignore[attr-defined]
        self._running = self._signals = None  # no episode goes on from the last rollout

    def _rollout_is_complete(self, buffer: SequenceRolloutBuffer, t: int, done: Tensor) -> bool:
        assert self._idle is not None
        buffer.tensors["unused"][t] = self._idle
        buffer.tensors["unused"][t + 1 :] = True
        self._idle = self._idle | done.to(self._idle.device)
        if self._idle.device.type != "cpu" and t % 8 != 7:
            return False  # to ask is to wait for the device; an idle step costs less than a wait at each
        still = (~self._idle).sum()
        return not int(still if self.group is None else self.group.sum(still))

    def _finish_rollout(self, buffer: SequenceRolloutBuffer, last_values: Callable[[], Tensor]) -> None:
        held = buffer.tensors
        used = ~held["unused"]
        rewards, dones = held["rewards"] * used, held["dones"] & used
        held["returns"].copy_(returns_to_go(rewards, dones, buffer.gamma))
        found = [held["returns"], held["values"], used]
        if self.group is not None:
            found = [self.group.gather(value, 1) for value in found]
        returns, values, used = found
        lengths = used.sum(dim=0)
        weights = token_weights(lengths, self.weighting) * used
        advantages = self._advantages(returns, values, used, lengths) * weights
        if self.group is not None:
            advantages, weights = (x.chunk(self.group.size, dim=1)[self.group.rank] for x in (advantages, weights))
        held["advantages"].copy_(advantages)
        held["weights"] = weights

    def _advantages(self, returns: Tensor, values: Tensor, used: Tensor, lengths: Tensor) -> Tensor:
        """Return advantages (T, N).

        Args:
            returns: (T, N), discounted rewards from each step to its episode's end; `returns[0]` are the episodes'.
            values: (T, N), the critic's.
            used: (T, N) bool, which steps count.
            lengths: (N,), steps that count in each row.
        """
        raise NotImplementedError


def episode_limit(env: TensorVecEnv) -> int:
    """Return the most steps an episode can take; ValueError for a world without a limit of its own."""
    if env.batch.world.max_steps:
        return env.batch.world.max_steps
    space = env.observation_space
    if "tokens" in getattr(space, "spaces", {}):
        return space["tokens"].shape[0]  # type: ignore[index]
    raise ValueError("the world has no time limit; give n_steps, the most steps that an episode may take")


def normalized(advantages: Tensor, used: Tensor, how: str) -> Tensor:
    """Return advantages (T, N) as they are ("none"), or less their mean, divided by their deviation ("batch")."""
    check_choice("normalize", how, ("none", "batch"))
    if how == "none":
        return advantages
    chosen = advantages[used]
    return (advantages - chosen.mean()) / (chosen.std() + 1e-8)
