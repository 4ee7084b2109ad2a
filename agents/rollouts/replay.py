"""Experience replay for A2C and REINFORCE: stored rollouts, weighted by V-trace under the current policy.

An update takes one optimizer step on the fresh rollout, then one on each batch of stored rows. A row's steps stay
together, since V-trace and a causal network both read them in order. Values, bootstraps and importance weights are
computed again for each use, in one pass over the stored texts; of the policy that acted only its log-probs are stored,
and with `kl={"place": "reward"}` its KL penalty.

Unlike ACER (Wang et al., 2017) there is no trust region and no Q function; unlike IMPALA (Espeholt et al., 2018), which
mixes stored and fresh rows in one batch, each batch is a step of its own.

T steps, N rows of a rollout, n rows of a replayed batch, M of their states.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import torch
from torch import Tensor

from agents.objectives.advantages import vtrace
from agents.policies.packing import Sequences, find_runs, gather
from agents.policies.policy import TransformerPolicy
from agents.rollouts.buffer import Minibatch, SequenceRolloutBuffer

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


class RingBuffer:
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


# (advantages (T, n), used (T, n) bool) -> advantages and weights (T, n), see Minibatch
Weigh = Callable[[Tensor, Tensor], tuple[Tensor, Tensor | None]]


class ReplayMemory:
    """The rows of earlier rollouts, and the batches that training takes from them.

    Where an algorithm puts `baselines` (T, N) into the rollout's tensors, they are stored and replace the values.

    Args:
        replay: what to store and how to use it.
        rollout: the buffer whose rollouts are stored; `gamma` and `gae_lambda` are its.
        bootstraps: add V after a row's last step and after a time limit; False: rows hold whole episodes.
        weigh: what the algorithm does to advantages.

    Raises:
        ValueError: `replay.capacity` is less than one row of n_steps.
    """

    def __init__(self, replay: Replay, rollout: SequenceRolloutBuffer, bootstraps: bool, weigh: Weigh) -> None:
        steps = rollout.buffer_size
        if replay.capacity < steps:
            raise ValueError(f"capacity is {replay.capacity}; it must hold a row of n_steps={steps}")
        self.replay, self.rollout, self.bootstraps, self.weigh = replay, rollout, bootstraps, weigh
        self.rows = RingBuffer(replay.capacity // steps)
        self.importance: Tensor | None = None  # scalar, mean truncated importance weight of the last replayed batch

    def store(self, last_obs: dict[str, Tensor]) -> None:
        """Store the rollout; `last_obs` (N, ...) follows its last step."""
        rollout, tensors, observations = self.rollout, self.rollout.tensors, {}
        for name, value in rollout.observations.items():
            # `support` exists only where an action was drawn: after the last step it is zero, and never read.
            last = last_obs.get(name, torch.zeros_like(value[0]))
            observations[name] = torch.cat((value, last[None]))
        finals = {name: value for name, value in rollout.final_observations.items() if name in last_obs}
        names = [*STORED, "baselines"] if "baselines" in tensors else STORED
        # With the KL penalty, which is the policy's that acted; without bootstraps, which are the critic's of each use.
        rewards = tensors["rewards"] - tensors["kl_penalty"] if "kl_penalty" in tensors else tensors["rewards"]
        steps = {name: tensors[name] for name in names} | {"rewards": rewards}
        self.rows.write(StoredRows(observations, finals, steps))

    def minibatches(self, policy: TransformerPolicy) -> Iterator[Minibatch]:
        """Yield the batches of an update, each re-evaluated when it is asked for."""
        stored = len(self.rows)
        count = min(self.replay.rows or self.rollout.n_envs, stored)
        for _ in range(self.replay.batches if stored else 0):
            yield self.replayed(policy, torch.randperm(stored, device=self.rollout.device)[:count])

    def state_dict(self) -> dict[str, Any]:
        """Return what is stored."""
        return {"written": self.rows.written, "held": [dict(part) for part in self.rows.held]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self.rows.written, self.rows.held = state["written"], StoredRows(*state["held"])

    @torch.no_grad()
    def replayed(self, policy: TransformerPolicy, chosen: Tensor) -> Minibatch:
        """Return the M used states of the stored rows in slots `chosen` (n,), step by step.

        Values are the current policy's, advantages and returns V-trace's under it, with `gae_lambda` as its lambda;
        log-probs are those of the policy that acted.
        """
        rows = self.rows[chosen]
        steps, rewards = rows.steps, rows.steps["rewards"]
        used, replay = ~steps["unused"], self.replay
        behaviour, training = steps["log_probs"] * used, policy.training
        policy.set_training_mode(False)  # as it acted: V-trace would take dropout for a change of policy
        values, log_probs = self._re_evaluate(policy, rows, used)
        if self.bootstraps:
            rewards = rewards + self._timeout_values(policy, rows)
        policy.set_training_mode(training)
        returns, advantages = vtrace(
            behaviour,
            log_probs,
            rewards,
            steps.get("baselines", values[:-1]),
            values[-1],
            steps["dones"],
            self.rollout.gamma,
            replay.rho_bar,
            replay.c_bar,
            self.rollout.gae_lambda,
        )
        # mean of min(rho_bar, pi / mu): how far the stored policies are from the current one
        self.importance = (log_probs - behaviour).exp().clamp(max=replay.rho_bar)[used].mean()
        advantages, weights = self.weigh(advantages, used)
        return Minibatch(
            self._states(rows, *used.nonzero(as_tuple=True)),
            steps["actions"][used],
            values[:-1][used],
            behaviour[used],
            advantages[used],
            returns[used],
            None if weights is None else weights[used],
        )

    def _re_evaluate(self, policy: TransformerPolicy, rows: StoredRows, used: Tensor) -> tuple[Tensor, Tensor]:
        """Return the current policy's values (T + 1, n) and log-probs (T, n), 0 where not `used` (T, n) bool."""
        like = rows.steps["rewards"]
        read = torch.cat((used, torch.full_like(used[:1], self.bootstraps)))  # (T + 1, n): the last for its value alone
        # One pass for both heads; states come step by step, so those acted in are the first.
        features = policy.features(self._states(rows, *read.nonzero(as_tuple=True)))
        acted = used.nonzero(as_tuple=True)
        distribution = policy.distribution(features[: len(acted[0])], self._states(rows, *acted))
        found = distribution.log_prob(rows.steps["actions"][used])
        values, log_probs = torch.zeros_like(read, dtype=like.dtype), torch.zeros_like(like)
        values[read], log_probs[used] = policy.value(features).flatten().to(like.dtype), found.to(like.dtype)
        return values, log_probs

    def _timeout_values(self, policy: TransformerPolicy, rows: StoredRows) -> Tensor:
        """Return gamma V(final observation), (T, n), where an episode was cut by its time limit, 0 elsewhere."""
        found = torch.zeros_like(rows.steps["rewards"])
        where = rows.steps["timeouts"].nonzero(as_tuple=True)
        if len(where[0]):
            finals = {name: value[where] for name, value in rows.finals.items()}
            found[where] = self.rollout.gamma * policy.predict_values(finals).flatten().to(found.dtype)
        return found

    def _states(self, rows: StoredRows, steps: Tensor, columns: Tensor) -> Sequences | dict[str, Tensor]:
        """Return the observations at (steps, columns), (M,) int64 each; each text once, as far as it must be read."""
        last, dones = None, rows.steps["dones"]
        if self.rollout.has_texts:
            last = find_runs(rows.observations["length"].flatten(1), torch.cat((dones, dones[-1:])))
        return gather(rows.observations, last, steps, columns)


ReplayRolloutBuffer = SequenceRolloutBuffer  # the name in models saved before the memory was a part of its own
