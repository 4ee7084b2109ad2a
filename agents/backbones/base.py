"""The interface of networks that read texts: score whole texts, or decode from a cache, one token a row.

Tokens are packed: the P real tokens of S texts stand one after another, without padding, so that embeddings, norms and
linear layers compute nothing for padding. Only attention and recurrence need the padded (S, L) rectangle; `Layout.pad`
and `Layout.unpad` lead there and back.

Dimensions in this folder: P packed tokens, S texts, L tokens of the longest, N rows of a cache, T window, V vocabulary,
D width, H heads of E = D / H features each.
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
    positions: Tensor  # (P,) int64, position in its text: the column, plus the position that the row starts at
    shape: tuple[int, int]  # S, L
    starts: Tensor | None  # (S,) int64, position of each text's first token; None: all start at 0
    max_position: int  # exclusive: above every position
    index: Tensor | None = None  # (S, L) int64, each cell's packed token; where texts share prefixes

    @classmethod
    def of(
        cls, lengths: Tensor, total: int, longest: int, starts: Tensor | None = None, max_position: int | None = None
    ) -> "Layout":
        """Return the layout of S texts packed one after another.

        `total` and `longest` are known to the caller: reading them here would make the host wait for the device.

        Args:
            lengths: (S,) int64, tokens of each text.
            total: P, their sum.
            longest: L, their maximum.
            starts: (S,) int64, position of each text's first token; None: 0.
            max_position: exclusive bound of the positions; None: L.
        """
        ends = lengths.cumsum(0)  # (S,)
        count = len(lengths)
        rows = torch.arange(count, device=lengths.device).repeat_interleave(lengths, output_size=total)  # (P,)
        columns = torch.arange(total, device=lengths.device) - (ends - lengths)[rows]  # (P,)
        positions = columns if starts is None else columns + starts[rows]
        return cls(rows, columns, positions, (count, longest), starts, max_position or longest)

    def pad(self, x: Tensor) -> Tensor:
        """Return packed x (P, ...) as (S, L, ...); the values of padding are arbitrary."""
        count, longest = self.shape
        if self.index is not None:  # shared tokens appear in several rows
            return x.index_select(0, self.index.flatten()).unflatten(0, self.shape)
        if len(x) == count * longest:  # all texts are equally long: nothing to pad
            return x.unflatten(0, self.shape)
        flat = x.new_zeros(count * longest, *x.shape[1:])  # (S L, ...)
        return flat.index_copy(0, self.rows * longest + self.columns, x).unflatten(0, self.shape)

    def unpad(self, x: Tensor) -> Tensor:
        """Return the packed tokens (P, ...) of x (S, L, ...); the inverse of `pad`."""
        flat = x.flatten(0, 1)  # (S L, ...)
        return flat if len(flat) == len(self.rows) else flat.index_select(0, self.rows * self.shape[1] + self.columns)


class Backbone(nn.Module):
    """A causal network from tokens of a vocabulary of V to features of `width` D, in texts of up to `window` T tokens.

    A cache holds the state of N rows. After `prefill` or `decode` of a token at position p its row's cache is valid up
    to and including p. Entries at later positions, left by an earlier text, are stale; they are masked, never cleared.
    """

    width: int
    vocab_size: int
    window: int
    rewinds = True  # a row's cache, valid up to p, can also be continued from any earlier position
    cache_row_dim = 1  # which dimension of a cache's tensors indexes the N rows
    tokenizer: Any = None  # the pretrained network's own, if it came with one

    def embed(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Return the network's input (P, D) for tokens (P,) int64 at `positions` (P,) int64."""
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
        """Return features (P, D) of whole packed texts x (P, D), without a cache; differentiable."""
        raise NotImplementedError

    def new_cache(self, rows: int) -> Any:
        """Return an empty cache of N = `rows` rows, in the parameters' dtype and on their device."""
        raise NotImplementedError

    def prefill(self, x: Tensor, layout: Layout, cache: Any, cache_rows: Tensor) -> Tensor:
        """Read several tokens a row, continuing from the cache and writing to it; return features (P, D).

        Args:
            x: (P, D), embedded tokens. A text starts at its first position, before which the cache is valid.
            layout: of x.
            cache: from `new_cache`; changed in place.
            cache_rows: (S,) int64, the cache's row of each text.
        """
        raise NotImplementedError

    def decode(
        self,
        x: Tensor,
        positions: Tensor,
        cache: Any,
        max_position: int,
        pending: tuple[Tensor, Layout, Tensor] | None = None,
    ) -> Tensor:
        """Read one more token of every row; return features (N, D).

        Args:
            x: (N, D), embedded tokens.
            positions: (N,) int64, their positions, before which the cache must be valid (after `pending`).
            cache: from `new_cache`; changed in place.
            max_position: exclusive bound of the positions: attention looks at no later column of the cache.
            pending: tokens that must be read first, as `prefill`'s (x, layout, cache_rows): all but the last token of
                rows that have restarted with another text. Their last tokens are among x.
        """
        if pending is not None:
            pending_x, layout, cache_rows = pending
            self.prefill(pending_x, layout, cache, cache_rows)
        return self.decode_step(x, positions, cache, max_position)

    def decode_step(self, x: Tensor, positions: Tensor, cache: Any, max_position: int) -> Tensor:
        """Do `decode` without pending tokens: no host synchronisation and no data-dependent shape (CUDA graphs)."""
        raise NotImplementedError


def tensors_of(cache: Any) -> Iterator[Tensor]:
    """Yield the tensors of a cache: itself, or those in its lists, tuples and dicts."""
    if isinstance(cache, Tensor):
        yield cache
        return
    for part in cache.values() if isinstance(cache, dict) else cache:
        yield from tensors_of(part)
