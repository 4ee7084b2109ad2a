"""`TensorVecEnv`: a batch as a Stable-Baselines3 `VecEnv`, and as tensors for algorithms that keep data on the device.

Written for Stable-Baselines3 2.9. Two contracts on one object:

    reset() / step(actions)                  SB3's: NumPy copies, `infos`, `terminal_observation`
    reset_tensor() / step_tensor(actions)    live tensors, see BatchEnv.step; no wait for the device on a GPU
"""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from llm_envs.adapters.common import METADATA, RENDER_MODES, check_level, signal_keys
from llm_envs.adapters.rows import Rows
from llm_envs.adapters.spaces import action_space, observation_space
from llm_envs.engine.batch import BatchEnv, Step
from llm_envs.registration import make_batch
from llm_envs.validation import check_choice


class TensorVecEnv(VecEnv):
    """N rows of a world for Stable-Baselines3.

    Args:
        world_id: one of `llm_envs.ids()`, or a `BatchEnv`.
        num_envs: number of rows.
        render_mode: "ansi", "human" or "rgb_array".
        options: as `llm_envs.make_batch`: device, seed, split, order, group_size, weights, rewards, the world's own.

    Raises:
        ValueError: observations or actions are strings, for which SB3 has no spaces; the batch does not reset itself;
            or an unknown render mode.
    """

    def __init__(
        self, world_id: str | BatchEnv, num_envs: int = 1, render_mode: str | None = None, **options: Any
    ) -> None:
        if render_mode is not None:
            check_choice("render_mode", render_mode, RENDER_MODES)
        batch = world_id if isinstance(world_id, BatchEnv) else make_batch(world_id, num_envs, **options)
        if batch.world.uses_strings:
            raise ValueError("Stable-Baselines3 has no text spaces; use observation='tokens' and action='index'")
        if batch.autoreset != "same_step":
            raise ValueError("Stable-Baselines3 needs rows that begin again in their last step: autoreset='same_step'")
        spaces = {
            "observation_space": observation_space(batch.world),
            "action_space": action_space(batch.world),
        }
        self._signal_keys = signal_keys(batch)
        self._no_signals = dict.fromkeys(self._signal_keys.values(), np.float32(0))
        self.batch, self._rows = batch, Rows(batch, render_mode=render_mode, metadata=METADATA, **spaces)
        super().__init__(batch.num_envs, **spaces)
        self._pending: np.ndarray | None = None

    # ------------------------------------------------------------------ tensors

    @property
    def device(self) -> torch.device:
        """Where the tensors live."""
        return torch.device(self.batch.device)

    def reset_tensor(self, seed: int | None = None) -> dict[str, torch.Tensor]:
        """Begin a new episode in every row; return live observations, (N, ...) each."""
        return self.batch.reset(seed)

    def step_tensor(self, actions: torch.Tensor) -> Step:
        """Step every row by (N,) or (N, *shape) actions on the batch's device; return live tensors."""
        return self.batch.step(actions)

    # ------------------------------------------------------------------ SB3's VecEnv

    def reset(self) -> VecEnvObs:
        """Begin a new episode in every row, as `seed()` and `set_options()` have asked since the last time.

        The options of a row are {"level": k}, the k-th of the split's levels; ValueError for others.
        """
        # SB3 keeps one dict of options and one seed or None a row, and forgets them after one reset.
        levels = [check_level(self.batch, options) for options in self._options]
        self.batch.reset_rows(self._seeds, levels=levels)
        self._reset_seeds()
        self._reset_options()
        self.reset_infos = [{"level": level, **self._no_signals} for level in self.batch.level_index]
        return self.batch.to_host().obs

    def step_async(self, actions: np.ndarray) -> None:
        """Keep the actions for `step_wait`."""
        self._pending = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Step, and return copies.

        The info of a row whose episode has ended has its `terminal_observation`, its `level` and, of its last step,
        `signals/NAME` of every unweighted reward term; `reset_infos` then has the next episode's level.
        """
        actions, self._pending = self._pending, None
        if actions is None:
            raise RuntimeError("step_async() must be called before each step_wait()")
        self.batch.step_rows(actions if self.batch.device == "cpu" else torch.as_tensor(actions, device=self.device))
        # Copies, since SB3 keeps what it is given.
        now = self.batch.to_host()
        done = now.terminated | now.truncated
        infos: list[dict[str, Any]] = [{"TimeLimit.truncated": False} for _ in range(self.num_envs)]
        for i in np.flatnonzero(done).tolist():
            # By this key SB3 bootstraps the value of a truncated episode; where the task ended too nothing follows.
            infos[i]["TimeLimit.truncated"] = bool(now.truncated[i] and not now.terminated[i])
            infos[i]["terminal_observation"] = {name: value[i] for name, value in now.final_obs.items()}
            infos[i]["level"] = now.final_level[i]
            for name, key in self._signal_keys.items():
                infos[i][key] = now.signals[name][i]
            self.reset_infos[i] = {"level": now.level[i], **self._no_signals}
        return now.obs, now.reward, done, infos

    def close(self) -> None:
        """Do nothing: memory goes with the object."""

    def action_masks(self) -> np.ndarray:
        """Return which actions are legal now, (N, A) bool."""
        return self.batch.action_masks()

    def get_images(self) -> Sequence[np.ndarray | None]:
        """Return every row's picture."""
        return [self.batch.frame(i) for i in range(self.num_envs)]

    def env_method(self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any) -> list[Any]:
        """Call `action_masks`, `render` or `reset` of each of the rows; AttributeError for other methods.

        `reset(seed=None, options=None)` begins a new episode in these rows alone, and returns each one's observation
        and info.
        """
        return self._rows.call(method_name, self._get_indices(indices), *args, **kwargs)

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Return an attribute of each of the rows: one set by `set_attr`, else the batch's or the world's."""
        return self._rows.get(attr_name, self._get_indices(indices))

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of each of the rows; only `get_attr` reads it."""
        rows = list(self._get_indices(indices))
        self._rows.set(attr_name, [value] * len(rows), rows)

    def env_is_wrapped(self, wrapper_class: type[gym.Wrapper], indices: VecEnvIndices = None) -> list[bool]:
        """Return False for each of the rows: there are no wrapped single environments."""
        return [False for _ in self._get_indices(indices)]
