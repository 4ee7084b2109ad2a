"""Rollouts of whole episodes, for estimators that need an episode's whole return: REINFORCE, RLOO, GRPO.

Every row starts a new episode, and the rollout ends when each has finished one. Steps of a row after its episode's end
do not count. With the environment's `group_size` the rows of a group play the same level. T steps, N rows.
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
    """Mixin, first in the bases of an SB3 on-policy algorithm; subclasses define the advantages.

    `n_steps` is the longest episode; 0, the default: the world's time limit, or its window. A longer episode is cut
    there. Every row finishes one episode a rollout, so `n_envs` is the number of episodes an update.

    Raises TypeError for an environment that is not a bare `TensorVecEnv`, ValueError where no limit is known.
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
            self.policy.shares_prefixes = self.group_size > 1  # type: ignore[attr-defined]

    @property
    def group_size(self) -> int:
        """Rows that share a level."""
        return self.env.batch.group_size

    def _begin_rollout(self, env: TensorVecEnv) -> None:
        env.batch.align_groups()
        env.reset_tensor()
        # Rows whose episode is over; the environment keeps stepping them, as a batch has no other way.
        self._idle = torch.zeros(env.num_envs, dtype=torch.bool, device=self.device)  # type: ignore[attr-defined]
        self._running = self._signals = None  # no episode continues from the last rollout

    def _rollout_is_complete(self, buffer: SequenceRolloutBuffer, t: int, done: Tensor) -> bool:
        assert self._idle is not None
        buffer.tensors["unused"][t] = self._idle
        # The rollout may end before n_steps: the rest of the buffer holds an older rollout.
        buffer.tensors["unused"][t + 1 :] = True
        self._idle = self._idle | done.to(self._idle.device)
        if self._idle.device.type != "cpu" and t % 8 != 7:
            return False  # asking waits for the device; some idle steps cost less than a wait at each step
        unfinished = (~self._idle).sum()
        return not int(unfinished if self.group is None else self.group.sum(unfinished))

    def _finish_rollout(self, buffer: SequenceRolloutBuffer, last_values: Callable[[], Tensor]) -> None:
        tensors = buffer.tensors
        used = ~tensors["unused"]
        rewards, dones = tensors["rewards"] * used, tensors["dones"] & used
        tensors["returns"].copy_(returns_to_go(rewards, dones, buffer.gamma))
        parts = [tensors["returns"], tensors["values"], used]
        if self.group is not None:
            # Baselines and weights are of the whole rollout: computed from all ranks' rows, (T, N of all ranks).
            parts = [self.group.gather(part, 1) for part in parts]
        returns, values, used = parts
        lengths = used.sum(dim=0)
        weights = token_weights(lengths, self.weighting) * used
        advantages = self._advantages(returns, values, used, lengths) * weights
        if self.group is not None:
            advantages, weights = (x.chunk(self.group.size, dim=1)[self.group.rank] for x in (advantages, weights))
        tensors["advantages"].copy_(advantages)
        tensors["weights"] = weights

    def _advantages(self, returns: Tensor, values: Tensor, used: Tensor, lengths: Tensor) -> Tensor:
        """Return advantages (T, N), without token weights.

        Args:
            returns: (T, N), discounted rewards from each step to its episode's end; `returns[0]` are the episodes'.
            values: (T, N), the critic's.
            used: (T, N) bool, which steps count.
            lengths: (N,), steps that count in each row.
        """
        raise NotImplementedError


def episode_limit(env: TensorVecEnv) -> int:
    """Return the number of steps of the longest possible episode; ValueError for a world without a limit."""
    if env.batch.world.max_steps:
        return env.batch.world.max_steps
    space = env.observation_space
    if "tokens" in getattr(space, "spaces", {}):
        return space["tokens"].shape[0]  # type: ignore[index]
    raise ValueError("the world has no time limit; give n_steps, the most steps that an episode may take")


def normalized(advantages: Tensor, used: Tensor, how: str) -> Tensor:
    """Return advantages (T, N) unchanged ("none"), or standardised over those `used` (T, N) bool ("batch").

    (A - mean) / (std + 1e-8), as SB3; ValueError for another `how`.
    """
    check_choice("normalize", how, ("none", "batch"))
    if how == "none":
        return advantages
    chosen = advantages[used]
    return (advantages - chosen.mean()) / (chosen.std() + 1e-8)
