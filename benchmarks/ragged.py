"""A world for timing alone: texts of a length that the policy cannot change, so that every contender does equal work.

Prompts of 1 to 4 random tokens; the episode ends when the text has 40 to 50 tokens, 64 fit. The reward is 1 for every
token of an even number.
"""

import numpy as np
from numba import njit

from llm_envs.world import World, record, state_record, values

PARAMS = record(unused=np.int32)


@njit
def reset(state, level, params):
    """Write the prompt."""
    for j in range(state.tokens.shape[0]):
        state.tokens[j] = level.prompt[j] if j < level.prompt_length else 0
    state.length = level.prompt_length


@njit
def step(state, level, params, action, signals):
    """Append one token."""
    state.tokens[state.length] = action
    state.length += 1
    signals.even = 1.0 if action % 2 == 0 else 0.0
    return state.length >= level.total


@njit
def observe(state, level, params, observation):
    """Show the text so far."""
    for j in range(state.tokens.shape[0]):
        observation.tokens[j] = state.tokens[j]
    observation.length = state.length


def ragged(window: int = 64, vocab_size: int = 64, shortest: int = 40, longest: int = 50) -> World:
    """Build the world; texts end with `shortest` to `longest` tokens."""
    rng = np.random.default_rng(0)
    levels = np.zeros(4096, record(prompt_length=np.int32, total=np.int32, prompt=(np.int32, (4,))))
    levels["prompt_length"] = rng.integers(1, 5, len(levels))
    levels["total"] = rng.integers(shortest, longest + 1, len(levels))
    levels["prompt"] = rng.integers(1, vocab_size, (len(levels), 4))
    return World(
        reset=reset,
        step=step,
        observe=observe,
        params=values(PARAMS, unused=0),
        levels=levels,
        own_levels=True,
        state=state_record(tokens=(np.int32, (window,)), length=np.int32),
        observation=record(tokens=(np.int32, (window,)), length=np.int32),
        bounds={"tokens": (0, vocab_size - 1), "length": (0, window)},
        actions=vocab_size,
        signals={"even": 1.0},
    )
