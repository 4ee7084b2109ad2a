"""What a policy asks of a network that reads texts: score whole texts, or read on from a cache, one token a row.

Tokens are packed: P real tokens of S texts and no padding, so that embeddings, norms and linear layers work on nothing
else; only attention needs the (S, L) rectangle, through `spread` and `pick`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Layout:
    """Where each of P packed tokens stands in a rectangle of S rows and L columns."""

    rows: Tensor  # (P,) int64, 0 to S - 1
    columns: Tensor  # (P,) int64, 0 to L - 1
    positions: Tensor  # (P,) int64, place in its text: the column, plus where the row's text begins
    shape: tuple[int, int]  # S, L
    starts: Tensor | None  # (S,) int64, position of each text's first token; None where all are 0
    reach: int  # a number above every position
    index: Tensor | None = None  # (S, L) int64, each cell's token where texts share them; `rows` then names one text

    @classmethod
    def of(
        cls, lengths: Tensor, total: int, longest: int, starts: Tensor | None = None, reach: int | None = None
    ) -> "Layout":
        """Lay out rows of `lengths` (S,) tokens, `total` in all, the first of each at position `starts` (S,) or 0."""
        ends = lengths.cumsum(0)
        count = len(lengths)
        rows = torch.arange(count, device=lengths.device).repeat_interleave(lengths, output_size=total)
        columns = torch.arange(total, device=lengths.device) - (ends - lengths)[rows]
        positions = columns if starts is None else columns + starts[rows]
        return cls(rows, columns, positions, (count, longest), starts, reach or longest)

    def spread(self, x: Tensor) -> Tensor:
        """Return packed x (P, ...) as (S, L, ...); what stands where no token does is of no meaning."""
        count, longest = self.shape
        if self.index is not None:
            return x.index_select(0, self.index.flatten()).unflatten(0, self.shape)
        if len(x) == count * longest:
            return x.unflatten(0, self.shape)
        flat = x.new_zeros(count * longest, *x.shape[1:])
        return flat.index_copy(0, self.rows * longest + self.columns, x).unflatten(0, self.shape)

    def pick(self, x: Tensor) -> Tensor:
        """Return the packed (P, ...) tokens of x (S, L, ...); the inverse of `spread`."""
        flat = x.flatten(0, 1)
        return flat if len(flat) == len(self.rows) else flat.index_select(0, self.rows * self.shape[1] + self.columns)


class Backbone(nn.Module):
    """A causal network: embedded tokens of a vocabulary of V to features of `width` D, in texts of up to `window` T.

    A cache holds what has been read of N rows. After `prefill` or `decode` of a token at position p its row's cache is
    right up to and with p; what it held at later positions is out of date and never read.
    """

    width: int
    vocab_size: int
    window: int
    rewinds = True  # a row's cache, right up to p, may be read on from any earlier position as well
    cache_row_dim = 1  # which dimension of a cache's tensors are the rows
    tokenizer: Any = None  # where the network brought one

    def embed(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Return what the network reads, (P, D), for tokens (P,) int64 at `positions` (P,)."""
        raise NotImplementedError

    def unembed(self, features: Tensor) -> Tensor:
        """Return next-token logits (..., V) of features (..., D)."""
        raise NotImplementedError

    def forward(self, tokens: Tensor) -> Tensor:
        """Return features (B, T, D) of texts without padding, (B, T) int64; ValueError if they exceed the window."""
        count, time = tokens.shape
        if time > self.window:
            raise ValueError(f"the texts have {time} tokens; the window is {self.window}")
        layout = Layout.of(torch.full((count,), time, device=tokens.device), count * time, time)
        return self.score(self.embed(tokens.flatten(), layout.positions), layout).unflatten(0, (count, time))

    def score(self, x: Tensor, layout: Layout) -> Tensor:
        """Return features (P, D) of whole texts x (P, D)."""
        raise NotImplementedError

    def new_cache(self, rows: int) -> Any:
        """Return an empty cache of N = `rows` rows, on the parameters' device."""
        raise NotImplementedError

    def prefill(self, x: Tensor, layout: Layout, cache: Any, into: Tensor) -> Tensor:
        """Read x (P, D) on from the cache, and into it; return features (P, D).

        Args:
            x: embedded tokens; text s goes on at the first of its positions, before which the cache is right.
            layout: of x.
            cache: from `new_cache`; changed in place.
            into: (S,) int64, the cache's row of each text.
        """
        raise NotImplementedError

    def decode(
        self,
        x: Tensor,
        positions: Tensor,
        cache: Any,
        bound: int,
        late: tuple[Tensor, Layout, Tensor] | None = None,
    ) -> Tensor:
        """Read one more token of every row; return features (N, D).

        Args:
            x: (N, D), embedded tokens.
            positions: (N,) int64, where they stand; the cache must be right before them.
            cache: from `new_cache`; changed in place.
            bound: a number above every position: no later column of the cache is looked at.
            late: what `prefill` must read first, as (x, layout, into): the earlier tokens of rows that began anew.
                Their last tokens are among x.
        """
        if late is not None:
            late_x, layout, into = late
            self.prefill(late_x, layout, cache, into)
        return self.decode_now(x, positions, cache, bound)

    def decode_now(self, x: Tensor, positions: Tensor, cache: Any, bound: int) -> Tensor:
        """`decode` with nothing late: no host synchronisation, no shape that depends on data."""
        raise NotImplementedError


def tensors_of(cache: Any) -> Iterator[Tensor]:
    """Yield the tensors of a cache: itself, or those in its lists, tuples and dicts."""
    if isinstance(cache, Tensor):
        yield cache
        return
    for part in cache.values() if isinstance(cache, dict) else cache:
        yield from tensors_of(part)
