"""Networks from tokens to features, behind one interface: `Backbone`."""

import importlib
from dataclasses import fields
from typing import Any

from agents.backbones.base import Backbone, Layout, tensors_of
from agents.backbones.transformer import Transformer, TransformerConfig

__all__ = ["Backbone", "Layout", "Transformer", "TransformerConfig", "configure", "make_backbone", "tensors_of"]

KINDS = {  # kind -> module, class, configuration; imported on demand, since some need optional packages
    "transformer": ("agents.backbones.transformer", "Transformer", "TransformerConfig"),
    "gru": ("agents.backbones.gru", "GRU", "GRUConfig"),
    "huggingface": ("agents.backbones.huggingface", "HuggingFace", "HuggingFaceConfig"),
}


def configure(options: Any) -> tuple[type[Backbone], Any]:
    """Return the class and the configuration of a backbone.

    Args:
        options: a mapping such as {"kind": "transformer", "width": 128}; kind "transformer" if it has none.

    Raises:
        ValueError: an unknown kind, or an option that its configuration does not have or allow.
        ImportError: an optional package that the kind needs is not installed.
    """
    options = dict(options)
    kind = options.pop("kind", "transformer")
    if kind not in KINDS:
        raise ValueError(f"there is no backbone {kind!r}; the backbones are {', '.join(map(repr, KINDS))}")
    place, network, configuration = KINDS[kind]
    module = importlib.import_module(place)
    config = getattr(module, configuration)
    known = [field.name for field in fields(config)]
    if unknown := [name for name in options if name not in known]:
        raise ValueError(f"the {kind} backbone has no {', '.join(unknown)}; it has {', '.join(known)}")
    return getattr(module, network), config(**options)


def make_backbone(options: Any, vocab_size: int, window: int) -> Backbone:
    """Return a network with fresh weights; ValueError as `configure`.

    Args:
        options: as `configure` takes them, and `policy_kwargs={"backbone": ...}`.
        vocab_size: number of tokens, V.
        window: longest text, T.
    """
    network, config = configure(options)
    return network(vocab_size, window, config)  # type: ignore[call-arg, arg-type]
