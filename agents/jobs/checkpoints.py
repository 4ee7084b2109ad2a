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
import re
import shutil
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agents.algorithms.base import OnPolicy
from agents.distributed.group import Group
from llm_envs.validation import quote

MAX_CHECKPOINTS = 2  # older ones are removed
NAME = re.compile(r"checkpoint-\d{12}")


def save(
    folder: Path,
    model: OnPolicy,
    history: dict[str, Any],
    group: Group | None = None,
) -> Path:
    """Write a checkpoint into `folder` and return its path; with a group on all ranks, of which rank 0 writes.

    Args:
        folder: of the run.
        model: with a `TensorVecEnv`, between an update and the rollout after it, as in `on_rollout_start`.
        history: of the run, plain numbers and strings.
        group: of a data parallel run.
    """
    place = folder / f"checkpoint-{model.num_timesteps:012d}"
    assert model.collector is not None
    own = model.collector.env.batch.snapshot(), model.collector.state_dict()
    # Every rank sends its part, then rank 0 alone writes.
    environments, collectors = zip(*([own] if group is None else group.gather_objects(own)), strict=True)
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
    memory = model.memory.state_dict() if model.memory is not None else None
    states = {"cpu": torch.get_rng_state(), "cuda": _cuda_states(), "collectors": list(collectors), "memory": memory}
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
    """Return the checkpoints in `folder`, oldest first."""
    return sorted(place for place in folder.glob("checkpoint-*") if NAME.fullmatch(place.name))


def newest(folder: Path) -> Path | None:
    """Return the newest whole checkpoint, None if there is none at all; warns of newer ones that are damaged.

    Raises:
        ValueError: there are some, all damaged.
    """
    found = checkpoints(folder)
    for place in reversed(found):
        if not (damage := damaged(place)):
            return place
        warnings.warn(f"{place} is damaged ({damage}); an older checkpoint is taken, if there is one", stacklevel=2)
    if found:
        raise ValueError(f"all checkpoints in {folder} are damaged")
    return None


def damaged(place: Path) -> str:
    """Return what is wrong with a checkpoint's files, "" where they are as they were written."""
    try:
        for name in ("model.zip", "torch.pt", "numpy.npz"):  # zip archives, whose entries have checksums
            with zipfile.ZipFile(place / name) as archive:
                # Of a model cut short the end is an archive too, one of those inside it.
                if archive.testzip() is not None or (name == "model.zip" and "data" not in archive.namelist()):
                    return f"{name} is not as it was written"
        json.loads((place / "history.json").read_text())["history"]
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        return quote(error)
    return ""


def check_folder(folder: Path, resume: bool) -> None:
    """Raise for a folder that a run may not write to, before anything is written or removed.

    Raises:
        ValueError: a run is to resume whose checkpoints are gone, though its model is there; or a new one is to begin
            in a folder that holds something, but no earlier run.
        OSError: `folder` is no folder.
    """
    if resume:
        # A run that was killed before its first checkpoint begins again.
        if (folder / "model.zip").exists() and not checkpoints(folder):
            raise ValueError(f"there is no checkpoint in {folder}, only a finished model; nothing can be resumed")
    elif folder.exists() and any(folder.iterdir()) and not (folder / "options.yaml").is_file():
        raise ValueError(f"{folder} is not empty and holds no run of agents.train; give another folder with --out")


def clear(folder: Path) -> None:
    """Create `folder` and remove the files of an earlier run, but no other: the folder is the user's."""
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = [place for place in folder.glob(".writing-*") if place.name.removeprefix(".writing-").isdecimal()]
    for old in (*checkpoints(folder), *unfinished):
        shutil.rmtree(old)
    for events in (folder / "tensorboard").glob("events.out.tfevents.*"):
        events.unlink()
    for name in ("options.yaml", "progress.csv", "results.json", "curve.png", "model.zip"):
        (folder / name).unlink(missing_ok=True)


def load(
    place: Path, algorithm: type[OnPolicy], env: Any, device: str, group: Group | None = None
) -> tuple[OnPolicy, dict[str, Any]]:
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
    model._last_episode_starts = np.zeros(env.num_envs, bool)
    contents = json.loads((place / "history.json").read_text())
    version, key, gauss_next = contents["python"]
    random.setstate((version, tuple(key), gauss_next))
    with np.load(place / "numpy.npz") as saved:
        position, has_gauss, gauss = saved["rest"]
        np.random.set_state(("MT19937", saved["keys"], int(position), int(has_gauss), float(gauss)))  # noqa: NPY002
    states = torch.load(place / "torch.pt", weights_only=True)
    if "collectors" not in states:
        raise ValueError(f"{place} was written by an older version of agents; start the run again, or use its commit")
    assert model.collector is not None
    model.collector.load_state_dict(states["collectors"][rank])
    if model.memory is not None:
        model.memory.load_state_dict(states["memory"])
    torch.set_rng_state(states["cpu"])
    if states["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(states["cuda"])
    return model, contents["history"]
