"""`evaluate`: play every level of a split and measure what `agents.evaluation.measures` lists."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from agents.evaluation import metrics
from agents.evaluation.measures import has_text, measure, success_signal
from agents.evaluation.metrics import Estimate
from agents.evaluation.runner import (
    Score,
    action_function,
    as_policy,
    play,
    play_expert_actions,
    policy_log_probs,
    solutions,
    sweep_batch,
)
from agents.policies.compatibility import check_fit
from llm_envs.validation import check_range
from llm_envs.world import World


@dataclass(frozen=True)
class Evaluation:
    """The result of `evaluate`; means are over episodes, one for each level and seed."""

    episodes: int
    mean_return: float
    mean_length: float
    terminated: float  # share of episodes that the task ended, not the time limit
    signals: dict[str, float]  # mean total of each signal in an episode
    transcripts: list[str]  # final observations of the first levels as text
    estimates: dict[str, Estimate] = field(default_factory=dict)  # every measured quantity
    by_seed: dict[str, list[float]] = field(default_factory=dict)  # means for each seed, if there are several
    by_fold: dict[str, list[float]] = field(default_factory=dict)  # means for each fold of the levels, if asked for

    def __post_init__(self) -> None:
        """Also accept estimates in the form of `as_dict`."""
        given = self.estimates.items()
        estimates = {name: value if isinstance(value, Estimate) else Estimate(**value) for name, value in given}
        object.__setattr__(self, "estimates", estimates)

    def as_dict(self) -> dict[str, Any]:
        """Return plain numbers and strings, for JSON; `Evaluation(**as_dict)` restores the evaluation."""
        return asdict(self)


def reference_score(reference: Any, world: World, world_id: str) -> Score:
    """Return a function to log-probabilities under a reference; ValueError if it cannot score this world's text."""
    policy = as_policy(reference)
    if not hasattr(policy, "evaluate_actions"):
        raise ValueError(f"reference is {reference!r}; it must be an SB3 model or policy that has evaluate_actions")
    if not has_text(world):
        raise ValueError(f"{world_id} has no tokens; there is no text for a reference to score")
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
    """Play every level of a split once a seed and measure what `agents.evaluation.measures` lists.

    Episodes are played to their end, which a policy may never reach in a world without a time limit.

    Args:
        model: an SB3 model or policy, a function from observations to actions, or "random".
        world_id: one of `llm_envs.ids()`.
        split: "train", "validation", "test" or "all".
        deterministic: take the most likely actions.
        levels_at_once: most rows of the batch.
        max_levels: stop after so many levels, chosen by the sweep's order; 0 for all.
        transcripts: of how many levels to keep the first seed's final observations as text.
        device: of the batch.
        seed: of sampled and random actions and of the world's own randomness; 0 to 2^31 - 1.
        seeds: several, each of which plays all levels, in place of `seed`.
        folds: parts of the levels, 2 or more, whose means are returned too; see `metrics.folds`. 0 for none.
        reference: an SB3 model or policy under which the perplexity of the generated text is measured.
        oracle: play the world's own solutions too, where it has them, for the regret and all that compares texts.
            This takes as many steps again, with the policy's log-probabilities at each in token worlds.
        success: the success signal, in place of `agents.evaluation.measures.SUCCESS`.
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
    action_function(model, batch, world_id, deterministic, seeds[0])  # raises for what cannot act here
    batch.reset(seed=0)
    signal = success_signal(list(batch.tensors.signals), success)
    expert_actions = solutions(batch) if oracle and world.solution is not None else None
    scores_solutions = expert_actions is not None and has_text(world) and hasattr(policy, "evaluate_actions")
    plays, oracles = [], []
    for s, each in enumerate(seeds):
        # Sampled actions depend on the seed alone, and the caller's generators stay as they are.
        with torch.random.fork_rng([policy.device] if policy is not None and policy.device.type == "cuda" else []):
            torch.manual_seed(each)
            act = action_function(model, batch, world_id, deterministic, each)
            plays.append(play(batch, lambda obs, *_, act=act: act(obs), score, 0 if s else transcripts, each))
        if expert_actions is not None:
            own = policy_log_probs(policy) if scores_solutions else None
            oracles.append(play_expert_actions(batch, expert_actions, own, each))
    sample = measure(world, plays, oracles, expert_actions, signal, (score is not None, scores_solutions))
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
