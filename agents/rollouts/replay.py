"""Experience replay for A2C and REINFORCE: stored rollouts, weighted by V-trace under the current policy.

`train()` stays the algorithm's, which makes one optimizer step for each batch that its buffer yields: here the fresh
rollout, then batches of stored rows. A row's steps stay together, since V-trace and a causal network both read them in
order. Values, bootstraps and importance weights are computed again for each use, in one pass over the stored texts; of
the policy that acted only its log-probs are stored, and with `kl={"place": "reward"}` its KL penalty.

Unlike ACER (Wang et al., 2017) there is no trust region and no Q function; unlike IMPALA (Espeholt et al., 2018), which
mixes stored and fresh rows in one batch, each batch is a step of its own.

T steps, N rows of a rollout, n rows of a replayed batch, M of their states.
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

STORED = ("actions", "log_probs", "dones", "timeouts", "unused")  # of a rollout's tensors; and the task rewards


@dataclass(frozen=True)
class Replay:
    """What is stored and how it is used; ValueError if out of range."""

    capacity: int = 10_000  # transitions; rows of n_steps are kept whole, so up to n_steps - 1 fewer are
    batches: int = 1  # replayed batches, each an optimizer step, after every fresh one
    rows: int | None = None  # rows in a replayed batch; None: as many as a rollout has
    rho_bar: float = 1.0  # bounds rho: which policy's values V-trace estimates
    c_bar: float = 1.0  # bounds c: how far back a temporal difference propagates

    def __post_init__(self) -> None:
        for name in ("capacity", "batches", "rows"):
            number = getattr(self, name)
            if number is not None and (number != int(number) or number < 1):
                raise ValueError(f"{name} is {number}; it must be a whole number from 1")
        if not self.rho_bar >= self.c_bar > 0:
            raise ValueError(f"rho_bar is {self.rho_bar} and c_bar {self.c_bar}; V-trace wants rho_bar >= c_bar > 0")

    @classmethod
    def of(cls, given: "Replay | Mapping[str, Any] | None") -> "Replay | None":
        """Return options given as a `Replay` or by name; None stays None. ValueError for an unknown name."""
        if given is None or isinstance(given, cls):
            return given
        if not isinstance(given, Mapping):
            raise ValueError(f"replay is {given!r}; it must be None, a Replay or a dict of its options")
        known = [field.name for field in fields(cls)]
        if unknown := [name for name in given if name not in known]:
            raise ValueError(f"replay has no {', '.join(map(str, unknown))}; it has {', '.join(known)}")
        return cls(**given)


class StoredRows(NamedTuple):
    """T steps of n rows, by field."""

    observations: dict[str, Tensor]  # (T + 1, n, ...): the last follows the last step
    finals: dict[str, Tensor]  # (T, n, ...): true final observations; empty in a world without a time limit
    steps: dict[str, Tensor]  # (T, n, ...): `STORED`; rewards before any bootstrap; baselines, if there are any


class Memory:
    """The newest `capacity` rows ever written; new ones replace the oldest (a ring buffer)."""

    def __init__(self, capacity: int) -> None:
        self.capacity, self.written = capacity, 0
        self.held = StoredRows({}, {}, {})  # (T, capacity, ...), allocated by the first write

    def __len__(self) -> int:
        return min(self.written, self.capacity)

    def write(self, rows: StoredRows) -> None:
        """Store copies of n rows; of more than `capacity`, the last."""
        count = rows.steps["rewards"].shape[1]
        kept = min(count, self.capacity)
        first = self.written + count - kept
        slots = torch.arange(first, first + kept, device=rows.steps["rewards"].device) % self.capacity  # (kept,)
        for held, new in zip(self.held, rows, strict=True):
            for name, value in new.items():
                if name not in held:
                    held[name] = value.new_zeros((len(value), self.capacity, *value.shape[2:]))
                held[name][:, slots] = value[:, count - kept :]
        self.written += count

    def __getitem__(self, chosen: Tensor) -> StoredRows:
        """Return copies of the rows in slots `chosen` (n,) int64, each below `len(self)`."""
        return StoredRows(*({name: value[:, chosen] for name, value in part.items()} for part in self.held))


class ReplayRolloutBuffer(SequenceRolloutBuffer):
    """A rollout, and the rows of those before it; `get` yields batches of both.

    Where an algorithm puts `baselines` (T, N) into `tensors`, they are stored and replace the critic's values.
    """

    policy: "TransformerPolicy"
    replay: Replay
    memory: Memory
    bootstraps: bool = True
    weight_advantages: Callable[[Tensor, Tensor], Tensor]
    rewards_before_bootstrap: Tensor | None = None  # (T, N), with the KL penalty, before any bootstrap
    importance: Tensor | None = None  # scalar, mean truncated importance weight of the last replayed batch

    def attach(
        self,
        policy: "TransformerPolicy",
        replay: Replay,
        bootstraps: bool = True,
        weight_advantages: Callable[[Tensor, Tensor], Tensor] = lambda advantages, used: advantages,
    ) -> None:
        """Set up replay; ValueError if `replay.capacity` is less than one row of n_steps.

        Args:
            policy: the policy that is trained.
            replay: what to store and how to use it.
            bootstraps: add V after a row's last step and after a time limit; False: rows hold whole episodes.
            weight_advantages: (advantages (T, n), used (T, n) bool) -> the advantages that training uses, (T, n).
        """
        if replay.capacity < self.buffer_size:
            raise ValueError(f"capacity is {replay.capacity}; it must hold a row of n_steps={self.buffer_size}")
        self.policy, self.replay, self.bootstraps = policy, replay, bootstraps
        self.weight_advantages = weight_advantages
        self.memory = Memory(replay.capacity // self.buffer_size)

    def store(self, last_obs: dict[str, Tensor]) -> None:
        """Store the rollout, with `rewards_before_bootstrap`; `last_obs` (N, ...) follows its last step."""
        assert self.rewards_before_bootstrap is not None
        observations = {}
        for name, value in self.observations.items():
            # `support` exists only where an action was drawn: after the last step it is zero, and never read.
            last = last_obs.get(name, torch.zeros_like(value[0]))
            observations[name] = torch.cat((value, last[None]))
        finals = {name: value for name, value in self.final_observations.items() if name in last_obs}
        names = [*STORED, "baselines"] if "baselines" in self.tensors else STORED
        steps = {name: self.tensors[name] for name in names} | {"rewards": self.rewards_before_bootstrap}
        self.memory.write(StoredRows(observations, finals, steps))
        self.rewards_before_bootstrap = None

    def get(self, batch_size: int | None = None) -> Generator[DictRolloutBufferSamples, None, None]:
        """Yield the fresh rollout's minibatches, then the replayed batches, each re-evaluated when it is asked for."""
        yield from super().get(batch_size)
        stored = len(self.memory)
        count = min(self.replay.rows or self.n_envs, stored)
        for _ in range(self.replay.batches if stored else 0):
            yield self.replayed(torch.randperm(stored, device=self.device)[:count])

    @torch.no_grad()
    def replayed(self, chosen: Tensor) -> DictRolloutBufferSamples:
        """Return the M used states of the memory's rows in slots `chosen` (n,), step by step.

        Values are the current policy's, advantages and returns V-trace's under it, with `gae_lambda` as its lambda;
        log-probs are those of the policy that acted.
        """
        rows = self.memory[chosen]
        steps, rewards = rows.steps, rows.steps["rewards"]
        used, replay = ~steps["unused"], self.replay
        behaviour, training = steps["log_probs"] * used, self.policy.training
        self.policy.set_training_mode(False)  # as it acted: V-trace would take dropout for a change of policy
        values, log_probs = self._re_evaluate(rows, used)
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
        # mean of min(rho_bar, pi / mu): how far the stored policies are from the current one
        self.importance = (log_probs - behaviour).exp().clamp(max=replay.rho_bar)[used].mean()
        columns = (values[:-1], behaviour, self.weight_advantages(advantages, used), returns)  # (T, n) each
        states: Any = self._states(rows, *used.nonzero(as_tuple=True))
        return DictRolloutBufferSamples(states, steps["actions"][used], *(value[used] for value in columns))

    def _re_evaluate(self, rows: StoredRows, used: Tensor) -> tuple[Tensor, Tensor]:
        """Return the current policy's values (T + 1, n) and log-probs (T, n), 0 where not `used` (T, n) bool."""
        policy, like = self.policy, rows.steps["rewards"]
        read = torch.cat((used, torch.full_like(used[:1], self.bootstraps)))  # (T + 1, n): the last for its value alone
        # One pass for both heads; states come step by step, so those acted in are the first.
        features = policy.features(self._states(rows, *read.nonzero(as_tuple=True)))
        acted = used.nonzero(as_tuple=True)
        distribution = policy.distribution(features[: len(acted[0])], self._states(rows, *acted))
        found = distribution.log_prob(rows.steps["actions"][used])
        values, log_probs = torch.zeros_like(read, dtype=like.dtype), torch.zeros_like(like)
        values[read], log_probs[used] = policy.value(features).flatten().to(like.dtype), found.to(like.dtype)
        return values, log_probs

    def _bootstrap_timeouts(self, rows: StoredRows) -> None:
        """Add gamma V(final observation) to the rewards where an episode was cut by its time limit."""
        where = rows.steps["timeouts"].nonzero(as_tuple=True)
        if len(where[0]):
            finals = {name: value[where] for name, value in rows.finals.items()}
            rewards = rows.steps["rewards"]
            rewards[where] += self.gamma * self.policy.predict_values(finals).flatten().to(rewards.dtype)

    def _states(self, rows: StoredRows, steps: Tensor, columns: Tensor) -> Sequences | dict[str, Tensor]:
        """Return the observations at (steps, columns), (M,) int64 each; each text once, as far as it must be read."""
        last, dones = None, rows.steps["dones"]
        if self.has_texts:
            last = find_runs(rows.observations["length"].flatten(1), torch.cat((dones, dones[-1:])))
        return gather(rows.observations, last, steps, columns)


