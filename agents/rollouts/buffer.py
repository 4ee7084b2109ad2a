"""A rollout as tensors on the policy's device, read as minibatches of whole episodes.

T steps of N rows, M states of a minibatch; a flat index is row * T + step.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import BaseBuffer
from torch import Tensor

from agents.distributed.group import Group
from agents.policies.packing import balanced_cuts, find_runs, gather, shuffled_by_run
from llm_envs.validation import check_choice


class Minibatch(NamedTuple):
    """M states of an update; its first six fields are those of SB3's samples."""

    observations: Any  # Sequences, or a dict of (M, ...)
    actions: Tensor  # (M, ...)
    old_values: Tensor  # (M,), of the policy that acted
    old_log_prob: Tensor  # (M,)
    advantages: Tensor  # (M,)
    returns: Tensor  # (M,), targets of the values
    weights: Tensor | None = None  # (M,), of the states' terms in a loss; None: all count the same
    flat: Tensor | None = None  # (M,) int64, the states' places in the rollout; None where they are from elsewhere
    total: float | None = None  # number of states, of all ranks; None: these are all; infinite: no state is this rank's
    all_advantages: Tensor | None = None  # those of all ranks, (size,)

    @property
    def size(self) -> int:
        """Number of states, of all ranks."""
        return len(self.advantages if self.all_advantages is None else self.all_advantages)


