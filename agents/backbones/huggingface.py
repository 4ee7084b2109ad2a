"""Any causal language model of `transformers`, from a local folder, as a backbone: nothing is downloaded.

The library's own cache assumes that all rows are equally long. Here keys and values lie in fixed buffers: each row
writes at its own position, and our own mask limits what it attends to. Whether a model does anything besides (scaled
embeddings, capped logits, sliding windows) cannot be known from its class, so on loading the logits of a few tokens
are compared with those of its own forward pass.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import agents.backbones.hf_architecture  # noqa: F401  # `transformers` then opens our own transformer's folders
from agents.backbones.base import Backbone, Layout

try:
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.cache_utils import Cache
except ImportError as error:
    raise ImportError("Hugging Face models need transformers; install it with: pip install 'llm-envs[hf]'") from error

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json")
Buffers = list[tuple[Tensor, Tensor]]  # keys and values of each layer, (N, heads, T, E)


@dataclass(frozen=True)
class HuggingFaceConfig:
    """Which model; ValueError where `path` holds none."""

    path: str = ""  # a folder with config.json and the weights, as `save_pretrained` writes it
    dropout: bool = False  # keep the model's own dropout in training mode

    def __post_init__(self) -> None:
        if not (Path(self.path) / "config.json").is_file():
            raise ValueError(f"path is {self.path!r}; it must be a folder with a model's config.json")


def load_tokenizer(folder: str | Path) -> Any:
    """Return the `transformers` tokenizer whose files are in `folder`, or None where there are none."""
    if not any((Path(folder) / name).is_file() for name in TOKENIZER_FILES):
        return None
    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


class RaggedCache(Cache):
    """Stands in for the model's cache during one call: our buffers, which each row writes at its own position."""

    def __init__(self, buffers: Buffers, write: tuple[Tensor, ...], read: tuple[Any, ...] | None) -> None:
        """Say where this call writes, and what its queries attend to.

        Args:
            buffers: keys and values of each layer.
            write: (row, position), (P,) int64 each: where the call's tokens go, one a row. Of a padded call (row,
                position, source row, source column): which of its tokens go there.
            read: (max_position,): attend to all rows, up to that column; (max_position, cache_rows): to some rows;
                None: only to this call's own tokens.
        """
        super().__init__(layers=[])
        self.buffers, self.write, self.read = buffers, write, read

    def update(  # type: ignore[override]
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Store keys and values (N, heads, L, E) of one layer and return those to attend to."""
        new, found = (key_states, value_states), []
        for buffer, states in zip(self.buffers[layer_idx], new, strict=True):
            rows, positions, *source = self.write
            states = states[source[0], :, source[1]] if source else states[:, :, 0]  # (P, heads, E)
            buffer[rows, :, positions] = states.to(buffer.dtype)
            if self.read is not None:
                end, *chosen = self.read
                found.append((buffer[chosen[0], :, :end] if chosen else buffer[:, :, :end]).to(states.dtype))
        return (found[0], found[1]) if found else new

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Return 0: positions are passed explicitly, and calls without a mask start at position 0."""
        return 0

    def get_query_offset(self, layer_idx: int = 0) -> int:
        """Return 0; see `get_seq_length`."""
        return 0

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        """Return the number of keys and the index of the first, for calls without a mask."""
        return query_length, 0


class HuggingFace(Backbone):
    """A causal language model from a folder; token i of the world is token i of the model. A cache is `Buffers`.

    Args:
        vocab_size: number of the world's tokens, V; the model may have more, which are ignored.
        window: longest text, T.
        config: which model.

    Raises:
        ValueError: the model is too small for `vocab_size` or `window`, or is more than an embedding, layers with
            key/value caches and an output layer.
    """

    cache_row_dim = 0

    def __init__(self, vocab_size: int, window: int, config: HuggingFaceConfig) -> None:
        super().__init__()
        self.config, self.vocab_size, self.window = config, vocab_size, window
        self.model: Any = AutoModelForCausalLM.from_pretrained(
            config.path, local_files_only=True, attn_implementation="sdpa", dtype=torch.float32
        )
        self.tokenizer = load_tokenizer(config.path)
        embeddings: Any = self.model.get_input_embeddings()
        known, self.width = embeddings.weight.shape
        if vocab_size > known:
            raise ValueError(f"the world has {vocab_size} tokens, but the model in {config.path} {known}")
        self._check_window()
        self.eval()
        self._check_decomposition()

    def train(self, mode: bool = True) -> "HuggingFace":
        """Set training mode; the model's own dropout stays off unless `dropout` is set."""
        super().train(mode)
        self.model.train(mode and self.config.dropout)
        return self

    def embed(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Return input embeddings (P, D) of tokens (P,) int64; the model itself encodes positions."""
        return self.model.get_input_embeddings()(tokens)

    def unembed(self, features: Tensor) -> Tensor:
        """Return next-token logits (..., V) of features (..., D)."""
        return self.model.get_output_embeddings()(features)[..., : self.vocab_size]

    def score(self, x: Tensor, layout: Layout) -> Tensor:
        """Return the last hidden states (P, D), after the final norm, of whole texts x (P, D)."""
        return layout.unpad(self._hidden_states(layout.pad(x), use_cache=False))

    def new_cache(self, rows: int) -> Buffers:
        """Return empty keys and values of N = `rows` rows."""
        weight = self.model.get_input_embeddings().weight
        return [
            (weight.new_zeros(rows, heads, self.window, keys), weight.new_zeros(rows, heads, self.window, values))
            for heads, keys, values in self.sizes
        ]

    def prefill(self, x: Tensor, layout: Layout, cache: Buffers, cache_rows: Tensor) -> Tensor:
        """Read x (P, D), continuing from the cache; see `Backbone.prefill`."""
        columns = torch.arange(layout.shape[1], device=x.device)[None]  # (1, L)
        write = cache_rows[layout.rows], layout.positions, layout.rows, layout.columns
        if layout.starts is None:
            features = self._hidden_states(
                layout.pad(x), position_ids=columns, past_key_values=RaggedCache(cache, write, None)
            )
        else:
            columns = layout.starts[:, None] + columns  # (S, L), positions
            features = self._hidden_states(
                layout.pad(x),
                position_ids=columns.clamp(max=self.window - 1),  # padding may exceed the model's last position
                attention_mask=self._causal_mask(columns, layout.max_position),
                past_key_values=RaggedCache(cache, write, (layout.max_position, cache_rows)),
            )
        return layout.unpad(features)

    def decode_step(self, x: Tensor, positions: Tensor, cache: Buffers, max_position: int) -> Tensor:
        """Read one more token of every row; return features (N, D)."""
        rows = torch.arange(len(x), device=x.device)
        features = self._hidden_states(
            x[:, None],  # (N, 1, D)
            position_ids=positions[:, None],
            attention_mask=self._causal_mask(positions[:, None], max_position),
            past_key_values=RaggedCache(cache, (rows, positions), (max_position,)),
        )
        return features[:, 0]

    # ------------------------------------------------------------------ parts

    def _hidden_states(self, x: Tensor, use_cache: bool = True, **kwargs: Any) -> Tensor:
        """Return the last hidden states (N, L, D), after the final norm, of embeddings x (N, L, D)."""
        return self.model.base_model(inputs_embeds=x, use_cache=use_cache, **kwargs).last_hidden_state

    @staticmethod
    def _causal_mask(positions: Tensor, max_position: int) -> Tensor:
        """Return which columns queries at `positions` (N, L) attend to, (N, 1, L, max_position) bool."""
        return (torch.arange(max_position, device=positions.device) <= positions[:, :, None])[:, None]

    def _check_window(self) -> None:
        """Raise ValueError where the window exceeds the model's positions or the span of its attention."""
        text_config = self.model.config.get_text_config()
        name = f"the {text_config.model_type} model in {self.config.path}"
        longest = getattr(text_config, "max_position_embeddings", None)
        if longest is not None and self.window > longest:
            raise ValueError(f"the window is {self.window} tokens, but {name} has {longest} positions")
        kinds = set(getattr(text_config, "layer_types", None) or ("sliding_attention",))
        if other := kinds - {"full_attention", "sliding_attention"}:
            raise ValueError(f"{name} has layers of {', '.join(sorted(other))}; only attention can be cached here")
        span = getattr(text_config, "sliding_window", None) if "sliding_attention" in kinds else None
        if span is not None and self.window > span:
            raise ValueError(f"the window is {self.window} tokens, but {name} attends to the last {span}")

    @torch.no_grad()
    def _check_decomposition(self) -> None:
        """Find the cache's sizes, and raise ValueError unless `score` and `decode_step` give the model's own logits."""
        name = f"the {self.model.config.model_type} model in {self.config.path}"
        length = min(3, self.window)
        tokens = torch.arange(length) % self.vocab_size
        own = self.model(tokens[None], use_cache=True)
        layers = getattr(own.past_key_values, "layers", [])
        if not layers or any(getattr(layer, "keys", None) is None for layer in layers):
            raise ValueError(f"{name} has no cache of keys and values in every layer")
        shapes = [(*layer.keys.shape, layer.values.shape[3]) for layer in layers]
        self.sizes = [(heads, keys, values) for _, heads, _, keys, values in shapes]

        x = self.embed(tokens, torch.arange(length))
        scored = self.score(x, Layout.of(torch.tensor([length]), length, length))
        cache = self.new_cache(2)
        if length > 1:
            before = Layout.of(torch.tensor([length - 1]), length - 1, length - 1)
            self.prefill(x[:-1], before, cache, torch.tensor([1]))
        decoded = self.decode_step(
            x[[0, -1]], torch.tensor([0, length - 1]), cache, self.window
        )  # rows of unequal length
        expected = own.logits[0, :, : self.vocab_size]
        for found, reference in ((scored, expected), (decoded, expected[[0, -1]])):
            error = float((self.unembed(found) - reference).abs().max())
            if not error <= 1e-3 * float(reference.abs().max()):
                raise ValueError(
                    f"{name} is more than embedding, cached attention and output layer: taken apart into these its "
                    f"logits are off by {error:.2g}, of {float(reference.abs().max()):.2g} at most"
                )
