"""The reward callables of one batch: called after the rules on the step's transition, weighted and added."""

import math
from collections.abc import Callable, Iterable
from dataclasses import replace

import torch

from llm_envs.engine.host_view import Step
from llm_envs.rewards import Reward, Transition
from llm_envs.validation import quote


def as_terms(rewards: Iterable, signals: Iterable[str]) -> tuple[Reward, ...]:
    """Return `rewards`, given as functions, (function, weight) pairs or `Reward`s, as terms with distinct names.

    Raises:
        TypeError: one of them is none of these.
        ValueError: two terms, or a term and a signal, have one name; or a weight is not finite.
    """
    terms, taken = [], set(signals)
    for given in rewards:
        if isinstance(given, tuple):
            if len(given) != 2:
                raise TypeError(f"a reward is {quote(given)}; a tuple must be a function and its weight")
            given = Reward(*given)
        elif not isinstance(given, Reward):
            given = Reward(given)
        name = given.name or getattr(given.function, "__name__", type(given.function).__name__).strip("<>")
        if name in taken:
            raise ValueError(f"two reward terms are called {quote(name)}; pass Reward(function, name=...)")
        taken.add(name)
        terms.append(replace(given, name=name))
    return tuple(terms)


class RewardTerms:
    """The reward callables of one batch and their last values by name, (N,) float32 each."""

    def __init__(self, rewards: Iterable, signals: Iterable[str], num_envs: int, device: str) -> None:
        self.signals = tuple(signals)
        self.terms = as_terms(rewards, self.signals)
        self.values = {term.name: torch.zeros(num_envs, device=device) for term in self.terms}

    def add(
        self,
        before: dict[str, torch.Tensor],
        action: torch.Tensor,
        now: Step,
        decode: Callable[[dict], list[str]],
        begun: torch.Tensor | None = None,
    ) -> None:
        """Call every term on the step that led from `before` to `now`, and add its values to `now.reward` in place.

        Rows that have `begun` an episode, (N,) bool, took no step: their values are 0, and no term sees them.
        `before` belongs to the terms; of `now` they get copies, so that no term can change what the step left.

        Raises:
            ValueError: a term's values are wrong, see `Reward`, or a reward exceeds float32; `now` is half written.
        """
        done = now.terminated | now.truncated
        obs = {
            name: torch.where(done.view(-1, *[1] * (value.ndim - 1)), now.final_obs[name], value)
            for name, value in now.obs.items()
        }
        signals = {name: now.signals[name].clone() for name in self.signals}
        whole = Transition(before, action.clone(), obs, now.terminated.clone(), now.truncated.clone(), signals, decode)
        stepped = None if begun is None or not bool(begun.any()) else ~begun
        for term in self.terms:
            target = self.values[term.name]
            target.zero_()
            seen = done if term.at_end else stepped  # (N,) bool, None for all rows
            if seen is None:
                target.copy_(term(whole))
            elif bool(seen.any()):
                target[seen] = term(whole.rows(seen))
            now.reward.add_(target.nan_to_num(0.0, math.inf, -math.inf), alpha=term.weight)
            if now.reward.device.type == "cpu" and not bool(now.reward.isfinite().all()):  # a GPU would have to wait
                raise ValueError(
                    f"reward {term.name!r} returned up to {float(target.abs().nan_to_num(0.0).max()):g}, with weight "
                    f"{term.weight:g}; the reward exceeds float32"
                )

    def save(self) -> dict[str, torch.Tensor]:
        """Return copies of the values, which `load` restores."""
        return {name: value.clone() for name, value in self.values.items()}

    def load(self, saved: dict[str, torch.Tensor]) -> None:
        """Restore what `save` returned."""
        for name, value in saved.items():
            self.values[name].copy_(value)
