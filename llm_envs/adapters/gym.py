"""Gymnasium's views of a batch: `GymEnv`, one row that never resets itself, and `GymVectorEnv`, N rows, SAME_STEP.

Written for Gymnasium 1.1 to 1.4. What `gym.make` and `gym.make_vec` of every registered id return.
"""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.vector.utils import batch_space

from llm_envs.adapters.common import RENDER_MODES, SECONDS_PER_FRAME, draw
from llm_envs.adapters.spaces import action_space, observation_space
from llm_envs.engine.batch import BatchEnv
from llm_envs.registration import make_batch
from llm_envs.validation import check_choice

AUTORESETS = {AutoresetMode.SAME_STEP: "same_step", AutoresetMode.NEXT_STEP: "next_step"}


def make_single(world_id: str, render_mode: str | None = None, **options: Any) -> "GymEnv":
    """Make what `gym.make(world_id, **options)` returns below Gymnasium's own wrappers."""
    for fixed in ("autoreset", "num_envs", "group_size"):
        if fixed in options:
            raise TypeError(f"gym.make takes no option {fixed!r}; use gym.make_vec or llm_envs.make_batch")
    return GymEnv(make_batch(world_id, 1, autoreset="never", **options), render_mode)


def make_vector(
    world_id: str,
    num_envs: int = 1,
    render_mode: str | None = None,
    autoreset_mode: str | AutoresetMode = AutoresetMode.SAME_STEP,
    **options: Any,
) -> gym.vector.VectorEnv:
    """Make what `gym.make_vec(world_id, num_envs, **options)` returns.

    Where a world shows or takes strings (observation="text", action="text") it is Gymnasium's own SyncVectorEnv around
    single environments: strings live on the host in any case. `autoreset_mode` NEXT_STEP is for Gymnasium's vector
    observation wrappers, which refuse SAME_STEP.
    """
    if "autoreset" in options:
        raise TypeError("gym.make_vec takes no option 'autoreset'; it takes autoreset_mode")
    mode = AutoresetMode(autoreset_mode)
    if mode not in AUTORESETS:
        raise ValueError(f"autoreset_mode is {mode.value!r}; it must be one of {[m.value for m in AUTORESETS]}")
    batch = make_batch(world_id, num_envs, autoreset=AUTORESETS[mode], **options)
    if batch.world.uses_strings:
        return SyncVectorEnv([lambda: make_single(world_id, render_mode, **options)] * num_envs, autoreset_mode=mode)
    return GymVectorEnv(batch, render_mode)


class GymEnv(gym.Env):
    """One row as a Gymnasium environment; made by `gym.make(id, **config)`.

    `info["signals"]` holds the unweighted reward terms of the step by name.
    """

    def __init__(self, batch: BatchEnv, render_mode: str | None = None) -> None:
        world = batch.world
        if render_mode is not None:
            check_choice("render_mode", render_mode, RENDER_MODES)
        self.batch, self.render_mode = batch, render_mode
        self.metadata = {"render_modes": list(RENDER_MODES), "render_fps": round(1 / SECONDS_PER_FRAME)}
        self.observation_space, self.action_space = observation_space(world), action_space(world)
        self._discrete, self._texts = isinstance(world.actions, int), world.uses_strings
        self._over = False
        # Bound once, as views of the one row: looking these up costs as much as a step.
        now = batch.arrays
        self._row = {name: value[0] for name, value in now.obs.items()}
        self._signals = {name: value[:1] for name, value in now.signals.items()}
        self._reward, self._terminated, self._truncated = now.reward, now.terminated, now.truncated
        self._action, self._typed = batch.action_buffer, world.takes_text
        self._legal = range(world.actions if isinstance(world.actions, int) else 0)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Any, dict]:
        """Begin the next episode; a `seed` makes it the first of that seed's episodes."""
        super().reset(seed=seed)
        if seed is None and not self.batch.started:
            seed = int(self.np_random.integers(2**31))  # Gymnasium: an unseeded environment is not reproducible
        self.batch.reset_rows(seed)
        self._over = False
        if self.render_mode == "human":
            self.render()
        return self._observe(), self._describe()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        """Take one step. ValueError for an illegal action, RuntimeError after the end; the state is then unchanged.

        A typed command may be longer than the action space's texts, or of other letters: the game answers that it does
        not understand. The space is for `sample`.
        """
        if self._over or not self.batch.started:
            raise RuntimeError("the episode is over: call reset()" if self._over else "call reset() before step()")
        if self._typed:
            self._action[0] = self.batch.parse_row(action, 0)
            self.batch.step_rows()
        elif self._discrete:
            if isinstance(action, (bool, float)) or not self.action_space_holds(action):
                raise ValueError(f"the action is {action!r}; it must be an integer from 0 to {len(self._legal) - 1}")
            self._action[0] = action
            self.batch.step_rows()
        else:
            self.batch.step_rows(np.asarray(action)[None])
        terminated, truncated = self._terminated.item(), self._truncated.item()
        self._over = terminated or truncated
        info = self._describe()
        info["signals"] = {name: value.item() for name, value in self._signals.items()}
        if self.render_mode == "human":
            self.render()
        return self._observe(), self._reward.item(), terminated, truncated, info

    def action_space_holds(self, action: Any) -> bool:
        """Say whether `action` is one integer in range; faster than `action_space.contains`."""
        try:
            return action.__index__() in self._legal
        except (AttributeError, TypeError):
            return False

    def _observe(self) -> Any:
        """Return the observation as copies, or as text."""
        if self.batch.world.shows_text:
            return self.batch.decode_row(self._row)
        return {name: value.copy() for name, value in self._row.items()}

    def _describe(self) -> dict[str, Any]:
        """Return what a text world's string form tells beside the observation."""
        return self.batch.info(0) if self._texts else {}

    def action_masks(self) -> np.ndarray:
        """Return which actions are legal now, (A,) bool: what sb3_contrib's MaskablePPO asks for."""
        return self.batch.action_masks()[0]

    def render(self) -> Any:
        """Return a text or a picture, or print, as `render_mode` says."""
        return draw(self.batch, 0, self.render_mode)


