"""A decoder-only transformer: pre-norm blocks, rotary or learned positions, fused causal attention.

After Radford et al. (2019), "Language models are unsupervised multitask learners", with rotary positions from Su et al.
(2021), "RoFormer", equation 34, and RMS norms without parameters beyond a gain (Zhang & Sennrich, 2019). No biases.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class TransformerConfig:
    """Sizes of a transformer; ValueError where they do not fit together."""

    width: int = 128  # D, features of a token
    layers: int = 4
    heads: int = 4  # must divide width; with rotary positions width / heads must be even
    positions: str = "rotary"  # or "learned"
    expansion: int = 4  # width of the hidden layer of an MLP, in units of `width`

    def __post_init__(self) -> None:
        for name in ("width", "layers", "heads", "expansion"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.width % self.heads:
            raise ValueError(f"heads is {self.heads}; it must divide width, {self.width}")
        if self.positions not in ("rotary", "learned"):
            raise ValueError(f"positions is {self.positions!r}; it must be 'rotary' or 'learned'")
        if self.positions == "rotary" and self.width // self.heads % 2:
            raise ValueError(f"rotary positions need an even width per head, not {self.width // self.heads}")


def rotary_angles(length: int, width: int) -> Tensor:
    """Return the angles (length, width / 2) by which position t turns the pairs of a head's features."""
    frequencies = 10_000.0 ** -(torch.arange(0, width, 2) / width)
    return torch.outer(torch.arange(length), frequencies)


def rotate(x: Tensor, angles: Tensor) -> Tensor:
    """Turn the pairs (x_j, x_{j + E/2}) of x (B, H, T, E) by `angles` (T, E/2)."""
    a, b = x.chunk(2, dim=-1)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)


class Block(nn.Module):
    """One pre-norm layer: x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        width, hidden = config.width, config.width * config.expansion
        self.heads = config.heads
        self.attention_norm, self.mlp_norm = nn.RMSNorm(width), nn.RMSNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width, bias=False)
        self.attention_out = nn.Linear(width, width, bias=False)
        self.mlp_in, self.mlp_out = nn.Linear(width, hidden, bias=False), nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor, angles: Tensor | None) -> Tensor:
        """Return (B, T, D) from (B, T, D)."""
        batch, time, width = x.shape
        qkv = self.queries_keys_values(self.attention_norm(x))  # (B, T, 3 D)
        q, k, v = qkv.view(batch, time, 3, self.heads, -1).permute(2, 0, 3, 1, 4)  # (B, H, T, E) each
        if angles is not None:
            q, k = rotate(q, angles), rotate(k, angles)
        heard = F.scaled_dot_product_attention(q, k, v, is_causal=True)  # (B, H, T, E)
        x = x + self.attention_out(heard.transpose(1, 2).reshape(batch, time, width))
        return x + self.mlp_out(F.gelu(self.mlp_in(self.mlp_norm(x))))


class Transformer(nn.Module):
    """Tokens (B, T) int64 to features (B, T, D); position t sees positions up to t.

    Args:
        vocab_size: number of tokens, V.
        window: longest sequence, T.
        config: sizes.
    """

    def __init__(self, vocab_size: int, window: int, config: TransformerConfig) -> None:
        super().__init__()
        self.config, self.window = config, window
        self.embedding = nn.Embedding(vocab_size, config.width)
        self.positions = nn.Embedding(window, config.width) if config.positions == "learned" else None
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.width)
        angles = rotary_angles(window, config.width // config.heads)
        self.angles: Tensor
        self.register_buffer("angles", angles, persistent=False)
        self.init_weights()

    def init_weights(self) -> None:
        """Draw weights: embeddings N(0, 0.1), linear layers N(0, 1/fan-in), residual ones smaller by sqrt(2 layers).

        At width 64 GPT-2's 0.02 makes attention all but uniform at first, and imitation of 3-digit addition then waits
        for luck: after 400 steps of 256 problems three seeds had 2, 3 and 7 % exact match, with these 99, 64 and 90 %.
        """
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                std = 0.1 if "embedding" in name or "positions" in name else weight.shape[1] ** -0.5
                # Residual branches start small, so that depth does not add up (GPT-2).
                scale = (2 * self.config.layers) ** -0.5 if "_out" in name else 1.0
                nn.init.normal_(weight, std=std * scale)

    def forward(self, tokens: Tensor, extra: Tensor | None = None) -> Tensor:
        """Return features (B, T, D) of `tokens` (B, T); `extra` (B, T, D) is added to the embeddings."""
        time = tokens.shape[1]
        if time > self.window:
            raise ValueError(f"the sequence has {time} tokens; the window is {self.window}")
        x = self.embedding(tokens)  # (B, T, D)
        if self.positions is not None:
            x = x + self.positions.weight[:time]
        if extra is not None:
            x = x + extra
        angles = self.angles[:time] if self.positions is None else None
        for block in self.blocks:
            x = block(x, angles)
        return self.norm(x)
