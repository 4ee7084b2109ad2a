"""Reward terms that are not linear in a world's signals: your own functions, learned models, judges of text.

A term is a function of one batched transition. It is called once a step, after the rules, for all rows together; its
values are added with a weight and logged by name. An exception is raised to the caller of `step`, and the batch stands
as it did before that step.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    pass


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
