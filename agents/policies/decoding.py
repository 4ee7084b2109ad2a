"""`Reader`: features of N growing texts with a key/value cache, so that a rollout reads each token once.

It looks at the texts alone: a row's cache is valid as far as the tokens read so far are a prefix of its present text.
New episodes, windows that dropped their oldest half, rows that a caller skipped and observations of another environment
are thus one case: from the first difference on a row's tokens are pending, and are read together with everybody's
newest token, in one pass.

N rows, T window, D width, S texts of a prefill, P packed tokens.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from agents.backbones import Backbone, Layout, tensors_of
from agents.policies.packing import TEXT_FIELDS, last_position


class TextEncoder(Protocol):
    """What the reader needs of a policy: a backbone, and how observations become its input and features."""

    trunk: Backbone | None
    max_tokens_per_pass: int | None  # most tokens in one prefill; None: all at once
    shares_prefixes: bool  # whether rows with equal texts are read once

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""

    def embed_tokens(self, texts: dict[str, Tensor], positions: Tensor) -> Tensor:
        """Return the trunk's input (P, D) of packed text fields, (P,) each, at `positions` (P,)."""

    def add_fields(self, latent: Tensor, fields: dict[str, Tensor]) -> Tensor:
        """Return the trunk's features (N, D) with those of the observation's other fields added."""


class Plan(NamedTuple):
    """What a step must read, known to the host before the step, so that the step itself waits for nothing."""

    start: Tensor  # (N,) int64, position from which each row must be read
    num_pending: int  # tokens to read before each row's last, in all rows
    longest: int  # the most of them in one row
    max_position: int  # exclusive: above every position
    restarted: bool  # every row with pending tokens is read from position 0


