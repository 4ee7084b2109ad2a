"""Gymnasium's views of a batch: `GymEnv`, one row that never resets itself, and `GymVectorEnv`, N rows.

Written for Gymnasium 1.1 to 1.4. What `gym.make` and `gym.make_vec` of every registered id return.
"""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode

from llm_envs.adapters.common import (
    METADATA,
    RENDER_MODES,
    as_observation,
    check_level,
    draw,
    fresh_seed,
    signal_keys,
)
from llm_envs.adapters.spaces import action_space, observation_space
from llm_envs.adapters.vector import GymVectorEnv, batch_autoreset
from llm_envs.engine.batch import BatchEnv
from llm_envs.registration import prepare
from llm_envs.validation import check_choice, check_seed

OTHER_DOORS = "gym.make_vec and llm_envs.make_batch have it"


def make_single(world_id: str, /, render_mode: str | None = None, **options: Any) -> "GymEnv":
    """Make what `gym.make(world_id, **options)` returns below Gymnasium's own wrappers.

    Args:
        world_id: one of `llm_envs.ids()`.
        render_mode: "ansi", "human" or "rgb_array".
        options: as `llm_envs.make_batch` has them, without `autoreset`, `group_size`, `device` on a GPU. `seed` is what
            a first `reset` without a seed begins with; without one it is drawn.

    Raises:
        TypeError: an unknown keyword.
        ValueError: a value out of range.
    """
    for fixed in ("autoreset", "num_envs", "group_size"):
        if fixed in options:
            raise TypeError(f"gym.make got an unexpected keyword argument {fixed!r}; {OTHER_DOORS}")
    world, settings = prepare(world_id, _with_seed(options))
    return GymEnv(BatchEnv(world, 1, autoreset="never", **settings), render_mode)


def make_vector(
    world_id: str,
    /,
    num_envs: int = 1,
    render_mode: str | None = None,
    autoreset_mode: str | AutoresetMode = AutoresetMode.NEXT_STEP,
    max_episode_steps: int | None = None,
    **options: Any,
) -> GymVectorEnv:
    """Make what `gym.make_vec(world_id, num_envs, **options)` returns, in any configuration of the world.

    Args:
        world_id: one of `llm_envs.ids()`.
        num_envs: number of rows, N.
        render_mode: "ansi", "human" or "rgb_array".
        autoreset_mode: "NextStep" (Gymnasium's own default), "SameStep" or "Disabled".
        max_episode_steps: a time limit over the world's own, as in `gym.make`; None or -1 for none.
        options: as `llm_envs.make_batch`, without `autoreset`.

    Raises:
        TypeError: an unknown keyword.
        ValueError: a value out of range.
    """
    if "autoreset" in options:
        raise TypeError("gym.make_vec got an unexpected keyword argument 'autoreset'; it takes autoreset_mode")
    if autoreset_mode not in [*AutoresetMode, *(mode.value for mode in AutoresetMode)]:
        check_choice("autoreset_mode", autoreset_mode, tuple(mode.value for mode in AutoresetMode))
    mode = AutoresetMode(autoreset_mode)
    # -1: how Gymnasium's registry writes "no limit".
    limit = {} if max_episode_steps in (None, -1) else {"max_episode_steps": max_episode_steps}
    world, settings = prepare(world_id, _with_seed(options) | limit)
    batch = BatchEnv(world, num_envs, autoreset=batch_autoreset(mode, world.uses_strings), **settings)
    return GymVectorEnv(batch, render_mode, autoreset_mode=mode)


