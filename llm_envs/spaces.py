"""Gymnasium spaces of a world: Dict of Boxes for observations, Discrete or Box for actions, Text for strings."""

import string
from typing import TYPE_CHECKING

import numpy as np
from gymnasium import spaces

if TYPE_CHECKING:
    from llm_envs.world import World

CHARACTERS = string.printable
LONGEST_OBSERVATION = 16_384  # characters
LONGEST_COMMAND = 256


def observation_space(world: "World") -> spaces.Space:
    """Return the space of one row's observation; scalar fields are boxes of shape (1,)."""
    if world.text_observation:
        return spaces.Text(LONGEST_OBSERVATION, min_length=0, charset=CHARACTERS)
    return spaces.Dict({name: _box(world, name) for name in world.observation.names or ()})


def _box(world: "World", name: str) -> spaces.Box:
    kind, (low, high) = world.observation[name], world.bounds[name]
    return spaces.Box(low, high, kind.shape or (1,), kind.base.type)


def action_space(world: "World") -> spaces.Space:
    """Return the space of one row's action."""
    if world.parse is not None:
        return spaces.Text(LONGEST_COMMAND, min_length=0, charset=CHARACTERS)
    if isinstance(world.actions, int):
        return spaces.Discrete(world.actions)
    return spaces.Box(world.actions.low, world.actions.high, world.actions.shape, np.float32)