class SequenceRolloutBuffer(BaseBuffer):
    """A rollout of `buffer_size` steps T of N rows: `observations` and `tensors`, (T, N, ...) each.

    Args:
        buffer_size: T.
        observation_space: SB3's.
        action_space: SB3's.
        device: of all tensors.
        gae_lambda: lambda of the advantage estimate.
        gamma: discount.
        n_envs: N.
        order: of the states in minibatches. "runs": whole episodes, or the parts of them that the rollout holds, so
            that each text is read once an epoch; "stock": SB3's own permutation, number for number.

    Attributes:
        tensors: by name, (T, N) each but the actions: actions (T, N, ...); rewards, the environment's, values,
            log_probs, advantages, returns float32; dones, timeouts (truncated and not terminated), unused (steps that
            do not count) bool; and what an algorithm adds: kl_penalty, bootstrap, weights, baselines.
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
        self.tensors: dict[str, Tensor] = {}  # allocated by the first rollout: predicting needs none
        self.observations: dict[str, Tensor] = {}
        self.final_observations: dict[str, Tensor] = {}

    def allocate(self, obs: dict[str, Tensor], actions: Tensor, keep_finals: bool) -> None:
        """Allocate the tensors, once, with the shapes and dtypes of one step's observations (N, ...) and actions."""
        if self.tensors:
            return

        def zeros(like: Tensor) -> Tensor:
            return torch.zeros((self.buffer_size, *like.shape), dtype=like.dtype, device=self.device)

        self.observations = {name: zeros(value) for name, value in obs.items()}
        self.final_observations = {name: zeros(value) for name, value in obs.items()} if keep_finals else {}
        scalar = torch.zeros(self.n_envs)
        floats = ("rewards", "values", "log_probs", "advantages", "returns")
        self.tensors = {name: zeros(scalar) for name in floats} | {
            "actions": zeros(actions.float() if actions.is_floating_point() else actions)
        }
        self.tensors |= {name: zeros(scalar.bool()) for name in ("dones", "timeouts", "unused")}

    def put(self, t: int, obs: dict[str, Tensor], **values: Tensor) -> None:
        """Write step `t`: the observations acted on, (N, ...) each, and any of `tensors`, (N, ...) each."""
        for name, value in obs.items():
            self.observations[name][t] = value
        for name, value in values.items():
            self.tensors[name][t] = value

    def total_rewards(self) -> Tensor:
        """Return what advantages are computed from, (T, N): rewards, less a KL penalty, plus bootstrapped values."""
        tensors = self.tensors
        rewards = tensors["rewards"]
        if "kl_penalty" in tensors:
            rewards = rewards - tensors["kl_penalty"]
        # Summed in the values' precision, stored in the rewards', as SB3 does.
        return (rewards + tensors["bootstrap"]).to(rewards.dtype) if "bootstrap" in tensors else rewards

    # ------------------------------------------------------------------ reading

    @property
    def has_texts(self) -> bool:
        """Whether the observations are growing texts, each read once an episode."""
        return "tokens" in self.observations and "length" in self.observations

    def runs(self) -> Tensor | None:
        """Return each step's last step of its run, (T, N) int64; None without texts. See `find_runs`."""
        if not self.has_texts:
            return None
        return find_runs(self.observations["length"].view(self.buffer_size, -1), self.tensors["dones"])

    def permutation(self, unused: Tensor) -> Tensor:
        """Return the flat indices (M,) of all steps but the `unused` (T, N) bool, in SB3's own random order."""
        order = torch.as_tensor(np.random.permutation(unused.numel()), device=self.device)  # noqa: NPY002  # SB3's generator
        return order[~unused[order % self.buffer_size, order // self.buffer_size]]

    def valid_indices(self) -> Tensor:
        """Return the flat indices (M,) of all steps that count, row by row."""
        return (~self.tensors["unused"].T.flatten()).nonzero().flatten()

    def get(self, batch_size: int | None = None) -> Iterator[Minibatch]:
        """Yield minibatches of about `batch_size` states (None: all), in the order that `order` names.

        Token observations are `Sequences` in either order: each text is read once a minibatch.
        """
        last = self.runs()
        for chosen in self.minibatches(self.permutation(self.tensors["unused"]), last, batch_size):
            yield self.samples(chosen, last)

    def minibatches(self, order: Tensor, last: Tensor | None, batch_size: int | None) -> tuple[Tensor, ...]:
        """Return flat indices (M,) in random order cut into minibatches; with order "runs" of whole runs."""
        if last is not None and self.order == "runs":
            order, ends = shuffled_by_run(last, order)
            sizes = balanced_cuts(ends, batch_size) if batch_size else [len(order)]
        else:
            # As SB3: full minibatches, then a smaller one with the rest.
            sizes = [batch_size or len(order)] * (len(order) // (batch_size or len(order)))
            sizes += [len(order) - sum(sizes)] if sum(sizes) < len(order) else []
        return order.split(sizes)

    def samples(self, flat: Tensor, last: Tensor | None) -> Minibatch:
        """Return the states at flat indices (M,); `last` is from `runs`."""
        # SB3 flattens (T, N) with the rows outside; equal seeds then give equal minibatches.
        rows, steps = flat // self.buffer_size, flat % self.buffer_size  # (M,) each
        names = ("actions", "values", "log_probs", "advantages", "returns")
        actions, values, log_probs, advantages, returns = (self.tensors[name][steps, rows] for name in names)
        weights = self.tensors["weights"][steps, rows] if "weights" in self.tensors else None
        states = gather(self.observations, last, steps, rows)
        return Minibatch(states, actions, values, log_probs, advantages, returns, weights, flat)

    def _get_samples(self, batch_inds: np.ndarray, env: Any = None) -> Any:
        raise TypeError("this buffer is read by get()")

    def values_and_returns(self, group: Group | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the values and returns of the steps that count, (M,) each on the host, of all ranks if given."""
        parts = [self.tensors[name] for name in ("values", "returns", "unused")]
        values, returns, unused = parts if group is None else [group.gather(part, 1) for part in parts]
        return values[~unused].cpu().numpy(), returns[~unused].cpu().numpy()

    @property
    def values(self) -> np.ndarray:
        """Values as SB3's logging reads them, (T, N) on the host."""
        return self.tensors["values"].cpu().numpy()

    @property
    def returns(self) -> np.ndarray:
        """Returns as SB3's logging reads them, (T, N) on the host."""
        return self.tensors["returns"].cpu().numpy()

    @property
    def rewards(self) -> np.ndarray:
        """Rewards for callbacks, (T, N) on the host."""
        return self.tensors["rewards"].cpu().numpy()

    @property
    def advantages(self) -> np.ndarray:
        """Advantages for callbacks, (T, N) on the host."""
        return self.tensors["advantages"].cpu().numpy()
