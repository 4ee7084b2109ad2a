"""Train a policy on a world: warm start, reinforcement learning, evaluation on levels never trained on.

    python -m agents.train Tokens/Addition-v0
    python -m agents.train Tokens/Copy-v0 --set task=reverse length=5 --algo trpo --out runs/reverse
    python -m agents.train --resume --out runs/reverse
    torchrun --nproc-per-node 2 -m agents.train Tokens/Addition-v0 --algo ppo

The defaults shown are overridden by the world's preset in agents/jobs/presets, that by `--config`, that by the command
line; the options shown are those of the chosen `--algo` and `--backbone`. The run's folder gets `options.yaml`,
checkpoints, `progress.csv`, TensorBoard events, `results.json`, `curve.png` and the final `model.zip`.

Under torchrun the ranks share the rows, `num_envs` in all, and train as one process would; on GPUs each has its own.
When one dies all stop, and `--resume` goes on with the same number of ranks.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
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
from agents.jobs import checkpoints, logs
from agents.jobs.callbacks import Job, Watch, validate
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
    """Return the rows that are trained on, of a rank its share."""
    settings: dict[str, Any] = {"group_size": getattr(options.algorithm, "group_size", 1)}
    settings["weights"] = parse_values(*options.weights)
    rows = options.num_envs if group is None else group.share(options.num_envs)
    return TensorVecEnv(options.world, rows, device=device, seed=options.seed, **settings, **config)


def make_model(
    options: Options, env: TensorVecEnv, device: str, group: data_parallel.Group | None = None
) -> OnPolicyAlgorithm:
    """Return a fresh model; ValueError for what does not fit together."""
    make = ALGORITHMS[options.algo]
    if getattr(options.algorithm, "sub_sampling_factor", 1) > 1 and "tokens" not in env.batch.world.bounds:
        raise ValueError(f"sub_sampling_factor needs a world that shows tokens; {options.world} does not")
    if group is not None and (share := getattr(options.algorithm, "fisher_share", 1.0)) < 1:
        raise ValueError(f"fisher_share is {share:g}; under torchrun TRPO needs the whole: give --fisher-share 1")
    told = options.algorithm.arguments()
    model = make(
        "TransformerPolicy", env, seed=options.seed, device=device, policy_kwargs=options.policy_kwargs(), **told
    )
    if group is not None:
        data_parallel.check(model, group)
    return model


def imitate(model: Any, job: Job) -> None:
    """Warm-start the model until the metric on validation levels reaches `warm.stop_at`."""
    settings = asdict(job.options.warm) | {"weights": parse_values(*job.options.weights)}
    stop_at, every = settings.pop("stop_at"), settings.pop("validate_every")
    with tqdm(desc="warm start", unit=" steps") as bar:

        def stop(count: int, loss: float) -> bool:
            bar.update()
            if count % every:
                return False
            score = validate(model, job, 500)
            bar.set_postfix_str(f"cross-entropy {loss:.3f} nats, validation {job.metric} {score:.3f}")
            return score >= stop_at

        warm_start(model, job.options.world, seed=job.options.seed, stop=stop, **settings, **job.config)


def begin(job: Job, model: Any) -> dict[str, Any]:
    """Let a fresh model imitate, if so wanted; return the history of the run, saved with the model."""
    options, env = job.options, model.env
    history: dict[str, Any] = {"world": options.world}
    history |= {name: [] for name in ("steps", "rollout", "validation_steps", "validation")}
    history["validated"] = 0  # rollouts, at the newest validation
    if job.leads:
        checkpoints.clear(options.out)
        save_options(options, options.out)
        size = sum(parameter.numel() for parameter in model.policy.parameters())
        ranks = f", {job.group.size} processes" if job.group else ""
        job.console.print(
            f"{options.algo.upper()} on {options.world} on {job.device}{ranks}: {size:,} parameters, "
            f"{env.batch.num_levels:,} training levels"
            + (", your own: none is held out, validation and test are on the same" if job.world.custom_levels else "")
        )
        if options.warm.epochs:
            imitate(model, job)
        before = evaluate(model, options.world, job.split("test"), device=job.device, **job.config)
        history |= {"before": before.signals[job.metric], "before_all": before.as_dict()}
    if job.group is not None:
        data_parallel.attach(model, job.group)  # where the other ranks wait for rank 0 and take over what it learned
    history = job.agree(history)
    env.reset_tensor(options.seed + (job.group.rank * env.num_envs if job.group else 0))
    checkpoints.save(options.out, model, history, group=job.group)
    return history


def resume(job: Job, env: TensorVecEnv, place: Path) -> tuple[OnPolicyAlgorithm, dict[str, Any]]:
    """Return the model and the history of a checkpoint."""
    model, history = checkpoints.load(place, ALGORITHMS[job.options.algo], env, job.device, job.group)
    if job.group is not None:
        data_parallel.attach(model, job.group)
    if job.leads:
        save_options(job.options, job.options.out)
    job.console.print(f"resumed at {model.num_timesteps:,} steps from {place}")
    return model, history


def prepare(options: Options) -> tuple[Job, TensorVecEnv]:
    """Join the other ranks, if there are any, and return what all goes on with."""
    config = parse_values(*options.set)
    if "split" in config:
        raise ValueError("--set takes no split; a run itself chooses between train, validation and test")
    device = ("cuda" if torch.cuda.is_available() else "cpu") if options.device == "auto" else options.device
    if options.threads:
        torch.set_num_threads(options.threads)
    group = data_parallel.start("nccl" if device.startswith("cuda") else "gloo")
    if group is not None and group.device.type == "cuda":
        device = str(group.device)
    env = make_env(options, config, device, group)
    world = env.batch.world
    metric = options.metric or next(iter(world.signals))
    if metric not in world.signals:
        raise ValueError(f"there is no signal {metric!r}; the signals are {', '.join(world.signals)}")
    job = Job(options, config, device, metric, group, Console(quiet=bool(group and group.rank)), world)
    for name in ("validation", "test"):
        levels.select(world, job.split(name))  # refuses a pool that has none of it
    return job, env


def set_up(options: Options) -> tuple[Job, Any, dict[str, Any] | None]:
    """Return a job and its model with its history, of a checkpoint; a fresh one has none, and has written nothing.

    Raises:
        OSError, TypeError, ValueError: of the options, what does not exist or does not fit together.
    """
    job, env = prepare(options)
    found = job.agree(checkpoints.checkpoints(options.out))
    if options.resume and found:
        return job, *resume(job, env, found[-1])
    return job, make_model(options, env, job.device, job.group), None


def train(options: Options, on_validation: Callable[[int, float], None] = lambda steps, value: None) -> dict[str, Any]:
    """Run the whole job and return what `results.json` holds.

    `on_validation` is called with the environment steps and the metric after each look at the validation split, the
    last at the end, on every rank alike; what it raises ends the run.
    """
    return run(*set_up(options), on_validation)


def run(
    job: Job,
    model: Any,
    history: dict[str, Any] | None,
    on_validation: Callable[[int, float], None] = lambda steps, value: None,
) -> dict[str, Any]:
    """Do what `train` does with what is set up."""
    started, options = time.monotonic(), job.options
    history = begin(job, model) if history is None else history
    if job.leads:
        model.set_logger(logs.make_logger(options.out, model.num_timesteps))
    remaining = options.steps - model.num_timesteps
    if remaining > 0:
        watch = Watch(job, history, on_validation)
        model.learn(remaining, callback=watch, log_interval=1, reset_num_timesteps=False)
    results = job.agree(finish(job, model, history, started) if job.leads else None)
    if job.group is not None:
        job.group.close()
    return results


def finish(job: Job, model: Any, history: dict[str, Any], started: float) -> dict[str, Any]:
    """Evaluate on the test split, write the model, the results and the curve, and show them."""
    options, metric = job.options, job.metric
    after = evaluate(model, options.world, job.split("test"), device=job.device, **job.config)
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
    report.draw_curve(options.out / "curve.png", history, metric, (job.split("validation"), job.split("test")))
    report.show(job.console, f"{options.world}, {job.split('test')} levels", Evaluation(**history["before_all"]), after)
    job.console.print(
        f"{metric} {history['before']:.3f} -> {history['after']:.3f} in {results['seconds']:.0f} s; "
        f"curve, model and events in {options.out}"
    )
    return results


def main(args: Sequence[str] | None = None) -> None:
    """Entry point of `python -m agents.train`; exit code 2 for what no run can be set up with."""
    with refusing("agents.train"):
        job, model, history = set_up(parse(sys.argv[1:] if args is None else args, __doc__))
    run(job, model, history)
