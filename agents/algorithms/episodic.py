"""Rollouts of whole episodes, for estimators that need an episode's whole return: REINFORCE, RLOO, GRPO.

Every row starts a new episode, and the rollout ends when each has finished one. Steps of a row after its episode's end
do not count. With the environment's `group_size` the rows of a group play the same level. T steps, N rows.
"""

from torch import Tensor

from agents.algorithms.base import OnPolicy
from agents.objectives.advantages import Advantages, returns_to_go, token_weights
from agents.objectives.losses import standardized
from agents.rollouts.buffer import SequenceRolloutBuffer
from llm_envs.adapters.sb3 import TensorVecEnv
from llm_envs.validation import check_choice


class WholeEpisodes(OnPolicy):
    """First in the bases of an algorithm of whole episodes; subclasses define `episode_advantages`.

    `n_steps` is the longest episode; 0, the default: the world's time limit, or its window. A longer episode is cut
    there. Every row finishes one episode a rollout, so `n_envs` is the number of episodes an update.

    Raises TypeError for an environment that is not a bare `TensorVecEnv`, ValueError where no limit is known.
    """

    n_steps: int
    whole_episodes = True
    weighting = "episode"  # of tokens, see agents.objectives.advantages.token_weights

    def _setup_model(self) -> None:
        if self.env is not None:
            if not isinstance(self.env, TensorVecEnv):
                raise TypeError(f"{type(self).__name__} needs a bare TensorVecEnv, not {type(self.env).__name__}")
            if not self.n_steps:
                self.n_steps = episode_limit(self.env)
        super()._setup_model()
        if self.env is not None:
            self.policy.shares_prefixes = self.group_size > 1

    @property
    def group_size(self) -> int:
        """Rows that share a level."""
        assert isinstance(self.env, TensorVecEnv)
        return self.env.batch.group_size

    def advantages(self, rollout: SequenceRolloutBuffer) -> Advantages:
        """Return `episode_advantages`, returns to go, and the tokens' weights."""
        tensors, group = rollout.tensors, self.group
        used = ~tensors["unused"]
        own_returns = returns_to_go(rollout.total_rewards() * used, tensors["dones"] & used, self.gamma)
        parts = [own_returns, tensors["values"], used]
        if group is not None:
            # Baselines and weights are of the whole rollout: computed from all ranks' rows, (T, N of all ranks).
            parts = [group.gather(part, 1) for part in parts]
        returns, values, used = parts
        lengths = used.sum(dim=0)
        weights = token_weights(lengths, self.weighting) * used
        advantages = self.episode_advantages(returns, values, used) * used
        if group is not None:
            advantages, weights = (x.chunk(group.size, dim=1)[group.rank] for x in (advantages, weights))
        return Advantages(advantages, own_returns, weights)

    def episode_advantages(self, returns: Tensor, values: Tensor, used: Tensor) -> Tensor:
        """Return advantages (T, N), without token weights.

        Args:
            returns: (T, N), discounted rewards from each step to its episode's end; `returns[0]` are the episodes'.
            values: (T, N), the critic's.
            used: (T, N) bool, which steps count.
        """
        raise NotImplementedError

    def weigh_replayed(self, advantages: Tensor, used: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the advantages as they are, and the tokens' weights of the batch."""
        return advantages, token_weights(used.sum(dim=0), self.weighting) * used


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
    return advantages if how == "none" else standardized(advantages, advantages[used])
