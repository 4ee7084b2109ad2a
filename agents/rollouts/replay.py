"""Experience replay for A2C and its kin: stored rollouts, weighted by V-trace under the policy of the moment.

`train()` stays the algorithm's, which makes one optimizer step for each batch that its buffer yields: here the fresh
rollout, then batches of stored rows. A row's steps stay together, since V-trace and a causal network both read them in
order. Values, bootstraps and importance weights are computed anew for each use, in one pass over the stored texts; of
the policy that acted only its log-probs are kept, and with `kl={"place": "reward"}` what it was fined.

Unlike ACER (Wang et al., 2017) there is no trust region and no Q function; unlike IMPALA (Espeholt et al., 2018), which
mixes stored and fresh rows in one batch, each batch is a step of its own.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from stable_baselines3.common.type_aliases import DictRolloutBufferSamples
from torch import Tensor

from agents.objectives.advantages import vtrace
from agents.policies.packing import Sequences, find_runs, gather, on_device
from agents.rollouts.buffer import SequenceRolloutBuffer
from llm_envs.adapters.sb3 import TensorVecEnv

if TYPE_CHECKING:
    from agents.policies.policy import TransformerPolicy

STORED = ("actions", "log_probs", "dones", "timeouts", "unused")  # of a rollout's tensors; and `paid`, as rewards


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
    steps: dict[str, Tensor]  # (T, n, ...): `STORED`, rewards without any bootstrap, baselines where there are some


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
    """A rollout, and the rows of those before it; `get` yields batches of both.

    Where an algorithm puts `baselines` (T, N) into `tensors`, they are kept and take the place of the critic's values.
    """

    policy: "TransformerPolicy"
    replay: Replay
    memory: Memory
    bootstraps: bool = True
    weigh: Callable[[Tensor, Tensor], Tensor]
    paid: Tensor | None = None  # (T, N), the rollout's rewards before any bootstrap
    importance: Tensor | None = None  # scalar, mean truncated importance weight of the last replayed batch

    def attach(
        self,
        policy: "TransformerPolicy",
        replay: Replay,
        bootstraps: bool = True,
        weigh: Callable[[Tensor, Tensor], Tensor] = lambda advantages, used: advantages,
    ) -> None:
        """Say who learns and how; ValueError if `replay.capacity` holds no row of n_steps.

        Args:
            policy: the one that learns.
            replay: what to keep and how to use it.
            bootstraps: count V after a row's last step and after a time limit; False: rows hold whole episodes.
            weigh: what training takes for a replayed batch's advantages (T, n), given which of them count, (T, n).
        """
        if replay.capacity < self.buffer_size:
            raise ValueError(f"capacity is {replay.capacity}; it must hold a row of n_steps={self.buffer_size}")
        self.policy, self.replay, self.bootstraps, self.weigh = policy, replay, bootstraps, weigh
        self.memory = Memory(replay.capacity // self.buffer_size)

    def keep(self, last_obs: dict[str, Tensor]) -> None:
        """Store the rollout with the rewards in `paid`; `last_obs` (N, ...) follows its last step."""
        assert self.paid is not None
        observations = {}
        for name, value in self.observations.items():
            # `support` is made when an action is drawn: after the last step there is none, nor is it read
            last = last_obs.get(name, torch.zeros_like(value[0]))
            observations[name] = torch.cat((value, last[None]))
        finals = {name: value for name, value in self.final_observations.items() if name in last_obs}
        names = [*STORED, "baselines"] if "baselines" in self.tensors else STORED
        self.memory.write(Rows(observations, finals, {**{n: self.tensors[n] for n in names}, "rewards": self.paid}))
        self.paid = None

    def get(self, batch_size: int | None = None) -> Generator[DictRolloutBufferSamples, None, None]:
        """Yield the fresh rollout as ever, then the replayed batches, each under the policy as it is by then."""
        yield from super().get(batch_size)
        stored = len(self.memory)
        count = min(self.replay.rows or self.n_envs, stored)
        for _ in range(self.replay.batches if stored else 0):
            yield self.replayed(torch.randperm(stored, device=self.device)[:count])

    @torch.no_grad()
    def replayed(self, chosen: Tensor) -> DictRolloutBufferSamples:
        """Return what counts of the rows at places `chosen` (n,) of the memory, M states, step by step.

        Advantages and returns are V-trace's under the present policy, with `gae_lambda` as its lambda, and values its
        own; log-probs are those of the policy that acted.
        """
        rows = self.memory[chosen]
        steps, rewards = rows.steps, rows.steps["rewards"]
        used, replay = ~steps["unused"], self.replay
        behaviour, training = steps["log_probs"] * used, self.policy.training
        self.policy.set_training_mode(False)  # as it acted: dropout would pass for a change of policy
        values, log_probs = self._judge(rows, used)
        if self.bootstraps:
            self._bootstrap_timeouts(rows)
        self.policy.set_training_mode(training)
        returns, advantages = vtrace(
            behaviour,
            log_probs,
            rewards,
            steps.get("baselines", values[:-1]),
            values[-1],
            steps["dones"],
            self.gamma,
            replay.rho_bar,
            replay.c_bar,
            self.gae_lambda,
        )
        self.importance = (log_probs - behaviour).exp().clamp(max=replay.rho_bar)[used].mean()
        told = (values[:-1], behaviour, self.weigh(advantages, used), returns)
        states: Any = self._states(rows, *used.nonzero(as_tuple=True))
        return DictRolloutBufferSamples(states, steps["actions"][used], *(value[used] for value in told))

    def _judge(self, rows: Rows, used: Tensor) -> tuple[Tensor, Tensor]:
        """Return the present policy's values (T + 1, n) and log-probs (T, n), 0 where not `used` (T, n)."""
        policy, like = self.policy, rows.steps["rewards"]
        read = torch.cat((used, torch.full_like(used[:1], self.bootstraps)))
        features = policy.features(self._states(rows, *read.nonzero(as_tuple=True)))
        acted = used.nonzero(as_tuple=True)
        distribution = policy.distribution(features[: len(acted[0])], self._states(rows, *acted))
        found = distribution.log_prob(rows.steps["actions"][used])
        values, log_probs = torch.zeros_like(read, dtype=like.dtype), torch.zeros_like(like)
        values[read], log_probs[used] = policy.value(features).flatten().to(like.dtype), found.to(like.dtype)
        return values, log_probs

    def _bootstrap_timeouts(self, rows: Rows) -> None:
        """Add gamma V(final observation) to the rewards where an episode was cut by its time limit."""
        where = rows.steps["timeouts"].nonzero(as_tuple=True)
        if len(where[0]):
            finals = {name: value[where] for name, value in rows.finals.items()}
            rewards = rows.steps["rewards"]
            rewards[where] += self.gamma * self.policy.predict_values(finals).flatten().to(rewards.dtype)

    def _states(self, rows: Rows, steps: Tensor, places: Tensor) -> Sequences | dict[str, Tensor]:
        """Return the observations at (steps, places), (M,) each; texts once, as far as they must be read."""
        last, dones = None, rows.steps["dones"]
        if self.has_texts:
            last = find_runs(rows.observations["length"].flatten(1), torch.cat((dones, dones[-1:])))
        return gather(rows.observations, last, steps, places)


