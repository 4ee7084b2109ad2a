"""The reward callables of one batch: called after the rules on the step's transition, weighted and added."""

from collections.abc import Callable, Iterable

import torch

from llm_envs.engine.host_view import Step
from llm_envs.rewards import Reward, Transition


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

    def __init__(self, rewards: Iterable, signals: Iterable[str], num_envs: int, device: str) -> None:
        self.signals = tuple(signals)
        self.terms = as_terms(rewards, self.signals)
        self.values = {term.name: torch.zeros(num_envs, device=device) for term in self.terms}

    def add(
        self, before: dict[str, torch.Tensor], action: torch.Tensor, now: Step, decode: Callable[[dict], list[str]]
    ) -> None:
        """Call every term on the step that led from `before` to `now`, and add its values to `now.reward` in place."""
        done = now.terminated | now.truncated
        obs = {
            name: torch.where(done.view(-1, *[1] * (value.ndim - 1)), now.final_obs[name], value)
            for name, value in now.obs.items()
        }
        signals = {name: now.signals[name] for name in self.signals}
        whole = Transition(before, action, obs, now.terminated, now.truncated, signals, decode)
        for term in self.terms:
            target = self.values[term.name]
            target.zero_()
            if not term.at_end:
                target.copy_(term(whole))
            elif bool(done.any()):
                target[done] = term(whole.rows(done))
            now.reward.add_(target.nan_to_num(0.0), alpha=term.weight)

    def save(self) -> dict[str, torch.Tensor]:
        """Return copies of the values, which `load` restores."""
        return {name: value.clone() for name, value in self.values.items()}

    def load(self, saved: dict[str, torch.Tensor]) -> None:
        """Restore what `save` returned."""
        for name, value in saved.items():
            self.values[name].copy_(value)
