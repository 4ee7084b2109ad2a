"""How tokens get into an observation while a text is rendered.

These rules, and all that build upon them, write from observation.tokens[n] on and return where they end;
observation.length follows when the whole turn is written. That spares a memory access a token.
"""

import numpy as np
from numba import njit

from llm_envs.text.language import phrases

TOKENS = phrases.TOKENS  # of replies


@njit
def write(observation, n, token):
    """Write one token."""
    observation.tokens[n] = token
    return n + 1


@njit
def write_run(level, observation, n, start, count):
    """Write `count` tokens of the level. Unsigned numbers spare Numba's test for negative ones: a third of the time."""
    target, source = np.uint64(n), np.uint64(start)
    for k in range(np.uint64(count)):
        observation.tokens[target + k] = level.tokens[source + k]
    return n + count


@njit
def write_constants(observation, n, start, count):
    """Write `count` of the tokens of replies."""
    target, source = np.uint64(n), np.uint64(start)
    for k in range(np.uint64(count)):
        observation.tokens[target + k] = TOKENS[source + k]
    return n + count