class GymVectorEnv(gym.vector.VectorEnv):
    """N rows as a Gymnasium vector environment; made by `gym.make_vec(id, num_envs, **config)`.

    The autoreset mode is SAME_STEP, or NEXT_STEP where the batch has autoreset="next_step". `infos` are laid out as
    Gymnasium's SyncVectorEnv lays them out in that mode.

    Args:
        batch: the batch to show.
        render_mode: "ansi", "human" or "rgb_array".
        copy: hand out copies of the observations; False for live views, valid until the next step.
    """

    def __init__(self, batch: BatchEnv, render_mode: str | None = None, copy: bool = True) -> None:
        world = batch.world
        if render_mode is not None:
            check_choice("render_mode", render_mode, RENDER_MODES)
        self.batch, self.num_envs, self.render_mode, self.copy = batch, batch.num_envs, render_mode, copy
        mode = next(mode for mode, name in AUTORESETS.items() if name == batch.autoreset)
        self.metadata = {"render_modes": list(RENDER_MODES), "autoreset_mode": mode}
        self.single_observation_space, self.single_action_space = observation_space(world), action_space(world)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[dict, dict]:
        """Begin a new episode in every row; row i as a single environment seeded `seed + i`."""
        super().reset(seed=seed)
        if seed is None and not self.batch.started:
            seed = int(self.np_random.integers(2**31))
        self.batch.reset_rows(seed)
        return self._observations(), {}

    def step(self, actions: Any) -> tuple[dict, np.ndarray, np.ndarray, np.ndarray, dict]:
        """Step every row; ValueError for illegal actions, and then no row has moved."""
        same_step = self.batch.autoreset == "same_step"
        begun = None if same_step else self.batch.over
        self.batch.step_rows(actions)
        now = self.batch.arrays
        done = now.terminated | now.truncated
        # Rows whose info is this step's: not those that begin an episode, whose last step is told in final_info.
        stepped = ~done if begun is None else ~begun
        infos: dict[str, Any] = _signal_infos(now.signals, stepped) if stepped.any() else {}
        if same_step and done.any():
            finals = np.full(self.num_envs, None, dtype=object)
            for i in np.flatnonzero(done):
                finals[i] = {name: value[i].copy() for name, value in now.final_obs.items()}
            infos |= {"final_obs": finals, "_final_obs": done}
            infos |= {"final_info": _signal_infos(now.signals, done), "_final_info": done.copy()}
        return (
            self._observations(),
            now.reward.astype(np.float64),
            now.terminated.copy(),
            now.truncated.copy(),
            infos,
        )

    def _observations(self) -> dict[str, np.ndarray]:
        obs = self.batch.arrays.obs
        return {name: value.copy() for name, value in obs.items()} if self.copy else obs

    def action_masks(self) -> np.ndarray:
        """Return which actions are legal now, (N, A) bool."""
        return self.batch.action_masks()

    def render(self) -> tuple | None:
        """Return every row as text or picture, as `render_mode` says."""
        return tuple(draw(self.batch, i, self.render_mode) for i in range(self.num_envs))


def _signal_infos(signals: dict[str, np.ndarray], rows: np.ndarray) -> dict[str, Any]:
    """Return {"signals": {name: (N,), "_name": rows}, "_signals": rows}, zero outside `rows`."""
    told: dict[str, np.ndarray] = {}
    for name, value in signals.items():
        told[name], told[f"_{name}"] = np.where(rows, value, 0.0).astype(np.float64), rows.copy()
    return {"signals": told, "_signals": rows.copy()}
