"""Reward terms that are not linear in a world's signals: your own functions, learned models, judges of text.

A term is a function of one batched transition. It is called once a step, after the rules, for all rows together; its
values are added with a weight and logged by name. An exception is raised to the caller of `step`, and the batch stands
as it did before that step.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from llm_envs.validation import check_switch, check_weight, quote


@dataclass(frozen=True, eq=False)
class Transition:
    """What happened in one step, for M rows (all of them, or with `at_end` those whose episode ended).

    `before` and `obs` are the observations before and after it, tensors of shape (M, ...) on the batch's device; where
    an episode ended `obs` is its true final observation. `signals` are the unweighted signals, (M,) each. All of them
    are copies, which every term shares: they are there to be read, and a term that writes into them is refused.
    """

    before: dict[str, torch.Tensor]  # (M, ...) each
    action: torch.Tensor  # (M,) int64 or (M, *shape) float32
    obs: dict[str, torch.Tensor]  # (M, ...) each
    terminated: torch.Tensor  # (M,) bool
    truncated: torch.Tensor  # (M,) bool
    signals: dict[str, torch.Tensor]  # (M,) float32 each
    decode: Callable[[dict], list[str]]  # observations (M, ...) -> M texts

    # Decoded once, however many judges read it; the list is a copy, which one judge may change without the next one.
    @property
    def texts(self) -> list[str]:
        """The observations after the step as M strings (this reads them on the host)."""
        return list(self._texts)

    @cached_property
    def _texts(self) -> tuple[str, ...]:
        return tuple(self.decode(self.obs))

    def versions(self) -> list[tuple[int, int]]:
        """Return which tensors these are and how often each was written to, to see whether a term wrote."""
        # Torch counts the in-place writes to a tensor in `_version`: comparing counts costs no copy and no wait.
        groups = (self.before, self.obs, self.signals)
        tensors = [self.action, self.terminated, self.truncated, *(one for group in groups for one in group.values())]
        return [(id(one), getattr(one, "_version", 0)) for one in tensors]

    def rows(self, chosen: torch.Tensor) -> "Transition":
        """Return the transition of the M rows where `chosen`, (N,) bool, holds; a copy."""

        def pick(group: dict) -> dict:
            return {name: value[chosen] for name, value in group.items()}  # (N, ...) -> (M, ...)

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
    """One reward term: `function(transition)` gives (M,) values; NaN means "does not apply to this row" and adds 0.

    With `on_text` the function gets the list of M strings instead, and may return a list of floats. With `at_end` it
    is called only when episodes ended, and only for those rows (which on a GPU costs one wait for the device a step).

    Raises:
        TypeError: the function cannot be called, or another argument is of the wrong kind.
        ValueError: the weight is no finite number, or so large that a reward could not hold it.
    """

    function: Callable[[Any], Any]
    weight: float = 1.0
    name: str = ""
    at_end: bool = False
    on_text: bool = False

    def __post_init__(self) -> None:
        """Raise for what could not be called, added to a reward or logged, with the reason."""
        if not callable(self.function):
            raise TypeError(f"a reward must be a function of a transition, not {quote(self.function)}")
        if not isinstance(self.name, str):
            raise TypeError(f"the name of a reward is {quote(self.name)}; it must be a string")
        check_weight(self.name or getattr(self.function, "__name__", "a reward"), self.weight)
        check_switch("at_end", self.at_end)
        check_switch("on_text", self.on_text)

    def __call__(self, transition: Transition) -> torch.Tensor:
        """Return the checked values, (M,) float32.

        Raises:
            ValueError: a wrong shape, type or device; an infinite value, or one beyond float32; NaN in every row (of a
                term that is asked about every row); or the function wrote into the transition.
        """
        before = transition.versions()
        values = self.function(transition.texts if self.on_text else transition)
        if transition.versions() != before:
            raise ValueError(
                f"reward {self.name!r} wrote into its transition, which is there to be read; copy it first"
            )
        reference = transition.terminated
        if self.on_text and not isinstance(values, torch.Tensor):
            values = self._tensor(values, reference.device)
        if not isinstance(values, torch.Tensor):
            raise ValueError(f"reward {self.name!r} returned {type(values).__name__}; it must return a torch.Tensor")
        if values.shape != reference.shape:
            raise ValueError(
                f"reward {self.name!r} returned shape {tuple(values.shape)}; it must be {tuple(reference.shape)}"
            )
        if values.device != reference.device:
            raise ValueError(f"reward {self.name!r} returned a tensor on {values.device}, not {reference.device}")
        if values.is_complex():
            raise ValueError(f"reward {self.name!r} returned {values.dtype}; it must be real numbers")
        # Rewards are data, not part of a graph: the activations of a term that is a model would stay alive with them.
        values = values.detach().to(torch.float32)
        # On a GPU these tests would make every step wait; there NaN is "does not apply", and infinity is added.
        if values.device.type == "cpu":
            if bool(values.isinf().any()):
                raise ValueError(f"reward {self.name!r} returned an infinite value, or one that float32 cannot hold")
            # Rows that ended may all be of a kind that an `at_end` term does not apply to.
            if not self.at_end and len(values) > 1 and bool(values.isnan().all()):
                raise ValueError(
                    f"reward {self.name!r} is NaN in every row; NaN means that a term does not apply to a row"
                )
        return values

    def _tensor(self, values: Any, device: torch.device) -> torch.Tensor:
        """Return a judge's list of numbers as a tensor."""
        try:
            return torch.as_tensor(values, dtype=torch.float32, device=device)
        except (TypeError, ValueError, RuntimeError, OverflowError) as error:
            raise ValueError(
                f"reward {self.name!r} returned {quote(values)}; it must be a list of numbers, one a text "
                "(NaN, not None, where the term does not apply)"
            ) from error
