"""Ids and where their builders live. Importing this module imports no world, no torch and no numba."""

import copy
import dataclasses
import importlib
import inspect
import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from llm_envs.validation import check_range, quote

if TYPE_CHECKING:
    from llm_envs.engine.batch import BatchEnv, Identity
    from llm_envs.world import World

# id -> builder, as a function or as "module:function"; the builder's keyword arguments are the configuration. Ours are
# strings: a world's modules, and numba with them, load when it is first built.
_builders: dict[str, Callable | str] = {
    "Tokens/Addition-v0": "llm_envs.tokens.tasks.addition:addition",
    "Tokens/Copy-v0": "llm_envs.tokens.tasks.copy:copy",
    "Nav/FourRooms-v0": "llm_envs.navigation.tasks.four_rooms:four_rooms",
    "Nav/PathPlanner-v0": "llm_envs.navigation.plane.path_planner:path_planner",
    "PathPlanner-v0": "llm_envs.navigation.plane.path_planner:path_planner",
    "Text/Coin-v0": "llm_envs.text.games.coin.coin:coin",
    "TextGame-v0": "llm_envs.text.games.coin.coin:coin",
    "Text/World-v0": "llm_envs.text.games.textworld:world",
    "Text/Story-v0": "llm_envs.text.games.story:story",
    "Text/Collector-v0": "llm_envs.text.games.collector:collector",
    "Text/Treasure-v0": "llm_envs.text.games.treasure:treasure",
    "Text/KeyQuest-v0": "llm_envs.text.games.key_quest:key_quest",
    "Text/House-v0": "llm_envs.text.games.house:house",
    "Text/Chain-v0": "llm_envs.text.games.chain:chain",
    "Text/Cooking-v0": "llm_envs.text.games.cooking:cooking",
    "Text/CookingWorld-v0": "llm_envs.text.games.cooking_world:cooking_world",
    "Text/Tidy-v0": "llm_envs.text.games.tidy:tidy",
    "Text/MapReader-v0": "llm_envs.text.games.map_reader:map_reader",
    "Text/Arithmetic-v0": "llm_envs.text.games.arithmetic:arithmetic",
    "Text/Sorting-v0": "llm_envs.text.games.sorting:sorting",
    "Text/PeckingOrder-v0": "llm_envs.text.games.pecking_order:pecking_order",
    "Text/SimonSays-v0": "llm_envs.text.games.simon_says:simon_says",
}


def ids() -> list[str]:
    """Return every registered id."""
    return list(_builders)


def register(world_id: str, builder: Callable | str) -> None:
    """Register a world under `world_id`, here and in Gymnasium.

    Args:
        world_id: an id as Gymnasium writes them, such as "Mine/Corridor-v0".
        builder: a function that returns a `World`, or "module:function"; its keyword arguments are the configuration.

    Raises:
        ValueError: the id is taken, here or in Gymnasium.
    """
    from gymnasium.envs.registration import registry

    if world_id in _builders or world_id in registry:
        raise ValueError(f"the id {quote(world_id)} is taken")
    # Gymnasium first: it refuses an id that is not of its form, and then nothing must be registered here either.
    _register_in_gymnasium(world_id)
    _builders[world_id] = builder


def register_envs() -> None:
    """Register every id in Gymnasium; what the entry-point group `gymnasium.envs` calls."""
    for world_id in _builders:
        _register_in_gymnasium(world_id)


def _register_in_gymnasium(world_id: str) -> None:
    from gymnasium.envs.registration import register, registry

    # Gymnasium calls the plugin when it is imported; a user may have called `register` before.
    if world_id not in registry:
        register(
            id=world_id,
            entry_point=f"llm_envs.adapters.entry_points:single/{world_id}",
            vector_entry_point=f"llm_envs.adapters.entry_points:vector/{world_id}",
        )


def find(world_id: str) -> Callable:
    """Return a world's builder; ValueError for an unknown id."""
    if not isinstance(world_id, str) or world_id not in _builders:
        raise ValueError(f"there is no world {quote(world_id)}; the ids are {', '.join(_builders)}")
    builder = _builders[world_id]
    if isinstance(builder, str):
        module, _, name = builder.partition(":")
        builder = getattr(importlib.import_module(module), name)
    return builder


def build(world_id: str, config: dict[str, Any]) -> "World":
    """Build a world.

    `max_episode_steps` is an option of every world: a time limit in steps over its own, as Gymnasium's TimeLimit has
    it. The shorter of the two holds.

    Raises:
        ValueError: an unknown id, or a value out of range.
        TypeError: an unknown keyword; the message names the valid ones.
    """
    builder, config = find(world_id), dict(config)
    # Of no builder: taken out first, and applied in the kernel, which needs no wrapper around the environment.
    limit = config.pop("max_episode_steps", None)
    valid = inspect.signature(builder).parameters
    for name in config:
        if name not in valid:
            # In Python's own words, by which other libraries recognise what they may leave out and try again.
            options = f"the options of {world_id} are {', '.join(valid)}"
            raise TypeError(f"{world_id} got an unexpected keyword argument {quote(name)}; {options}")
    world = builder(**config)
    if limit is None:
        return world
    check_range("max_episode_steps", limit, 1, 2**62)  # the engine's clock is int64
    return dataclasses.replace(world, max_steps=min(limit, world.max_steps or limit))


def make_batch(world_id: str, num_envs: int, **options: Any) -> "BatchEnv":
    """Make a `BatchEnv` of `num_envs` rows of a world.

    Args:
        world_id: one of `ids()`.
        num_envs: number of rows, N.
        options: `device`, `seed`, `split`, `order`, `group_size`, `weights`, `rewards`, `threads`, `check_actions`,
            `autoreset` as `BatchEnv` has them; `max_episode_steps`, a time limit over the world's own; every other
            keyword is the world's configuration.

    Raises:
        ValueError: an unknown id, or a value out of range.
        TypeError: an unknown keyword.
    """
    from llm_envs.engine.batch import BatchEnv

    world, settings = prepare(world_id, options)
    return BatchEnv(world, num_envs, **settings)


def prepare(world_id: str, options: Mapping[str, Any]) -> tuple["World", dict[str, Any]]:
    """Return the world that the options of `make_batch` describe, and those of them that are `BatchEnv`'s.

    Raises:
        ValueError: an unknown id, or a value out of range.
        TypeError: an unknown keyword.
    """
    from llm_envs.engine.batch import BatchEnv

    # The engine's keywords are read off its signature: a list here would have to follow every change there.
    engine = set(inspect.signature(BatchEnv).parameters) - {"world", "num_envs", "identity"}
    config = {name: value for name, value in options.items() if name not in engine}
    settings = {name: value for name, value in options.items() if name in engine}
    return build(world_id, config), {**settings, "identity": identify(world_id, config)}


def identify(world_id: str, config: Mapping[str, Any]) -> "Identity":
    """Return what a world is known by in snapshots and pickles: its id and its configuration."""
    from llm_envs.engine.batch import Identity

    # Levels of the user's own do not go into JSON: a snapshot knows them by the pool's checksum.
    plain = {name: value for name, value in config.items() if isinstance(value, (int, float, str, bool, type(None)))}
    # Lists and dicts may be changed by their owner after the world was built from them; a pickle builds it again.
    kept = {name: copy.deepcopy(value) if isinstance(value, (list, dict)) else value for name, value in config.items()}
    return Identity(world_id, json.dumps(plain, sort_keys=True), partial(build, world_id, kept))
