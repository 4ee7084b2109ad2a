"""Networks that turn tokens into features: (B, T) int64 -> (B, T, D)."""

from agents.backbones.transformer import Transformer, TransformerConfig

__all__ = ["Transformer", "TransformerConfig"]
