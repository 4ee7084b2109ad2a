"""Gymnasium spaces of a world: Dict of Boxes for observations, Discrete or Box for actions, Text for strings."""

import string
from typing import TYPE_CHECKING

import numpy as np
from gymnasium import spaces

if TYPE_CHECKING:
    from llm_envs.world import World

LONGEST_OBSERVATION = 16_384  # letters; more where the window has space for more
LONGEST_COMMAND = 256


def observation_space(world: "World") -> spaces.Space:
    """Return the space of one row's observation; scalar fields are boxes of shape (1,)."""
    if world.shows_text:
        return spaces.Text(_longest(world), min_length=0, charset=_characters(world))
    return spaces.Dict({name: _box(world, name) for name in world.observation.names or ()})


def _characters(world: "World") -> str:
    """Return what texts are made of: ASCII and the letters of the world's words, sorted."""
    words = world.tokenizer.get_vocab() if world.tokenizer else ()
    # Sorted: two spaces of one world must be equal, and a seeded `sample` the same in every process.
    return "".join(sorted(set(string.printable).union(*words)))


def _longest(world: "World") -> int:
    """Return an upper bound on the letters of an observation: a window full of the longest word."""
    if world.tokenizer is None or "tokens" not in (world.observation.names or ()):
        return LONGEST_OBSERVATION
    longest = max(map(len, world.tokenizer.get_vocab())) + 1  # and the space before it
    return max(LONGEST_OBSERVATION, longest * world.observation["tokens"].shape[0])


def _box(world: "World", name: str) -> spaces.Box:
    """Return the box of one field; a subarray type has its entries' type in `base`."""
    kind, (low, high) = world.observation[name], world.bounds[name]
    return spaces.Box(low, high, kind.shape or (1,), kind.base.type)


def action_space(world: "World") -> spaces.Space:
    """Return the space of one row's action: Text, Discrete, or Box of float32."""
    if world.takes_text:
        return spaces.Text(LONGEST_COMMAND, min_length=0, charset=_characters(world))
    if isinstance(world.actions, int):
        return spaces.Discrete(world.actions)
    assert not isinstance(world.actions, np.dtype), "records of a world's own are made from text"
    return spaces.Box(world.actions.low, world.actions.high, world.actions.shape, np.float32)
