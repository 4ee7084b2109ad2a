"""Statistics of episodes that may span several rollouts: returns, lengths and signals."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.distributed.group import Group
from agents.rollouts.buffer import SequenceRolloutBuffer


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


class EpisodeStatistics:
    """What is known of each row's unfinished episode, and the episodes that a rollout has ended."""

    def __init__(self) -> None:
        self.returns: np.ndarray | None = None  # (2, N of all ranks): return and length so far
        self.signals: dict[str, Tensor] | None = None  # (N,) each: sums so far

    def clear(self) -> None:
        """Forget the unfinished episodes: the rows begin new ones."""
        self.returns = self.signals = None

    def signal_totals(self, names: Iterable[str], rows: int, device: torch.device | str) -> SignalTotals:
        """Return totals of a new rollout, which continue those of unfinished episodes."""
        totals = SignalTotals(names, rows, device, self.signals)
        self.signals = totals.running  # changed in place
        return totals

    def ended(self, buffer: SequenceRolloutBuffer, group: Group | None = None) -> list[tuple[float, int]]:
        """Return (return, length) of the rollout's ended episodes, of all ranks, step by step and row by row.

        In the order in which SB3's Monitor would have seen them end; rewards are the environment's.
        """
        used = ~buffer.tensors["unused"]
        parts = [buffer.tensors["rewards"] * used, buffer.tensors["dones"] & used, used]
        if group is not None:
            parts = [group.gather(part, 1) for part in parts]  # (T, N of all ranks)
        rewards, dones, steps = (part.cpu().numpy() for part in parts)
        running = self.returns
        # Another number of rows is another environment: its episodes have just begun.
        if running is None or running.shape != (2, rewards.shape[1]):
            running = np.zeros((2, rewards.shape[1]))
        found = []
        for t in range(len(rewards)):
            running += rewards[t], steps[t]
            rows = np.flatnonzero(dones[t])
            found += [(running[0, row], int(running[1, row])) for row in rows]
            running[:, rows] = 0
        self.returns = running
        return found

    def state_dict(self) -> dict[str, Any]:
        """Return the unfinished episodes' sums, on the host."""
        returns = None if self.returns is None else torch.from_numpy(self.returns.copy())
        return {"returns": returns, "signals": {name: value.cpu() for name, value in (self.signals or {}).items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from sums that `state_dict` returned."""
        self.returns = None if state["returns"] is None else state["returns"].numpy()
        self.signals = state["signals"] or None
