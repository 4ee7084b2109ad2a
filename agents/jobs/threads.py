"""How many threads torch computes with, where the user does not say.

Results depend on it in the last bits, so what was chosen is kept with a run's options, and a resumed run has it again.
"""

from dataclasses import replace
from typing import Any

import torch

from agents.jobs.options import Options

SMALL = 2_000_000  # parameters below which more threads gain nothing, or little (docs/design/architecture.md)
TORCH = torch.get_num_threads()  # torch's own choice: the cores, or OMP_NUM_THREADS


def choose_threads(parameters: int, device: str) -> int:
    """Return the number of threads for a model of so many parameters."""
    return 1 if parameters < SMALL and device == "cpu" else TORCH


def settled(options: Options, model: Any) -> Options:
    """Return a run's options with a number of threads, the one given or chosen for the model, which torch now uses."""
    size = sum(parameter.numel() for parameter in model.policy.parameters())
    chosen = options.threads or choose_threads(size, model.device.type)
    torch.set_num_threads(chosen)
    return replace(options, threads=chosen)