def _with_seed(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options with a seed: Gymnasium's environments are not reproducible unless they are given one."""
    return {**options, "seed": fresh_seed()} if options.get("seed") is None else options


class GymEnv(gym.Env):
    """One row as a Gymnasium environment; made by `gym.make(id, **config)`.

    `info` has `signals/NAME`, a float32 scalar, for every unweighted reward term of the step (0 after a reset),
    `level`, which of the split's levels the episode plays, and what the world's string form adds. A copy
    or a pickle continues bit for bit.

    Args:
        batch: of one row and with autoreset="never".
        render_mode: "ansi", "human" or "rgb_array".

    Raises:
        ValueError: the batch has more rows or resets itself, or an unknown render mode.
    """

    metadata = METADATA
    _VIEWS = ("_fields", "_signals", "_level", "_reward", "_terminated", "_truncated", "_over", "_action")

    def __init__(self, batch: BatchEnv, render_mode: str | None = None) -> None:
        if batch.num_envs != 1 or batch.autoreset != "never":
            given = f"num_envs={batch.num_envs}, autoreset={batch.autoreset!r}"
            raise ValueError(f"a single environment shows a batch with num_envs=1, autoreset='never', not {given}")
        if render_mode is not None:
            check_choice("render_mode", render_mode, RENDER_MODES)
        world = batch.world
        self.batch, self.render_mode = batch, render_mode
        self.observation_space, self.action_space = observation_space(world), action_space(world)
        self._discrete, self._texts = isinstance(world.actions, int), world.uses_strings
        self._typed, self._as_text = world.takes_text, world.shows_text
        self._no_signals = dict.fromkeys(signal_keys(batch).values(), np.float32(0))
        self._legal = range(world.actions if isinstance(world.actions, int) else 0)
        self._bind()

    def _bind(self) -> None:
        """Keep views of the one row: looking them up costs as much as a step."""
        # value[0] of (1, ...) arrays: live views of shape (...), in which the next step's results stand.
        now = self.batch.arrays
        self._fields = {name: value[0] for name, value in now.obs.items()}
        self._signals = [(key, now.signals[name]) for name, key in signal_keys(self.batch).items()]
        self._level = now.level  # this row never resets itself: also the level that the step was taken in
        self._reward, self._terminated, self._truncated = now.reward, now.terminated, now.truncated
        self._over = self.batch.records[0]["over"]
        self._action = self.batch.action_buffer

    def __getstate__(self) -> dict[str, Any]:
        """Return all but the views, which `__setstate__` makes of the copied batch."""
        return {name: value for name, value in vars(self).items() if name not in self._VIEWS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over what `__getstate__` returned."""
        vars(self).update(state)
        self._bind()

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Any, dict]:
        """Begin the next episode; return its first observation and info.

        Args:
            seed: makes it the first of that seed's episodes; None continues the stream of random numbers and levels.
            options: {"level": k} for the k-th of the split's levels; without it the level is drawn.

        Raises:
            ValueError: an unknown option, or a level out of range; nothing has changed.
        """
        if seed is not None:
            check_seed(seed)  # as strict as Gymnasium, so that neither generator changes where the other refuses
            seed = int(seed)
        level = check_level(self.batch, options) if options else None
        # The batch first: it refuses a bad seed, and then Gymnasium's generator must not change either.
        self.batch.reset_rows(seed, levels=None if level is None else [level])
        if seed is not None:
            super().reset(seed=seed)
        if self.render_mode == "human":
            self.render()
        info = {"level": self._level[0], **self._no_signals}
        return self._observe(), info | self.batch.info(0) if self._texts else info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        """Take one step; return observation, reward, terminated, truncated, info.

        A typed command may be longer than the action space's texts, or of other letters: the game answers that it does
        not understand. The space is for `sample`.

        Raises:
            ValueError: an illegal action; the state is unchanged.
            RuntimeError: after the end of the episode, or before the first reset.
        """
        if self._over[0] or not self.batch.started:
            raise RuntimeError("the episode is over: call reset()" if self._over[0] else "call reset() before step()")
        # Parsed or checked before anything is written: an action that raises leaves the state as it was.
        if self._typed:
            self._action[0] = self.batch.parse_row(action, 0)
            self.batch.step_rows()
        elif self._discrete:
            # `True` has an __index__, 1, but as an action it is a mistake.
            if isinstance(action, (bool, float)) or not self.action_space_holds(action):
                raise ValueError(f"the action is {action!r}; it must be an integer from 0 to {len(self._legal) - 1}")
            self._action[0] = action
            self.batch.step_rows()
        else:
            self.batch.step_rows(np.asarray(action)[None])
        # value[0] of an array of numbers is a copy, a NumPy scalar.
        info = {key: value[0] for key, value in self._signals}
        info["level"] = self._level[0]
        if self._texts:
            info |= self.batch.info(0)
        if self.render_mode == "human":
            self.render()
        return self._observe(), self._reward.item(), self._terminated.item(), self._truncated.item(), info

    def action_space_holds(self, action: Any) -> bool:
        """Return whether `action` is one integer in range; faster than `action_space.contains`."""
        try:
            return action.__index__() in self._legal
        except (AttributeError, TypeError):
            return False

    def _observe(self) -> Any:
        """Return the observation as copies, or as text."""
        if self._as_text:
            return as_observation(self.batch, self._fields)
        return {name: value.copy() for name, value in self._fields.items()}

    def action_masks(self) -> np.ndarray:
        """Return which actions are legal now, (A,) bool: what sb3_contrib's MaskablePPO asks for."""
        return self.batch.action_masks()[0]

    def render(self) -> Any:
        """Return a text or a picture, or print one, by `render_mode`."""
        return draw(self.batch, 0, self.render_mode)
