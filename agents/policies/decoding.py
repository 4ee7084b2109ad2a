"""`Reader`: rows of texts that grow, read with a key/value cache, each token once.

It looks at nothing but the texts: a row's cache is right as far as the tokens read so far are a prefix of its text. So
new episodes, dropped windows, rows that a caller skipped and observations of another environment are all the same
case: what differs is read again, in one pass with everybody's newest token.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from agents.backbones import Backbone, Layout, tensors_of
from agents.policies.packing import TEXT_FIELDS, last_position


class TextEncoder(Protocol):
    """What the reader needs of a policy: a backbone, and how tokens and other fields become its input and output."""

    trunk: Backbone | None
    max_tokens_per_pass: int | None  # most tokens in one prefill; None: all at once
    shares_beginnings: bool  # whether rows with equal beginnings are read once

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""

    def embedded(self, texts: dict[str, Tensor], positions: Tensor) -> Tensor:
        """Return the trunk's input (P, D) of packed text fields, (P,) each, at `positions` (P,)."""

    def with_fields(self, latent: Tensor, fields: dict[str, Tensor]) -> Tensor:
        """Return the trunk's features (N, D) with those of the observation's other fields added."""


class Plan(NamedTuple):
    """What a step must read: known to the host before the step, so that the step itself waits for nothing."""

    start: Tensor  # (N,) int64, from where each row must be read
    late: int  # tokens, in all rows, before the last
    longest: int  # of them in one row
    reach: int  # above every position
    anew: bool  # all rows that are late begin at 0


class Reader:
    """The texts of N rows as a policy's features, (N, D), step by step.

    It is out of date once the policy's parameters change: call `forget`.
    """

    def __init__(self, policy: TextEncoder, rows: int) -> None:
        assert policy.trunk is not None
        self.policy, self.trunk, self.rows = policy, policy.trunk, rows
        self.cache = self.trunk.new_cache(rows)
        self.read_texts: dict[str, Tensor] = {}
        self.filled = torch.zeros(rows, dtype=torch.long, device=policy.device)

    def forget(self) -> None:
        """Read every row anew at the next step."""
        self.filled.zero_()

    def __call__(self, obs: dict[str, Tensor]) -> Tensor:
        """Return the features (N, D) of observations on the policy's device."""
        return self.read(obs, self.plan(obs))

    def plan(self, obs: dict[str, Tensor]) -> Plan:
        """Compare the texts with what was read; the one place where a rollout step waits for the device."""
        last = last_position(obs["length"])
        if not self.read_texts:
            self.read_texts = {name: torch.full_like(obs[name], -1) for name in TEXT_FIELDS if name in obs}
        columns = torch.arange(self.trunk.window, device=last.device)
        same = columns < self.filled[:, None]
        for name, known in self.read_texts.items():
            same &= obs[name] == known
        agreed = same.cumprod(dim=1).sum(dim=1)
        start = torch.minimum(agreed, last)
        if not self.trunk.rewinds:
            start = torch.where((agreed == self.filled) & (agreed <= last), agreed, 0)
        late = last - start
        numbers = torch.stack((late.sum(), late.max(), last.max() + 1, (start * (late > 0)).sum())).tolist()
        total, longest, reach, begun = numbers
        return Plan(start, total, longest, reach, anew=not begun)

    def read(self, obs: dict[str, Tensor], plan: Plan) -> Tensor:
        """Read what `plan` says and return the features (N, D)."""
        last = last_position(obs["length"])
        late = None
        if plan.late and plan.anew and self.policy.shares_beginnings:
            self._read_shared(obs, plan, last)
        elif plan.late:
            for group in self._late(obs, plan, last):
                if late is not None:
                    self.trunk.prefill(late[0], late[1], self.cache, late[2])
                late = group
        rows = torch.arange(self.rows, device=last.device)
        x = self.policy.embedded({name: obs[name][rows, last] for name in self.read_texts}, last)
        features = self.trunk.decode(x, last, self.cache, plan.reach, late)
        for name, known in self.read_texts.items():
            known.copy_(obs[name])
        self.filled.copy_(last + 1)
        return self.policy.with_fields(features, obs)

    def save(self) -> Callable[[], None]:
        """Return what takes the reader back to where it is now, in the same memory."""
        held = [self.filled, *self.read_texts.values(), *tensors_of(self.cache)]
        copies = [tensor.clone() for tensor in held]

        def restore() -> None:
            for tensor, copy in zip(held, copies, strict=True):
                tensor.copy_(copy)

        return restore

    def _read_shared(self, obs: dict[str, Tensor], plan: Plan, last: Tensor) -> None:
        """Read all but the last token of every late row, those of equal rows once."""
        rows = (last - plan.start).nonzero().flatten()
        before = torch.arange(self.trunk.window, device=last.device) < last[rows, None]
        texts = torch.cat([obs[name][rows].where(before, -1) for name in self.read_texts], dim=1)
        _, same = torch.unique(texts, dim=0, return_inverse=True)
        first = torch.full_like(last[: int(same.max()) + 1], len(rows)).scatter_reduce(
            0, same, torch.arange(len(rows), device=last.device), "amin"
        )
        into = rows[first]
        total, longest = torch.stack((last[into].sum(), last[into].max())).tolist()
        layout = Layout.of(last[into], total, longest)
        self.trunk.prefill(self._embedded(obs, layout, into), layout, self.cache, into)
        dim, source = self.trunk.cache_row_dim, rows[first[same]]
        for tensor in tensors_of(self.cache):
            tensor.index_copy_(dim, rows, tensor.index_select(dim, source))

    def _late(self, obs: dict[str, Tensor], plan: Plan, last: Tensor) -> Iterator[tuple[Tensor, Layout, Tensor]]:
        """Yield (x, layout, into) for groups of late rows within the policy's tokens per pass."""
        lengths = last - plan.start
        together = max(1, (self.policy.max_tokens_per_pass or plan.late) // plan.longest)
        rows = lengths.nonzero().flatten()
        for into in rows.split(together) if self.policy.max_tokens_per_pass else (rows,):
            total, longest = plan.late, plan.longest
            if len(into) < len(rows):
                total, longest = torch.stack((lengths[into].sum(), lengths[into].max())).tolist()
            layout = Layout.of(lengths[into], total, longest, None if plan.anew else plan.start[into], plan.reach)
            yield self._embedded(obs, layout, into), layout, into

    def _embedded(self, obs: dict[str, Tensor], layout: Layout, into: Tensor) -> Tensor:
        """Return what the trunk reads, (P, D), of the tokens that `layout` names in rows `into`."""
        at = into[layout.rows], layout.positions
        return self.policy.embedded({name: obs[name][at] for name in self.read_texts}, layout.positions)
