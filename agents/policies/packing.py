"""Many states in one causal pass: the states of an episode are the prefixes of one text.

Token windows are append-only, so the observation at the end of a run of steps holds the texts of all observations in
it, and a causal network that reads it once gives at position length - 1 what it would give at each of them: the update
costs one pass an episode in place of one a token. A run ends where an episode ends or the window drops its oldest half.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from agents.backbones import Layout

TEXT_FIELDS = ("tokens", "token_mask")  # append-only: they are read once a run


@dataclass(frozen=True)
class Sequences:
    """M states as prefixes of S texts: state m is text `sequence[m]` up to and with `position[m]`."""

    texts: dict[str, Tensor]  # tokens, and token_mask where there is one, (S, T)
    lengths: Tensor  # (S,) int64, how far each text must be read for its states
    sequence: Tensor  # (M,) int64
    position: Tensor  # (M,) int64
    fields: dict[str, Tensor]  # every other field of the M observations, (M, ...)
    flat: Tensor | None = None  # (M,) int64, the states' places in a rollout

    @classmethod
    def of(cls, obs: dict[str, Tensor]) -> "Sequences":
        """Return observations (B, ...) as B texts of one state each."""
        position = last_position(obs["length"])
        texts, fields = _parted(obs)
        return cls(texts, position + 1, torch.arange(len(position), device=position.device), position, fields)

    def __getitem__(self, chosen: slice | Tensor) -> "Sequences":
        """Return some of the states, of the same texts."""
        fields = {name: value[chosen] for name, value in self.fields.items()}
        flat = None if self.flat is None else self.flat[chosen]
        return replace(self, sequence=self.sequence[chosen], position=self.position[chosen], fields=fields, flat=flat)

    def __len__(self) -> int:
        return len(self.sequence)

    def packed(self, shared: bool = False) -> tuple[dict[str, Tensor], Layout, Tensor]:
        """Return the texts' tokens (P,), their layout, and each state's place among them, (M,).

        With `shared`, texts that begin alike have the tokens of their common beginning once.
        """
        total, longest = torch.stack((self.lengths.sum(), self.lengths.max())).tolist()
        layout = Layout.of(self.lengths, total, longest)
        if shared:
            layout = share_beginnings(layout, self.texts, self.lengths)
        texts = {name: value[layout.rows, layout.columns] for name, value in self.texts.items()}
        if layout.index is not None:
            return texts, layout, layout.index[self.sequence, self.position]
        return texts, layout, (self.lengths.cumsum(0) - self.lengths)[self.sequence] + self.position

    def parts(self, max_tokens: int) -> Iterator[tuple["Sequences", Tensor]]:
        """Yield groups of texts of at most `max_tokens` together, or one, and which of the M states are theirs."""
        ends = self.lengths.cumsum(0).tolist()
        begin = 0
        while begin < len(ends):
            read = ends[begin - 1] if begin else 0
            end = begin + 1
            while end < len(ends) and ends[end] - read <= max_tokens:
                end += 1
            mine = ((self.sequence >= begin) & (self.sequence < end)).nonzero().flatten()
            part = self[mine]
            texts = {name: value[begin:end] for name, value in self.texts.items()}
            yield replace(part, texts=texts, lengths=self.lengths[begin:end], sequence=part.sequence - begin), mine
            begin = end


def placed(obs: Any, flat: Tensor) -> Any:
    """Return observations with their places in the rollout buffer, (M,) flat indices."""
    return replace(obs, flat=flat) if isinstance(obs, Sequences) else {**obs, "flat": flat}


def places(obs: Any) -> Tensor | None:
    """Return where observations stand in the rollout buffer that they come from, (M,) flat indices, if they do."""
    return obs.flat if isinstance(obs, Sequences) else obs.get("flat") if isinstance(obs, dict) else None


def on_device(obs: dict[str, Tensor], device: torch.device | str) -> dict[str, Tensor]:
    """Return observations on a device; the same tensors where they are there already."""
    return {name: value.to(device) for name, value in obs.items()}


def last_position(length: Tensor) -> Tensor:
    """Return the position (N,) of the last token of texts of `length` (N,) or (N, 1); an empty text reads one pad."""
    return (length.long().view(-1) - 1).clamp(min=0)


def _parted(obs: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the fields that are texts, and the others."""
    texts = {name: obs[name] for name in TEXT_FIELDS if name in obs}
    return texts, {name: value for name, value in obs.items() if name not in texts}


