"""What a training run does between two updates: progress, validation, checkpoints; decided alike on every rank."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from tqdm import tqdm

from agents.algorithms.base import OnPolicy
from agents.distributed.group import Group
from agents.evaluation.evaluation import evaluate
from agents.evaluation.runner import held_out
from agents.jobs import checkpoints, logs
from agents.jobs.options import Options
from llm_envs.world import World


@dataclass(frozen=True)
class RunContext:
    """The settings and surroundings of a run, shared by all its parts."""

    options: Options
    config: dict[str, Any]  # the world's configuration
    device: str
    metric: str  # the signal that is reported
    group: Group | None  # of a data parallel run
    console: Console  # silent except on rank 0
    world: World  # as it was built

    def split(self, name: str) -> str:
        """Return the split that stands for `name`, "all" if the levels are the user's own; see `held_out`."""
        return held_out(self.world, name)

    @property
    def is_main_process(self) -> bool:
        """Whether this is rank 0, which alone warm-starts, evaluates and writes files."""
        return self.group is None or self.group.rank == 0

    def broadcast(self, value: Any) -> Any:
        """Return rank 0's value on every rank; the value itself in a run of one process."""
        return value if self.group is None else self.group.broadcast(value)


def validate(model: Any, context: RunContext, levels: int) -> float:
    """Return the mean of the metric over the first `levels` validation levels, with the most likely actions."""
    found = evaluate(
        model,
        context.options.world,
        context.split("validation"),
        max_levels=levels,
        transcripts=0,
        oracle=False,
        resamples=1,
        **context.config,
    )
    return found.signals[context.metric]


class TrainingCallback(logs.ThroughputCallback):
    """Shows progress, validates and saves checkpoints, always between two updates, where the state is consistent."""

    def __init__(
        self, context: RunContext, history: dict[str, Any], on_validation: Callable[[int, float], None]
    ) -> None:
        super().__init__()
        self.context, self.options, self.metric, self.history = context, context.options, context.metric, history
        self.on_validation = on_validation
        self.bar = tqdm(
            total=self.options.steps,
            unit=" tokens",
            unit_scale=True,
            desc=self.options.algo.upper(),
            mininterval=1.0,
            disable=not context.is_main_process,
        )
        self.saved = time.monotonic()
        self.changed = False  # since the checkpoint that the run began from

    @property
    def finished(self) -> bool:
        """Whether the newest validation reached `stop_at`, and no rollout has followed it."""
        stop_at, history = self.options.stop_at, self.history
        new = bool(history["validation"]) and history["validated"] == len(history["steps"])
        return new and stop_at is not None and history["validation"][-1] >= stop_at

    def _on_training_start(self) -> None:
        for name, (value, excluded) in self.history.pop("pending", {}).items():
            self.logger.record(name, value, tuple(excluded))

    def _on_step(self) -> bool:
        return not self.finished

    def _on_rollout_start(self) -> None:
        self.update_ended()
        # Validation and checkpoints come here, not after the rollout: the update is done, nothing new has begun.
        history, rollouts = self.history, len(self.history["steps"])
        if rollouts and rollouts % self.options.validate_every == 0 and history["validated"] != rollouts:
            self._validate()
        due = time.monotonic() - self.saved > self.options.checkpoint_every  # clocks differ: rank 0 decides
        if self.changed and self.context.broadcast(self.finished or due):
            self.save()
        self.rollout_started()

    def save(self) -> None:
        """Write a checkpoint, including what the last update recorded and the logger has not yet written."""
        known = self.logger.name_to_value.items()
        pending = {name: [float(value), list(self.logger.name_to_excluded[name])] for name, value in known}
        history = {**self.history, "pending": pending}
        assert isinstance(self.model, OnPolicy)
        checkpoints.save(self.options.out, self.model, history, self.context.group)
        self.saved = time.monotonic()

    def _validate(self) -> None:
        # Rank 0 plays; all ranks then make the same decisions by its score.
        score = self.context.broadcast(
            validate(self.model, self.context, 1000) if self.context.is_main_process else None
        )
        self.history["validated"] = len(self.history["steps"])
        self.history["validation_steps"].append(self.num_timesteps)
        self.history["validation"].append(score)
        self.logger.record(f"validation/{self.metric}", score)
        self.on_validation(self.num_timesteps, score)

    def _on_rollout_end(self) -> None:
        self.rollout_ended()
        self.changed = True
        values = self.logger.name_to_value
        self.history["steps"].append(self.num_timesteps)
        self.history["rollout"].append(values.get(f"signals/{self.metric}", 0.0))
        validation = self.history["validation"]
        kl = values.get("train/approx_kl", values.get("train/kl_divergence_loss", 0.0))
        self.bar.set_postfix_str(
            f"{self.metric} {self.history['rollout'][-1]:.3f}, validation {validation[-1] if validation else 0:.3f}, "
            f"kl {kl:.4f}, entropy {values['rollout/entropy']:.3f}",
            refresh=False,
        )
        self.bar.update(self.num_timesteps - self.bar.n)

    def _on_training_end(self) -> None:
        self.bar.close()
        if self.history["validated"] != len(self.history["steps"]):
            self._validate()
