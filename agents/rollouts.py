"""Rollouts that stay on the device: a buffer of tensors, and a mixin over SB3's on-policy algorithms that fills it.

`train()` of the algorithm stays Stable-Baselines3's. What changes is `collect_rollouts`: policy, environment and
buffer exchange tensors through `TensorVecEnv.step_tensor`; rewards and episode statistics cross to the host once a
rollout; the values of truncated episodes are computed in one batch after it. With equal seeds the numbers are those of
SB3's loop.
"""

import time
import warnings
from collections.abc import Generator
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import BaseBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.type_aliases import DictRolloutBufferSamples
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from agents.sequences import find_runs, gather, shuffled_by_run
from llm_envs.adapters.sb3 import TensorVecEnv
from llm_envs.world import check_choice


def generalized_advantage(
    rewards: Tensor, values: Tensor, last_values: Tensor, dones: Tensor, gamma: float, gae_lambda: float
) -> Tensor:
    """Return GAE(lambda) (Schulman et al., 2016, eq. 16), all (T, N); last_values (N,) follow the last step.

    `dones` cuts the bootstrap and the trace. A truncated step's reward must already hold gamma V(final observation).
    """
    advantages, running = torch.zeros_like(rewards), torch.zeros_like(last_values)
    going_on = 1.0 - dones.to(rewards.dtype)
    for t in reversed(range(len(rewards))):
        next_values = values[t + 1] if t + 1 < len(rewards) else last_values
        delta = rewards[t] + gamma * next_values * going_on[t] - values[t]
        running = delta + gamma * gae_lambda * going_on[t] * running
        advantages[t] = running
    return advantages


class TensorRolloutBuffer(BaseBuffer):
    """A rollout of `buffer_size` steps of N rows, (T, N, ...) tensors on the policy's device.

    `order`, of the states in minibatches: "runs" keeps the steps of an episode together, so that each text is read
    once; "stock" is SB3's own permutation, number for number.
    """

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        device: torch.device | str = "auto",
        gae_lambda: float = 1,
        gamma: float = 0.99,
        n_envs: int = 1,
        order: str = "runs",
    ) -> None:
        super().__init__(buffer_size, observation_space, action_space, device, n_envs=n_envs)
        check_choice("order", order, ("runs", "stock"))
        self.order = order
        self.gae_lambda, self.gamma = gae_lambda, gamma
        self.tensors: dict[str, Tensor] = {}  # allocated at the first rollout: loading a model to predict costs nothing
        self.observations: dict[str, Tensor] = {}
        self.final_observations: dict[str, Tensor] = {}

    def allocate(self, obs: dict[str, Tensor], actions: Tensor, keep_finals: bool) -> None:
        """Make the tensors, shaped after one step's."""

        def room(like: Tensor) -> Tensor:
            return torch.zeros((self.buffer_size, *like.shape), dtype=like.dtype, device=self.device)

        self.observations = {name: room(value) for name, value in obs.items()}
        self.final_observations = {name: room(value) for name, value in obs.items()} if keep_finals else {}
        scalar = torch.zeros(self.n_envs)
        names = ("rewards", "values", "log_probs", "advantages", "returns")
        self.tensors = {name: room(scalar) for name in names} | {"actions": room(actions)}
        self.tensors |= {name: room(scalar.bool()) for name in ("dones", "timeouts")}

    def finish(self, last_values: Tensor) -> None:
        """Compute advantages and returns; `last_values` (N,) belong to the observations after the last step."""
        held = self.tensors
        advantages = generalized_advantage(
            held["rewards"], held["values"], last_values, held["dones"], self.gamma, self.gae_lambda
        )
        held["advantages"], held["returns"] = advantages, advantages + held["values"]

    def get(self, batch_size: int | None = None) -> Generator[DictRolloutBufferSamples, None, None]:
        """Yield minibatches of `batch_size` states (None: all), in the order that `order` says.

        Token observations come as `Sequences`, in any order: each text is read once a minibatch.
        """
        order = torch.as_tensor(np.random.permutation(self.buffer_size * self.n_envs), device=self.device)  # noqa: NPY002
        speaks = "tokens" in self.observations
        if speaks:
            last = find_runs(self.observations["length"].view(self.buffer_size, -1), self.tensors["dones"])
            if self.order == "runs":
                order = shuffled_by_run(last, order)
        for chosen in order.split(batch_size or len(order)):
            rows, steps = chosen // self.buffer_size, chosen % self.buffer_size
            observations: Any
            if speaks:
                observations = gather(self.observations, last, steps, rows)
            else:
                observations = {name: value[steps, rows] for name, value in self.observations.items()}
            names = ("actions", "values", "log_probs", "advantages", "returns")
            yield DictRolloutBufferSamples(observations, *(self.tensors[name][steps, rows] for name in names))

    def _get_samples(self, batch_inds: np.ndarray, env: Any = None) -> Any:
        raise TypeError("this buffer is read by get()")

    @property
    def values(self) -> np.ndarray:
        """Values as SB3's logging reads them, (T, N) on the host."""
        return self.tensors["values"].cpu().numpy()

    @property
    def returns(self) -> np.ndarray:
        """Returns as SB3's logging reads them, (T, N) on the host."""
        return self.tensors["returns"].cpu().numpy()