class Replaying:
    """Mixin before `OnDeviceRollouts` in an algorithm's bases: gives it `replay=None | Replay | dict of its options`.

    A saved model has the options, not the transitions: once loaded, its memory is empty. The environment must be a
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
            buffer.attach(self.policy, self.replay, self.replay_bootstraps, self._weight_replayed)  # type: ignore[attr-defined]

    def _choose_buffer(self) -> None:
        env = self.env  # type: ignore[attr-defined]
        if self.replay is not None and env is not None and not isinstance(env, TensorVecEnv):
            raise ValueError(f"replay needs a bare TensorVecEnv; the environment is {type(env).__name__}")
        if self.rollout_buffer_class is ReplayRolloutBuffer:  # as a saved model has it
            self.rollout_buffer_class = SequenceRolloutBuffer
        super()._choose_buffer()  # type: ignore[misc]
        if self.replay is not None and self.rollout_buffer_class is SequenceRolloutBuffer:
            self.rollout_buffer_class = ReplayRolloutBuffer

    def _weight_replayed(self, advantages: Tensor, used: Tensor) -> Tensor:
        """Return the weighted V-trace advantages (T, n) of stored rows; only those `used` (T, n) count. A hook."""
        return advantages

    def _apply_kl_penalty(self, buffer: Any) -> None:
        super()._apply_kl_penalty(buffer)  # type: ignore[misc]
        if isinstance(buffer, ReplayRolloutBuffer):
            # Copied now: the bootstrap will add values of the current policy.
            buffer.rewards_before_bootstrap = buffer.tensors["rewards"].clone()

    def collect_rollouts(self, env: Any, callback: Any, rollout_buffer: Any, n_rollout_steps: int) -> bool:
        """Fill the buffer and, unless the callback stops training, store the rollout."""
        continues = super().collect_rollouts(env, callback, rollout_buffer, n_rollout_steps)  # type: ignore[misc]
        if continues and isinstance(rollout_buffer, ReplayRolloutBuffer):
            rollout_buffer.store(on_device(env.batch.tensors.obs, rollout_buffer.device))
        return continues

    def train(self) -> None:
        """Update as the algorithm does, once for each batch; log the last replayed batch's importance."""
        super().train()  # type: ignore[misc]
        importance = getattr(self.rollout_buffer, "importance", None)  # type: ignore[attr-defined]
        if importance is not None:
            self.logger.record("train/replay_importance", importance.item())  # type: ignore[attr-defined]
