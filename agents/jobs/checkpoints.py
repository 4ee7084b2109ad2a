"""Atomic checkpoints: written to a temporary folder, then renamed.

A checkpoint contains everything that training continues from, bit for bit: the model with its optimiser, the
environment's snapshot, the random generators, the replay memory and the history of the run. No number depends on when
one is written. After a kill at any moment the newest folder with a checkpoint's name is complete.

In a data parallel run it contains the environment of every rank; all else is rank 0's, which is the same on all. The
ranks save and load together, on one file system.
"""

import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from agents.distributed.group import Group

MAX_CHECKPOINTS = 2  # older ones are removed


def save(
    folder: Path,
    model: BaseAlgorithm,
    history: dict[str, Any],
    environment: bytes | None = None,
    group: Group | None = None,
) -> Path:
    """Write a checkpoint into `folder` and return its path; with a group on all ranks, of which rank 0 writes.

    Args:
        folder: of the run.
        model: with a `TensorVecEnv`.
        history: of the run, plain numbers and strings.
        environment: the snapshot that the next rollout starts from; None: the present state. In `on_rollout_start` the
            present state is wrong: algorithms of whole episodes have reset the rows by then, and would do so again.
        group: of a data parallel run.
    """
    place = folder / f"checkpoint-{model.num_timesteps:012d}"
    own = environment or model.env.batch.snapshot()  # type: ignore[union-attr]
    # Every rank sends its part, then rank 0 alone writes.
    environments = [own] if group is None else group.gather_objects(own)
    collected = model.collector.state_dict()  # type: ignore[attr-defined]
    collectors = [collected] if group is None else group.gather_objects(collected)
    if group is not None and group.rank:
        return place
    writing = folder / f".writing-{os.getpid()}"
    shutil.rmtree(writing, ignore_errors=True)
    writing.mkdir(parents=True)
    model.save(writing / "model.zip")
    for rank, snapshot in enumerate(environments):
        _environment(writing, rank).write_bytes(snapshot)
    _, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002  # SB3 shuffles by this generator
    np.savez(writing / "numpy.npz", keys=keys, rest=np.array([position, has_gauss, gauss]))
    memory = model.memory.state_dict() if model.memory is not None else None  # type: ignore[attr-defined]
    states = {"cpu": torch.get_rng_state(), "cuda": _cuda_states(), "collectors": collectors, "memory": memory}
    torch.save(states, writing / "torch.pt")
    version, key, gauss_next = random.getstate()
    contents = {"history": history, "python": [version, list(key), gauss_next]}
    (writing / "history.json").write_text(json.dumps(contents))
    shutil.rmtree(place, ignore_errors=True)
    os.replace(writing, place)  # atomic: a reader sees the whole folder or none
    # Only after the new one is in place: a kill in between leaves one too many, never one too few.
    for old in checkpoints(folder)[:-MAX_CHECKPOINTS]:
        shutil.rmtree(old, ignore_errors=True)
    return place


def _environment(place: Path, rank: int) -> Path:
    """Return the file of a rank's environment in a checkpoint."""
    return place / f"environment-{rank}.bin"


def _cuda_states() -> list[torch.Tensor]:
    return torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []


def checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints in `folder`, oldest first; all are complete."""
    return sorted(folder.glob("checkpoint-*"))


def clear(folder: Path) -> None:
    """Create `folder` and remove the files of an earlier run, but no other: the folder is the user's."""
    folder.mkdir(parents=True, exist_ok=True)
    for pattern in ("checkpoint-*", ".writing-*", "tensorboard"):
        for old in folder.glob(pattern):
            shutil.rmtree(old)
    for name in ("options.yaml", "progress.csv", "results.json", "curve.png", "model.zip"):
        (folder / name).unlink(missing_ok=True)


def load(
    place: Path, algorithm: type[OnPolicyAlgorithm], env: Any, device: str, group: Group | None = None
) -> tuple[OnPolicyAlgorithm, dict[str, Any]]:
    """Return the model and the history of a checkpoint, and restore the environment and all random generators.

    Raises ValueError if it was saved by another number of ranks: each has its own rows.
    """
    rank, size = (0, 1) if group is None else (group.rank, group.size)
    saved_by = len(list(place.glob("environment-*.bin")))
    if saved_by != size:
        raise ValueError(f"{place} was saved by {saved_by} processes, not {size}: torchrun --nproc-per-node {saved_by}")
    model = algorithm.load(place / "model.zip", env=env, device=device)
    # A batch must have been reset before it can be observed; the snapshot then replaces every row.
    env.reset_tensor()
    env.batch.restore(_environment(place, rank).read_bytes())
    model._last_obs = env.batch.to_host().obs  # SB3 resets the environment at learn() where this is None
    model._last_episode_starts = np.zeros(env.num_envs, bool)  # type: ignore[attr-defined]
    contents = json.loads((place / "history.json").read_text())
    version, key, gauss_next = contents["python"]
    random.setstate((version, tuple(key), gauss_next))
    with np.load(place / "numpy.npz") as saved:
        position, has_gauss, gauss = saved["rest"]
        np.random.set_state(("MT19937", saved["keys"], int(position), int(has_gauss), float(gauss)))  # noqa: NPY002
    states = torch.load(place / "torch.pt", weights_only=True)
    if "collectors" not in states:
        raise ValueError(f"{place} was written by an older version of agents; start the run again, or use its commit")
    model.collector.load_state_dict(states["collectors"][rank])  # type: ignore[attr-defined]
    if states["memory"] is not None:
        model.memory.load_state_dict(states["memory"])  # type: ignore[attr-defined]
    torch.set_rng_state(states["cpu"])
    if states["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(states["cuda"])
    return model, contents["history"]
