"""Rollouts that stay on the device: a mixin over SB3's on-policy algorithms.

`train()` of the algorithm stays Stable-Baselines3's. What changes is `collect_rollouts`: policy, environment and
buffer exchange tensors through `TensorVecEnv.step_tensor`; rewards and episode statistics cross to the host once a
rollout; each token is read once, with a key/value cache; the values of truncated episodes are computed in one batch
after the rollout. With equal seeds the numbers are those of SB3's loop.
"""

import time
import warnings
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from agents.distributed.group import Group
from agents.policies.compatibility import check_vocabulary
from agents.policies.decoding import Plan, Reader
from agents.policies.packing import on_device
from agents.rollouts import cuda_graphs
from agents.rollouts.buffer import SequenceRolloutBuffer
from agents.rollouts.cuda_graphs import Acted
from llm_envs.adapters.sb3 import TensorVecEnv


class OnDeviceRollouts:
    """Mixin, first in the bases of an SB3 on-policy algorithm; see the module.

    With an environment that is not a bare `TensorVecEnv` it warns once and runs SB3's own loop.
    """

    env: Any  # this and the buffer are SB3's
    rollout_buffer: Any
    rollout_buffer_class: Any
    vocabulary: str | None = None  # fingerprint of the words it has learned, saved with the model
    _reader: Reader | None = None
    _graphs: cuda_graphs.StepGraphs | None = None
    _running: np.ndarray | None = None  # (2, N): return and length of the episodes that go on
    _signals: dict[str, Tensor] | None = None  # (N,) each: sums over the episodes that go on
    _idle: Tensor | None = None  # (N,) bool: rows whose steps do not count for the rest of the rollout
    group: Group | None = None  # of a data parallel run, see agents.algorithms.data_parallel
    together: Callable[[], AbstractContextManager] = nullcontext  # what an update runs in

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        with warnings.catch_warnings():  # batch_size that divides no rollout: minibatches are of whole episodes anyway
            warnings.filterwarnings("ignore", message="You have specified a mini-batch size")
            super().__init__(*args, **kwargs)

    def _setup_model(self) -> None:
        self._choose_buffer()
        super()._setup_model()  # type: ignore[misc]
        self._check_vocabulary()

    def set_env(self, env: Any, force_reset: bool = True) -> None:
        """SB3's; ValueError where tokens of the environment are not the words that the model has learned."""
        super().set_env(env, force_reset)  # type: ignore[misc]
        self._check_vocabulary()

    def _check_vocabulary(self) -> None:
        if isinstance(self.env, TensorVecEnv):
            batch = self.env.batch
            self.vocabulary = check_vocabulary(self.vocabulary, batch.world, batch.identity.world_id)
        self.policy.vocabulary = self.vocabulary  # type: ignore[attr-defined]

    def _choose_buffer(self) -> None:
        if self.env is None:
            return
        if isinstance(self.env, TensorVecEnv):
            self.rollout_buffer_class = SequenceRolloutBuffer
            return
        if self.rollout_buffer_class is SequenceRolloutBuffer:  # a saved model on another environment
            self.rollout_buffer_class = None
        warnings.warn(
            f"rollouts go through NumPy: the environment is {type(self.env).__name__}, not a bare TensorVecEnv",
            stacklevel=4,
        )

    def _excluded_save_params(self) -> list[str]:
        ours = ["_last_obs", "_last_episode_starts", "_running", "_signals", "_reader", "_graphs", "_idle"]
        return [*super()._excluded_save_params(), *ours, "group", "together"]  # type: ignore[misc]

    def collect_rollouts(self, env: VecEnv, callback: BaseCallback, rollout_buffer: Any, n_rollout_steps: int) -> bool:
        """Fill the buffer with `n_rollout_steps` steps of every row; return False if the callback stops training."""
        if not isinstance(rollout_buffer, SequenceRolloutBuffer):
            return super().collect_rollouts(env, callback, rollout_buffer, n_rollout_steps)  # type: ignore[misc]
        assert isinstance(env, TensorVecEnv)
        policy, device = self.policy, self.device  # type: ignore[attr-defined]
        policy.set_training_mode(False)
        truncates = env.batch.world.max_steps > 0
        if self.num_timesteps == 0:  # type: ignore[attr-defined]  # SB3 has reset the environment
            self._running = self._signals = None
        self._begin_rollout(env)
        signals = SignalTotals(env.batch.tensors.signals, env.num_envs, env.device, self._signals)
        self._signals = signals.running
        read, take_step = self._prepare_steps(env)
        callback.on_rollout_start()
        if self.group is not None:
            self.group.agree_generators()
        for t in range(n_rollout_steps):
            with torch.no_grad():
                obs, actions, values, log_probs, step = take_step()
            rollout_buffer.allocate(obs, actions, truncates)
            rollout_buffer.put(t, obs, actions=actions, values=values.flatten(), log_probs=log_probs)
            done = step.terminated | step.truncated
            timeouts = step.truncated & ~step.terminated
            rollout_buffer.put(t, {}, rewards=step.reward, dones=done, timeouts=timeouts)
            if truncates:
                for name, value in step.final_obs.items():
                    rollout_buffer.final_observations[name][t] = value
            signals.add(step.signals, done if self._idle is None else done & ~self._idle)
            self.num_timesteps += env.num_envs * (1 if self.group is None else self.group.size)  # type: ignore[attr-defined]
            told = {"new_obs": step.obs, "rewards": _Lazy(step.reward), "dones": _Lazy(done), "actions": actions}
            callback.update_locals({**locals(), **told, "infos": [{}] * env.num_envs, "n_steps": t + 1})
            if not callback.on_step():
                return False
            if self._rollout_is_complete(rollout_buffer, t, done):
                break
        self._record_episodes(rollout_buffer)  # before bootstrap and KL, which are no part of an episode's return
        with torch.no_grad():
            self._adjust_rewards(rollout_buffer)
            self._finish_rollout(
                rollout_buffer, lambda: policy.value(read(on_device(env.batch.tensors.obs, device))).flatten()
            )
        for name, mean in signals.means(self.group).items():
            self.logger.record(f"signals/{name}", mean)  # type: ignore[attr-defined]
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    def train(self) -> None:
        """Run the algorithm's `train()`, in a data parallel run together with the other ranks."""
        with self.together():
            self._update()

    def _update(self) -> None:
        """Run the `train()` of the SB3 algorithm that this class is mixed into."""
        super().train()  # type: ignore[misc]

    def _adjust_rewards(self, buffer: SequenceRolloutBuffer) -> None:
        """Change a whole rollout's rewards before its advantages are computed; a hook, nothing here."""

    def _decide(self, features: Tensor, obs: dict[str, Tensor]) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor]:
        """Return what the buffer keeps of the observations, actions, values (N, 1), log-probs (N,); nothing waits."""
        policy = self.policy  # type: ignore[attr-defined]
        if policy.sampling.restricts:
            obs = {**obs, "support": policy.support(features, obs)}
        return obs, *policy.act(features, obs, group=self.group)

    def _begin_rollout(self, env: TensorVecEnv) -> None:
        """Prepare the environment; rows go on where they are."""

    def _rollout_is_complete(self, buffer: SequenceRolloutBuffer, t: int, done: Tensor) -> bool:
        """Say whether to stop after step `t`, before `n_steps`."""
        return False

    def _finish_rollout(self, buffer: SequenceRolloutBuffer, last_values: Callable[[], Tensor]) -> None:
        """Compute advantages and returns; `last_values()` are those after the last step, (N,)."""
        self._bootstrap_truncated(buffer)
        buffer.finish(last_values())

    def _prepare_steps(self, env: TensorVecEnv) -> tuple[Callable[[dict[str, Tensor]], Tensor], Callable[[], Acted]]:
        """Return what turns observations into features, and what takes a step of policy and environment.

        What an older policy has read is forgotten. On a GPU steps without late rows are replays of a graph.
        """
        policy, device = self.policy, self.device  # type: ignore[attr-defined]

        def act(features: Tensor, obs: dict[str, Tensor]) -> Acted:
            obs, actions, values, log_probs = self._decide(features, obs)
            obs = {name: value.clone() for name, value in obs.items()}  # the environment writes over its own
            step = env.step_tensor(self._within_bounds(actions).to(env.device))
            return Acted(obs, actions, values, log_probs, step)

        def now() -> dict[str, Tensor]:
            return on_device(env.batch.tensors.obs, device)

        if policy.trunk is None:
            return policy.features, lambda: act(policy.features(now()), now())
        if self._reader is None or self._reader.rows != env.num_envs or self._reader.policy is not policy:
            self._reader, self._graphs = Reader(policy, env.num_envs), None
        reader = self._reader
        reader.forget()
        if not cuda_graphs.possible(device, env.device):
            return reader, lambda: act(reader(now()), now())
        if self._graphs is None or self._graphs.env is not env:

            def step(reach: int) -> Acted:
                return act(reader.read(now(), Plan(reader.filled, 0, 0, reach, True)), now())

            self._graphs = cuda_graphs.StepGraphs(step, env, reader)
        replay = self._graphs

        def take_step() -> Acted:
            plan = reader.plan(now())
            return act(reader.read(now(), plan), now()) if plan.late else replay(plan.reach)

        return reader, take_step

    def _within_bounds(self, actions: Tensor) -> Tensor:
        """Clip continuous actions to their box, as SB3 does."""
        space = self.action_space  # type: ignore[attr-defined]
        if not isinstance(space, spaces.Box):
            return actions
        low, high = (torch.as_tensor(bound, device=actions.device) for bound in (space.low, space.high))
        return actions.clamp(low, high)

    def _bootstrap_truncated(self, buffer: SequenceRolloutBuffer) -> None:
        """Add gamma V(final observation) to the reward where an episode was cut by its time limit."""
        if not buffer.final_observations:
            return
        where = buffer.tensors["timeouts"].nonzero(as_tuple=True)
        if len(where[0]):
            finals = {name: value[where] for name, value in buffer.final_observations.items()}
            values = self.policy.predict_values(finals).flatten()  # type: ignore[attr-defined]
            buffer.tensors["rewards"][where] += buffer.gamma * values

    def _record_episodes(self, buffer: SequenceRolloutBuffer) -> None:
        """Put the returns and lengths of the episodes that ended into SB3's `ep_info_buffer`, in step order."""
        used = ~buffer.tensors["unused"]
        held = [buffer.tensors["rewards"] * used, buffer.tensors["dones"] & used, used]
        if self.group is not None:
            held = [self.group.gather(value, 1) for value in held]
        rewards, dones, steps = (value.cpu().numpy() for value in held)
        running = self._running
        if running is None or running.shape != (2, rewards.shape[1]):
            running = np.zeros((2, rewards.shape[1]))
        for t in range(len(rewards)):
            running += rewards[t], steps[t]
            ended = np.flatnonzero(dones[t])
            elapsed = time.time() - self.start_time / 1e9  # type: ignore[attr-defined]
            for row in ended[-self._stats_window_size :]:  # type: ignore[attr-defined]
                self.ep_info_buffer.append({"r": running[0, row], "l": int(running[1, row]), "t": elapsed})  # type: ignore[attr-defined]
            running[:, ended] = 0
        self._running = running


