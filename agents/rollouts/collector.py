"""`Collector`: rollouts that stay on the device.

It does what the loop of SB3's `collect_rollouts` does, and with equal seeds gives its numbers, but

1. Policy, environment and buffer exchange tensors through `TensorVecEnv.step_tensor`.
2. Rewards and episode statistics are copied to the host once a rollout.
3. Each token is read once, with a key/value cache.
4. The values of truncated episodes' final observations are computed in one batch after the rollout.

N rows, T steps of a rollout, D features.
"""

from collections.abc import Callable
from typing import Any

import torch
from gymnasium import spaces
from torch import Tensor

from agents.distributed.group import Group
from agents.policies.decoding import Plan, Reader
from agents.policies.packing import on_device
from agents.policies.policy import TransformerPolicy
from agents.rollouts import cuda_graphs
from agents.rollouts.buffer import SequenceRolloutBuffer
from agents.rollouts.cuda_graphs import RolloutStep
from agents.rollouts.statistics import EpisodeStatistics
from llm_envs.adapters.sb3 import TensorVecEnv

# (t, the step, done (N,) bool) -> whether to go on
OnStep = Callable[[int, RolloutStep, Tensor], bool]


class Collector:
    """Steps a policy and an environment, and fills a buffer.

    Args:
        env: where the policy acts.
        whole_episodes: every row begins a new episode, and the rollout ends when each has finished one. Steps of a row
            after its episode's end do not count (`unused`). With the environment's `group_size` the rows of a group
            play the same level.
    """

    def __init__(self, env: TensorVecEnv, whole_episodes: bool = False) -> None:
        self.env, self.whole_episodes = env, whole_episodes
        self.group: Group | None = None  # of a data parallel run
        self.statistics = EpisodeStatistics()
        self.signals: dict[str, float] = {}  # means over the episodes that the last rollout ended
        self.graphs: cuda_graphs.StepGraphs | None = None
        self._reader: Reader | None = None
        self._read: Callable[[dict[str, Tensor]], Tensor] | None = None  # observations -> features (N, D)

    def collect(self, policy: TransformerPolicy, buffer: SequenceRolloutBuffer, steps: int, on_step: OnStep) -> bool:
        """Fill the buffer with up to `steps` steps of every row; return False if `on_step` ends the training."""
        env, group = self.env, self.group
        truncates = env.batch.world.max_steps > 0
        idle = None  # (N,) bool: rows whose steps do not count for the rest of the rollout
        if self.whole_episodes:
            env.batch.align_groups()
            env.reset_tensor()
            idle = torch.zeros(env.num_envs, dtype=torch.bool, device=buffer.device)
            self.statistics.clear()  # no episode continues from the last rollout
        totals = self.statistics.signal_totals(env.batch.tensors.signals, env.num_envs, env.device)
        take_step = self._prepare_steps(policy)
        if group is not None:
            group.broadcast_generators()  # ranks must draw the same actions and permutations
        for t in range(steps):
            with torch.no_grad():
                acted = take_step()
            step = acted.step
            done, timeouts = step.terminated | step.truncated, step.truncated & ~step.terminated
            buffer.allocate(acted.obs, acted.actions, truncates)
            buffer.put(t, acted.obs, actions=acted.actions, values=acted.values.flatten(), log_probs=acted.log_probs)
            buffer.put(t, {}, rewards=step.reward, dones=done, timeouts=timeouts)
            # Only time limits need final observations: what follows a termination has no value.
            if truncates:
                for name, value in step.final_obs.items():
                    buffer.final_observations[name][t] = value
            totals.add(step.signals, done if idle is None else done & ~idle)
            if not on_step(t, acted, done):
                return False
            if idle is not None:
                buffer.tensors["unused"][t] = idle
                # The rollout may end before its last step: the rest of the buffer holds an older rollout.
                buffer.tensors["unused"][t + 1 :] = True
                idle = idle | done.to(idle.device)
                if self._all_idle(idle, t):
                    break
        self.signals = totals.means(group)
        return True

    def _all_idle(self, idle: Tensor, t: int) -> bool:
        """Return whether every row of every rank has finished its episode."""
        if idle.device.type != "cpu" and t % 8 != 7:
            return False  # asking waits for the device; some idle steps cost less than a wait at each step
        unfinished = (~idle).sum()
        return not int(unfinished if self.group is None else self.group.sum(unfinished))

    def last_values(self, policy: TransformerPolicy) -> Tensor:
        """Return the values (N,) of the observations after the last step."""
        assert self._read is not None
        with torch.no_grad():
            return policy.value(self._read(self.observations(policy.device))).flatten()

    def observations(self, device: torch.device) -> dict[str, Tensor]:
        """Return the present observations (N, ...) on a device."""
        return on_device(self.env.batch.tensors.obs, device)

    def _prepare_steps(self, policy: TransformerPolicy) -> Callable[[], RolloutStep]:
        """Return a function that takes a step of policy and environment.

        The cache of the policy before the last update is dropped. On a GPU steps without pending tokens are replays of
        a CUDA graph.
        """
        env = self.env

        def act(features: Tensor, obs: dict[str, Tensor]) -> RolloutStep:
            obs, actions, values, log_probs = select_actions(policy, features, obs, self.group)
            obs = {name: value.clone() for name, value in obs.items()}  # the environment overwrites its buffers
            step = env.step_tensor(within_bounds(actions, policy.action_space).to(env.device))
            return RolloutStep(obs, actions, values, log_probs, step)

        def current() -> dict[str, Tensor]:
            return self.observations(policy.device)

        if policy.trunk is None:
            self._read = policy.features
            return lambda: act(policy.features(current()), current())
        # A cache belongs to one policy object and one number of rows.
        if self._reader is None or self._reader.rows != env.num_envs or self._reader.policy is not policy:
            self._reader, self.graphs = Reader(policy, env.num_envs), None
        self._read = reader = self._reader
        reader.reset()
        if not cuda_graphs.supported(policy.device, torch.device(env.device)):
            return lambda: act(reader(current()), current())
        if self.graphs is None:

            def step(max_position: int) -> RolloutStep:
                plan = Plan(reader.filled, num_pending=0, longest=0, max_position=max_position, restarted=True)
                return act(reader.read(current(), plan), current())

            self.graphs = cuda_graphs.StepGraphs(step, env, reader)
        replay = self.graphs

        def take_step() -> RolloutStep:
            plan = reader.plan(current())
            if plan.num_pending:
                return act(reader.read(current(), plan), current())
            return replay(plan.max_position)

        return take_step

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run continues from, beside the environment."""
        return self.statistics.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        self.statistics.load_state_dict(state)


def select_actions(
    policy: TransformerPolicy, features: Tensor, obs: dict[str, Tensor], group: Group | None = None
) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor]:
    """Return the observations to store, actions (N, ...), values (N, 1) and log-probs (N,) at features (N, D).

    Nothing in it waits for the device. With top-k or top-p their mask is stored too, as the field `support`.
    """
    if policy.sampling.restricts:
        obs = {**obs, "support": policy.top_k_top_p_mask(features, obs)}
    return obs, *policy.act(features, obs, group=group)


def within_bounds(actions: Tensor, space: spaces.Space) -> Tensor:
    """Return actions (N, ...) clipped to their box, as SB3 does; discrete ones as they are."""
    if not isinstance(space, spaces.Box):
        return actions
    low, high = (torch.as_tensor(bound, device=actions.device) for bound in (space.low, space.high))
    return actions.clamp(low, high)


def bootstrapped_values(policy: TransformerPolicy, buffer: SequenceRolloutBuffer) -> Tensor:
    """Return gamma V(final observation), (T, N), where an episode was cut by its time limit, 0 elsewhere.

    To be added to the reward, as SB3 does (Pardo et al., 2018, "Time limits in reinforcement learning", section 3): the
    episode ends in the rollout, not in the task.
    """
    found = torch.zeros_like(buffer.tensors["rewards"], dtype=next(policy.value_net.parameters()).dtype)
    where = buffer.tensors["timeouts"].nonzero(as_tuple=True)
    if buffer.final_observations and len(where[0]):
        finals = {name: value[where] for name, value in buffer.final_observations.items()}
        with torch.no_grad():
            found[where] = buffer.gamma * policy.predict_values(finals).flatten()
    return found
