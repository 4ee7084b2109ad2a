"""Train a transformer policy on a world: warm start, PPO, evaluation on levels never trained on.

    python -m agents.train Tokens/Addition-v0
    python -m agents.train Tokens/Copy-v0 --set task=reverse length=5 --out runs/reverse
    python -m agents.train Tokens/Addition-v0 --resume

The run's folder gets checkpoints, TensorBoard events, `results.json`, `curve.png` and the final `model.zip`.
"""

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from rich.console import Console
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import LinearSchedule
from tqdm import tqdm

from agents import checkpoints, report
from agents.backbones import TransformerConfig
from agents.evaluate import Evaluation, evaluate
from agents.ppo import PPO
from agents.warmstart import warm_start
from llm_envs.adapters.sb3 import TensorVecEnv
from llm_envs.checks import parse_values


@dataclass(frozen=True)
class WarmStart:
    """Imitation before RL; none with epochs 0."""

    episodes: int = 40_000  # reference episodes, from the train split
    epochs: int = 6  # most passes over them
    batch_size: int = 256  # episodes in a minibatch
    learning_rate: float = 4e-3
    stop_at: float = 0.45  # end when the metric on 500 validation levels reaches this; it is looked at every 25 steps


@dataclass(frozen=True)
class Reinforcement:
    """PPO's settings."""

    steps: int = 1_000_000  # environment steps (tokens) in all
    num_envs: int = 512
    rollout_steps: int = 20  # of every row, between two updates
    batch_size: int = 5120  # states in a minibatch
    epochs: int = 3
    learning_rate: float = 1e-3  # falls to zero in a straight line over `steps`
    clip_range: float = 0.2
    gamma: float = 1.0
    gae_lambda: float = 1.0
    entropy: float = 0.0  # coefficient of the entropy bonus
    value: float = 0.5  # coefficient of the value loss
    stop_at: float = 0.99  # end when the metric on the validation split reaches this


@dataclass(frozen=True)
class Options:
    """Train a transformer policy on a world with PPO."""

    world: tyro.conf.Positional[str] = "Tokens/Addition-v0"
    """One of `llm-envs list`."""
    set: tuple[str, ...] = ()
    """The world's configuration, as name=value."""
    weights: tuple[str, ...] = ()
    """Reward weights by signal, as name=value."""
    metric: str = ""
    """The signal that is reported and that ends training; the world's first if not given."""
    warm: Annotated[WarmStart, tyro.conf.arg(name="warm")] = field(default_factory=WarmStart)
    ppo: Annotated[Reinforcement, tyro.conf.arg(name="ppo")] = field(default_factory=Reinforcement)
    backbone: TransformerConfig = field(
        default_factory=lambda: TransformerConfig(width=64, layers=2, heads=8, positions="learned")
    )
    out: Path = Path("runs/train")
    """Folder of the run."""
    resume: bool = False
    """Go on from the last whole checkpoint in `out`."""
    checkpoint_every: float = 20.0
    """Seconds between checkpoints."""
    validate_every: int = 10
    """Rollouts between evaluations on the validation split."""
    seed: int = 0
    device: str = "auto"
    """"cpu", "cuda", or "auto" for CUDA where there is one."""
    threads: int = 0
    """Threads of torch; 0 for torch's own choice."""


class Watch(BaseCallback):
    """Shows progress, validates, saves checkpoints; always between two updates, where the state is whole."""

    def __init__(self, options: Options, config: dict[str, Any], history: dict[str, Any], metric: str) -> None:
        super().__init__()
        self.options, self.config, self.history, self.metric = options, config, history, metric
        self.bar = tqdm(total=options.ppo.steps, unit=" tokens", unit_scale=True, desc="PPO", mininterval=1.0)
        self.saved, self.finished = time.monotonic(), False

    def _on_step(self) -> bool:
        return not self.finished

    def _on_rollout_start(self) -> None:
        history, rollouts = self.history, len(self.history["steps"])
        if rollouts and rollouts % self.options.validate_every == 0 and history["validated"] != rollouts:
            self._validate(rollouts)
        if time.monotonic() - self.saved > self.options.checkpoint_every or self.finished:
            checkpoints.save(self.options.out, self.model, history)
            self.saved = time.monotonic()

    def _validate(self, rollouts: int) -> None:
        found = evaluate(self.model, self.options.world, "validation", max_levels=1000, transcripts=0, **self.config)
        self.history["validated"] = rollouts
        self.history["validation_steps"].append(self.num_timesteps)
        self.history["validation"].append(found.signals[self.metric])
        self.finished = found.signals[self.metric] >= self.options.ppo.stop_at

    def _on_rollout_end(self) -> None:
        values = self.logger.name_to_value
        self.history["steps"].append(self.num_timesteps)
        self.history["rollout"].append(values.get(f"signals/{self.metric}", 0.0))
        validation = self.history["validation"]
        self.bar.set_postfix_str(
            f"{self.metric} {self.history['rollout'][-1]:.3f}, validation {validation[-1] if validation else 0:.3f}, "
            f"kl {values.get('train/approx_kl', 0):.4f}, entropy {-values.get('train/entropy_loss', 0):.3f}",
            refresh=False,
        )
        self.bar.update(self.num_timesteps - self.bar.n)

    def _on_training_end(self) -> None:
        self.bar.close()


