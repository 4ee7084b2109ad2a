"""Reward terms that are not linear in a world's signals: your own functions, learned models, judges of text.

A term is a function of one batched transition. It is called once a step, after the rules, for all rows together; its
values are added with a weight and logged by name. An exception is raised to the caller of `step`, and the batch stands
as it did before that step.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from llm_envs.batch import BatchEnv


@dataclass(frozen=True, eq=False)
class Transition:
    """What happened in one step, for M rows (all of them, or with `at_end` those whose episode ended).

    `before` and `obs` are the observations before and after it, tensors of shape (M, ...) on the batch's device; where
    an episode ended `obs` is its true final observation. `signals` are the unweighted signals, (M,) each.
    """

    before: dict[str, torch.Tensor]
    action: torch.Tensor
    obs: dict[str, torch.Tensor]
    terminated: torch.Tensor
    truncated: torch.Tensor
    signals: dict[str, torch.Tensor]
    decode: Callable[[dict], list[str]]

    @cached_property
    def texts(self) -> list[str]:
        """The observations after the step as M strings (this reads them on the host)."""
        return self.decode(self.obs)

    def rows(self, chosen: torch.Tensor) -> "Transition":
        """Return the transition of the rows where `chosen` (N,) holds."""

        def pick(group: dict) -> dict:
            return {name: value[chosen] for name, value in group.items()}

        return Transition(
            pick(self.before),
            self.action[chosen],
            pick(self.obs),
            self.terminated[chosen],
            self.truncated[chosen],
            pick(self.signals),
            self.decode,
        )


@dataclass(frozen=True)
class Reward:
    """One reward term: `function(transition)` gives (M,) values; NaN means "does not apply to this row" and pays 0.

    With `on_text` the function gets the list of M strings instead, and may return a list of floats. With `at_end` it
    is called only when episodes ended, and only for those rows (which on a GPU costs one wait for the device a step).
    """

    function: Callable[[Any], Any]
    weight: float = 1.0
    name: str = ""
    at_end: bool = False
    on_text: bool = False

    def __call__(self, transition: Transition) -> torch.Tensor:
        """Return the checked (M,) float32 values; raise ValueError for a wrong shape, device or NaN in every row."""
        values = self.function(transition.texts if self.on_text else transition)
        reference = transition.terminated
        if self.on_text and not isinstance(values, torch.Tensor):
            values = torch.as_tensor(values, dtype=torch.float32, device=reference.device)
        if not isinstance(values, torch.Tensor):
            raise ValueError(f"reward {self.name!r} returned {type(values).__name__}; it must return a torch.Tensor")
        if values.shape != reference.shape:
            raise ValueError(
                f"reward {self.name!r} returned shape {tuple(values.shape)}; it must be {tuple(reference.shape)}"
            )
        if values.device != reference.device:
            raise ValueError(f"reward {self.name!r} returned a tensor on {values.device}, not {reference.device}")
        # On a GPU this test would make every step wait; there the NaNs count as "does not apply".
        if values.device.type == "cpu" and len(values) > 1 and bool(values.isnan().all()):
            raise ValueError(f"reward {self.name!r} is NaN in every row; NaN means that a term does not apply to a row")
        return values.detach().to(torch.float32)


def as_terms(rewards: Iterable, signals: Iterable[str]) -> tuple[Reward, ...]:
    """Return `rewards`, given as functions, (function, weight) pairs or `Reward`s, as terms with distinct names."""
    terms, taken = [], set(signals)
    for given in rewards:
        if isinstance(given, tuple):
            given = Reward(*given)
        elif not isinstance(given, Reward):
            given = Reward(given)
        if not callable(given.function):
            raise TypeError(f"a reward must be a function of a transition, not {given.function!r}")
        name = given.name or getattr(given.function, "__name__", type(given.function).__name__).strip("<>")
        if name in taken:
            raise ValueError(f"two reward terms are called {name!r}; pass Reward(function, name=...)")
        taken.add(name)
        terms.append(Reward(given.function, given.weight, name, given.at_end, given.on_text))
    return tuple(terms)


class RewardTerms:
    """The reward callables of one batch and their last values by name, (N,) float32 each."""

    def __init__(self, rewards: Iterable, batch: "BatchEnv") -> None:
        self.terms = as_terms(rewards, batch.world.signals)
        self.values = {term.name: torch.zeros(batch.num_envs, device=batch.device) for term in self.terms}

    def step(self, batch: "BatchEnv") -> None:
        """Step the batch and add every term to its rewards; if one raises, put all back and let it through."""
        saved = batch.save_buffers()
        values = {name: value.clone() for name, value in self.values.items()}
        before = {name: value.clone() for name, value in batch.tensors.obs.items()}
        try:
            batch.run_rules()
            self._add(batch, before)
        except BaseException:
            batch.load_buffers(saved)
            for name, value in values.items():
                self.values[name].copy_(value)
            raise

    def _add(self, batch: "BatchEnv", before: dict[str, torch.Tensor]) -> None:
        now = batch.tensors
        done = now.terminated | now.truncated
        obs = {
            name: torch.where(done.view(-1, *[1] * (value.ndim - 1)), now.final_obs[name], value)
            for name, value in now.obs.items()
        }
        signals = {name: now.signals[name] for name in batch.world.signals}
        whole = Transition(before, batch.last_action, obs, now.terminated, now.truncated, signals, batch.decode)
        for term in self.terms:
            target = self.values[term.name]
            target.zero_()
            if not term.at_end:
                target.copy_(term(whole))
            elif bool(done.any()):
                target[done] = term(whole.rows(done))
            now.reward.add_(target.nan_to_num(0.0), alpha=term.weight)
