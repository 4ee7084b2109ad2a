"""Evaluation by sweep: every level of a split is played once, in a batch, by the policy's best or sampled actions.

    python -m agents.evaluate Tokens/Addition-v0 --model runs/train/model.zip --split test --json out.json
    python -m agents.evaluate Tokens/Addition-v0 --model runs/train/model.zip --sampled --seeds 0 1 2 --folds 5

What is measured, each with a 95 % interval over levels (`agents.metrics`):
    return, length, terminated   an episode's total reward, its steps (tokens), whether the task itself ended it
    success                      terminated, with a positive total of the world's success signal: see `SUCCESS`
    regret                       return of the world's own solution, less the policy's return
    signal/<name>                an episode's total of a signal
and, where the world shows `tokens`, of what the policy wrote, which is its actions (tokens, or the commands of a game):
    exact_match                  the signal `exact`; where a world has none, whether the solution was written
    accuracy, precision, recall, f1    of the tokens against the solution's, without the closing <end>
    distinct_1, distinct_2       different n-grams over tokens, in all texts
    solution_perplexity          of the solution under the policy
    perplexity                   of what was written under another policy, `reference`
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from rich.console import Console
from stable_baselines3.common.save_util import load_from_zip_file

from agents import metrics, report
from agents.metrics import Estimate
from agents.playing import (
    Played,
    Score,
    as_policy,
    check_fit,
    play,
    play_solutions,
    policy_actions,
    policy_log_probs,
    random_actions,
    solutions,
    sweep_batch,
)
from llm_envs.checks import parse_values
from llm_envs.vocabulary import END
from llm_envs.world import World, check_range

SUCCESS = ("success", "exact", "goal", "score")  # the first of these that is a signal of the world tells success


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found; means are over episodes, one for each level and seed."""

    episodes: int
    mean_return: float
    mean_length: float
    terminated: float  # share of episodes that the task ended, not the time limit
    signals: dict[str, float]  # mean total of each signal in an episode
    transcripts: list[str]  # the first final observations as text
    estimates: dict[str, Estimate] = field(default_factory=dict)  # every quantity of the module's list
    by_seed: dict[str, list[float]] = field(default_factory=dict)  # the same for each seed, where there are several
    by_fold: dict[str, list[float]] = field(default_factory=dict)  # and for each fold of the levels, where asked for

    def __post_init__(self) -> None:
        """Take estimates as `as_dict` gives them, too."""
        given = self.estimates.items()
        estimates = {name: value if isinstance(value, Estimate) else Estimate(**value) for name, value in given}
        object.__setattr__(self, "estimates", estimates)

    def as_dict(self) -> dict[str, Any]:
        """Return plain numbers and strings, for JSON; `Evaluation(**as_dict)` is the evaluation again."""
        return asdict(self)


# ---------------------------------------------------------------------- measuring


def writes(world: World) -> bool:
    """Say whether a world shows tokens, so that actions are something written."""
    return "tokens" in world.bounds and isinstance(world.actions, int)


def text(world: World, actions: np.ndarray) -> list[int]:
    """Return what a sequence of actions (T,) wrote, without the closing <end> where the actions are the tokens."""
    said = actions.tolist()
    tokens = world.actions == world.bounds["tokens"][1] + 1
    return said[:-1] if tokens and said and said[-1] == END else said


def text_means(world: World, played: Played, plans: list[np.ndarray] | None) -> dict[str, list[float]]:
    """Return exact match and the overlap with the solutions, of L levels each."""
    found: dict[str, Any] = {}
    if "exact" in played.signals:
        found["exact_match"] = played.signals["exact"]
    if plans is not None:
        if not found:
            found["exact_match"] = [float(np.array_equal(*pair)) for pair in zip(played.actions, plans, strict=True)]
        pairs = zip(played.actions, plans, strict=True)
        overlaps = [metrics.overlap(text(world, said), text(world, plan)) for said, plan in pairs]
        found |= zip(("accuracy", "precision", "recall", "f1"), zip(*overlaps, strict=True), strict=True)
    return found


