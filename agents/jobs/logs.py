"""What a run logs through Stable-Baselines3's logger: `progress.csv` and TensorBoard's events.

Besides what SB3's algorithms record, for every rollout:

    signals/<name>                mean total of each reward term in an episode (agents.rollouts.collector)
    kl/per_token, kl/coefficient  distance to the reference, in nats, and its weight (agents.algorithms.kl_regularizer)
    rollout/entropy               of the distribution sampled from, in nats a step: the mean of -log_prob
    time/tokens_per_second        environment steps, over rollout and update
    time/rollout_share, time/update_share, time/other_share    of the seconds since the rollout before
"""

import csv
import time
from pathlib import Path
from typing import Any

import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import CSVOutputFormat, Logger, TensorBoardOutputFormat
from torch.utils.tensorboard.writer import SummaryWriter

TOTAL = "time/total_timesteps"  # SB3's column of environment steps


def make_logger(folder: Path, steps: int = 0) -> Logger:
    """Return a logger to `progress.csv` and `tensorboard` in a run's folder.

    A run that continues from a checkpoint at `steps` keeps what was logged until then, and replaces what came after.
    """
    events = TensorBoardOutputFormat(str(folder / "tensorboard"))
    if steps:
        events.writer.close()
        # TensorBoard then hides events of later steps, which the resumed run writes again.
        events.writer = SummaryWriter(log_dir=str(folder / "tensorboard"), purge_step=steps + 1)
    return Logger(str(folder), [_csv(folder / "progress.csv", steps), events])


def _csv(path: Path, steps: int) -> CSVOutputFormat:
    """Return SB3's writer, which truncates the file, after writing the rows up to `steps` again."""
    rows: list[dict[str, Any]] = []
    if steps and path.exists():
        with path.open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if int(row[TOTAL]) <= steps]
    table = CSVOutputFormat(str(path))
    for row in rows:
        table.write({name: _number(text) for name, text in row.items() if text}, {})
    return table


def _number(text: str) -> int | float:
    return int(text) if text.lstrip("-").isdigit() else float(text)


class ThroughputCallback(BaseCallback):
    """Logs throughput, the shares of rollout and update, and the entropy; a callback for any on-policy algorithm.

    In a data parallel run every rank needs one: entropy and throughput are of all ranks, times are the rank's own.
    """

    def __init__(self) -> None:
        super().__init__()
        self.update_seconds = self.other_seconds = 0.0
        self.rolled_out: float | None = None  # time at the end of the last rollout
        self.begun = self.updated = 0.0
        self.steps_before = 0

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        self.update_ended()
        self.rollout_started()

    def _on_rollout_end(self) -> None:
        self.rollout_ended()

    def update_ended(self) -> None:
        """Record the time; what follows until `rollout_started` counts as neither rollout nor update."""
        self.updated = time.perf_counter()
        self.update_seconds = 0.0 if self.rolled_out is None else self.updated - self.rolled_out

    def rollout_started(self) -> None:
        """Record the time and the number of steps so far."""
        self.begun, self.steps_before = time.perf_counter(), self.num_timesteps
        self.other_seconds = self.begun - self.updated

    def rollout_ended(self) -> None:
        """Record the time and log; before the first rollout there was no update."""
        now = time.perf_counter()
        parts = {"rollout": now - self.begun, "update": self.update_seconds, "other": self.other_seconds}
        self.rolled_out, total = now, sum(parts.values())
        steps = self.num_timesteps - self.steps_before
        self.logger.record("time/tokens_per_second", steps / (parts["rollout"] + parts["update"]))
        for name, seconds in parts.items():
            self.logger.record(f"time/{name}_share", seconds / total)
        tensors = getattr(self.model.rollout_buffer, "tensors", None)  # type: ignore[attr-defined]
        if tensors is not None:
            # E[-log pi(a)] over the sampled actions estimates the entropy.
            used = tensors["log_probs"][~tensors["unused"]]
            sums, group = torch.stack((used.sum(), used.new_tensor(len(used)))), getattr(self.model, "group", None)
            total, count = (sums if group is None else group.sum(sums)).tolist()
            self.logger.record("rollout/entropy", -total / count)
