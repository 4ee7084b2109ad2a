"""Many states in one causal pass: the states of an episode are the prefixes of one text.

Token windows are append-only, so the last observation of a run of steps contains the texts of all observations in it.
A causal network that reads it once has at position length - 1 of each observation the features that reading that
observation alone would give: an update costs one pass an episode instead of one a token. A run ends where an episode
ends or the window drops its oldest half.

M states, S texts, P packed tokens; rollouts are (T, N, ...), T steps of N rows, and a flat index is row * T + step.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from stable_baselines3.common.distributions import Distribution
from stable_baselines3.common.type_aliases import PyTorchObs
from torch import Tensor

from agents.backbones import Layout

TEXT_FIELDS = ("tokens", "token_mask")  # append-only fields, read once a run


@dataclass(frozen=True)
class Sequences:
    """M states as prefixes of S texts: state m is text `sequence[m]` up to and including `position[m]`."""

    texts: dict[str, Tensor]  # tokens, and token_mask where there is one, (S, T)
    lengths: Tensor  # (S,) int64, tokens of each text that its states need
    sequence: Tensor  # (M,) int64
    position: Tensor  # (M,) int64
    fields: dict[str, Tensor]  # every other field of the M observations, (M, ...)

    @classmethod
    def of(cls, obs: dict[str, Tensor]) -> "Sequences":
        """Return observations (B, ...), with `length` (B,) or (B, 1), as B texts of one state each."""
        position = last_position(obs["length"])
        texts, fields = _split_text_fields(obs)
        return cls(texts, position + 1, torch.arange(len(position), device=position.device), position, fields)

    def __getitem__(self, chosen: slice | Tensor) -> "Sequences":
        """Return some of the states, of the same texts."""
        fields = {name: value[chosen] for name, value in self.fields.items()}
        return replace(self, sequence=self.sequence[chosen], position=self.position[chosen], fields=fields)

    def __len__(self) -> int:
        return len(self.sequence)

    def packed(self, shared: bool = False) -> tuple[dict[str, Tensor], Layout, Tensor]:
        """Return the text fields (P,) packed, their layout, and each state's index among the P tokens, (M,).

        With `shared`, the tokens of common prefixes stand in it once; see `share_prefixes`.
        """
        total, longest = torch.stack((self.lengths.sum(), self.lengths.max())).tolist()  # one wait
        layout = Layout.of(self.lengths, total, longest)
        if shared:
            layout = share_prefixes(layout, self.texts, self.lengths)
        texts = {name: value[layout.rows, layout.columns] for name, value in self.texts.items()}
        if layout.index is not None:
            return texts, layout, layout.index[self.sequence, self.position]
        return texts, layout, (self.lengths.cumsum(0) - self.lengths)[self.sequence] + self.position

    def chunks(self, max_tokens: int) -> Iterator[tuple["Sequences", Tensor]]:
        """Yield groups of texts of at most `max_tokens` together (or of one text), and which of the M states they have.

        Each comes as (sequences, indices (m,) int64 of its states).
        """
        ends = self.lengths.cumsum(0).tolist()
        begin = 0
        while begin < len(ends):
            tokens_before = ends[begin - 1] if begin else 0
            end = begin + 1
            while end < len(ends) and ends[end] - tokens_before <= max_tokens:
                end += 1
            indices = ((self.sequence >= begin) & (self.sequence < end)).nonzero().flatten()
            chunk = self[indices]
            texts = {name: value[begin:end] for name, value in self.texts.items()}
            lengths, sequence = self.lengths[begin:end], chunk.sequence - begin
            yield replace(chunk, texts=texts, lengths=lengths, sequence=sequence), indices
            begin = end


Observations = PyTorchObs | Sequences  # tensors as SB3 has them, or many states in one pass
# (states, actions, distribution, log-probs (M,)) -> (M,), called in the pass of the policy that has the distribution
Measure = Callable[[Observations, Tensor, Distribution, Tensor], Tensor]


class ActionEvaluation(NamedTuple):
    """The policy's view of M states and the actions taken in them."""

    values: Tensor  # (M,)
    log_prob: Tensor  # (M,), of the actions
    entropy: Tensor  # (M,)
    measured: Tensor | None = None  # (M,), by the `measure` that was given


def plain_fields(obs: Any) -> dict[str, Tensor]:
    """Return the fields of M states that are not texts, (M, ...) each; of a dict all fields, of a plain tensor none."""
    return obs.fields if isinstance(obs, Sequences) else obs if isinstance(obs, dict) else {}


def on_device(obs: dict[str, Tensor], device: torch.device | str) -> dict[str, Tensor]:
    """Return observations on a device; the same tensors where they are there already."""
    return {name: value.to(device) for name, value in obs.items()}


def last_position(length: Tensor) -> Tensor:
    """Return the position (N,) int64 of the last token of texts of `length` (N,) or (N, 1); 0 for an empty text."""
    return (length.long().view(-1) - 1).clamp(min=0)