def measure(
    world: World,
    plays: list[Played],
    oracles: list[Played],
    plans: list[np.ndarray] | None,
    success: str | None,
    scored: tuple[bool, bool],
) -> metrics.Sample:
    """Return what was measured in the seeds' episodes; `scored` says of whose losses there are: plays', oracles'."""
    columns: list[dict[str, Any]] = []
    for s, played in enumerate(plays):
        column: dict[str, Any] = {"return": played.returns}
        column |= {"length": played.lengths, "terminated": played.terminated}
        if success is not None:
            column["success"] = (played.terminated > 0) & (played.signals[success] > 0)
        if oracles:
            column["regret"] = oracles[s].returns - played.returns
        if writes(world):
            column |= text_means(world, played, plans)
        columns.append(column | {f"signal/{name}": value for name, value in played.signals.items()})
    means = {name: np.array([column[name] for column in columns], np.float64) for name in columns[0]}
    losses = {
        name: (np.stack([p.losses for p in group]), np.stack([p.lengths for p in group]))
        for name, group, there in zip(("perplexity", "solution_perplexity"), (plays, oracles), scored, strict=True)
        if there
    }
    said: list = [[text(world, actions) for actions in played.actions] for played in plays] if writes(world) else []
    return metrics.Sample(means, losses, said)


def success_signal(signals: Sequence[str], chosen: str | None) -> str | None:
    """Return the signal that tells success: the one chosen, else the first of `SUCCESS`, else None."""
    if chosen is not None and chosen not in signals:
        raise ValueError(f"there is no signal {chosen!r} to tell success; the signals are {', '.join(signals)}")
    return chosen or next((name for name in SUCCESS if name in signals), None)


def reference_score(reference: Any, world: World, world_id: str) -> Score:
    """Return the log-probabilities under a reference; ValueError where there can be none."""
    policy = as_policy(reference)
    if not hasattr(policy, "evaluate_actions"):
        raise ValueError(f"reference is {reference!r}; it must be an SB3 model or policy that has evaluate_actions")
    if not writes(world):
        raise ValueError(f"{world_id} shows no tokens; there is nothing written for a reference to score")
    check_fit(policy, world, world_id)
    return policy_log_probs(policy)


def evaluate(
    model: Any,
    world_id: str,
    split: str = "test",
    deterministic: bool = True,
    levels_at_once: int = 1024,
    max_levels: int = 0,
    transcripts: int = 10,
    device: str = "cpu",
    seed: int = 0,
    seeds: Sequence[int] = (),
    folds: int = 0,
    reference: Any = None,
    oracle: bool = True,
    success: str | None = None,
    resamples: int = 2000,
    **config: Any,
) -> Evaluation:
    """Play every level of a split once a seed and measure what the module lists.

    Episodes are played to their end: a world without a time limit may keep a bad policy for ever.

    Args:
        model: an SB3 model or policy, a function from observations to actions, or "random".
        world_id: one of `llm_envs.ids()`.
        split: "train", "validation", "test" or "all".
        deterministic: take the most likely actions.
        levels_at_once: most rows of the batch.
        max_levels: stop after so many levels, chosen by the sweep's order; 0 for all.
        transcripts: how many final observations of the first seed to keep as text.
        device: of the batch.
        seed: of sampled and random actions and of what is random in the world; 0 to 2^31 - 1.
        seeds: several, each of which plays all levels, in place of `seed`.
        folds: parts of the levels, 2 or more, whose means are given too; see `metrics.folds`. 0 for none.
        reference: an SB3 model or policy under which the perplexity of what was written is measured.
        oracle: play the world's own solutions too, where it has them, for the regret and all that compares texts.
            They cost as many steps, with the policy's log-probabilities at each in token worlds.
        success: the signal that tells success, in place of `SUCCESS`.
        resamples: of the bootstrap.
        config: the world's configuration, and `weights`, `rewards`, `threads` or `check_actions`.

    Raises:
        ValueError: an argument out of range, a split without levels, or a level that cannot be solved.
        TypeError: an unknown keyword.
    """
    seeds = list(seeds) or [seed]
    for each in seeds:
        check_range("seed", each, 0, 2**31 - 1)
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds are {seeds}; they must differ")
    batch = sweep_batch(world_id, split, levels_at_once, max_levels, device, config)
    world, policy = batch.world, as_policy(model)
    parts = metrics.folds(batch.num_levels, folds) if folds else []
    score = None if reference is None else reference_score(reference, world, world_id)
    if policy is not None:
        check_fit(policy, world, world_id)
    batch.reset(seed=0)
    signal = success_signal(list(batch.tensors.signals), success)
    plans = solutions(batch) if oracle and world.solution is not None else None
    scores_solutions = plans is not None and writes(world) and hasattr(policy, "evaluate_actions")
    plays, oracles = [], []
    for s, each in enumerate(seeds):
        with torch.random.fork_rng([policy.device] if policy is not None and policy.device.type == "cuda" else []):
            torch.manual_seed(each)
            act = random_actions(batch, each) if isinstance(model, str) and model == "random" else model
            act = act if policy is None else policy_actions(policy, deterministic)
            plays.append(play(batch, lambda obs, *_, act=act: act(obs), score, 0 if s else transcripts, each))
        if plans is not None:
            own = policy_log_probs(policy) if scores_solutions else None
            oracles.append(play_solutions(batch, plans, own, each))
    sample = measure(world, plays, oracles, plans, signal, (score is not None, scores_solutions))
    points, estimates = sample.points(), sample.estimates(resamples)
    every_seed, every_level = range(len(seeds)), range(batch.num_levels)
    by_seed = [sample.select([s], every_level).points() for s in every_seed] if len(seeds) > 1 else []
    by_fold = [sample.select(every_seed, part).points() for part in parts]
    return Evaluation(
        len(seeds) * batch.num_levels,
        points["return"],
        points["length"],
        points["terminated"],
        {name: points[f"signal/{name}"] for name in plays[0].signals},
        plays[0].transcripts,
        estimates,
        {name: [each[name] for each in by_seed] for name in points if by_seed},
        {name: [each[name] for each in by_fold] for name in points if by_fold},
    )


