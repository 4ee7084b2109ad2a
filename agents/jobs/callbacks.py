"""Between two updates of a training run: progress, validation, checkpoints; the same decisions on every rank."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from tqdm import tqdm

from agents.distributed.group import Group
from agents.evaluation.evaluation import evaluate
from agents.evaluation.runner import held_out
from agents.jobs import checkpoints, logs
from agents.jobs.options import Options
from llm_envs.world import World


@dataclass(frozen=True)
class Job:
    """What every part of a run knows."""

    options: Options
    config: dict[str, Any]  # of the world
    device: str
    metric: str
    group: Group | None  # of a data parallel run
    console: Console  # silent but on rank 0
    world: World  # as it was built

    def split(self, name: str) -> str:
        """Return the split that is played where `name` is meant; see `held_out`."""
        return held_out(self.world, name)

    @property
    def leads(self) -> bool:
        """Whether this is rank 0, which alone imitates, evaluates and writes."""
        return self.group is None or self.group.rank == 0

    def agree(self, value: Any) -> Any:
        """Return what rank 0 has."""
        return value if self.group is None else self.group.agree(value)


def validate(model: Any, job: Job, levels: int) -> float:
    """Return the metric on the first `levels` validation levels."""
    found = evaluate(
        model,
        job.options.world,
        job.split("validation"),
        max_levels=levels,
        transcripts=0,
        oracle=False,
        resamples=1,
        **job.config,
    )
    return found.signals[job.metric]


class Watch(logs.Meter):
    """Shows progress, validates, saves checkpoints; always between two updates, where the state is whole."""

    def __init__(self, job: Job, history: dict[str, Any], on_validation: Callable[[int, float], None]) -> None:
        super().__init__()
        self.job, self.options, self.metric, self.history = job, job.options, job.metric, history
        self.on_validation = on_validation
        self.bar = tqdm(
            total=self.options.steps,
            unit=" tokens",
            unit_scale=True,
            desc=self.options.algo.upper(),
            mininterval=1.0,
            disable=not job.leads,
        )
        self.saved = time.monotonic()
        self.environment: bytes | None = None  # as the last rollout left it

    @property
    def finished(self) -> bool:
        """Whether the newest validation, if no rollout came after it, reached `stop_at`."""
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
        history, rollouts = self.history, len(self.history["steps"])
        if rollouts and rollouts % self.options.validate_every == 0 and history["validated"] != rollouts:
            self._validate()
        due = time.monotonic() - self.saved > self.options.checkpoint_every  # clocks differ, so rank 0's decides
        if self.environment and self.job.agree(self.finished or due):
            self.save(self.environment)
        self.rollout_started()

    def save(self, environment: bytes) -> None:
        """Write a checkpoint, with what the last update recorded and no logger has written yet."""
        known = self.logger.name_to_value.items()
        pending = {name: [float(value), list(self.logger.name_to_excluded[name])] for name, value in known}
        history = {**self.history, "pending": pending}
        checkpoints.save(self.options.out, self.model, history, environment, self.job.group)
        self.saved = time.monotonic()

    def _validate(self) -> None:
        score = self.job.agree(validate(self.model, self.job, 1000) if self.job.leads else None)
        self.history["validated"] = len(self.history["steps"])
        self.history["validation_steps"].append(self.num_timesteps)
        self.history["validation"].append(score)
        self.logger.record(f"validation/{self.metric}", score)
        self.on_validation(self.num_timesteps, score)

    def _on_rollout_end(self) -> None:
        self.rollout_ended()
        self.environment = self.model.env.batch.snapshot()  # type: ignore[union-attr]
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
