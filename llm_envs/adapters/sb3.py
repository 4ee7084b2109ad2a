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

from llm_envs.adapters.common import RENDER_MODES, draw
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
        ValueError: the world shows or takes strings, for which SB3 has no spaces, or the batch does not reset itself.
    """

    def __init__(
        self, world_id: str | BatchEnv, num_envs: int = 1, render_mode: str | None = None, **options: Any
    ) -> None:
        batch = world_id if isinstance(world_id, BatchEnv) else make_batch(world_id, num_envs, **options)
        if batch.world.uses_strings:
            raise ValueError("Stable-Baselines3 has no text spaces; use observation='tokens' and action='index'")
        if batch.autoreset != "same_step":
            raise ValueError("Stable-Baselines3 needs rows that begin again in their last step: autoreset='same_step'")
        if render_mode is not None:
            check_choice("render_mode", render_mode, RENDER_MODES)
        self.batch, self._row_attributes = batch, {"render_mode": [render_mode] * batch.num_envs}
        super().__init__(batch.num_envs, observation_space(batch.world), action_space(batch.world))
        self._pending: np.ndarray | None = None

    # ------------------------------------------------------------------ tensors

    @property
    def device(self) -> torch.device:
        """Where the tensors live."""
        return torch.device(self.batch.device)

    def reset_tensor(self, seed: int | None = None) -> dict[str, torch.Tensor]:
        """Begin a new episode in every row; return live observations."""
        return self.batch.reset(seed)

    def step_tensor(self, actions: torch.Tensor) -> Step:
        """Step every row by (N,) or (N, *shape) actions on the batch's device; return live tensors."""
        return self.batch.step(actions)

    # ------------------------------------------------------------------ SB3's VecEnv

    def reset(self) -> VecEnvObs:
        """Begin a new episode in every row, seeded if `seed()` was called since the last time."""
        self.batch.reset_rows(self._seeds[0])
        self._reset_seeds()
        self._reset_options()
        self.reset_infos = [{} for _ in range(self.num_envs)]
        return self.batch.to_host().obs  # type: ignore[return-value]

    def step_async(self, actions: np.ndarray) -> None:
        """Keep the actions for `step_wait`."""
        self._pending = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Step, and return copies."""
        actions, self._pending = self._pending, None
        self.batch.step_rows(actions if self.batch.device == "cpu" else torch.as_tensor(actions, device=self.device))
        now = self.batch.to_host()
        done = now.terminated | now.truncated
        infos: list[dict[str, Any]] = [{"TimeLimit.truncated": False} for _ in range(self.num_envs)]
        for i in np.flatnonzero(done):
            infos[i]["TimeLimit.truncated"] = bool(now.truncated[i] and not now.terminated[i])
            infos[i]["terminal_observation"] = {name: value[i] for name, value in now.final_obs.items()}
            infos[i]["signals"] = {name: float(value[i]) for name, value in now.signals.items()}
        return now.obs, now.reward, done, infos  # type: ignore[return-value]

    def close(self) -> None:
        """Do nothing: memory goes with the object."""

    def action_masks(self) -> np.ndarray:
        """Return which actions are legal now, (N, A) bool."""
        return self.batch.action_masks()

    def get_images(self) -> Sequence[np.ndarray | None]:
        """Return every row's picture."""
        return [self.batch.frame(i) for i in range(self.num_envs)]

    def _row_method(self, name: str, row: int, *args: Any, **kwargs: Any) -> Any:
        """Call what a single environment of that row would call `name`."""
        if name == "render":
            return draw(self.batch, row, self.render_mode)
        return getattr(self.batch, name)(*args, **kwargs)

    def env_method(self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any) -> list[Any]:
        """Call a method once for each of the rows: `action_masks`, `render`, or any of the batch."""
        if method_name == "action_masks":  # of all rows at once: MaskablePPO asks before every step
            return list(self.action_masks()[list(self._get_indices(indices))])
        return [self._row_method(method_name, i, *args, **kwargs) for i in self._get_indices(indices)]

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Return an attribute for each of the rows: one set by `set_attr`, else the batch's or the world's."""
        rows = list(self._get_indices(indices))
        if attr_name in self._row_attributes:
            return [self._row_attributes[attr_name][i] for i in rows]
        for owner in (self.batch, self.batch.world):
            if hasattr(owner, attr_name):
                return [getattr(owner, attr_name)] * len(rows)
        if attr_name in ("observation_space", "action_space"):
            return [getattr(self, attr_name)] * len(rows)
        raise AttributeError(f"neither the batch nor its world has an attribute {attr_name!r}")

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of each of the rows; only `get_attr` reads it."""
        known = self.get_attr(attr_name) if self.has_attr(attr_name) else [None] * self.num_envs
        for i in self._get_indices(indices):
            known[i] = value
        self._row_attributes[attr_name] = known

    def env_is_wrapped(self, wrapper_class: type[gym.Wrapper], indices: VecEnvIndices = None) -> list[bool]:
        """Return False for each of the rows: there are no wrapped single environments."""
        return [False for _ in self._get_indices(indices)]