def share_beginnings(layout: Layout, texts: dict[str, Tensor], lengths: Tensor) -> Layout:
    """Return a layout in which equal beginnings of texts are one run of tokens, as in a trie.

    A causal network gives a token the same features in every text that has the same tokens up to it: so the prompts of
    a group of answers are read once.
    """
    shape, index = layout.shape, torch.zeros(layout.shape, dtype=torch.long, device=lengths.device)
    prefix = torch.zeros_like(lengths)  # the number of each text's beginning among those of its length
    going, rows, columns, total = torch.arange(shape[0], device=lengths.device), [], [], 0
    for column in range(shape[1]):
        going = going[lengths[going] > column]
        name = torch.stack([prefix[going], *(value[going, column].long() for value in texts.values())])
        names, member = torch.unique(name, dim=1, return_inverse=True)
        prefix[going] = member
        index[going, column] = total + member
        first = torch.full_like(names[0], shape[0]).scatter_reduce(0, member, going, "amin")
        rows.append(first)
        columns.append(torch.full_like(first, column))
        total += len(first)
    chosen = torch.cat(columns)
    return Layout(torch.cat(rows), chosen, chosen, shape, None, shape[1], index)


def find_runs(lengths: Tensor, dones: Tensor) -> Tensor:
    """Return, for each step t and row n, the last step of its run, (T, N) int64.

    Args:
        lengths: (T, N), tokens in the observation before each step.
        dones: (T, N) bool, whether the step ended the episode.
    """
    last = torch.empty_like(lengths, dtype=torch.long)
    last[-1] = len(lengths) - 1
    broken = dones[:-1] | (lengths[1:] <= lengths[:-1]) | (lengths[:-1] < 1)
    for t in range(len(lengths) - 2, -1, -1):
        last[t] = torch.where(broken[t], t, last[t + 1])
    return last


def gather(observations: dict[str, Tensor], last: Tensor | None, steps: Tensor, rows: Tensor) -> Any:
    """Return the states (steps, rows), (M,) each, of observations, (T, N, ...) each.

    Texts are a `Sequences`, given the `last` step of each one's run, (T, N); without it, a dict of (M, ...).
    """
    if last is None:
        return {name: value[steps, rows] for name, value in observations.items()}
    ends = last[steps, rows] * last.shape[1] + rows  # a run's name: the flat index of its last step
    runs, sequence = torch.unique(ends, return_inverse=True)
    texts, others = _parted(observations)
    texts = {name: value.flatten(0, 1)[runs] for name, value in texts.items()}
    position = last_position(observations["length"][steps, rows])
    lengths = torch.zeros_like(runs).scatter_reduce(0, sequence, position + 1, "amax")
    fields = {name: value[steps, rows] for name, value in others.items()}
    return Sequences(texts, lengths, sequence, position, fields)


def shuffled_by_run(last: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
    """Return flat indices row * T + step with the steps of a run together, and where each run ends among them, (R,).

    `order` (K,) holds flat indices in a random order; a run stands where the first of its steps does in it.
    """
    time = len(last)
    name = order // time * time + last[order % time, order // time]  # the flat index of the run's last step
    names, run = torch.unique(name, return_inverse=True)
    place = torch.arange(len(order), device=order.device)
    first = torch.full_like(names, len(order)).scatter_reduce(0, run, place, "amin")
    by_run = torch.argsort(first[run], stable=True)
    ends = torch.nonzero(first[run][by_run].diff()).flatten() + 1
    return order[by_run], torch.cat((ends, ends.new_tensor([len(order)])))


def balanced_cuts(ends: Tensor, batch_size: int) -> list[int]:
    """Return the sizes of minibatches of whole runs that end at `ends` (R,), of about `batch_size` states or fewer.

    Their number is that of full minibatches; each cut is moved to the nearest end of a run, and one without a run of
    its own is left out.
    """
    total = int(ends[-1])
    count = -(-total // batch_size)
    targets = torch.arange(1, count, device=ends.device) * (total / count)
    after = torch.searchsorted(ends, targets.to(ends.dtype)).clamp(max=len(ends) - 1)
    before = (after - 1).clamp(min=0)
    nearer = torch.where((targets - ends[before]).abs() < (ends[after] - targets).abs(), ends[before], ends[after])
    cuts = torch.unique(torch.cat((nearer, ends[-1:])))
    return torch.diff(cuts, prepend=cuts.new_zeros(1)).tolist()
