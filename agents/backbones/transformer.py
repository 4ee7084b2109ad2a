"""A decoder-only transformer: pre-norm blocks, rotary or learned positions, fused causal attention.

After Radford et al. (2019), "Language models are unsupervised multitask learners", with rotary positions from Su et al.
(2021), "RoFormer", equation 34, and RMS norms without parameters beyond a gain (Zhang & Sennrich, 2019). No biases.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from agents.backbones.base import Backbone, Layout

Attend = Callable[[int, Tensor], Tensor]  # layer; queries, keys and values (P, 3, H, E) -> attention output (P, H, E)


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes of a transformer; ValueError where they do not fit together."""

    width: int = 128  # D, features of a token
    layers: int = 4
    heads: int = 4  # must divide width; with rotary positions width / heads must be even
    positions: str = "rotary"  # or "learned"
    expansion: int = 4  # width of the hidden layer of an MLP, in units of `width`
    dropout: float = 0.0  # of the embeddings and of both branches of a layer, in training mode

    def __post_init__(self) -> None:
        for name in ("width", "layers", "heads", "expansion"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}; it must be in [0, 1)")
        if self.width % self.heads:
            raise ValueError(f"heads is {self.heads}; it must divide width, {self.width}")
        if self.positions not in ("rotary", "learned"):
            raise ValueError(f"positions is {self.positions!r}; it must be 'rotary' or 'learned'")
        if self.positions == "rotary" and self.width // self.heads % 2:
            raise ValueError(f"rotary positions need an even width per head, not {self.width // self.heads}")


def rotary_angles(length: int, width: int) -> tuple[Tensor, Tensor]:
    """Return cosines and signed sines (length, 3, 1, E) of rotary position encoding for heads of `width` E features.

    Su et al. (2021), "RoFormer", equation 34: at position t the pair j of a query's or key's features is rotated by
    t theta_j, theta_j = 10,000^(-2j/E), j = 0 .. E/2 - 1. The second dimension is that of queries, keys and values:
    values are rotated by 0, so that one multiplication treats all three (it saves a concatenation and two scatters a
    layer). The sines of the first half are negative, as `rotate` needs them.
    """
    frequencies = 10_000.0 ** -(torch.arange(0, width, 2) / width)  # theta_j, (E / 2,)
    angles = torch.outer(torch.arange(length), frequencies).repeat(1, 2)  # (T, E): pair j is (j, j + E/2)
    angles = torch.stack((angles, angles, torch.zeros_like(angles)), dim=1)[:, :, None]  # (T, 3, 1, E)
    signs = torch.where(torch.arange(width) < width // 2, -1.0, 1.0)
    return angles.cos(), angles.sin() * signs


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the pairs (x_j, x_{j + E/2}) of x (..., E) by angles given as `rotary_angles` returns them.

    x'_j = x_j cos - x_{j + E/2} sin and x'_{j + E/2} = x_{j + E/2} cos + x_j sin (RoFormer, eq. 34); the roll brings
    each feature's partner to its place, and `sin` has the sign of the first line.
    """
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, -1), sin)


class Block(nn.Module):
    """One pre-norm layer: x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        width, hidden = config.width, config.width * config.expansion
        self.heads, self.dropout = config.heads, config.dropout
        self.attention_norm, self.mlp_norm = nn.RMSNorm(width), nn.RMSNorm(width)
        self.attention_in = nn.Linear(width, 3 * width, bias=False)
        self.attention_out = nn.Linear(width, width, bias=False)
        self.mlp_in, self.mlp_out = nn.Linear(width, hidden, bias=False), nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor] | None, attend: Attend, layer: int) -> Tensor:
        """Return (P, D) of packed tokens x (P, D).

        Args:
            x: the tokens.
            rotation: cosines and sines (P, 3, 1, E) at the tokens' positions; None for learned positions.
            attend: attention; it alone knows which tokens belong to one text, and what a cache holds.
            layer: the block's number, for `attend`.
        """
        qkv = self.attention_in(self.attention_norm(x)).view(len(x), 3, self.heads, -1)  # (P, 3, H, E)
        if rotation is not None:
            qkv = rotate(qkv, *rotation)
        attention = attend(layer, qkv).reshape(x.shape)  # (P, H, E) -> (P, D)
        x = x + self._dropout(self.attention_out(attention))
        return x + self._dropout(self.mlp_out(F.gelu(self.mlp_in(self.mlp_norm(x)))))

    def _dropout(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training) if self.dropout else x


