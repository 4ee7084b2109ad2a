"""Reads a training run's options from a world's preset, a YAML file and the command line; writes them into its folder.

    python -m agents.train Tokens/Addition-v0 --algo trpo --target-kl 0.02 --backbone gru --backbone.width 128

The options are those of agents.jobs.options. A YAML file holds the options of the command line, a `.` of a flag as a
level of nesting; options that depend on the algorithm or the backbone stand under `algorithms` and `backbones`:

    worlds: [Tokens/Addition-v0]  # in a preset: for which it is; first of all the presets in agents/jobs/presets
    steps: 1_000_000
    set: {digits: 3}
    warm: {epochs: 6}
    backbones: {transformer: {width: 64}}
    algorithms: {ppo: {n_steps: 20, learning_rate: "linear:1e-3"}}

A run writes its options to `options.yaml`, in the same form: `--config runs/a/options.yaml` repeats it.
"""

import argparse
import importlib
import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import tyro
import yaml

from agents.backbones import KINDS
from agents.jobs.options import ALGORITHM_OPTIONS, DEFAULT_WORLD, Options, default_of
from llm_envs.cli.arguments import parse_values
from llm_envs.registration import ids
from llm_envs.validation import check_choice

PRESETS = Path(__file__).parent / "presets"
CHANGEABLE = (
    "config",
    "out",
    "resume",
    "steps",
    "stop_at",
    "checkpoint_every",
    "device",
    "threads",
)  # on --resume; see `parse`
SAVED = "options.yaml"
DEFAULTS = {"algo": "ppo", "backbone": "transformer"}


def as_settings(options: Options) -> dict[str, Any]:
    """Return the options in the form of a YAML file."""
    found = asdict(options)
    algorithm, policy, network = (found.pop(name) for name in ("algorithm", "policy", "network"))
    for name in ("config", "out", "resume"):
        del found[name]
    found["set"], found["weights"] = parse_values(*options.set), parse_values(*options.weights)
    found |= {**policy, "algorithms": {options.algo: algorithm}, "backbones": {options.backbone: network}}
    return yaml.safe_load(yaml.safe_dump(found))


def save(options: Options, folder: Path) -> None:
    """Write the options into a run's folder, atomically."""
    writing = folder / f".{SAVED}"
    writing.write_text(yaml.safe_dump(as_settings(options), sort_keys=False))
    os.replace(writing, folder / SAVED)


# ---------------------------------------------------------------------- reading


def read(path: Path) -> dict[str, Any]:
    """Return the settings in a YAML file; ValueError if it holds no mapping or an unknown algorithm or backbone."""
    settings = yaml.safe_load(path.read_text())
    if not isinstance(settings, dict):
        raise ValueError(f"{path} holds {type(settings).__name__}; it must map options to values")
    for group, known in (("algorithms", ALGORITHM_OPTIONS), ("backbones", KINDS)):
        if unknown := [name for name in settings.get(group) or {} if name not in known]:
            raise ValueError(f"{path}: {group} has {', '.join(unknown)}; there are {', '.join(known)}")
    return settings


def preset(world: str) -> dict[str, Any]:
    """Return the settings of the preset for a world; an empty dict for a world without one."""
    return next((found for path in sorted(PRESETS.glob("*.yaml")) if world in (found := read(path))["worlds"]), {})


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of `below`, overridden by those of `above`, level by level."""
    found = dict(below)
    for name, value in above.items():
        both = isinstance(value, dict) and isinstance(found.get(name), dict)
        found[name] = merged(found[name], value) if both else value
    return found


def flags(settings: dict[str, Any], prefix: str = "--") -> list[str]:
    """Return settings as command line flags."""
    found: list[str] = []
    for name, value in settings.items():
        flag = prefix + name.replace("_", "-")
        if isinstance(value, dict):
            found += flags(value, f"{flag}.")
        else:
            found += [flag, *map(str, value if isinstance(value, (list, tuple)) else [value])]
    return found


def network_options(kind: str) -> type:
    """Return the dataclass of a backbone's options."""
    module, _, config = KINDS[kind]
    return getattr(importlib.import_module(module), config)


def parse(args: Sequence[str], description: str = "") -> Options:
    """Return the options of a command line, over `--config`, over the world's preset (with `--resume`, the saved ones).

    A run that resumes has its saved options. Only those in `CHANGEABLE` may be given other values: where, how fast and
    how long it runs; schedules then continue towards the new end.

    Raises:
        ValueError: an option that contradicts another or, with `--resume`, the saved ones.
        SystemExit: an unknown option or a malformed value, reported on stderr.
    """
    given = list(args)
    # Two passes: algorithm and backbone decide which options exist, so they are parsed first.
    chosen = _choices(given)
    saved = Path(chosen.out or default_of(Options, "out")) / SAVED
    resuming = chosen.resume
    if resuming and not saved.is_file():
        raise ValueError(f"there is no run to resume in {saved.parent}: it has no {SAVED}")
    config = read(Path(chosen.config)) if chosen.config else {}
    # The world is the only positional argument; it may also stand among the flags.
    world_first = bool(given) and not given[0].startswith("-")
    world = given.pop(0) if world_first else next((given.pop(i) for i, arg in enumerate(given) if arg in ids()), None)
    previous = read(saved) if resuming else {}
    world = world or config.get("world") or previous.get("world") or DEFAULT_WORLD
    settings = merged(previous or preset(world), config)
    algo, backbone = (getattr(chosen, name) or settings.get(name) or DEFAULTS[name] for name in DEFAULTS)
    check_choice("algo", algo, tuple(ALGORITHM_OPTIONS))
    check_choice("backbone", backbone, tuple(KINDS))
    own = [settings.pop(group, {}).get(name) or {} for group, name in (("algorithms", algo), ("backbones", backbone))]
    pairs = {name: settings.pop(name, None) or {} for name in ("set", "weights")}
    for name in ("world", "worlds", *DEFAULTS):
        settings.pop(name, None)
    # Later flags override earlier ones: the files first, then the command line.
    files = [*flags(settings), *flags(own[0]), *flags(own[1], "--backbone.")]
    form: Any = Options
    form = form[ALGORITHM_OPTIONS[algo], network_options(backbone)]
    options: Options = tyro.cli(
        form, args=[world, "--algo", algo, "--backbone", backbone, *files, *given], description=description
    )
    for name, known in pairs.items():
        every = {**known, **parse_values(*getattr(options, name))}
        options = replace(options, **{name: (tuple(f"{key}={value}" for key, value in every.items()),)})  # type: ignore[arg-type]
    if resuming:
        _refuse_changes(previous, as_settings(options), saved)
    return options


def _choices(args: list[str]) -> argparse.Namespace:
    """Return the flags that decide which other options exist, and where they are saved."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in ("algo", "backbone", "config", "out"):
        first.add_argument(f"--{name}")
    first.add_argument("--resume", action="store_true")
    return first.parse_known_args(args)[0]


def _refuse_changes(previous: dict[str, Any], now: dict[str, Any], path: Path) -> None:
    """Raise ValueError if a resumed run's options differ from its saved ones, but for `CHANGEABLE`."""
    names = previous.keys() | now.keys()
    changed = {name for name in names if name not in CHANGEABLE and previous.get(name) != now.get(name)}
    if changed:
        differences = "; ".join(f"{name} {previous.get(name)} -> {now.get(name)}" for name in sorted(changed))
        raise ValueError(f"--resume continues with the options in {path}; these differ: {differences}")
