"""Many states in one causal pass: the states of an episode are the prefixes of one text.

Token windows are append-only, so the observation at the end of a run of steps holds the texts of all observations in
it, and a causal network that reads it once gives at position length - 1 what it would give at each of them: the update
costs one pass an episode in place of one a token. A run ends where an episode ends or the window drops its oldest half.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

TEXT_FIELDS = ("tokens", "token_mask")  # append-only: they are read once a run


@dataclass(frozen=True)
class Sequences:
    """M states as prefixes of S texts: state m is text `sequence[m]` up to and with `position[m]`."""

    texts: dict[str, Tensor]  # tokens, and token_mask where there is one, (S, T)
    sequence: Tensor  # (M,) int64
    position: Tensor  # (M,) int64
    fields: dict[str, Tensor]  # every other field of the M observations, (M, ...)


def find_runs(lengths: Tensor, dones: Tensor) -> Tensor:
    """Return, for each step t and row n, the last step of its run, (T, N) int64.

    Args:
        lengths: (T, N), tokens in the observation before each step.
        dones: (T, N) bool, whether the step ended the episode.
    """
    last = torch.empty_like(lengths, dtype=torch.long)
    last[-1] = len(lengths) - 1
    for t in range(len(lengths) - 2, -1, -1):
        broken = dones[t] | (lengths[t + 1] <= lengths[t])
        last[t] = torch.where(broken, t, last[t + 1])
    return last


def gather(observations: dict[str, Tensor], last: Tensor, steps: Tensor, rows: Tensor) -> Sequences:
    """Return the states (steps, rows), (M,) each, of a rollout's observations, (T, N, ...) each."""
    ends = last[steps, rows] * last.shape[1] + rows  # a run's name: the flat index of its last step
    runs, sequence = torch.unique(ends, return_inverse=True)
    texts = {name: observations[name].flatten(0, 1)[runs] for name in TEXT_FIELDS if name in observations}
    position = observations["length"][steps, rows].long().view(-1) - 1
    fields = {name: value[steps, rows] for name, value in observations.items() if name not in texts}
    return Sequences(texts, sequence, position, fields)


def shuffled_by_run(last: Tensor, generator_order: Tensor) -> Tensor:
    """Return flat indices row * T + step in a random order of runs, the steps of a run together.

    `generator_order` (T * N,) is a permutation of all flat indices; a run stands where its last step does in it.
    """
    time = len(last)
    row, step = generator_order // time, generator_order % time
    place = torch.empty_like(generator_order)
    place[generator_order] = torch.arange(len(generator_order), device=place.device)
    return generator_order[torch.argsort(place[row * time + last[step, row]], stable=True)]
