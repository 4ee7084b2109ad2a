"""The quantities measured over episodes, each with a 95 % interval over levels (`agents.evaluation.metrics`).

    return, length, terminated   an episode's total reward, its steps (tokens), whether the task ended it
    success                      terminated, with a positive total of the world's success signal: see `SUCCESS`
    regret                       return of the world's own solution, less the policy's return
    signal/<name>                an episode's total of a signal

and, where observations contain `tokens`, of the text that the policy generated: its actions (tokens, or the commands
of a game):

    exact_match                  the signal `exact`; where a world has none, whether it equals the solution
    accuracy, precision, recall, f1    of the tokens against the solution's, without the closing <end>
    distinct_1, distinct_2       different n-grams over tokens, in all texts
    solution_perplexity          of the solution under the policy
    perplexity                   of the generated text under another policy, `reference`
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from agents.evaluation import metrics
from agents.evaluation.runner import EpisodeResults
from llm_envs.vocabulary import END
from llm_envs.world import World

SUCCESS = ("success", "exact", "goal", "win", "score")  # the first of these that a world has is its success signal


def has_text(world: World) -> bool:
    """Return whether a world's observations contain tokens, so that discrete actions are generated text."""
    return "tokens" in (world.observation.names or ()) and isinstance(world.actions, int)


def text(world: World, actions: np.ndarray) -> list[int]:
    """Return the text of a sequence of actions (T,), without the closing <end> where actions are tokens."""
    tokens = actions.tolist()
    return tokens[:-1] if world.actions_are_tokens and tokens and tokens[-1] == END else tokens


def text_means(world: World, played: EpisodeResults, expert_actions: list[np.ndarray] | None) -> dict[str, list[float]]:
    """Return exact match and the overlap with the solutions by name, of L levels each; without solutions the former."""
    found: dict[str, Any] = {}
    if "exact" in played.signals:
        found["exact_match"] = played.signals["exact"]
    if expert_actions is not None:
        # A signal `exact` is the world's own judgement; without it compare with the solution.
        if not found:
            found["exact_match"] = [
                float(np.array_equal(*pair)) for pair in zip(played.actions, expert_actions, strict=True)
            ]
        pairs = zip(played.actions, expert_actions, strict=True)
        overlaps = [metrics.overlap(text(world, own), text(world, expert)) for own, expert in pairs]
        found |= zip(("accuracy", "precision", "recall", "f1"), zip(*overlaps, strict=True), strict=True)
    return found


def measure(
    world: World,
    plays: list[EpisodeResults],
    oracles: list[EpisodeResults],
    expert_actions: list[np.ndarray] | None,
    success: str | None,
    scored: tuple[bool, bool],
) -> metrics.Sample:
    """Return the measurements of S seeds' episodes of L levels.

    Args:
        world: the world.
        plays: the policy's episodes, one result a seed.
        oracles: the solutions' episodes, one result a seed, or none.
        expert_actions: the solutions, L arrays; None without them.
        success: the signal that defines success; None: it is not measured.
        scored: whether there are losses of `plays`, and of `oracles`.
    """
    columns: list[dict[str, Any]] = []
    for s, played in enumerate(plays):
        column: dict[str, Any] = {"return": played.returns}
        column |= {"length": played.lengths, "terminated": played.terminated}
        if success is not None:
            column["success"] = (played.terminated > 0) & (played.signals[success] > 0)
        if oracles:
            column["regret"] = oracles[s].returns - played.returns
        if has_text(world):
            column |= text_means(world, played, expert_actions)
        columns.append(column | {f"signal/{name}": value for name, value in played.signals.items()})
    means = {name: np.array([column[name] for column in columns], np.float64) for name in columns[0]}
    losses = {
        name: (np.stack([p.losses for p in group]), np.stack([p.lengths for p in group]))
        for name, group, there in zip(("perplexity", "solution_perplexity"), (plays, oracles), scored, strict=True)
        if there
    }
    texts: list = [[text(world, actions) for actions in played.actions] for played in plays] if has_text(world) else []
    return metrics.Sample(means, losses, texts)


def success_signal(signals: Sequence[str], chosen: str | None) -> str | None:
    """Return the success signal: the one chosen (ValueError if unknown), else the first of `SUCCESS`, else None."""
    if chosen is not None and chosen not in signals:
        raise ValueError(f"there is no signal {chosen!r} to define success; the signals are {', '.join(signals)}")
    return chosen or next((name for name in SUCCESS if name in signals), None)
