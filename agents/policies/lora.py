"""Which parameters train, and how: frozen layers, low-rank adapters (LoRA), weight decay on matrices only."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


def freeze(module: nn.Module, names: tuple[str, ...]) -> None:
    """Freeze every parameter named, or below a module named, in `names`; ValueError for a name that matches none."""
    known = dict(module.named_parameters())
    for name in names:
        chosen = [parameter for found, parameter in known.items() if found == name or found.startswith(f"{name}.")]
        if not chosen:
            raise ValueError(f"no parameter is named {name!r} or lies below it; there are {', '.join(known)}")
        for parameter in chosen:
            parameter.requires_grad_(False)


class LowRank(nn.Module):
    """W' = W + B A (Hu et al., 2022, "LoRA", equation 3): W (rows, columns) plus a product of two thin matrices.

    B is zero at first, so that training starts from W.
    """

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        rows, columns = weight.shape
        self.a = nn.Parameter(torch.randn(rank, columns) * columns**-0.5)  # A; the names are those in saved models
        self.b = nn.Parameter(torch.zeros(rows, rank))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the adapted weight (rows, columns)."""
        return weight + self.b @ self.a


def add_low_rank(module: nn.Module, rank: int) -> None:
    """Put adapters of `rank` on every linear layer and freeze all that `module` had before; ValueError for rank < 1."""
    if rank < 1:
        raise ValueError(f"low_rank is {rank}; it must be at least 1")
    module.requires_grad_(False)
    # A list first: registering changes the module tree that is iterated.
    for layer in [part for part in module.modules() if isinstance(part, nn.Linear)]:
        parametrize.register_parametrization(layer, "weight", LowRank(layer.weight, rank))


def merge_low_rank(module: nn.Module) -> None:
    """Add the adapters to the weights they adapt, and remove them."""
    for layer in [part for part in module.modules() if parametrize.is_parametrized(part, "weight")]:
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)


def weight_decay_groups(module: nn.Module, weight_decay: float) -> Any:
    """Return an optimiser's parameter groups: what trains, with decay on parameters of two dimensions or more only.

    Norms' gains and biases are not decayed, as usual for transformers. ValueError for a negative decay.
    """
    training = [parameter for parameter in module.parameters() if parameter.requires_grad]
    if not weight_decay:
        return training
    if weight_decay < 0:
        raise ValueError(f"weight_decay is {weight_decay}; it must not be negative")
    matrices = [parameter for parameter in training if parameter.ndim > 1]
    others = [parameter for parameter in training if parameter.ndim < 2]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