class OnDeviceRollouts:
    """Mixin, first in the bases of an SB3 on-policy algorithm; see the module.

    With an environment that is not a bare `TensorVecEnv` it warns once and runs SB3's own loop.
    """

    rollout_buffer_class: Any

    def _setup_model(self) -> None:
        on_device = isinstance(self.env, TensorVecEnv)  # type: ignore[attr-defined]
        if on_device:
            self.rollout_buffer_class = TensorRolloutBuffer
        elif self.env is not None:  # type: ignore[attr-defined]
            warnings.warn(
                f"rollouts go through NumPy: the environment is {type(self.env).__name__}, not a bare TensorVecEnv",  # type: ignore[attr-defined]
                stacklevel=3,
            )
        super()._setup_model()  # type: ignore[misc]

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_last_obs", "_last_episode_starts", "_running"]  # type: ignore[misc]

    def collect_rollouts(self, env: VecEnv, callback: BaseCallback, rollout_buffer: Any, n_rollout_steps: int) -> bool:
        """Fill the buffer with `n_rollout_steps` steps of every row; return False if the callback stops training."""
        if not isinstance(rollout_buffer, TensorRolloutBuffer):
            return super().collect_rollouts(env, callback, rollout_buffer, n_rollout_steps)  # type: ignore[misc]
        assert isinstance(env, TensorVecEnv)
        policy, device = self.policy, self.device  # type: ignore[attr-defined]
        policy.set_training_mode(False)
        truncates = env.batch.world.max_steps > 0
        signals = SignalTotals(env)
        obs = _on(device, env.batch.tensors.obs)
        callback.on_rollout_start()
        for t in range(n_rollout_steps):
            with torch.no_grad():
                actions, values, log_probs = policy(obs)
            if not rollout_buffer.tensors:
                rollout_buffer.allocate(obs, actions, truncates)
            held = rollout_buffer.tensors
            for name, value in obs.items():
                rollout_buffer.observations[name][t] = value
            held["actions"][t], held["values"][t], held["log_probs"][t] = actions, values.flatten(), log_probs
            step = env.step_tensor(self._within_bounds(actions).to(env.device))
            done = step.terminated | step.truncated
            held["rewards"][t], held["dones"][t] = step.reward, done
            held["timeouts"][t] = step.truncated & ~step.terminated
            if truncates:
                for name, value in step.final_obs.items():
                    rollout_buffer.final_observations[name][t] = value
            signals.add(step.signals, done)
            obs = _on(device, step.obs)
            self.num_timesteps += env.num_envs  # type: ignore[attr-defined]
            told = {"new_obs": obs, "rewards": _Lazy(step.reward), "dones": _Lazy(done), "actions": actions}
            callback.update_locals({**locals(), **told, "infos": [{}] * env.num_envs, "n_steps": t + 1})
            if not callback.on_step():
                return False
        self._record_episodes(rollout_buffer)  # before the bootstrap, which is no part of an episode's return
        with torch.no_grad():
            self._bootstrap_truncated(rollout_buffer)
            rollout_buffer.finish(policy.predict_values(obs).flatten())
        for name, mean in signals.means().items():
            self.logger.record(f"signals/{name}", mean)  # type: ignore[attr-defined]
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    def _within_bounds(self, actions: Tensor) -> Tensor:
        """Clip continuous actions to their box, as SB3 does."""
        space = self.action_space  # type: ignore[attr-defined]
        if not isinstance(space, spaces.Box):
            return actions
        low, high = (torch.as_tensor(bound, device=actions.device) for bound in (space.low, space.high))
        return actions.clamp(low, high)

    def _bootstrap_truncated(self, buffer: TensorRolloutBuffer) -> None:
        """Add gamma V(final observation) to the reward where an episode was cut by its time limit."""
        if not buffer.final_observations:
            return
        where = buffer.tensors["timeouts"].nonzero(as_tuple=True)
        if len(where[0]):
            finals = {name: value[where] for name, value in buffer.final_observations.items()}
            values = self.policy.predict_values(finals).flatten()  # type: ignore[attr-defined]
            buffer.tensors["rewards"][where] += buffer.gamma * values

    def _record_episodes(self, buffer: TensorRolloutBuffer) -> None:
        """Put the returns and lengths of the episodes that ended into SB3's `ep_info_buffer`, in step order."""
        rewards, dones = (buffer.tensors[name].cpu().numpy() for name in ("rewards", "dones"))
        running = getattr(self, "_running", None)
        if running is None or running.shape[1] != buffer.n_envs:
            running = np.zeros((2, buffer.n_envs))
        for t in range(len(rewards)):
            running += rewards[t], np.ones(buffer.n_envs)
            ended = np.flatnonzero(dones[t])
            elapsed = time.time() - self.start_time / 1e9  # type: ignore[attr-defined]
            for row in ended[-self._stats_window_size :]:  # type: ignore[attr-defined]
                self.ep_info_buffer.append({"r": running[0, row], "l": int(running[1, row]), "t": elapsed})  # type: ignore[attr-defined]
            running[:, ended] = 0
        self._running = running


