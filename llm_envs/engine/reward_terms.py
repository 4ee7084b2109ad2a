"""The reward callables of one batch: called after the rules, weighted and added; a step that raises is undone."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch

from llm_envs.rewards import Reward, Transition

if TYPE_CHECKING:
    from llm_envs.engine.batch import BatchEnv


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
