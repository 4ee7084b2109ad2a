"""The recurrent language model: an embedding, gated recurrent units, a linear output layer.

After Cho et al. (2014), "Learning phrase representations using RNN encoder-decoder", in PyTorch's form (the reset gate
acts on the recurrent product, as in cuDNN), with the output layer of Mikolov et al. (2010). What it has read of a row
is one hidden state, so its cache does not grow with the text, and cannot be wound back.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from agents.backbones.base import Backbone, Layout


@dataclass(frozen=True)
class GRUConfig:
    """Sizes of a recurrent language model; ValueError if out of range."""

    width: int = 128  # D, of the embedding, of the hidden states H and of the features
    layers: int = 1
    tied: bool = False  # the output layer is the embedding (Press & Wolf, 2017)
    dropout: float = 0.0  # of the embeddings and between layers, in training mode

    def __post_init__(self) -> None:
        for name in ("width", "layers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}; it must be in [0, 1)")


class GRU(Backbone):
    """Tokens to features, one step after another. A cache is the hidden states (layers, N, H).

    Args:
        vocab_size: number of tokens, V.
        window: longest text, T; it bounds nothing but what a policy may ask for.
        config: sizes.
    """

    rewinds = False

    def __init__(self, vocab_size: int, window: int, config: GRUConfig) -> None:
        super().__init__()
        self.config, self.vocab_size, self.window, self.width = config, vocab_size, window, config.width
        self.embedding = nn.Embedding(vocab_size, config.width)
        between = config.dropout if config.layers > 1 else 0.0  # PyTorch warns of dropout between one layer
        self.gru = nn.GRU(config.width, config.width, config.layers, batch_first=True, dropout=between)
        self.output = nn.Linear(config.width, vocab_size, bias=not config.tied)
        if config.tied:
            # As an output layer N(0, 1) weights would begin with all but one token impossible.
            nn.init.normal_(self.embedding.weight, std=config.width**-0.5)
            self.output.weight = self.embedding.weight

    def embed(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Return the embeddings (P, D) of tokens (P,) int64; order is all that the network knows of positions."""
        return nn.functional.dropout(self.embedding(tokens), self.config.dropout, self.training)

    def unembed(self, features: Tensor) -> Tensor:
        """Return next-token logits (..., V) of features (..., D)."""
        return self.output(features)

    def score(self, x: Tensor, layout: Layout) -> Tensor:
        """Return features (P, D) of whole texts x (P, D); the padding comes after them and reaches none."""
        return layout.pick(self.gru(layout.spread(x))[0])

    def new_cache(self, rows: int) -> Tensor:
        """Return the hidden states of N = `rows` empty texts, (layers, N, H)."""
        return self.embedding.weight.new_zeros(self.config.layers, rows, self.width)

    def prefill(self, x: Tensor, layout: Layout, cache: Tensor, into: Tensor) -> Tensor:
        """Read x (P, D) on from the hidden states, and leave those after each text's last token; see `Backbone`.

        Each of the S texts must have a token.
        """
        count, longest = layout.shape
        lengths = torch.bincount(layout.rows, minlength=count)
        packed = pack_padded_sequence(layout.spread(x), lengths.cpu(), batch_first=True, enforce_sorted=False)
        hidden = self._begun(cache[:, into], layout.starts).to(x.dtype)
        features, hidden = self.gru(packed, hidden)
        cache[:, into] = hidden.to(cache.dtype)
        return layout.pick(pad_packed_sequence(features, batch_first=True, total_length=longest)[0])

    def decode_now(self, x: Tensor, positions: Tensor, cache: Tensor, bound: int) -> Tensor:
        """Read one more token of every row; return features (N, D)."""
        features, hidden = self.gru(x[:, None], self._begun(cache, positions).to(x.dtype))
        cache.copy_(hidden)
        return features[:, 0]

    @staticmethod
    def _begun(hidden: Tensor, positions: Tensor | None) -> Tensor:
        """Return the hidden states (layers, N, H) as they are before the tokens at `positions` (N,): zero before 0."""
        if positions is None:
            return torch.zeros_like(hidden)
        return hidden.masked_fill((positions == 0)[:, None], 0.0)
