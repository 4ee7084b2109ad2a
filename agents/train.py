"""Train a policy on a world: warm start, reinforcement learning, evaluation on levels never trained on.

    python -m agents.train Tokens/Addition-v0
    python -m agents.train Tokens/Copy-v0 --set task=reverse length=5 --algo trpo --out runs/reverse
    python -m agents.train --resume --out runs/reverse

The defaults shown are overridden by the world's preset in agents/presets, that by `--config`, that by the command line;
the options shown are those of the chosen `--algo` and `--backbone`. The run's folder gets `options.yaml`, checkpoints,
`progress.csv`, TensorBoard events, `results.json`, `curve.png` and the final `model.zip`.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import torch
from rich.console import Console
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from tqdm import tqdm

from agents import ALGORITHMS, checkpoints, logs, report
from agents.evaluate import Evaluation, evaluate
from agents.options import Options, parse
from agents.options import save as save_options
from agents.warmstart import warm_start
from llm_envs.adapters.sb3 import TensorVecEnv
from llm_envs.checks import parse_values


class Watch(logs.Meter):
    """Shows progress, validates, saves checkpoints; always between two updates, where the state is whole."""

    def __init__(
        self,
        options: Options,
        config: dict[str, Any],
        history: dict[str, Any],
        metric: str,
        on_validation: Callable[[int, float], None],
    ) -> None:
        super().__init__()
        self.options, self.config, self.history, self.metric = options, config, history, metric
        self.on_validation = on_validation
        self.bar = tqdm(
            total=options.steps, unit=" tokens", unit_scale=True, desc=options.algo.upper(), mininterval=1.0
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
        if self.environment and (self.finished or time.monotonic() - self.saved > self.options.checkpoint_every):
            self.save(self.environment)
        self.rollout_started()

    def save(self, environment: bytes) -> None:
        """Write a checkpoint, with what the last update recorded and no logger has written yet."""
        known = self.logger.name_to_value.items()
        pending = {name: [float(value), list(self.logger.name_to_excluded[name])] for name, value in known}
        checkpoints.save(self.options.out, self.model, {**self.history, "pending": pending}, environment)
        self.saved = time.monotonic()

    def _validate(self) -> None:
        found = validate(self.model, self.options, self.config, 1000)
        self.history["validated"] = len(self.history["steps"])
        self.history["validation_steps"].append(self.num_timesteps)
        self.history["validation"].append(found.signals[self.metric])
        self.logger.record(f"validation/{self.metric}", found.signals[self.metric])
        self.on_validation(self.num_timesteps, found.signals[self.metric])

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


def validate(model: Any, options: Options, config: dict[str, Any], levels: int) -> Evaluation:
    """Return the metrics on the first `levels` validation levels, without oracle and intervals."""
    return evaluate(
        model, options.world, "validation", max_levels=levels, transcripts=0, oracle=False, resamples=1, **config
    )


def make_env(options: Options, config: dict[str, Any], device: str) -> TensorVecEnv:
    """Return the rows that are trained on."""
    settings: dict[str, Any] = {"group_size": getattr(options.algorithm, "group_size", 1)}
    settings["weights"] = {name: float(value) for name, value in parse_values(options.weights).items()} or None
    return TensorVecEnv(options.world, options.num_envs, device=device, seed=options.seed, **settings, **config)


def make_model(options: Options, env: TensorVecEnv, device: str) -> OnPolicyAlgorithm:
    """Return a fresh model."""
    make = ALGORITHMS[options.algo]
    if getattr(options.algorithm, "sub_sampling_factor", 1) > 1 and "tokens" not in env.batch.world.bounds:
        raise ValueError(f"sub_sampling_factor needs a world that shows tokens; {options.world} does not")
    told = options.algorithm.arguments()
    return make(
        "TransformerPolicy", env, seed=options.seed, device=device, policy_kwargs=options.policy_kwargs(), **told
    )


def imitate(model: Any, options: Options, config: dict[str, Any], metric: str) -> None:
    """Warm-start the model until the metric on validation levels reaches `warm.stop_at`."""
    settings = asdict(options.warm)
    stop_at = settings.pop("stop_at")
    with tqdm(desc="warm start", unit=" steps") as bar:

        def stop(count: int, loss: float) -> bool:
            bar.update()
            if count % 25:
                return False
            found = validate(model, options, config, 500)
            bar.set_postfix_str(f"cross-entropy {loss:.3f} nats, validation {metric} {found.signals[metric]:.3f}")
            return found.signals[metric] >= stop_at

        warm_start(model, options.world, seed=options.seed, stop=stop, **settings, **config)


def begin(
    options: Options, env: TensorVecEnv, config: dict[str, Any], device: str, metric: str, console: Console
) -> tuple[OnPolicyAlgorithm, dict[str, Any]]:
    """Return a fresh model, imitating already if so wanted, and the history of the run, both saved."""
    model = make_model(options, env, device)  # before anything is written: it refuses what does not fit together
    checkpoints.clear(options.out)
    save_options(options, options.out)
    size = sum(parameter.numel() for parameter in model.policy.parameters())
    console.print(
        f"{options.algo.upper()} on {options.world} on {device}: {size:,} parameters, "
        f"{env.batch.num_levels:,} training levels"
    )
    history: dict[str, Any] = {
        "world": options.world,
        "steps": [],
        "rollout": [],
        "validation_steps": [],
        "validation": [],
    }
    history["validated"] = 0  # rollouts, at the newest validation
    if options.warm.epochs:
        imitate(model, options, config, metric)
    before = evaluate(model, options.world, "test", device=device, **config)
    history |= {"before": before.signals[metric], "before_all": before.as_dict()}
    env.reset_tensor(options.seed)
    checkpoints.save(options.out, model, history)
    return model, history


def train(options: Options, on_validation: Callable[[int, float], None] = lambda steps, value: None) -> dict[str, Any]:
    """Run the whole job and return what `results.json` holds.

    `on_validation` is called with the environment steps and the metric after each look at the validation split, the
    last at the end; what it raises ends the run.
    """
    console, started = Console(), time.monotonic()
    config = parse_values(options.set)
    device = ("cuda" if torch.cuda.is_available() else "cpu") if options.device == "auto" else options.device
    if options.threads:
        torch.set_num_threads(options.threads)
    env = make_env(options, config, device)
    metric = options.metric or next(iter(env.batch.world.signals))
    if metric not in env.batch.world.signals:
        raise ValueError(f"there is no signal {metric!r}; the signals are {', '.join(env.batch.world.signals)}")
    found = checkpoints.checkpoints(options.out)
    if options.resume and found:
        model, history = checkpoints.load(found[-1], ALGORITHMS[options.algo], env, device)
        save_options(options, options.out)
        console.print(f"resumed at {model.num_timesteps:,} steps from {found[-1]}")
    else:
        model, history = begin(options, env, config, device, metric, console)
    model.set_logger(logs.make_logger(options.out, model.num_timesteps))
    remaining = options.steps - model.num_timesteps
    if remaining > 0:
        watch = Watch(options, config, history, metric, on_validation)
        model.learn(remaining, callback=watch, log_interval=1, reset_num_timesteps=False)
    after = evaluate(model, options.world, "test", device=device, **config)
    history |= {"after": after.signals[metric]}
    model.save(options.out / "model.zip")
    results = {
        "world": options.world,
        "algo": options.algo,
        "metric": metric,
        "before": history["before_all"],
        "after": after.as_dict(),
        "validation": (history["validation"] or [None])[-1],
        "steps": model.num_timesteps,
        "seconds": round(time.monotonic() - started, 1),
    }
    (options.out / "results.json").write_text(json.dumps(results, indent=1))
    report.draw_curve(options.out / "curve.png", history, metric)
    report.show(console, f"{options.world}, test levels", Evaluation(**history["before_all"]), after)
    console.print(
        f"{metric} {history['before']:.3f} -> {history['after']:.3f} in {results['seconds']:.0f} s; "
        f"curve, model and events in {options.out}"
    )
    return results


def main(args: Sequence[str] | None = None) -> None:
    """Entry point of `python -m agents.train`; exit code 2 for options that contradict each other."""
    try:
        told = parse(sys.argv[1:] if args is None else args, __doc__)
    except ValueError as error:
        print(f"agents.train: {error}", file=sys.stderr)
        sys.exit(2)
    train(told)


if __name__ == "__main__":
    main()
