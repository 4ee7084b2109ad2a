"""The recurrent language model: an embedding, gated recurrent units, a linear output layer.

After Cho et al. (2014), "Learning phrase representations using RNN encoder-decoder", in PyTorch's form (the reset gate
acts on the recurrent product, as in cuDNN), with the output layer of Mikolov et al. (2010). The state of a row is one
hidden state a layer, so its cache does not grow with the text, and cannot be rewound.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from agents.backbones.base import Backbone, Layout


@dataclass(frozen=True)
class GRUConfig:
    """Sizes of a recurrent language model; ValueError if out of range."""

    width: int = 128  # D, of the embedding, of the hidden states and of the features
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
    """Tokens to features, one step after another. A cache is the hidden states (layers, N, D).

    Args:
        vocab_size: number of tokens, V.
        window: longest text, T; the network itself has no limit.
        config: sizes.
    """

    rewinds = False  # a hidden state cannot be taken back to an earlier token

    def __init__(self, vocab_size: int, window: int, config: GRUConfig) -> None:
        super().__init__()
        self.config, self.vocab_size, self.window, self.width = config, vocab_size, window, config.width
        self.embedding = nn.Embedding(vocab_size, config.width)
        between = config.dropout if config.layers > 1 else 0.0  # PyTorch warns of dropout with a single layer
        self.gru = nn.GRU(config.width, config.width, config.layers, batch_first=True, dropout=between)
        self.output = nn.Linear(config.width, vocab_size, bias=not config.tied)
        if config.tied:
            # With nn.Embedding's N(0, 1) as output weights all probability would start on one token.
            nn.init.normal_(self.embedding.weight, std=config.width**-0.5)
            self.output.weight = self.embedding.weight

    def embed(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Return embeddings (P, D) of tokens (P,) int64; `positions` are not used, recurrence knows the order."""
        return nn.functional.dropout(self.embedding(tokens), self.config.dropout, self.training)

    def unembed(self, features: Tensor) -> Tensor:
        """Return next-token logits (..., V) of features (..., D)."""
        return self.output(features)

    def score(self, x: Tensor, layout: Layout) -> Tensor:
        """Return features (P, D) of whole texts x (P, D)."""
        # Padding stands on the right: it is read after a text's last token and affects none of its features.
        return layout.unpad(self.gru(layout.pad(x))[0])

    def new_cache(self, rows: int) -> Tensor:
        """Return zero hidden states of N = `rows` rows, (layers, N, D)."""
        return self.embedding.weight.new_zeros(self.config.layers, rows, self.width)

    def prefill(self, x: Tensor, layout: Layout, cache: Tensor, cache_rows: Tensor) -> Tensor:
        """Read x (P, D) and leave the hidden states after each text's last token; see `Backbone.prefill`.

        Each of the S texts must have a token.
        """
        count, longest = layout.shape
        lengths = torch.bincount(layout.rows, minlength=count)  # (S,)
        # Packed, so that the final hidden state is that of the last real token, not of padding.
        packed = pack_padded_sequence(layout.pad(x), lengths.cpu(), batch_first=True, enforce_sorted=False)
        hidden = self._initial_hidden(cache[:, cache_rows], layout.starts).to(x.dtype)  # (layers, S, D)
        features, hidden = self.gru(packed, hidden)
        cache[:, cache_rows] = hidden.to(cache.dtype)
        return layout.unpad(pad_packed_sequence(features, batch_first=True, total_length=longest)[0])

    def decode_step(self, x: Tensor, positions: Tensor, cache: Tensor, max_position: int) -> Tensor:
        """Read one more token of every row; return features (N, D)."""
        features, hidden = self.gru(x[:, None], self._initial_hidden(cache, positions).to(x.dtype))  # (N, 1, D)
        cache.copy_(hidden)
        return features[:, 0]

    @staticmethod
    def _initial_hidden(hidden: Tensor, positions: Tensor | None) -> Tensor:
        """Return the hidden states (layers, N, D) before the tokens at `positions` (N,): zero where they start a text.

        `positions` None: all start one.
        """
        if positions is None:
            return torch.zeros_like(hidden)
        return hidden.masked_fill((positions == 0)[:, None], 0.0)