class SignalTotals:
    """Sums each signal over every episode, on the device; `means` reads them once."""

    def __init__(self, env: TensorVecEnv) -> None:
        self.running = {name: torch.zeros_like(value) for name, value in env.batch.tensors.signals.items()}
        self.ended = {name: torch.zeros((), device=env.device) for name in self.running}
        self.episodes = torch.zeros((), device=env.device)

    def add(self, signals: dict[str, Tensor], done: Tensor) -> None:
        """Take one step's signals, (N,) each."""
        for name, value in signals.items():
            self.running[name] += value.nan_to_num(0.0)
            self.ended[name] += (self.running[name] * done).sum()
            self.running[name] *= ~done
        self.episodes += done.sum()

    def means(self) -> dict[str, float]:
        """Return each signal's mean total of the episodes that ended."""
        count = max(float(self.episodes), 1.0)
        return {name: float(total) / count for name, total in self.ended.items()}


class _Lazy:
    """A device tensor among a callback's locals: it crosses to the host only if a callback reads it."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self._tensor.cpu().numpy(), dtype)

    def __getitem__(self, i: Any) -> Any:
        return np.asarray(self)[i]

    def __len__(self) -> int:
        return len(self._tensor)


def _on(device: torch.device, obs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return observations on the policy's device; live views where they are there already."""
    return {name: value.to(device) for name, value in obs.items()}