class SignalTotals:
    """Sums each signal over every episode, on the device; `means` reads them once.

    `running` are the sums (N,) by name of episodes that began before; those of other rows or signals are dropped.
    """

    def __init__(
        self,
        names: Iterable[str],
        rows: int,
        device: torch.device | str,
        running: dict[str, Tensor] | None = None,
    ) -> None:
        self.running = {name: torch.zeros(rows, device=device) for name in names}
        if running is not None and {n: len(v) for n, v in running.items()} == dict.fromkeys(self.running, rows):
            self.running = {name: value.to(device) for name, value in running.items()}
        self.ended = {name: torch.zeros((), device=device) for name in self.running}
        self.episodes = torch.zeros((), device=device)

    def add(self, signals: dict[str, Tensor], done: Tensor) -> None:
        """Take one step's signals, (N,) each."""
        for name, value in signals.items():
            self.running[name] += value.nan_to_num(0.0)
            self.ended[name] += (self.running[name] * done).sum()
            self.running[name] *= ~done
        self.episodes += done.sum()

    def means(self, group: Group | None = None) -> dict[str, float]:
        """Return each signal's mean total of the episodes that ended, of all ranks if there is a group."""
        totals = torch.stack((self.episodes, *self.ended.values()))
        episodes, *ended = (totals if group is None else group.sum(totals)).tolist()
        return {name: total / max(episodes, 1.0) for name, total in zip(self.ended, ended, strict=True)}


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
