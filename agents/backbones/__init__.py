"""Networks that turn tokens into features, behind one interface: `Backbone`."""

import importlib
from dataclasses import fields
from typing import Any

from agents.backbones.base import Backbone, Layout, tensors_of
from agents.backbones.transformer import Transformer, TransformerConfig

__all__ = ["Backbone", "Layout", "Transformer", "TransformerConfig", "configure", "make_backbone", "tensors_of"]

KINDS = {  # kind -> module, class and configuration; only the one asked for is imported
    "transformer": ("agents.backbones.transformer", "Transformer", "TransformerConfig"),
    "gru": ("agents.backbones.gru", "GRU", "GRUConfig"),
    "huggingface": ("agents.backbones.huggingface", "HuggingFace", "HuggingFaceConfig"),
}


def configure(options: Any) -> tuple[type[Backbone], Any]:
    """Return the class and the configuration that {"kind": "transformer", "width": ..., ...} names.

    Raises:
        ValueError: no such kind, or an option that its configuration does not have or allow.
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
    """Return the network of `policy_kwargs={"backbone": {"kind": "transformer", "width": ..., ...}}`."""
    network, config = configure(options)
    return network(vocab_size, window, config)  # type: ignore[call-arg, arg-type]
