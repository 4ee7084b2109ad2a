"""What is measured of the episodes, each with a 95 % interval over levels (`agents.evaluation.metrics`).

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

from collections.abc import Sequence
from typing import Any

import numpy as np

from agents.evaluation import metrics
from agents.evaluation.runner import Played
from llm_envs.vocabulary import END
from llm_envs.world import World

SUCCESS = ("success", "exact", "goal", "win", "score")  # the first of these that is a signal of the world tells success


def writes(world: World) -> bool:
    """Say whether a world shows tokens, so that actions are something written."""
    return "tokens" in world.bounds and isinstance(world.actions, int)


def text(world: World, actions: np.ndarray) -> list[int]:
    """Return what a sequence of actions (T,) wrote, without the closing <end> where the actions are the tokens."""
    said = actions.tolist()
    return said[:-1] if world.actions_are_tokens and said and said[-1] == END else said


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