class Transformer(Backbone):
    """Tokens to features; position t attends to positions up to t. A cache is (layers, N, T, 2, H, E), keys and values.

    Args:
        vocab_size: number of tokens, V.
        window: longest text, T.
        config: sizes.
    """

    def __init__(self, vocab_size: int, window: int, config: TransformerConfig) -> None:
        super().__init__()
        self.config, self.vocab_size, self.window, self.width = config, vocab_size, window, config.width
        self.embedding = nn.Embedding(vocab_size, config.width)
        self.positions = nn.Embedding(window, config.width) if config.positions == "learned" else None
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.width)
        cos, sin = rotary_angles(window, config.width // config.heads)
        self.cos: Tensor
        self.sin: Tensor
        # Computed from the sizes, so not saved with the weights.
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self.init_weights()

    def init_weights(self) -> None:
        """Draw weights: embeddings N(0, 0.1), linear layers N(0, 1/fan-in), residual ones smaller by sqrt(2 layers).

        At width 64 GPT-2's 0.02 makes attention nearly uniform at first, and imitation of 3-digit addition then hangs
        on the seed: after 400 steps of 256 problems three seeds had 2, 3, 7 % exact match, with these 99, 64, 90 %.
        """
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                std = 0.1 if "embedding" in name or "positions" in name else weight.shape[1] ** -0.5
                # The variance of the residual stream would otherwise grow with depth (GPT-2, section 2.3).
                scale = (2 * self.config.layers) ** -0.5 if "_out" in name else 1.0
                nn.init.normal_(weight, std=std * scale)

    def embed(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Return the first block's input (P, D) for tokens (P,) int64 at `positions` (P,)."""
        x = self.embedding(tokens)
        if self.positions is not None:
            x = x + self.positions(positions)
        return F.dropout(x, self.config.dropout, self.training)

    def unembed(self, features: Tensor) -> Tensor:
        """Return next-token logits (..., V); the output layer is the embedding (Press & Wolf, 2017)."""
        return features @ self.embedding.weight.T

    def score(self, x: Tensor, layout: Layout) -> Tensor:
        """Return features (P, D) of whole texts x (P, D), by fused causal attention."""
        return self._run_blocks(x, layout.positions, lambda layer, qkv: self._causal_attention(layout, qkv))

    def new_cache(self, rows: int) -> Tensor:
        """Return an empty cache of N = `rows` rows, (layers, N, T, 2, H, E)."""
        weight, heads = self.embedding.weight, self.config.heads
        return weight.new_zeros(self.config.layers, rows, self.window, 2, heads, self.width // heads)

    def prefill(self, x: Tensor, layout: Layout, cache: Tensor, cache_rows: Tensor) -> Tensor:
        """Read x (P, D), continuing from the cache; see `Backbone.prefill`."""
        slots = cache_rows[layout.rows] * self.window + layout.positions  # (P,)
        attend_cached = self._cached_attention(layout, cache, cache_rows)

        def attend(layer: int, qkv: Tensor) -> Tensor:
            self._write(cache[layer], slots, qkv)
            return attend_cached(layer, qkv)

        return self._run_blocks(x, layout.positions, attend)

    def decode_step(self, x: Tensor, positions: Tensor, cache: Tensor, max_position: int) -> Tensor:
        """Read one more token of every row; see `Backbone.decode_step`."""
        return self.decode(x, positions, cache, max_position)

    def decode(
        self,
        x: Tensor,
        positions: Tensor,
        cache: Tensor,
        max_position: int,
        pending: tuple[Tensor, Layout, Tensor] | None = None,
    ) -> Tensor:
        """Read one more token of every row; see `Backbone.decode`.

        Pending tokens go through the norms and linear layers in the same pass as the newest: one matrix product of
        N + P rows a layer in place of two.
        """
        rows, mask = len(x), self._causal_mask(positions, max_position)  # N, (N, max_position)
        slots = torch.arange(rows, device=x.device) * self.window + positions  # (N,)
        attend_pending = None
        if pending is not None:
            pending_x, layout, cache_rows = pending
            attend_pending = self._cached_attention(layout, cache, cache_rows)
            slots = torch.cat((slots, cache_rows[layout.rows] * self.window + layout.positions))  # (N + P,)
            x, positions = torch.cat((x, pending_x)), torch.cat((positions, layout.positions))  # (N + P, D), (N + P,)

        def attend(layer: int, qkv: Tensor) -> Tensor:
            self._write(cache[layer], slots, qkv)  # before any query looks: a row's last token sees its pending ones
            newest = self._decode_attention(cache[layer], qkv[:rows, 0], max_position, mask)
            return newest if attend_pending is None else torch.cat((newest, attend_pending(layer, qkv[rows:])))

        return self._run_blocks(x, positions, attend)[:rows]

    # ------------------------------------------------------------------ parts

    def _run_blocks(self, x: Tensor, positions: Tensor, attend: Attend) -> Tensor:
        """Return the normalised output (P, D) of all blocks on packed tokens x (P, D) at `positions` (P,)."""
        rotation = None
        if self.positions is None:
            rotation = self.cos[positions], self.sin[positions]  # (P, 3, 1, E) each
        for layer, block in enumerate(self.blocks):
            x = block(x, rotation, attend, layer)
        return self.norm(x)

    @staticmethod
    def _write(cache: Tensor, slots: Tensor, qkv: Tensor) -> None:
        """Put keys and values of (P, 3, H, E) into one layer's cache, at `slots` (P,) = row * T + position."""
        cache.flatten(0, 1).index_copy_(0, slots, qkv[:, 1:].to(cache.dtype))

    @staticmethod
    def _causal_mask(positions: Tensor, max_position: int) -> Tensor:
        """Return which of the first `max_position` columns queries at `positions` (...) attend to, (..., columns)."""
        return torch.arange(max_position, device=positions.device) <= positions[..., None]

    @staticmethod
    def _decode_attention(cache: Tensor, q: Tensor, max_position: int, mask: Tensor) -> Tensor:
        """Attend from one query a row, (N, H, E), to its row of one layer's cache, under `mask` (N, max_position)."""
        k, v = cache[:, :max_position].unbind(2)  # (N, max_position, H, E)
        attention = F.scaled_dot_product_attention(
            q[:, :, None].to(k.dtype), k.transpose(1, 2), v.transpose(1, 2), attn_mask=mask[:, None, None]
        )  # (N, H, 1, E)
        return attention.squeeze(2).to(q.dtype)

    @staticmethod
    def _causal_attention(layout: Layout, qkv: Tensor) -> Tensor:
        """Attend among the tokens of whole texts, packed (P, 3, H, E); return (P, H, E)."""
        q, k, v = layout.pad(qkv).permute(2, 0, 3, 1, 4)  # (S, H, L, E) each
        # Padding stands on the right, where causal attention never looks: no mask is needed.
        return layout.unpad(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2))

    def _cached_attention(self, layout: Layout, cache: Tensor, cache_rows: Tensor) -> Attend:
        """Return attention from packed queries to the cache's rows `cache_rows` (S,), up to each query's position."""
        if layout.starts is None:  # all start at 0: nothing of the cache is older than these tokens
            return lambda layer, qkv: self._causal_attention(layout, qkv)
        offsets = torch.arange(layout.shape[1], device=cache_rows.device)
        mask = self._causal_mask(layout.starts[:, None] + offsets, layout.max_position)[:, None]  # (S, 1, L, columns)

        def attend(layer: int, qkv: Tensor) -> Tensor:
            k, v = cache[layer][cache_rows, : layout.max_position].unbind(2)  # (S, columns, H, E)
            q = layout.pad(qkv[:, 0]).transpose(1, 2).to(k.dtype)  # (S, H, L, E)
            attention = F.scaled_dot_product_attention(q, k.transpose(1, 2), v.transpose(1, 2), attn_mask=mask)
            return layout.unpad(attention.transpose(1, 2)).to(qkv.dtype)

        return attend