class Replaying:
    """Mixin before `OnDeviceRollouts` in an algorithm's bases: gives it `replay=None | Replay | dict of its options`.

    A saved model has the options, not the transitions: once loaded, it fills its memory anew. The environment must be a
    bare `TensorVecEnv` (ValueError); to load a model onto another, give `load` the argument `replay=None`.
    """

    replay: Replay | None
    rollout_buffer_class: Any
    replay_bootstraps = True  # see ReplayRolloutBuffer.attach

    def __init__(self, *args: Any, replay: Replay | Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        self.replay = Replay.of(replay)
        super().__init__(*args, **kwargs)

    def _setup_model(self) -> None:
        self.replay = Replay.of(self.replay)  # `load` sets it without __init__
        super()._setup_model()  # type: ignore[misc]
        buffer = self.rollout_buffer  # type: ignore[attr-defined]
        if isinstance(buffer, ReplayRolloutBuffer):
            assert self.replay is not None
            buffer.attach(self.policy, self.replay, self.replay_bootstraps, self._weigh_replayed)  # type: ignore[attr-defined]

    def _choose_buffer(self) -> None:
        env = self.env  # type: ignore[attr-defined]
        if self.replay is not None and env is not None and not isinstance(env, TensorVecEnv):
            raise ValueError(f"replay needs a bare TensorVecEnv; the environment is {type(env).__name__}")
        if self.rollout_buffer_class is ReplayRolloutBuffer:  # a saved model's
            self.rollout_buffer_class = SequenceRolloutBuffer
        super()._choose_buffer()  # type: ignore[misc]
        if self.replay is not None and self.rollout_buffer_class is SequenceRolloutBuffer:
            self.rollout_buffer_class = ReplayRolloutBuffer

    def _weigh_replayed(self, advantages: Tensor, used: Tensor) -> Tensor:
        """Return what the update takes for V-trace's advantages (T, n) of stored rows; `used` (T, n) of them count."""
        return advantages

    def _adjust_rewards(self, buffer: Any) -> None:
        super()._adjust_rewards(buffer)  # type: ignore[misc]
        if isinstance(buffer, ReplayRolloutBuffer):
            buffer.paid = buffer.tensors["rewards"].clone()  # the last moment without the values of today's policy

    def collect_rollouts(self, env: Any, callback: Any, rollout_buffer: Any, n_rollout_steps: int) -> bool:
        """Fill the buffer and, unless the callback stops training, store the rollout."""
        going_on = super().collect_rollouts(env, callback, rollout_buffer, n_rollout_steps)  # type: ignore[misc]
        if going_on and isinstance(rollout_buffer, ReplayRolloutBuffer):
            rollout_buffer.keep(on_device(env.batch.tensors.obs, rollout_buffer.device))
        return going_on

    def train(self) -> None:
        """Update as the algorithm does, once for each batch; log how far the stored policies are from this one."""
        super().train()  # type: ignore[misc]
        importance = getattr(self.rollout_buffer, "importance", None)  # type: ignore[attr-defined]
        if importance is not None:
            self.logger.record("train/replay_importance", importance.item())  # type: ignore[attr-defined]
