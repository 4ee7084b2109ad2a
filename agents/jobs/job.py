"""Train a policy on a world: warm start, reinforcement learning, evaluation on levels never trained on.

    python -m agents.train Tokens/Addition-v0
    python -m agents.train Tokens/Copy-v0 --set task=reverse length=5 --algo trpo --out runs/reverse
    python -m agents.train --resume --out runs/reverse
    torchrun --nproc-per-node 2 -m agents.train Tokens/Addition-v0 --algo ppo

The defaults shown are overridden by the world's preset in agents/jobs/presets, that by `--config`, that by the command
line; the options shown are those of the chosen `--algo` and `--backbone`. The run's folder gets `options.yaml`,
checkpoints, `progress.csv`, TensorBoard events, `results.json`, `curve.png` and the final `model.zip`.

Under torchrun the ranks share the rows, `num_envs` in all, and train as one process would; on GPUs each has its own.
When one dies all stop, and `--resume` continues with the same number of ranks.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from tqdm import tqdm

from agents import ALGORITHMS
from agents.algorithms import data_parallel
from agents.evaluation import report
from agents.evaluation.evaluation import Evaluation, evaluate
from agents.jobs import checkpoints, logs, threads
from agents.jobs.callbacks import RunContext, TrainingCallback, validate
from agents.jobs.options import Options
from agents.jobs.settings import parse
from agents.jobs.settings import save as save_options
from agents.supervised.warm_start import warm_start
from llm_envs.adapters.sb3 import TensorVecEnv
from llm_envs.cli.arguments import parse_values, refusing
from llm_envs.engine import levels


def make_env(
    options: Options, config: dict[str, Any], device: str, group: data_parallel.Group | None = None
) -> TensorVecEnv:
    """Return the training environment; in a data parallel run this rank's rows of it."""
    settings: dict[str, Any] = {"group_size": getattr(options.algorithm, "group_size", 1)}
    settings["weights"] = parse_values(*options.weights)
    rows = options.num_envs if group is None else group.rows_per_rank(options.num_envs)
    return TensorVecEnv(options.world, rows, device=device, seed=options.seed, **settings, **config)


def make_model(
    options: Options, env: TensorVecEnv, device: str, group: data_parallel.Group | None = None
) -> OnPolicyAlgorithm:
    """Return a model with fresh weights; ValueError for options that do not fit together."""
    make = ALGORITHMS[options.algo]
    if getattr(options.algorithm, "sub_sampling_factor", 1) > 1 and "tokens" not in (
        env.batch.world.observation.names or ()
    ):
        raise ValueError(f"sub_sampling_factor needs a world with tokens; {options.world} has none")
    if group is not None and (share := getattr(options.algorithm, "fisher_share", 1.0)) < 1:
        raise ValueError(f"fisher_share is {share:g}; under torchrun TRPO needs all texts: give --fisher-share 1")
    kwargs = options.algorithm.arguments()
    model = make(
        "TransformerPolicy", env, seed=options.seed, device=device, policy_kwargs=options.policy_kwargs(), **kwargs
    )
    if group is not None:
        data_parallel.check(model, group)
    return model


def run_warm_start(model: Any, context: RunContext) -> None:
    """Warm-start the model until the metric on validation levels reaches `warm.stop_at`."""
    settings = asdict(context.options.warm) | {"weights": parse_values(*context.options.weights)}
    stop_at, every = settings.pop("stop_at"), settings.pop("validate_every")
    with tqdm(desc="warm start", unit=" steps") as bar:

        def stop(count: int, loss: float) -> bool:
            bar.update()
            if count % every:
                return False
            score = validate(model, context, 500)
            bar.set_postfix_str(f"cross-entropy {loss:.3f} nats, validation {context.metric} {score:.3f}")
            return score >= stop_at

        warm_start(model, context.options.world, seed=context.options.seed, stop=stop, **settings, **context.config)


def start(context: RunContext, model: Any) -> dict[str, Any]:
    """Warm-start a fresh model, if asked for, evaluate it and save it; return the history of the run."""
    options, env = context.options, model.env
    history: dict[str, Any] = {"world": options.world}
    history |= {name: [] for name in ("steps", "rollout", "validation_steps", "validation")}
    history["validated"] = 0  # number of rollouts at the newest validation
    if context.is_main_process:
        checkpoints.clear(options.out)
        save_options(options, options.out)
        size = sum(parameter.numel() for parameter in model.policy.parameters())
        ranks = f", {context.group.size} processes" if context.group else ""
        context.console.print(
            f"{options.algo.upper()} on {options.world} on {context.device}{ranks}: {size:,} parameters, "
            f"{env.batch.num_levels:,} training levels"
            + (", your own: none are held out, validation and test use the same" if context.world.custom_levels else "")
        )
        if options.warm.epochs:
            run_warm_start(model, context)
        before = evaluate(model, options.world, context.split("test"), device=context.device, **context.config)
        history |= {"before": before.signals[context.metric], "before_all": before.as_dict()}
    if context.group is not None:
        data_parallel.attach(model, context.group)  # the other ranks wait here, and get rank 0's weights
    history = context.broadcast(history)
    # RL starts from the seed, on each rank with its own rows of the whole.
    env.reset_tensor(options.seed + (context.group.rank * env.num_envs if context.group else 0))
    checkpoints.save(options.out, model, history, group=context.group)
    return history


