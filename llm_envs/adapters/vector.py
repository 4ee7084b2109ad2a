"""`GymVectorEnv`: N rows as a Gymnasium vector environment, in its three autoreset modes, of every world.

Written for Gymnasium 1.1 to 1.4. What it returns is what Gymnasium's SyncVectorEnv around N single environments
returns, bit for bit; `tests/adapters/test_vector.py` compares the two.
"""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from llm_envs.adapters.common import (
    METADATA,
    RENDER_MODES,
    check_reset_options,
    draw,
    signal_keys,
)
from llm_envs.adapters.rows import METHODS, Rows
from llm_envs.adapters.spaces import action_space, observation_space
from llm_envs.engine.actions import check_texts
from llm_envs.engine.batch import BatchEnv
from llm_envs.validation import check_choice

MODES = {"same_step": AutoresetMode.SAME_STEP, "next_step": AutoresetMode.NEXT_STEP, "never": AutoresetMode.DISABLED}


class GymVectorEnv(gym.vector.VectorEnv):
    """N rows as a Gymnasium vector environment; made by `gym.make_vec(id, num_envs, **config)`.

    Observations are a dict of (N, ...) arrays, or a tuple of N strings; `infos` have those of `GymEnv` as arrays (N,),
    each beside its mask, in the layout of Gymnasium's SyncVectorEnv. A copy or a pickle continues bit for bit.

    Args:
        batch: the rows.
        render_mode: "ansi", "human" or "rgb_array".
        copy: hand out copies of the observations; False for live views, valid until the next step.
        autoreset_mode: the batch's own if None. SAME_STEP of a world with strings needs a batch with autoreset="never":
            the texts of an ended episode are read before the next one begins, by this view.

    Raises:
        ValueError: an unknown render mode, or a mode that this batch does not serve.
    """

    metadata: dict[str, Any]

    def __init__(
        self,
        batch: BatchEnv,
        render_mode: str | None = None,
        copy: bool = True,
        autoreset_mode: AutoresetMode | None = None,
    ) -> None:
        if render_mode is not None:
            check_choice("render_mode", render_mode, RENDER_MODES)
        self._texts = batch.world.uses_strings
        self.autoreset_mode = MODES[batch.autoreset] if autoreset_mode is None else AutoresetMode(autoreset_mode)
        needed = batch_autoreset(self.autoreset_mode, self._texts)
        if batch.autoreset != needed:
            raise ValueError(
                f"the batch has autoreset={batch.autoreset!r}; autoreset_mode {self.autoreset_mode.value!r} of this "
                f"world needs {needed!r}"
            )
        self.batch, self.num_envs, self.render_mode, self.copy = batch, batch.num_envs, render_mode, copy
        self.metadata = {**METADATA, "render_modes": list(RENDER_MODES), "autoreset_mode": self.autoreset_mode}
        self.single_observation_space = observation_space(batch.world)
        self.single_action_space = action_space(batch.world)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._every_row = np.ones(self.num_envs, bool)
        self._info_keys = [(key, f"_{key}") for key in signal_keys(batch).values()]
        self._rows = Rows(
            batch,
            render_mode=render_mode,
            metadata=METADATA,
            observation_space=self.single_observation_space,
            action_space=self.single_action_space,
        )

    # ------------------------------------------------------------------ episodes

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin a new episode in every row, or in some.

        Args:
            seed: row i begins as a single environment seeded `seed + i`, or with a list `seed[i]`; None, also in the
                list, continues a row's stream of random numbers and levels.
            options: "reset_mask", (N,) bool, the rows that begin an episode; "level", one for all rows or a list of N,
                of which None means drawn.

        Raises:
            TypeError, ValueError: a mask, seed, level or option of the wrong kind, shape or range; no row has changed.
            RuntimeError: only some rows are to begin before all have begun once.
        """
        chosen = check_reset_options(options, ("level", "reset_mask"))
        rows = None if chosen.get("reset_mask") is None else self._check_mask(chosen["reset_mask"])
        levels = chosen.get("level")
        if levels is not None and hasattr(levels, "tolist"):  # an array or tensor
            levels = levels.tolist()
        if levels is not None and not isinstance(levels, (list, tuple)):
            levels = [levels] * self.num_envs
        self.batch.reset_rows(seed, rows=rows, levels=levels)
        if isinstance(seed, (int, np.integer)):
            super().reset(seed=int(seed))
        begun = self._every_row if rows is None else rows
        return self._observations(), self._infos(begun, np.zeros(self.num_envs, bool))

    def _check_mask(self, mask: Any) -> np.ndarray:
        """Return a reset mask as SyncVectorEnv takes it, or raise as it does."""
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
            raise TypeError(f"reset_mask is {mask!r}; it must be a NumPy array of bool")
        if mask.shape != (self.num_envs,) or not mask.any():
            raise ValueError(f"reset_mask is {mask!r}; it must have shape ({self.num_envs},) and one True at least")
        return mask

    def step(self, actions: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Step every row; return observations, rewards (N,) float64, terminated, truncated (N,) bool each, and infos.

        With NEXT_STEP a row whose episode has ended begins the next one, whatever its action.

        Raises:
            ValueError: illegal actions; no row has moved.
            RuntimeError: before the first reset; or, with DISABLED, a row's episode has ended and it was not reset.
        """
        if actions is None:
            raise TypeError(f"actions is None; it must be {self.num_envs} actions, one a row")
        same_step = self.autoreset_mode is AutoresetMode.SAME_STEP
        ended = None
        if not same_step:
            ended = self.batch.over  # (N,) bool, before this step
            if self.autoreset_mode is AutoresetMode.DISABLED and ended.any():
                over = np.flatnonzero(ended).tolist()
                raise RuntimeError(f"the episodes of the rows {over} are over: reset them, by options['reset_mask']")
        if self.batch.world.takes_text:
            actions = self._parse(actions, ended)
        self.batch.step_rows(actions)
        now = self.batch.arrays
        # Copies: `now` is live. SyncVectorEnv's rewards are float64.
        terminated, truncated = now.terminated.copy(), now.truncated.copy()
        done, rewards = terminated | truncated, now.reward.astype(np.float64)
        finals: dict[str, Any] = {}
        if same_step and done.any():
            finals = self._final_infos(done)
            if self._texts:  # only now that the last texts have been read
                self.batch.reset_rows(rows=done)
        # Signals are those of a step: a row that has just begun an episode took none.
        stepped = ~done if ended is None else ~ended
        infos = self._infos(self._every_row, stepped) | finals
        return self._observations(), rewards, terminated, truncated, infos

    def _parse(self, texts: Any, ended: np.ndarray | None) -> np.ndarray:
        """Return typed commands as actions, (N,); those of ended rows are not read, since they are not played."""
        check_texts(texts, self.num_envs)
        played = range(self.num_envs) if ended is None else np.flatnonzero(~ended).tolist()
        actions = np.zeros_like(self.batch.action_buffer)
        for i in played:
            actions[i] = self.batch.parse_row(texts[i], i)
        return actions

    # ------------------------------------------------------------------ what is returned

    def _observations(self) -> Any:
        """Return the observations of all rows as `observation_space` batches them."""
        obs = self.batch.arrays.obs
        if self.batch.world.shows_text:
            return tuple(self.batch.decode(obs))
        return {name: value.copy() for name, value in obs.items()} if self.copy else obs

    def _infos(self, rows: np.ndarray, stepped: np.ndarray) -> dict[str, Any]:
        """Return the infos of `rows` (N,) bool, with the signals of those that have `stepped` and 0 for the others."""
        now = self.batch.arrays
        infos = self._arrays(now.level, rows, stepped)
        if self._texts:
            for i in np.flatnonzero(rows).tolist():
                infos = self._add_info(infos, self.batch.info(i), i)
        return infos

    def _final_infos(self, done: np.ndarray) -> dict[str, Any]:
        """Return `final_obs` and `final_info` of the rows whose episode has ended in this step, `done` (N,) bool."""
        now = self.batch.arrays
        # An array of objects: the rows that did not end have None, as in SyncVectorEnv.
        obs, info = np.full(self.num_envs, None, dtype=object), self._arrays(now.final_level, done, done)
        for i in np.flatnonzero(done).tolist():
            fields = {name: value[i].copy() for name, value in now.final_obs.items()}
            obs[i] = self.batch.decode_row(fields) if self.batch.world.shows_text else fields
            if self._texts:
                info = self._add_info(info, self.batch.info(i), i)
        return {"final_obs": obs, "_final_obs": done, "final_info": info, "_final_info": done.copy()}

    def _arrays(self, level: np.ndarray, rows: np.ndarray, stepped: np.ndarray) -> dict[str, Any]:
        """Return level and signals as arrays (N,), 0 outside of `rows` and of `stepped`, each with its mask `rows`."""
        # One operation for all signals (K, N) and one for all masks: a step costs less than many calls of NumPy.
        values = np.where(stepped, self.batch.signal_values.T, np.float32(0))
        masks = np.empty((1 + len(self._info_keys), self.num_envs), bool)
        masks[:] = rows
        infos: dict[str, Any] = {"level": np.where(rows, level, np.int32(0)), "_level": masks[0]}
        extra = list(self.batch.arrays.signals.values())[len(values) :]  # reward terms that were added
        columns = [*values, *(np.where(stepped, value, np.float32(0)) for value in extra)]
        for (key, mask_key), value, mask in zip(self._info_keys, columns, masks[1:], strict=True):
            infos[key], infos[mask_key] = value, mask
        return infos

    # ------------------------------------------------------------------ rows

    def action_masks(self) -> np.ndarray:
        """Return which actions are legal now, (N, A) bool."""
        return self.batch.action_masks()

    def render(self) -> tuple | None:
        """Return every row as text or picture, by `render_mode`."""
        return tuple(draw(self.batch, i, self.render_mode) for i in range(self.num_envs))

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Return what each row's method returns, or its attribute; AttributeError for what a row does not have."""
        # Gymnasium's `call` serves attributes and methods alike.
        every = range(self.num_envs)
        return tuple(self._rows.call(name, every, *args, **kwargs) if name in METHODS else self._rows.get(name, every))

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """Return an attribute of each row."""
        return self.call(name)

    def set_attr(self, name: str, values: Any) -> None:
        """Set an attribute of each row, by a list or tuple of N or by one value for all; only `get_attr` reads it."""
        given = values if isinstance(values, (list, tuple)) else [values] * self.num_envs
        if len(given) != self.num_envs:
            raise ValueError(f"values has {len(given)} entries; it must have {self.num_envs}, one a row")
        self._rows.set(name, given, range(self.num_envs))


def batch_autoreset(mode: AutoresetMode, strings: bool) -> str:
    """Return the `autoreset` of the batch behind a mode; `strings`: whether the world has texts."""
    # The batch would begin the next episode within the step, and the texts of the last one could not be read any more.
    if mode is AutoresetMode.SAME_STEP and strings:
        return "never"
    return next(autoreset for autoreset, served in MODES.items() if served is mode)
