"""Rollouts that stay on the device: a mixin over SB3's on-policy algorithms.

The algorithm's `train()` stays Stable-Baselines3's; `collect_rollouts` differs from SB3's in four points:

1. Policy, environment and buffer exchange tensors through `TensorVecEnv.step_tensor`.
2. Rewards and episode statistics are copied to the host once a rollout.
3. Each token is read once, with a key/value cache.
4. The values of truncated episodes' final observations are computed in one batch after the rollout.

With equal seeds the numbers are those of SB3's loop. N rows, T = `n_rollout_steps`, D features.
"""

import time
import warnings
from collections.abc import Callable
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
from agents.rollouts.cuda_graphs import RolloutStep
from agents.rollouts.statistics import SignalTotals
from llm_envs.adapters.sb3 import TensorVecEnv


class OnDeviceRollouts:
    """Mixin, first in the bases of an SB3 on-policy algorithm; see the module.

    With an environment that is not a bare `TensorVecEnv` it warns once and runs SB3's own loop.
    """

    env: Any  # this and the buffer are SB3's
    rollout_buffer: Any
    rollout_buffer_class: Any
    vocabulary: str | None = None  # fingerprint of the vocabulary it was trained with, saved with the model
    _reader: Reader | None = None
    _graphs: cuda_graphs.StepGraphs | None = None
    _running: np.ndarray | None = None  # (2, N): return and length of unfinished episodes so far
    _signals: dict[str, Tensor] | None = None  # (N,) each: sums over unfinished episodes so far
    _idle: Tensor | None = None  # (N,) bool: rows whose steps do not count for the rest of the rollout
    group: Group | None = None  # of a data parallel run, see agents.algorithms.data_parallel
    data_parallel_context: Callable[[], AbstractContextManager] = nullcontext  # entered around each update

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        with warnings.catch_warnings():
            # SB3 warns of a batch_size that does not divide the rollout; ours are cut at the ends of episodes anyway.
            warnings.filterwarnings("ignore", message="You have specified a mini-batch size")
            super().__init__(*args, **kwargs)

    def _setup_model(self) -> None:
        # SB3 makes the buffer in `_setup_model`, of this class.
        self._choose_buffer()
        super()._setup_model()  # type: ignore[misc]
        self._check_vocabulary()

    def set_env(self, env: Any, force_reset: bool = True) -> None:
        """SB3's; ValueError where the environment's vocabulary is not the one that the model was trained with."""
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
        return [*super()._excluded_save_params(), *ours, "group", "data_parallel_context"]  # type: ignore[misc]

    def collect_rollouts(self, env: VecEnv, callback: BaseCallback, rollout_buffer: Any, n_rollout_steps: int) -> bool:
        """Fill the buffer with `n_rollout_steps` steps of every row; return False if the callback stops training."""
        if not isinstance(rollout_buffer, SequenceRolloutBuffer):
            return super().collect_rollouts(env, callback, rollout_buffer, n_rollout_steps)  # type: ignore[misc]
        assert isinstance(env, TensorVecEnv)
        policy, device = self.policy, self.device  # type: ignore[attr-defined]
        policy.set_training_mode(False)  # no dropout: log-probs must be those of the policy that acts
        truncates = env.batch.world.max_steps > 0
        if self.num_timesteps == 0:  # type: ignore[attr-defined]  # `learn` has just reset the environment
            self._running = self._signals = None
        self._begin_rollout(env)
        signals = SignalTotals(env.batch.tensors.signals, env.num_envs, env.device, self._signals)
        self._signals = signals.running
        read, take_step = self._prepare_steps(env)
        callback.on_rollout_start()
        if self.group is not None:
            self.group.broadcast_generators()  # ranks must draw the same actions and permutations
        for t in range(n_rollout_steps):
            with torch.no_grad():
                obs, actions, values, log_probs, step = take_step()
            rollout_buffer.allocate(obs, actions, truncates)
            rollout_buffer.put(t, obs, actions=actions, values=values.flatten(), log_probs=log_probs)
            done = step.terminated | step.truncated
            timeouts = step.truncated & ~step.terminated
            rollout_buffer.put(t, {}, rewards=step.reward, dones=done, timeouts=timeouts)
            # Only time limits need final observations: what follows a termination has no value.
            if truncates:
                for name, value in step.final_obs.items():
                    rollout_buffer.final_observations[name][t] = value
            signals.add(step.signals, done if self._idle is None else done & ~self._idle)
            self.num_timesteps += env.num_envs * (1 if self.group is None else self.group.size)  # type: ignore[attr-defined]
            # What SB3's callbacks look for among the locals of its own loop.
            extra = {"new_obs": step.obs, "rewards": _LazyArray(step.reward), "dones": _LazyArray(done)}
            callback.update_locals({**locals(), **extra, "infos": [{}] * env.num_envs, "n_steps": t + 1})
            if not callback.on_step():
                return False
            if self._rollout_is_complete(rollout_buffer, t, done):
                break
        self._record_episodes(rollout_buffer)  # before KL and bootstrap change the rewards
        with torch.no_grad():
            self._apply_kl_penalty(rollout_buffer)
            self._finish_rollout(
                rollout_buffer, lambda: policy.value(read(on_device(env.batch.tensors.obs, device))).flatten()
            )
        for name, mean in signals.means(self.group).items():
            self.logger.record(f"signals/{name}", mean)  # type: ignore[attr-defined]
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    def train(self) -> None:
        """Update the policy on the newest rollout; in a data parallel run all ranks together."""
        with self.data_parallel_context():
            self._update()

    def _update(self) -> None:
        """Run the `train()` of the SB3 algorithm that this class is mixed into."""
        super().train()  # type: ignore[misc]

    def _apply_kl_penalty(self, buffer: SequenceRolloutBuffer) -> None:
        """Subtract a KL penalty from a whole rollout's rewards, before advantages are computed; a hook."""

    def _select_actions(
        self, features: Tensor, obs: dict[str, Tensor]
    ) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor]:
        """Return the observations to store, actions (N, ...), values (N, 1) and log-probs (N,) at features (N, D).

        Nothing in it waits for the device. With top-k or top-p their mask is stored too, as the field `support`.
        """
        policy = self.policy  # type: ignore[attr-defined]
        if policy.sampling.restricts:
            obs = {**obs, "support": policy.top_k_top_p_mask(features, obs)}
        return obs, *policy.act(features, obs, group=self.group)

    def _begin_rollout(self, env: TensorVecEnv) -> None:
        """Prepare the environment; a hook. Here rows continue their episodes."""

    def _rollout_is_complete(self, buffer: SequenceRolloutBuffer, t: int, done: Tensor) -> bool:
        """Return whether to stop after step `t`, before `n_steps`; a hook, never here."""
        return False

    def _finish_rollout(self, buffer: SequenceRolloutBuffer, last_values: Callable[[], Tensor]) -> None:
        """Compute advantages and returns; `last_values()` returns the values after the last step, (N,)."""
        self._bootstrap_truncated(buffer)
        buffer.finish(last_values())

    def _prepare_steps(
        self, env: TensorVecEnv
    ) -> tuple[Callable[[dict[str, Tensor]], Tensor], Callable[[], RolloutStep]]:
        """Return a function from observations to features (N, D), and one that takes a step of policy and environment.

        The cache of the policy before the last update is dropped. On a GPU steps without pending tokens are replays of
        a CUDA graph.
        """
        policy, device = self.policy, self.device  # type: ignore[attr-defined]

        def act(features: Tensor, obs: dict[str, Tensor]) -> RolloutStep:
            obs, actions, values, log_probs = self._select_actions(features, obs)
            obs = {name: value.clone() for name, value in obs.items()}  # the environment overwrites its buffers
            step = env.step_tensor(self._within_bounds(actions).to(env.device))
            return RolloutStep(obs, actions, values, log_probs, step)

        def current_obs() -> dict[str, Tensor]:
            return on_device(env.batch.tensors.obs, device)

        if policy.trunk is None:
            return policy.features, lambda: act(policy.features(current_obs()), current_obs())
        # A cache belongs to one policy object and one number of rows.
        if self._reader is None or self._reader.rows != env.num_envs or self._reader.policy is not policy:
            self._reader, self._graphs = Reader(policy, env.num_envs), None
        reader = self._reader
        reader.reset()
        if not cuda_graphs.supported(device, env.device):
            return reader, lambda: act(reader(current_obs()), current_obs())
        # Graphs hold the addresses of one environment's buffers.
        if self._graphs is None or self._graphs.env is not env:

            def step(max_position: int) -> RolloutStep:
                plan = Plan(reader.filled, num_pending=0, longest=0, max_position=max_position, restarted=True)
                return act(reader.read(current_obs(), plan), current_obs())

            self._graphs = cuda_graphs.StepGraphs(step, env, reader)
        replay = self._graphs

        def take_step() -> RolloutStep:
            plan = reader.plan(current_obs())
            if plan.num_pending:
                return act(reader.read(current_obs(), plan), current_obs())
            return replay(plan.max_position)

        return reader, take_step

    def _within_bounds(self, actions: Tensor) -> Tensor:
        """Return actions (N, ...) clipped to their box, as SB3 does; discrete ones as they are."""
        space = self.action_space  # type: ignore[attr-defined]
        if not isinstance(space, spaces.Box):
            return actions
        low, high = (torch.as_tensor(bound, device=actions.device) for bound in (space.low, space.high))
        return actions.clamp(low, high)

    def _bootstrap_truncated(self, buffer: SequenceRolloutBuffer) -> None:
        """Add gamma V(final observation) to the reward where an episode was cut by its time limit.

        SB3 does so too (Pardo et al., 2018, "Time limits in reinforcement learning", section 3): the episode ends in
        the rollout, not in the task.
        """
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
        parts = [buffer.tensors["rewards"] * used, buffer.tensors["dones"] & used, used]
        if self.group is not None:
            parts = [self.group.gather(part, 1) for part in parts]  # (T, N of all ranks)
        rewards, dones, steps = (part.cpu().numpy() for part in parts)
        running = self._running
        # Another number of rows is another environment: its episodes have just begun.
        if running is None or running.shape != (2, rewards.shape[1]):
            running = np.zeros((2, rewards.shape[1]))
        # Step by step and row by row, as SB3's Monitor would have seen the episodes end.
        for t in range(len(rewards)):
            running += rewards[t], steps[t]
            ended = np.flatnonzero(dones[t])
            elapsed = time.time() - self.start_time / 1e9  # type: ignore[attr-defined]
            for row in ended[-self._stats_window_size :]:  # type: ignore[attr-defined]
                self.ep_info_buffer.append({"r": running[0, row], "l": int(running[1, row]), "t": elapsed})  # type: ignore[attr-defined]
            running[:, ended] = 0
        self._running = running


class _LazyArray:
    """A device tensor among a callback's locals, copied to the host only if a callback reads it."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self._tensor.cpu().numpy(), dtype)

    def __getitem__(self, i: Any) -> Any:
        return np.asarray(self)[i]

    def __len__(self) -> int:
        return len(self._tensor)