class Reader:
    """The features (N, D) of N rows' texts, step by step.

    Its cache is out of date once the policy's parameters change: call `reset`.

    Args:
        policy: whose trunk reads.
        rows: N.
    """

    def __init__(self, policy: TextEncoder, rows: int) -> None:
        assert policy.trunk is not None
        self.policy, self.trunk, self.rows = policy, policy.trunk, rows
        self.cache = self.trunk.new_cache(rows)
        self.read_texts: dict[str, Tensor] = {}  # the text fields as they were last read, (N, T) each
        self.filled = torch.zeros(rows, dtype=torch.long, device=policy.device)  # (N,), tokens that the cache holds

    def reset(self) -> None:
        """Forget all rows: the next step reads their whole texts."""
        self.filled.zero_()

    def __call__(self, obs: dict[str, Tensor]) -> Tensor:
        """Return the features (N, D) of observations (N, ...) on the policy's device."""
        return self.read(obs, self.plan(obs))

    def plan(self, obs: dict[str, Tensor]) -> Plan:
        """Compare the texts with what was read; the one place where a rollout step waits for the device."""
        last = last_position(obs["length"])  # (N,)
        if not self.read_texts:
            self.read_texts = {name: torch.full_like(obs[name], -1) for name in TEXT_FIELDS if name in obs}
        columns = torch.arange(self.trunk.window, device=last.device)
        equal = columns < self.filled[:, None]  # (N, T)
        for name, known in self.read_texts.items():
            equal &= obs[name] == known
        agreed = equal.cumprod(dim=1).sum(dim=1)  # (N,), length of the common prefix
        start = torch.minimum(agreed, last)  # the last token is read in any case, for its features
        if not self.trunk.rewinds:
            # A recurrent state is of use only where all that it has read is still a prefix, short of the last token.
            start = torch.where((agreed == self.filled) & (agreed <= last), agreed, 0)
        pending = last - start
        # One transfer for all four numbers: each would be a wait of its own.
        numbers = torch.stack((pending.sum(), pending.max(), last.max() + 1, (start * (pending > 0)).sum())).tolist()
        num_pending, longest, max_position, continued = numbers
        return Plan(start, num_pending, longest, max_position, restarted=not continued)

    def read(self, obs: dict[str, Tensor], plan: Plan) -> Tensor:
        """Read what `plan` says and return the features (N, D)."""
        last = last_position(obs["length"])
        pending = None
        if plan.num_pending and plan.restarted and self.policy.shares_prefixes:
            self._prefill_shared(obs, plan, last)
        elif plan.num_pending:
            # All groups but the last are prefilled; the last joins the pass of the newest tokens.
            for group in self._pending_groups(obs, plan, last):
                if pending is not None:
                    self.trunk.prefill(pending[0], pending[1], self.cache, pending[2])
                pending = group
        rows = torch.arange(self.rows, device=last.device)
        x = self.policy.embed_tokens({name: obs[name][rows, last] for name in self.read_texts}, last)  # (N, D)
        features = self.trunk.decode(x, last, self.cache, plan.max_position, pending)
        for name, known in self.read_texts.items():
            known.copy_(obs[name])  # in place: CUDA graphs know these tensors by address
        self.filled.copy_(last + 1)
        return self.policy.add_fields(features, obs)

    def save(self) -> Callable[[], None]:
        """Return a function that restores the reader's present state, in the same memory."""
        tensors = [self.filled, *self.read_texts.values(), *tensors_of(self.cache)]
        copies = [tensor.clone() for tensor in tensors]

        def restore() -> None:
            for tensor, copy in zip(tensors, copies, strict=True):
                tensor.copy_(copy)

        return restore

    def _prefill_shared(self, obs: dict[str, Tensor], plan: Plan, last: Tensor) -> None:
        """Read all but the last token of every row with pending tokens; rows with equal texts once."""
        rows = (last - plan.start).nonzero().flatten()  # (R,)
        before = torch.arange(self.trunk.window, device=last.device) < last[rows, None]  # (R, T)
        texts = torch.cat([obs[name][rows].where(before, -1) for name in self.read_texts], dim=1)
        _, group = torch.unique(texts, dim=0, return_inverse=True)  # (R,), number of each row's text
        # The first row of each group is read; amin over the rows' numbers finds it without a host loop.
        first = torch.full_like(last[: int(group.max()) + 1], len(rows)).scatter_reduce(
            0, group, torch.arange(len(rows), device=last.device), "amin"
        )  # (S,)
        cache_rows = rows[first]
        total, longest = torch.stack((last[cache_rows].sum(), last[cache_rows].max())).tolist()
        layout = Layout.of(last[cache_rows], total, longest)
        self.trunk.prefill(self._embed(obs, layout, cache_rows), layout, self.cache, cache_rows)
        dim, source = self.trunk.cache_row_dim, rows[first[group]]
        for tensor in tensors_of(self.cache):
            tensor.index_copy_(dim, rows, tensor.index_select(dim, source))

    def _pending_groups(
        self, obs: dict[str, Tensor], plan: Plan, last: Tensor
    ) -> Iterator[tuple[Tensor, Layout, Tensor]]:
        """Yield (x, layout, cache_rows) for groups of rows with pending tokens, within the policy's tokens per pass."""
        lengths = last - plan.start  # (N,), pending tokens
        rows_per_pass = max(1, (self.policy.max_tokens_per_pass or plan.num_pending) // plan.longest)
        rows = lengths.nonzero().flatten()
        for cache_rows in rows.split(rows_per_pass) if self.policy.max_tokens_per_pass else (rows,):
            total, longest = plan.num_pending, plan.longest
            if len(cache_rows) < len(rows):
                total, longest = torch.stack((lengths[cache_rows].sum(), lengths[cache_rows].max())).tolist()
            starts = None if plan.restarted else plan.start[cache_rows]
            layout = Layout.of(lengths[cache_rows], total, longest, starts, plan.max_position)
            yield self._embed(obs, layout, cache_rows), layout, cache_rows

    def _embed(self, obs: dict[str, Tensor], layout: Layout, cache_rows: Tensor) -> Tensor:
        """Return the trunk's input (P, D) of the tokens that `layout` names, of rows `cache_rows` (S,)."""
        at = cache_rows[layout.rows], layout.positions
        return self.policy.embed_tokens({name: obs[name][at] for name in self.read_texts}, layout.positions)
