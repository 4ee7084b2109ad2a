"""A world for timing alone: texts of a length that the policy cannot change, so that every contender does equal work.

Prompts of 1 to 4 random tokens; the episode ends when the text has 40 to 50 tokens, 64 fit. The reward is 1 for every
token of an even number.
"""

import numpy as np
from numba import njit

from llm_envs.engine.transcript import append_token, clear_tokens
from llm_envs.world import Rules, Transcript, World, record, state_record, values

PARAMS = record(unused=np.int32)


@njit
def reset(state, level, params):
    """Begin with the prompt's tokens."""
    state.length = level.prompt_length


@njit
def step(state, level, params, action, signals):
    """Take one token."""
    state.last = action
    state.length += 1
    signals.even = 1.0 if action % 2 == 0 else 0.0
    return state.length >= level.total


@njit
def observe(state, level, params, observation):
    """Write the prompt, then token by token what the policy generates."""
    if state.t > 0:
        append_token(observation, state.last)
        return
    clear_tokens(observation)
    for j in range(level.prompt_length):
        append_token(observation, level.prompt[j])


def ragged(window: int = 64, vocab_size: int = 64, shortest: int = 40, longest: int = 50) -> World:
    """Build the world; texts end with `shortest` to `longest` tokens."""
    rng = np.random.default_rng(0)
    levels = np.zeros(4096, record(prompt_length=np.int32, total=np.int32, prompt=(np.int32, (4,))))
    levels["prompt_length"] = rng.integers(1, 5, len(levels))
    levels["total"] = rng.integers(shortest, longest + 1, len(levels))
    levels["prompt"] = rng.integers(1, vocab_size, (len(levels), 4))
    transcript = Transcript(window, vocab_size)
    return World(
        rules=Rules(reset, step, observe),
        params=values(PARAMS, unused=0),
        levels=levels,
        custom_levels=True,
        state=state_record(last=np.int32, length=np.int32),
        transcript=transcript,
        observation=record(**transcript.fields),
        bounds={**transcript.bounds, "last": (0, vocab_size - 1)},
        actions=vocab_size,
        signals={"even": 1.0},
    )
