"""Counter-based randomness: every draw advances one counter, which is a field of the state, and hashes it.

The hash is the finaliser of SplitMix64 (Steele, Lea & Flood, 2014, "Fast splittable pseudorandom number generators").
A row's future is therefore part of its record: the same on any device, in any batch, after any copy.
"""

import numpy as np
from numba import njit

GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: the counter's increment
EPISODES = np.uint64(0xD1B54A32D192ED03)  # an increment of its own for the stream that draws levels


@njit
def mix(x):
    """Hash 64 bits to 64 bits; a bijection."""
    # Every number is uint64: of one and a signed integer Numba makes a float64, which holds 53 of the 64 bits.
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@njit
def below(bits, n):
    """Map 64 random bits to an integer in [0, n), n up to 2^32; the bias is below n / 2^32."""
    # floor(h * n / 2^32) with h, the upper 32 bits: a multiplication in place of a division (h % n).
    # The product stays below 2^64 since n is at most 2^32.
    return np.int64(((bits >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32))


@njit
def randint(state, n):
    """Draw a uniform integer in [0, n) from the state's generator."""
    state.rng = state.rng + GOLDEN
    return below(mix(state.rng), n)


@njit
def uniform(state):
    """Draw a uniform float64 in [0, 1), a multiple of 2^-53, from the state's generator."""
    state.rng = state.rng + GOLDEN
    # The upper 53 bits, as many as a float64's significand holds: k / 2^53 is exact, and never rounds up to 1.
    return np.float64(mix(state.rng) >> np.uint64(11)) * (1.0 / 9007199254740992.0)
