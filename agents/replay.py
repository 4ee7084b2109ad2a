"""Experience replay for A2C and its kin: stored rollouts, weighted by V-trace under the policy of the moment.

`train()` stays the algorithm's, which makes one optimizer step for each batch that its buffer yields: here the fresh
rollout, then batches of stored rows. A row's T steps stay together, since V-trace and a causal network both read them in
order. Nothing is stored that the policy could not have changed its mind about but the log-probs it acted with: values,
bootstraps and importance weights are computed anew for each use, in one pass over the stored texts.

Unlike ACER (Wang et al., 2017) there is no trust region and no Q function; unlike IMPALA (Espeholt et al., 2018), which
mixes stored and fresh rows in one batch, each batch is a step of its own.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from stable_baselines3.common.type_aliases import DictRolloutBufferSamples
from torch import Tensor

from agents.buffers import SequenceRolloutBuffer
from agents.estimators import vtrace
from agents.sequences import Sequences, find_runs, gather
from llm_envs.adapters.sb3 import TensorVecEnv

if TYPE_CHECKING:
    from agents.policies import TransformerPolicy

STORED = ("actions", "log_probs", "dones", "timeouts")  # of a rollout's tensors; rewards beside them, as they were paid


@dataclass(frozen=True)
class Replay:
    """What is kept and how it is used; ValueError if out of range."""

    capacity: int = 10_000  # transitions; rows of n_steps are kept whole, so up to n_steps - 1 fewer are
    batches: int = 1  # replayed batches, each an optimizer step, after every fresh one
    rows: int | None = None  # rows in a replayed batch; None: as many as a rollout has
    rho_bar: float = 1.0  # bounds the importance weights: which policy's values V-trace aims at
    c_bar: float = 1.0  # bounds those of its traces: how far back a surprise reaches

    def __post_init__(self) -> None:
        for name in ("capacity", "batches", "rows"):
            number = getattr(self, name)
            if number is not None and (number != int(number) or number < 1):
                raise ValueError(f"{name} is {number}; it must be a whole number from 1")
        if not self.rho_bar >= self.c_bar > 0:
            raise ValueError(f"rho_bar is {self.rho_bar} and c_bar {self.c_bar}; V-trace wants rho_bar >= c_bar > 0")

    @classmethod
    def of(cls, given: "Replay | Mapping[str, Any] | None") -> "Replay | None":
        """Return options given as themselves or by name; ValueError for a name that there is not."""
        if given is None or isinstance(given, cls):
            return given
        if not isinstance(given, Mapping):
            raise ValueError(f"replay is {given!r}; it must be None, a Replay or a dict of its options")
        known = [field.name for field in fields(cls)]
        if unknown := [name for name in given if name not in known]:
            raise ValueError(f"replay has no {', '.join(map(str, unknown))}; it has {', '.join(known)}")
        return cls(**given)


class Rows(NamedTuple):
    """T steps of n rows, by field."""

    observations: dict[str, Tensor]  # (T + 1, n, ...): the last follows the last step
    finals: dict[str, Tensor]  # (T, n, ...): true final observations; empty in a world without a time limit
    steps: dict[str, Tensor]  # (T, n, ...): `STORED`, and rewards without any bootstrap


class Memory:
    """The newest `capacity` rows ever written; new ones take the place of the oldest."""

    def __init__(self, capacity: int) -> None:
        self.capacity, self.written = capacity, 0
        self.held = Rows({}, {}, {})  # (T, capacity, ...), allocated by the first write

    def __len__(self) -> int:
        return min(self.written, self.capacity)

    def write(self, rows: Rows) -> None:
        """Copy n rows; of more than there is room for, the last."""
        count = rows.steps["rewards"].shape[1]
        kept = min(count, self.capacity)
        first = self.written + count - kept
        places = torch.arange(first, first + kept, device=rows.steps["rewards"].device) % self.capacity
        for held, new in zip(self.held, rows, strict=True):
            for name, value in new.items():
                if name not in held:
                    held[name] = value.new_zeros((len(value), self.capacity, *value.shape[2:]))
                held[name][:, places] = value[:, count - kept :]
        self.written += count

    def __getitem__(self, chosen: Tensor) -> Rows:
        """Return copies of the rows at places (n,) below `len(self)`."""
        return Rows(*({name: value[:, chosen] for name, value in part.items()} for part in self.held))


class ReplayRolloutBuffer(SequenceRolloutBuffer):
    """A rollout, and the rows of those before it; `get` yields batches of both."""

    replay: Replay
    policy: "TransformerPolicy"
    memory: Memory
    paid: Tensor | None = None  # (T, N), the rollout's rewards before any bootstrap
    importance: Tensor | None = None  # scalar, mean truncated importance weight of the last replayed batch

    def attach(self, policy: "TransformerPolicy", replay: Replay) -> None:
        """Take the policy that learns, and what to replay; ValueError if `capacity` holds no row of n_steps."""
        if replay.capacity < self.buffer_size:
            raise ValueError(
                f"capacity is {replay.capacity}; it must hold a row of n_steps={self.buffer_size} transitions"
            )
        self.policy, self.replay, self.memory = policy, replay, Memory(replay.capacity // self.buffer_size)

    def keep(self, last_obs: dict[str, Tensor]) -> None:
        """Store the rollout, `paid` included; `last_obs` (N, ...) follows its last step."""
        assert self.paid is not None
        observations = {}
        for name, value in self.observations.items():
            last = last_obs.get(
                name, torch.zeros_like(value[0])
            )  # `support` is made with the action, and there is none
            observations[name] = torch.cat((value, last[None]))
        steps = {name: self.tensors[name] for name in STORED} | {"rewards": self.paid}
        finals = {name: self.final_observations[name] for name in self.final_observations if name in last_obs}
        self.memory.write(Rows(observations, finals, steps))

    def get(self, batch_size: int | None = None) -> Generator[DictRolloutBufferSamples, None, None]:
        """Yield the fresh rollout as ever, then the replayed batches, each under the policy as it is by then."""
        yield from super().get(batch_size)
        stored = len(self.memory)
        count = min(self.replay.rows or self.n_envs, stored)
        for _ in range(self.replay.batches if stored else 0):
            yield self.replayed(torch.randperm(stored, device=self.device)[:count])

    @torch.no_grad()
    def replayed(self, chosen: Tensor) -> DictRolloutBufferSamples:
        """Return the rows at places `chosen` (n,) of the memory as T n states, step by step.

        Advantages and returns are V-trace's under the present policy, with the buffer's gae_lambda as its lambda, values
        its own too; log-probs are those that it acted with.
        """
        rows = self.memory[chosen]
        steps, count = rows.steps, len(rows.steps["rewards"])
        training = self.policy.training
        self.policy.set_training_mode(False)  # as it acted: dropout would pass for a change of policy
        features = self.policy.features(self._states(rows, count + 1))
        acted = self._states(rows, count)
        values = self.value(features).view(count + 1, -1)
        actions = steps["actions"].flatten(0, 1)
        distribution = self.policy.distribution(features[: len(actions)], acted)
        log_probs = distribution.log_prob(actions).view(count, -1)
        rewards = steps["rewards"]
        where = steps["timeouts"].nonzero(as_tuple=True)
        if len(where[0]):
            finals = {name: value[where] for name, value in rows.finals.items()}
            rewards[where] += self.gamma * self.value(self.policy.features(finals)).to(rewards.dtype)
        self.policy.set_training_mode(training)
        values, log_probs = values.to(rewards.dtype), log_probs.to(rewards.dtype)
        replay, behaviour = self.replay, steps["log_probs"]
        returns, advantages = vtrace(
            behaviour,
            log_probs,
            rewards,
            values[:-1],
            values[-1],
            steps["dones"],
            self.gamma,
            replay.rho_bar,
            replay.c_bar,
            self.gae_lambda,
        )
        self.importance = (log_probs - behaviour).exp().clamp(max=replay.rho_bar).mean()
        judged = (value.flatten() for value in (values[:-1], behaviour, advantages, returns))
        return DictRolloutBufferSamples(acted, actions, *judged)  # type: ignore[arg-type]

    def value(self, features: Tensor) -> Tensor:
        """Return the values (B,) that V-trace takes, at features (B, D); an algorithm with another baseline overrides it."""
        return self.policy.value(features).flatten()

    def _states(self, rows: Rows, count: int) -> Sequences | dict[str, Tensor]:
        """Return the first `count` observations of each row, step by step; texts are read as far as they need."""
        observations = rows.observations
        if not self.has_texts:
            return {name: value[:count].flatten(0, 1) for name, value in observations.items()}
        dones, n = rows.steps["dones"], rows.steps["dones"].shape[1]
        last = find_runs(observations["length"].flatten(1), torch.cat((dones, dones[-1:])))
        order = torch.arange(count * n, device=last.device)
        # `flat` names places in the fresh rollout, where these states are not
        return replace(gather(observations, last, order // n, order % n), flat=None)


class Replaying:
    """Mixin before `OnDeviceRollouts` in an algorithm's bases: gives it `replay=None | Replay | dict of its options`.

    A saved model has the options, not the transitions: once loaded, it fills its memory anew. The environment must be a
    bare `TensorVecEnv` (ValueError); to load a model onto another, give `load` the argument `replay=None`.
    """

    replay: Replay | None
    replay_buffer_class: type[ReplayRolloutBuffer] = ReplayRolloutBuffer

    def __init__(self, *args: Any, replay: Replay | Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        self.replay = Replay.of(replay)
        super().__init__(*args, **kwargs)

    def _setup_model(self) -> None:
        self.replay = Replay.of(self.replay)  # `load` sets it without __init__
        super()._setup_model()  # type: ignore[misc]
        buffer = self.rollout_buffer  # type: ignore[attr-defined]
        if isinstance(buffer, ReplayRolloutBuffer):
            assert self.replay is not None
            buffer.attach(self.policy, self.replay)  # type: ignore[attr-defined]

    def _choose_buffer(self) -> None:
        env = self.env  # type: ignore[attr-defined]
        if self.replay is not None and env is not None and not isinstance(env, TensorVecEnv):
            raise ValueError(f"replay needs a bare TensorVecEnv; the environment is {type(env).__name__}")
        if self.rollout_buffer_class is self.replay_buffer_class:  # a saved model's
            self.rollout_buffer_class = SequenceRolloutBuffer
        super()._choose_buffer()  # type: ignore[misc]
        if self.replay is not None and self.rollout_buffer_class is SequenceRolloutBuffer:
            self.rollout_buffer_class = self.replay_buffer_class

    def _bootstrap_truncated(self, buffer: Any) -> None:
        if isinstance(buffer, ReplayRolloutBuffer):
            buffer.paid = buffer.tensors["rewards"].clone()
        super()._bootstrap_truncated(buffer)  # type: ignore[misc]

    def collect_rollouts(self, env: Any, callback: Any, rollout_buffer: Any, n_rollout_steps: int) -> bool:
        """Fill the buffer and, unless the callback stops training, store the rollout."""
        going_on = super().collect_rollouts(env, callback, rollout_buffer, n_rollout_steps)  # type: ignore[misc]
        if going_on and isinstance(rollout_buffer, ReplayRolloutBuffer):
            device = rollout_buffer.device
            rollout_buffer.keep({name: value.to(device) for name, value in env.batch.tensors.obs.items()})
        return going_on

    def train(self) -> None:
        """Update as the algorithm does, once for each batch; log how far the stored policies are from this one."""
        super().train()  # type: ignore[misc]
        importance = getattr(self.rollout_buffer, "importance", None)  # type: ignore[attr-defined]
        if importance is not None:
            self.logger.record("train/replay_importance", importance.item())  # type: ignore[attr-defined]