def _split_text_fields(obs: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the fields that are texts, and the other fields."""
    texts = {name: obs[name] for name in TEXT_FIELDS if name in obs}
    return texts, {name: value for name, value in obs.items() if name not in texts}


def share_prefixes(layout: Layout, texts: dict[str, Tensor], lengths: Tensor) -> Layout:
    """Return a layout in which common prefixes of texts are packed once, as in a trie.

    A causal network gives a token the same features in every text that has the same tokens up to it, so the prompt of a
    group of answers is read once.

    Args:
        layout: of the S texts, all from position 0.
        texts: the text fields, (S, T) each.
        lengths: (S,) int64, tokens of each text.
    """
    shape, index = layout.shape, torch.zeros(layout.shape, dtype=torch.long, device=lengths.device)
    prefix = torch.zeros_like(lengths)  # (S,), the trie node that each text has reached
    active, rows, columns, total = torch.arange(shape[0], device=lengths.device), [], [], 0
    for column in range(shape[1]):
        active = active[lengths[active] > column]  # texts that have a token here
        # A node of the next level is its parent and its token.
        key = torch.stack([prefix[active], *(value[active, column].long() for value in texts.values())])
        nodes, node = torch.unique(key, dim=1, return_inverse=True)
        prefix[active] = node
        index[active, column] = total + node
        # One of the texts through each node stands for it: the first.
        first = torch.full_like(nodes[0], shape[0]).scatter_reduce(0, node, active, "amin")
        rows.append(first)
        columns.append(torch.full_like(first, column))
        total += len(first)
    packed_columns = torch.cat(columns)  # (P,)
    return Layout(torch.cat(rows), packed_columns, packed_columns, shape, None, shape[1], index)


def find_runs(lengths: Tensor, dones: Tensor) -> Tensor:
    """Return, for each step t and row n, the last step of its run, (T, N) int64.

    Args:
        lengths: (T, N), tokens in the observation before each step.
        dones: (T, N) bool, whether the step ended the episode.
    """
    last = torch.empty_like(lengths, dtype=torch.long)
    last[-1] = len(lengths) - 1
    # A text that does not grow is another one, or its window has dropped the oldest half; an empty one has no prefix.
    broken = dones[:-1] | (lengths[1:] <= lengths[:-1]) | (lengths[:-1] < 1)
    for t in range(len(lengths) - 2, -1, -1):
        last[t] = torch.where(broken[t], t, last[t + 1])
    return last


def gather(observations: dict[str, Tensor], last: Tensor | None, steps: Tensor, rows: Tensor) -> Any:
    """Return the states at (steps, rows), (M,) int64 each, of observations (T, N, ...).

    With `last` (T, N), each step's last step of its run, they are a `Sequences`; without it a dict of (M, ...).
    """
    if last is None:
        return {name: value[steps, rows] for name, value in observations.items()}
    ends = last[steps, rows] * last.shape[1] + rows  # (M,), a run is identified by its last step
    runs, sequence = torch.unique(ends, return_inverse=True)
    texts, others = _split_text_fields(observations)
    texts = {name: value.flatten(0, 1)[runs] for name, value in texts.items()}
    position = last_position(observations["length"][steps, rows])
    lengths = torch.zeros_like(runs).scatter_reduce(0, sequence, position + 1, "amax")
    fields = {name: value[steps, rows] for name, value in others.items()}
    return Sequences(texts, lengths, sequence, position, fields)


def shuffled_by_run(last: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
    """Return flat indices (K,) with the steps of a run together, and where each of R runs ends among them, (R,).

    `order` (K,) holds flat indices in a random order; a run takes the place of the first of its steps.
    """
    time = len(last)
    key = order // time * time + last[order % time, order // time]  # (K,), flat index of the run's last step
    keys, run = torch.unique(key, return_inverse=True)
    place = torch.arange(len(order), device=order.device)
    first = torch.full_like(keys, len(order)).scatter_reduce(0, run, place, "amin")
    by_run = torch.argsort(first[run], stable=True)
    ends = torch.nonzero(first[run][by_run].diff()).flatten() + 1
    return order[by_run], torch.cat((ends, ends.new_tensor([len(order)])))


def balanced_cuts(ends: Tensor, batch_size: int) -> list[int]:
    """Return the sizes of minibatches of whole runs that end at `ends` (R,), of about `batch_size` states or fewer.

    Their number is ceil(states / batch_size); each cut is moved to the nearest end of a run, and cuts that coincide
    become one.
    """
    total = int(ends[-1])
    count = -(-total // batch_size)
    targets = torch.arange(1, count, device=ends.device) * (total / count)
    after = torch.searchsorted(ends, targets.to(ends.dtype)).clamp(max=len(ends) - 1)
    before = (after - 1).clamp(min=0)
    nearer = torch.where((targets - ends[before]).abs() < (ends[after] - targets).abs(), ends[before], ends[after])
    cuts = torch.unique(torch.cat((nearer, ends[-1:])))
    return torch.diff(cuts, prepend=cuts.new_zeros(1)).tolist()
