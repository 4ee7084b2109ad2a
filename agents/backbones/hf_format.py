"""The transformer in Hugging Face's format: config.json, model.safetensors and the tokenizer's files.

With rotary positions it is exactly the architecture that `transformers` calls Arcee: pre-norm blocks with RMS norms, no
biases, an MLP without a gate. So `AutoModelForCausalLM` opens the folder anywhere; with learned positions it does so
once `agents.backbones.hf_architecture` is imported.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from agents.backbones.base import Backbone
from agents.backbones.hf_architecture import LearnedPositionsConfig
from agents.backbones.huggingface import HuggingFace, load_tokenizer
from agents.backbones.transformer import Block, Transformer, TransformerConfig
from llm_envs.vocabulary import SPECIAL

try:
    from transformers import ArceeConfig, ArceeForCausalLM, AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast
except ImportError as error:
    raise ImportError(
        "Hugging Face's format needs transformers; install it with: pip install 'llm-envs[hf]'"
    ) from error


def save_pretrained(trunk: Backbone, folder: str | Path, tokenizer: Any = None) -> None:
    """Write a `Transformer`, or a `HuggingFace` model with its current weights, into `folder`.

    Args:
        trunk: the backbone; low-rank adapters are merged into the weights written.
        folder: created if missing.
        tokenizer: of `tokenizers` or `transformers`; None: the backbone's own, if it has one.

    Raises:
        ValueError: the backbone has no such format.
    """
    tokenizer = tokenizer or getattr(trunk, "tokenizer", None)
    if isinstance(tokenizer, Tokenizer):
        special = {
            key: name
            for key, name in zip(("pad_token", "eos_token"), SPECIAL, strict=True)
            if tokenizer.token_to_id(name) is not None
        }
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)
    if isinstance(trunk, HuggingFace):
        model = trunk.model
    elif isinstance(trunk, Transformer):
        model = _as_arcee(trunk)
        if tokenizer is not None:
            model.generation_config.eos_token_id = tokenizer.eos_token_id
            model.generation_config.pad_token_id = tokenizer.pad_token_id
    else:
        raise ValueError(f"there is no Hugging Face format for a {type(trunk).__name__}, only for a Transformer")
    model.save_pretrained(folder)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)


def from_pretrained(folder: str | Path) -> Transformer:
    """Return the transformer that `save_pretrained` wrote, float32, with its tokenizer, or None, as `.tokenizer`.

    Raises:
        ValueError: no model, or one that our transformer cannot represent; the `HuggingFace` backbone loads any.
    """
    if not (Path(folder) / "config.json").is_file():
        raise ValueError(f"{folder} has no config.json; it must be a folder that save_pretrained wrote")
    found = AutoConfig.from_pretrained(folder, local_files_only=True)
    if not isinstance(found, ArceeConfig):
        raise ValueError(f"{folder} holds a {found.model_type} model; load it as a HuggingFace backbone")
    config = TransformerConfig(
        width=found.hidden_size,
        layers=found.num_hidden_layers,
        heads=found.num_attention_heads,
        positions="learned" if isinstance(found, LearnedPositionsConfig) else "rotary",
        expansion=max(1, found.intermediate_size // found.hidden_size),
    )
    trunk = Transformer(found.vocab_size, found.max_position_embeddings, config)
    # The sizes are as the file says; everything else must be as our transformer computes.
    expected = _arcee_config(trunk)
    for name in CHECKED_FIELDS:
        if getattr(found, name) != getattr(expected, name):
            raise ValueError(
                f"{folder} holds a model with {name} = {getattr(found, name)!r}, our transformer has "
                f"{getattr(expected, name)!r}; load it as a HuggingFace backbone"
            )
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    weights = model.state_dict()
    with torch.no_grad():
        for name, weight in _weights(trunk):
            weight.copy_(weights[name])
    trunk.tokenizer = load_tokenizer(folder)
    return trunk


# ---------------------------------------------------------------------- parts

# Fields of a configuration in which an Arcee model could differ from our transformer.
CHECKED_FIELDS = (
    *("intermediate_size", "num_key_value_heads", "head_dim", "hidden_act", "rms_norm_eps", "rope_parameters"),
    *("attention_bias", "mlp_bias", "tie_word_embeddings"),
)


def _arcee_config(trunk: Transformer) -> ArceeConfig:
    """Return the configuration of the Arcee model, with or without rotation, that equals a transformer of ours."""
    kind = LearnedPositionsConfig if trunk.config.positions == "learned" else ArceeConfig
    return kind(
        vocab_size=trunk.vocab_size,
        hidden_size=trunk.width,
        intermediate_size=trunk.width * trunk.config.expansion,
        num_hidden_layers=trunk.config.layers,
        num_attention_heads=trunk.config.heads,
        hidden_act="gelu",
        max_position_embeddings=trunk.window,
        rms_norm_eps=torch.finfo(torch.float32).eps,  # what PyTorch's RMSNorm takes for float32
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
    )


def _as_arcee(trunk: Transformer) -> ArceeForCausalLM:
    """Return a copy of the transformer as a model of `transformers`, in its dtype."""
    model = AutoModelForCausalLM.from_config(_arcee_config(trunk))
    weights = model.state_dict()  # tensors that share the model's memory
    for name, weight in _weights(trunk):
        weights[name].copy_(weight.detach())
    return model.to(trunk.embedding.weight.dtype)


def _weights(trunk: Transformer) -> Iterator[tuple[str, Tensor]]:
    """Yield the transformer's weights, or views of them, under Arcee's names."""
    yield "model.embed_tokens.weight", trunk.embedding.weight
    yield "model.norm.weight", trunk.norm.weight
    if trunk.positions is not None:
        yield "model.embed_positions.weight", trunk.positions.weight
    for i, block in enumerate(trunk.blocks):
        assert isinstance(block, Block)
        queries, keys, values = block.attention_in.weight.chunk(3)  # (D, D) each
        for name, weight in (
            ("self_attn.q_proj", queries),
            ("self_attn.k_proj", keys),
            ("self_attn.v_proj", values),
            ("self_attn.o_proj", block.attention_out.weight),
            ("mlp.up_proj", block.mlp_in.weight),
            ("mlp.down_proj", block.mlp_out.weight),
            ("input_layernorm", block.attention_norm.weight),
            ("post_attention_layernorm", block.mlp_norm.weight),
        ):
            yield f"model.layers.{i}.{name}.weight", weight
