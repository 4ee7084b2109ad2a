"""Tiny random networks of every kind, and their logits from one pass over whole texts, for the tests of backbones."""

import functools
import tempfile
from pathlib import Path

import torch
import transformers
from torch import Tensor
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

from agents.backbones import Backbone, Layout, Transformer, TransformerConfig
from agents.backbones.gru import GRU, GRUConfig
from agents.backbones.huggingface import HuggingFace, HuggingFaceConfig
from llm_envs.vocabulary import character_tokenizer

V, T = 13, 12
NONE = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
LLAMA = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.5,
}
CONFIGS = {
    "gpt2": GPT2Config(vocab_size=V, n_positions=T, n_embd=16, n_layer=2, n_head=2, initializer_range=0.6, **NONE),
    "llama": LlamaConfig(vocab_size=V + 2, max_position_embeddings=T, **LLAMA, **NONE),
}
TRANSFORMER = {"width": 16, "layers": 2, "heads": 2}
KINDS = ["gru", "gpt2", "llama", "rotary", "learned"]
HOME = tempfile.TemporaryDirectory()  # removed when the tests end


@functools.cache
def folder(kind: str) -> Path:
    """Return a folder with a model of an architecture in CONFIGS, and the tokenizer of eleven characters."""
    path = Path(HOME.name) / kind
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(CONFIGS[kind]).save_pretrained(path)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=character_tokenizer("abcdefghijk"))
    tokenizer.save_pretrained(path)
    return path


def make(kind: str, vocab_size: int = V, window: int = T) -> Backbone:
    """Return a network of one of KINDS, the same at each call."""
    path = folder(kind) if kind in CONFIGS else None
    torch.manual_seed(0)
    if kind == "gru":
        return GRU(vocab_size, window, GRUConfig(width=16, layers=2)).eval()
    if path is not None:
        return HuggingFace(vocab_size, window, HuggingFaceConfig(path=str(path)))
    trunk = Transformer(vocab_size, window, TransformerConfig(positions=kind, **TRANSFORMER))
    with torch.no_grad():
        trunk.embedding.weight *= 10  # far from uniform
    return trunk.eval()


def layout_of(lengths: list[int], starts: list[int] | None = None, max_position: int | None = None) -> Layout:
    """Return the layout of texts of these lengths, one after another."""
    at = None if starts is None else torch.tensor(starts)
    return Layout.of(torch.tensor(lengths), sum(lengths), max(lengths), at, max_position)


def scored(trunk: Backbone, texts: list[Tensor]) -> tuple[Tensor, ...]:
    """Return logits (L, V) of each text, from one pass over all of them."""
    layout = layout_of([len(text) for text in texts])
    x = trunk.embed(torch.cat(texts), layout.positions)
    return trunk.unembed(trunk.score(x, layout)).split([len(text) for text in texts])
