"""Append tokens to an observation that is a transcript (`world.Transcript`), in place: compiled, for worlds' `observe`.

What lies beyond `length` is always 0, the padding: nothing but these functions writes `tokens`, `token_mask`, `length`.
Each comes twice, since compiled code knows no optional field: `append_token` and `clear_tokens` where authors are not
noted, `append`, `clear` and `make_room` where `token_mask` notes them.
"""

from numba import njit

WORLD, POLICY = 0, 1  # authors


@njit
def append_token(observation, token):
    """Append a token to a transcript without authors.

    Beyond the window it is counted and not written: memory is safe, and the length leaves its bounds, which tells.
    """
    if observation.length < observation.tokens.shape[0]:
        observation.tokens[observation.length] = token
    observation.length += 1


@njit
def clear_tokens(observation):
    """Empty a transcript without authors."""
    for j in range(min(observation.length, observation.tokens.shape[0])):
        observation.tokens[j] = 0
    observation.length = 0


@njit
def append(observation, token, author):
    """Append a token of WORLD or POLICY; `make_room` before it where the window may be full."""
    if observation.length < observation.tokens.shape[0]:
        observation.tokens[observation.length] = token
        observation.token_mask[observation.length] = author
    observation.length += 1


@njit
def clear(observation):
    """Empty a transcript."""
    for j in range(min(observation.length, observation.tokens.shape[0])):
        observation.tokens[j] = 0
        observation.token_mask[j] = 0
    observation.length = 0


@njit
def make_room(observation, count):
    """Drop the oldest half of the window, in one block, if `count` more tokens might not fit.

    In a block, since every token that moves is one that a policy's cache of attention keys must compute again.
    """
    window = observation.tokens.shape[0]
    if observation.length + count <= window:
        return
    half = window // 2
    for j in range(observation.length):
        kept = j + half < observation.length
        observation.tokens[j] = observation.tokens[j + half] if kept else 0
        observation.token_mask[j] = observation.token_mask[j + half] if kept else 0
    observation.length -= half
