"""A rollout as tensors on the policy's device, read back as whole episodes."""

from collections.abc import Generator
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import BaseBuffer
from stable_baselines3.common.type_aliases import DictRolloutBufferSamples
from torch import Tensor

from agents.objectives.advantages import generalized_advantage
from agents.policies.packing import balanced_cuts, find_runs, gather, placed, shuffled_by_run
from llm_envs.validation import check_choice

SAMPLES = ("actions", "values", "log_probs", "advantages", "returns")  # DictRolloutBufferSamples' fields, in its order


class SequenceRolloutBuffer(BaseBuffer):
    """A rollout of `buffer_size` steps of N rows, (T, N, ...) tensors on the policy's device.

    `order`, of the states in minibatches: "runs" yields whole episodes, or the parts of them that the rollout holds, so
    that each text is read once an epoch; "stock" is SB3's own permutation, number for number.
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
        """Make the tensors, shaped after one step's, unless they are there."""
        if self.tensors:
            return

        def room(like: Tensor) -> Tensor:
            return torch.zeros((self.buffer_size, *like.shape), dtype=like.dtype, device=self.device)

        self.observations = {name: room(value) for name, value in obs.items()}
        self.final_observations = {name: room(value) for name, value in obs.items()} if keep_finals else {}
        scalar = torch.zeros(self.n_envs)
        self.tensors = {name: room(scalar) for name in ("rewards", *SAMPLES[1:])} | {
            "actions": room(actions.float() if actions.is_floating_point() else actions)
        }
        self.tensors |= {name: room(scalar.bool()) for name in ("dones", "timeouts", "unused")}

    def put(self, t: int, obs: dict[str, Tensor], **values: Tensor) -> None:
        """Write one step: the observations acted on, and any of `tensors`."""
        for name, value in obs.items():
            self.observations[name][t] = value
        for name, value in values.items():
            self.tensors[name][t] = value

    def finish(self, last_values: Tensor) -> None:
        """Compute advantages and returns; `last_values` (N,) belong to the observations after the last step."""
        held = self.tensors
        advantages = generalized_advantage(
            held["rewards"], held["values"], last_values, held["dones"], self.gamma, self.gae_lambda
        )
        held["advantages"][:], held["returns"][:] = advantages, advantages + held["values"]

    # ------------------------------------------------------------------ reading

    @property
    def has_texts(self) -> bool:
        """Whether the observations are texts, to be read once an episode."""
        return "tokens" in self.observations and "length" in self.observations

    def runs(self) -> Tensor | None:
        """Return each step's last step of its run, (T, N), of texts; see `find_runs`."""
        if not self.has_texts:
            return None
        return find_runs(self.observations["length"].view(self.buffer_size, -1), self.tensors["dones"])

    def permutation(self, unused: Tensor) -> Tensor:
        """Return the flat indices row * T + step of all steps but the `unused` (T, N), in SB3's own random order."""
        order = torch.as_tensor(np.random.permutation(unused.numel()), device=self.device)  # noqa: NPY002
        return order[~unused[order % self.buffer_size, order // self.buffer_size]]

    def every(self) -> Tensor:
        """Return the flat indices of all steps that count, (M,)."""
        return (~self.tensors["unused"].T.flatten()).nonzero().flatten()

    def get(self, batch_size: int | None = None) -> Generator[DictRolloutBufferSamples, None, None]:
        """Yield minibatches of about `batch_size` states (None: all), in the order that `order` says.

        Token observations come as `Sequences`, in any order: each text is read once a minibatch.
        """
        last = self.runs()
        for chosen in self.minibatches(self.permutation(self.tensors["unused"]), last, batch_size):
            yield self.samples(chosen, last)

    def minibatches(self, order: Tensor, last: Tensor | None, batch_size: int | None) -> tuple[Tensor, ...]:
        """Cut flat indices in a random order into minibatches, rearranged by run if `order` says so."""
        if last is not None and self.order == "runs":
            order, ends = shuffled_by_run(last, order)
            sizes = balanced_cuts(ends, batch_size) if batch_size else [len(order)]
        else:
            sizes = [batch_size or len(order)] * (len(order) // (batch_size or len(order)))
            sizes += [len(order) - sum(sizes)] if sum(sizes) < len(order) else []
        return order.split(sizes)

    def samples(self, flat: Tensor, last: Tensor | None) -> DictRolloutBufferSamples:
        """Return the states at flat indices (M,) as SB3's `train()` takes them; `last` from `runs`, or None."""
        rows, steps = flat // self.buffer_size, flat % self.buffer_size
        observations = placed(gather(self.observations, last, steps, rows), flat)
        return DictRolloutBufferSamples(observations, *(self.tensors[name][steps, rows] for name in SAMPLES))

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

    @property
    def rewards(self) -> np.ndarray:
        """Rewards for callbacks, (T, N) on the host."""
        return self.tensors["rewards"].cpu().numpy()

    @property
    def advantages(self) -> np.ndarray:
        """Advantages for callbacks, (T, N) on the host."""
        return self.tensors["advantages"].cpu().numpy()