def resume(context: RunContext, env: TensorVecEnv, place: Path) -> tuple[RunContext, OnPolicyAlgorithm, dict[str, Any]]:
    """Return the context, the model and the history of a checkpoint; the environment is restored."""
    model, history = checkpoints.load(place, ALGORITHMS[context.options.algo], env, context.device, context.group)
    context = replace(context, options=threads.settled(context.options, model))
    if context.group is not None:
        data_parallel.attach(model, context.group)
    if context.is_main_process:
        save_options(context.options, context.options.out)
    context.console.print(f"resumed at {model.num_timesteps:,} steps from {place}")
    return context, model, history


def prepare(options: Options) -> tuple[RunContext, TensorVecEnv]:
    """Join the other ranks, if there are any; return the context of the run and its environment.

    Raises:
        ValueError: a split among the world's options, an unknown metric, or a split without levels.
    """
    config = parse_values(*options.set)
    if "split" in config:
        raise ValueError("--set takes no split; a run itself chooses between train, validation and test")
    device = ("cuda" if torch.cuda.is_available() else "cpu") if options.device == "auto" else options.device
    if options.threads:  # else chosen once there is a model, by its size
        torch.set_num_threads(options.threads)
    group = data_parallel.start("nccl" if device.startswith("cuda") else "gloo")
    if group is not None and group.device.type == "cuda":
        device = str(group.device)
    env = make_env(options, config, device, group)
    world = env.batch.world
    # The first signal is by convention the task's own.
    metric = options.metric or next(iter(world.signals))
    if metric not in world.signals:
        raise ValueError(f"there is no signal {metric!r}; the signals are {', '.join(world.signals)}")
    context = RunContext(options, config, device, metric, group, Console(quiet=bool(group and group.rank)), world)
    for name in ("validation", "test"):
        levels.select(world, context.split(name))  # ValueError if the pool has none
    return context, env


def set_up(options: Options) -> tuple[RunContext, Any, dict[str, Any] | None]:
    """Return the context, the model, and the history if it comes from a checkpoint; a fresh model has written nothing.

    Raises:
        OSError, TypeError, ValueError: options name something that does not exist or does not fit together.
    """
    checkpoints.check_folder(options.out, options.resume)
    context, env = prepare(options)
    # Rank 0's choice: another rank could see a checkpoint that was finished later.
    found = context.broadcast(checkpoints.newest(options.out) if options.resume and context.is_main_process else None)
    if found is not None:
        return resume(context, env, found)
    model = make_model(options, env, context.device, context.group)
    return replace(context, options=threads.settled(options, model)), model, None


def train(options: Options, on_validation: Callable[[int, float], None] = lambda steps, value: None) -> dict[str, Any]:
    """Run a training job from start to end and return the contents of `results.json`.

    `on_validation` is called with the environment steps and the metric after each validation, the last at the end, on
    every rank alike; an exception from it ends the run.
    """
    return run(*set_up(options), on_validation)


def run(
    context: RunContext,
    model: Any,
    history: dict[str, Any] | None,
    on_validation: Callable[[int, float], None] = lambda steps, value: None,
) -> dict[str, Any]:
    """Do the work of `train`, given the results of `set_up`."""
    started, options = time.monotonic(), context.options
    history = start(context, model) if history is None else history
    if context.is_main_process:
        model.set_logger(logs.make_logger(options.out, model.num_timesteps))
    # SB3's learn() counts further steps, `steps` is the total of all commands.
    remaining = options.steps - model.num_timesteps
    if remaining > 0:
        callback = TrainingCallback(context, history, on_validation)
        model.learn(remaining, callback=callback, log_interval=1, reset_num_timesteps=False)
    results = context.broadcast(finish(context, model, history, started) if context.is_main_process else None)
    if context.group is not None:
        context.group.close()
    return results


def finish(context: RunContext, model: Any, history: dict[str, Any], started: float) -> dict[str, Any]:
    """Evaluate on the test split; write and show the model, the results and the curve."""
    options, metric = context.options, context.metric
    after = evaluate(model, options.world, context.split("test"), device=context.device, **context.config)
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
    report.draw_curve(options.out / "curve.png", history, metric, (context.split("validation"), context.split("test")))
    report.show(
        context.console, f"{options.world}, {context.split('test')} levels", Evaluation(**history["before_all"]), after
    )
    context.console.print(
        f"{metric} {history['before']:.3f} -> {history['after']:.3f} in {results['seconds']:.0f} s; "
        f"curve, model and events in {options.out}"
    )
    return results


def main(args: Sequence[str] | None = None) -> None:
    """Entry point of `python -m agents.train`; exit code 2 for options that no run can be set up with."""
    with refusing("agents.train"):
        context, model, history = set_up(parse(sys.argv[1:] if args is None else args, __doc__))
    run(context, model, history)
