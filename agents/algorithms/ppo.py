"""PPO (Schulman et al., 2017) as Stable-Baselines3 has it, with rollouts that stay on the device.

`train()`, losses, schedules, logging, saving and callbacks are SB3's, unchanged; `agents.rollouts.collector` says what
differs.
"""

from typing import Any, ClassVar

from stable_baselines3 import PPO as StockPPO
from stable_baselines3.common.policies import BasePolicy

from agents.algorithms.kl_regularizer import Regularized
from agents.policies.policy import TransformerPolicy


class ClipRange(float):
    """A clip range with its own upper side: 1 - range is SB3's lower bound, 1 + range its upper one.

    SB3 clamps the ratio to (1 - clip_range, 1 + clip_range); DAPO (Yu et al., 2025, "clip-higher") lets an unlikely
    action's probability rise by more than a likely one's may fall.
    """

    high: float

    def __new__(cls, low: float, high: float) -> "ClipRange":
        """Make a range whose value as a number is `low`."""
        made = super().__new__(cls, low)
        made.high = high
        return made

    def __radd__(self, other: float) -> float:
        return other + self.high


class PPO(Regularized, StockPPO):
    """SB3's PPO on a `TensorVecEnv`: `PPO("TransformerPolicy", env, policy_kwargs={"backbone": {...}})`.

    Args:
        args: SB3's.
        clip_range_high: how far above 1 the probability ratio is clipped; None: as far as below, `clip_range`.
        kwargs: SB3's, and `kl` (agents.algorithms.kl_regularizer.KL).

    Raises:
        ValueError: a `clip_range_high` that is not positive, or as SB3's.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        **StockPPO.policy_aliases,
        "TransformerPolicy": TransformerPolicy,
    }

    def __init__(self, *args: Any, clip_range_high: float | None = None, **kwargs: Any) -> None:
        if clip_range_high is not None and not clip_range_high > 0:
            raise ValueError(f"clip_range_high is {clip_range_high}; it must be positive")
        self.clip_range_high = clip_range_high
        super().__init__(*args, **kwargs)

    def train(self) -> None:
        """Update the policy by SB3's `train()`."""
        if self.clip_range_high is None:
            super().train()
            return
        # train() calls `clip_range` once, for 1 - range, 1 + range, the clip fraction and the log.
        schedule: Any = self.clip_range
        self.clip_range = lambda progress: ClipRange(schedule(progress), self.clip_range_high or 0.0)
        try:
            super().train()
        finally:
            self.clip_range = schedule
