"""Statistics of episodes that may span several rollouts."""

from collections.abc import Iterable

import torch
from torch import Tensor

from agents.distributed.group import Group


class SignalTotals:
    """Totals of each signal over whole episodes, kept on the device; `means` reads them once.

    Args:
        names: of the signals.
        rows: N.
        device: of the sums.
        running: sums (N,) by name over episodes that began in an earlier rollout; dropped if rows or names differ.
    """

    def __init__(
        self,
        names: Iterable[str],
        rows: int,
        device: torch.device | str,
        running: dict[str, Tensor] | None = None,
    ) -> None:
        self.running = {name: torch.zeros(rows, device=device) for name in names}
        if running is not None and {n: len(v) for n, v in running.items()} == dict.fromkeys(self.running, rows):
            self.running = {name: value.to(device) for name, value in running.items()}
        self.ended = {name: torch.zeros((), device=device) for name in self.running}
        self.episodes = torch.zeros((), device=device)

    def add(self, signals: dict[str, Tensor], done: Tensor) -> None:
        """Add one step's signals, (N,) each; NaN, which stands for "not measured", counts as 0. `done` is (N,) bool."""
        for name, value in signals.items():
            self.running[name] += value.nan_to_num(0.0)
            self.ended[name] += (self.running[name] * done).sum()
            self.running[name] *= ~done
        self.episodes += done.sum()

    def means(self, group: Group | None = None) -> dict[str, float]:
        """Return each signal's mean total over the episodes that ended, of all ranks if there is a group; 0 of none."""
        totals = torch.stack((self.episodes, *self.ended.values()))
        episodes, *ended = (totals if group is None else group.sum(totals)).tolist()
        return {name: total / max(episodes, 1.0) for name, total in zip(self.ended, ended, strict=True)}