def make_model(options: Options, env: TensorVecEnv, device: str) -> PPO:
    """Return a fresh model."""
    ppo = options.ppo
    return PPO(
        "TransformerPolicy",
        env,
        n_steps=ppo.rollout_steps,
        batch_size=ppo.batch_size,
        n_epochs=ppo.epochs,
        learning_rate=LinearSchedule(ppo.learning_rate, 0.0, 1.0),
        clip_range=ppo.clip_range,
        gamma=ppo.gamma,
        gae_lambda=ppo.gae_lambda,
        ent_coef=ppo.entropy,
        vf_coef=ppo.value,
        seed=options.seed,
        device=device,
        tensorboard_log=str(options.out / "tensorboard"),
        policy_kwargs={"backbone": asdict(options.backbone)},
    )


def imitate(model: PPO, options: Options, config: dict[str, Any], metric: str) -> None:
    """Warm-start the model until the metric on validation levels reaches `warm.stop_at`."""
    settings = asdict(options.warm)
    stop_at = settings.pop("stop_at")
    with tqdm(desc="warm start", unit=" steps") as bar:

        def stop(count: int, loss: float) -> bool:
            bar.update()
            if count % 25:
                return False
            found = evaluate(model, options.world, "validation", max_levels=500, transcripts=0, **config)
            bar.set_postfix_str(f"cross-entropy {loss:.3f} nats, validation {metric} {found.signals[metric]:.3f}")
            return found.signals[metric] >= stop_at

        warm_start(model, options.world, seed=options.seed, stop=stop, **settings, **config)


def train(options: Options) -> dict[str, Any]:
    """Run the whole job and return what `results.json` holds."""
    console, started = Console(), time.monotonic()
    config = parse_values(options.set)
    weights = {name: float(value) for name, value in parse_values(options.weights).items()} or None
    device = ("cuda" if torch.cuda.is_available() else "cpu") if options.device == "auto" else options.device
    if options.threads:
        torch.set_num_threads(options.threads)
    env = TensorVecEnv(options.world, options.ppo.num_envs, device=device, seed=options.seed, weights=weights, **config)
    metric = options.metric or next(iter(env.batch.world.signals))
    if metric not in env.batch.world.signals:
        raise ValueError(f"there is no signal {metric!r}; the signals are {', '.join(env.batch.world.signals)}")
    found = checkpoints.checkpoints(options.out)
    if options.resume and found:
        model, history = checkpoints.load(found[-1], PPO, env, device)
        console.print(f"resumed at {model.num_timesteps:,} steps from {found[-1]}")
    else:
        checkpoints.clear(options.out)
        model = make_model(options, env, device)
        size = sum(parameter.numel() for parameter in model.policy.parameters())
        console.print(f"{options.world} on {device}: {size:,} parameters, {env.batch.num_levels:,} training levels")
        history = {"world": options.world, "steps": [], "rollout": [], "validation_steps": [], "validation": []}
        history["validated"] = 0
        if options.warm.epochs:
            imitate(model, options, config, metric)
        before = evaluate(model, options.world, "test", device=device, **config)
        history |= {"before": before.signals[metric], "before_all": before.as_dict()}
        env.reset_tensor(options.seed)
        checkpoints.save(options.out, model, history)
    watch = Watch(options, config, history, metric)
    remaining = options.ppo.steps - model.num_timesteps
    if remaining > 0:
        model.learn(remaining, callback=watch, reset_num_timesteps=False)
    after = evaluate(model, options.world, "test", device=device, **config)
    history |= {"after": after.signals[metric]}
    model.save(options.out / "model.zip")
    results = {
        "world": options.world,
        "metric": metric,
        "before": history["before_all"],
        "after": after.as_dict(),
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


def main() -> None:
    """Entry point of `python -m agents.train`."""
    train(tyro.cli(Options, description=__doc__))


if __name__ == "__main__":
    main()