# ---------------------------------------------------------------------- the command line


@dataclass(frozen=True)
class Options:
    """Evaluate a saved model on every level of a split."""

    world: tyro.conf.Positional[str] = "Tokens/Addition-v0"
    """One of `llm-envs list`."""
    model: str = "runs/train/model.zip"
    """A saved Stable-Baselines3 model, or "random"."""
    set: tuple[str, ...] = ()
    """The world's configuration, as name=value."""
    weights: tuple[str, ...] = ()
    """Reward weights by signal, as name=value."""
    split: str = "test"
    """"train", "validation", "test" or "all"."""
    sampled: bool = False
    """Sample actions; without it the most likely ones are taken."""
    seeds: tuple[int, ...] = (0,)
    """Each plays all levels."""
    folds: int = 0
    """Parts of the levels whose means are shown too; 0 for none."""
    reference: Path | None = None
    """A saved model under which the perplexity of what was written is measured."""
    oracle: bool = True
    """Play the world's own solutions too."""
    success: str | None = None
    """The signal that tells success, where it is not one of the usual."""
    max_levels: int = 0
    """Stop after so many levels; 0 for all."""
    transcripts: int = 3
    """Final observations to show."""
    json: Path | None = None
    """Where to write the result."""
    device: str = "cpu"


def load_policy(path: Path | str, device: str) -> Any:
    """Return the policy of a saved SB3 model, whichever algorithm saved it."""
    data, weights, _ = load_from_zip_file(path, device=device)
    spaces = data["observation_space"], data["action_space"]  # type: ignore[index]
    policy = data["policy_class"](*spaces, lambda _: 0.0, **data["policy_kwargs"]).to(device)  # type: ignore[index]
    policy.load_state_dict(weights["policy"])
    return policy


def main(args: Sequence[str] | None = None) -> Evaluation:
    """Entry point of `python -m agents.evaluate`."""
    options = tyro.cli(Options, args=args, description=__doc__)
    weights = {name: float(value) for name, value in parse_values(options.weights).items()} or None
    found = evaluate(
        "random" if options.model == "random" else load_policy(options.model, options.device),
        options.world,
        options.split,
        not options.sampled,
        max_levels=options.max_levels,
        transcripts=options.transcripts,
        device=options.device,
        seeds=options.seeds,
        folds=options.folds,
        reference=None if options.reference is None else load_policy(options.reference, options.device),
        oracle=options.oracle,
        success=options.success,
        weights=weights,
        **parse_values(options.set),
    )
    if options.json is not None:
        options.json.write_text(json.dumps(found.as_dict(), indent=1))
    report.show_one(Console(), f"{options.world}, {options.split} levels", found)
    return found


if __name__ == "__main__":
    main()
