"""Features of observation fields that are not tokens."""

from collections.abc import Mapping

import torch
from gymnasium import spaces
from torch import Tensor, nn


class FieldEncoder(nn.Module):
    """Scales each field from its bounds to [-1, 1] and maps all, flattened, through a small MLP to `width` features.

    Entries without finite bounds are passed on as they are. Raises TypeError for a field that is no Box.
    """

    def __init__(self, fields: Mapping[str, spaces.Space], width: int) -> None:
        super().__init__()
        self.names, size = list(fields), 0
        for name, box in fields.items():
            if not isinstance(box, spaces.Box):
                raise TypeError(f"the observation field {name!r} is {box}; TransformerPolicy reads Box fields")
            size += int(torch.Size(box.shape).numel())
            low, high = torch.as_tensor(box.low).flatten(), torch.as_tensor(box.high).flatten()
            bounded = torch.isfinite(low) & torch.isfinite(high) & (high > low)
            # In float64: the difference of two large float32 bounds may overflow.
            low, high = low.double(), high.double()
            self.register_buffer(f"center_{name}", torch.where(bounded, (low + high) / 2, 0.0).float())
            self.register_buffer(f"scale_{name}", torch.where(bounded, 2 / (high - low).clamp(min=1e-8), 1.0).float())
        self.mlp = nn.Sequential(nn.Linear(size, width), nn.GELU(), nn.Linear(width, width))

    def forward(self, obs: dict[str, Tensor]) -> Tensor:
        """Return features (B, D) of fields (B, ...); other entries of `obs` are ignored."""
        scaled = [
            (obs[name].flatten(1).float() - getattr(self, f"center_{name}")) * getattr(self, f"scale_{name}")
            for name in self.names
        ]
        return self.mlp(torch.cat(scaled, dim=1))
