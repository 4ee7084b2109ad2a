"""What Stable-Baselines3's callbacks find among the locals of its own rollout loop."""

from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from agents.rollouts.buffer import SequenceRolloutBuffer
from agents.rollouts.cuda_graphs import RolloutStep


def step_locals(
    env: VecEnv, rollout_buffer: SequenceRolloutBuffer, n_rollout_steps: int, t: int, acted: RolloutStep, done: Tensor
) -> dict[str, Any]:
    """Return the locals after step `t`, by the names that SB3's documentation of callbacks gives them.

    Of N rows: `new_obs` (N, ...) each, `actions` (N, ...), `values` (N, 1), `log_probs` (N,) are tensors on the device,
    `rewards` and `dones` (N,) are copied to the host where a callback reads them; `infos` are empty.
    """
    return {
        "env": env,
        "rollout_buffer": rollout_buffer,
        "n_rollout_steps": n_rollout_steps,
        "n_steps": t + 1,
        "new_obs": acted.step.obs,
        "actions": acted.actions,
        "values": acted.values,
        "log_probs": acted.log_probs,
        "rewards": LazyArray(acted.step.reward),
        "dones": LazyArray(done),
        "infos": [{}] * env.num_envs,
    }


class LazyArray:
    """A device tensor that is copied to the host only if a callback reads it."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self._tensor.cpu().numpy(), dtype)

    def __getitem__(self, i: Any) -> Any:
        return np.asarray(self)[i]

    def __len__(self) -> int:
        return len(self._tensor)
