"""Addition: write the sum of two numbers, digit by digit.

Description:  The prompt is "a+b="; the answer is a + b in the same base and an <end>. No number has leading zeros.
Observation:  tokens: int32 (T,), the text so far, padded on the right with <pad> (0); T is a multiple of 16.
              length: int32 (1,), the tokens of it. Prompt tokens are forced, all later ones are the policy's.
Action:       Discrete(base + 4): the next token. 0 <pad>, 1 <end>, 2 "+", 3 "=", then the digits from 0.
Reward:       exact: 1 at the end if the answer is right. Weight 0 unless asked for: match: 1/(n + 1) for each right
              token in its place, n being the digits of the sum. length: 1 at the end if the answer has n digits.
              wellformed: 1 at the end if the answer is a number without leading zeros, closed by <end>.
Termination:  <end> is said, or the answer has as many tokens as the budget allows: digits + 2.
Truncation:   After max_steps steps, if given.
Arguments:    digits (int, 3): most digits of a and b; min_digits (int, 0): fewest, 0 for as many as digits; base
              (int, 10): 2 to 36, base ** digits at most 2 ** 62; reverse (bool, False): the answer's lowest digit comes
              first; pool (int, 65536): number of problems; max_steps (int, 0): time limit, 0 for none; levels: problems
              of your own, pairs (a, b) of at most digits digits.
Levels:       a and b uniform over the numbers of min_digits to digits digits, 0 being of one; no pair twice; all pairs,
              where the pool holds them.
Source:       Zaremba & Sutskever (2014), "Learning to execute"; the reversed order after Lee et al. (2023), "Teaching
              arithmetic to small transformers".
"""

import string
from collections.abc import Sequence

import numpy as np
from numba import njit

from llm_envs.validation import check_range, check_switch
from llm_envs.vocabulary import END, character_tokenizer
from llm_envs.world import World, record, state_record, values

PLUS, EQUALS, ZERO = 2, 3, 4  # tokens; the digit d is ZERO + d
DIGITS = string.digits + string.ascii_lowercase
PARAMS = record(radix=np.int64, reverse=np.int32, budget=np.int32)
LEVEL = record(a=np.int64, b=np.int64)


@njit
def reset(state, level, params):
    """Write the prompt, and the answer that is due."""
    for j in range(state.tokens.shape[0]):
        state.tokens[j] = 0
    end = write_number(state.tokens, 0, level.a, params.radix)
    state.tokens[end] = PLUS
    end = write_number(state.tokens, end + 1, level.b, params.radix)
    state.tokens[end] = EQUALS
    state.length = end + 1
    state.said = 0
    state.right, state.is_number = 1, 1
    state.due = write_number(state.answer, 0, level.a + level.b, params.radix)
    if params.reverse:
        flip(state.answer, state.due)
    state.answer[state.due] = END


@njit
def write_number(tokens, start, number, base):
    """Write a number's digits from `start` on, highest first; return where they end."""
    end = start + 1
    rest = number // base
    while rest > 0:
        rest //= base
        end += 1
    for j in range(end - 1, start - 1, -1):
        tokens[j] = ZERO + number % base
        number //= base
    return end


@njit
def flip(tokens, n):
    """Reverse the first n tokens in place."""
    for j in range(n // 2):
        tokens[j], tokens[n - 1 - j] = tokens[n - 1 - j], tokens[j]


@njit
def step(state, level, params, action, signals):
    """Append one token."""
    state.tokens[state.length] = action
    state.length += 1
    if action == state.answer[min(state.said, state.due)]:
        signals.match = 1.0 / (state.due + 1)
    else:
        state.right = 0
    if action == END:
        state.is_number = state.is_number and state.said > 0 and not leading_zero(state, params)
    else:
        state.is_number = state.is_number and action >= ZERO
        state.said += 1
        if state.said < params.budget:
            return False
        state.is_number = 0  # never closed
    signals.exact = state.right and action == END
    signals.length = state.said == state.due
    signals.wellformed = state.is_number
    return True


@njit
def leading_zero(state, params):
    """Say whether the answer, of two digits or more and just closed, has a zero as its highest digit."""
    highest = state.length - 2 if params.reverse else state.length - 1 - state.said
    return state.said > 1 and state.tokens[highest] == ZERO


@njit
def observe(state, level, params, observation):
    """Show the text so far."""
    for j in range(state.tokens.shape[0]):
        observation.tokens[j] = state.tokens[j]
    observation.length = state.length


def problems(pool: int, low: int, high: int) -> np.ndarray:
    """Return up to `pool` different pairs of numbers in low..high-1; the same ones for the same arguments."""
    count = high - low
    if count * count <= pool:
        return low + np.stack(np.divmod(np.arange(count * count), count), axis=1)
    pairs = np.random.default_rng(0).integers(low, high, (pool, 2))
    first = np.unique(pairs, axis=0, return_index=True)[1]
    return pairs[np.sort(first)]


def own_problems(pairs: Sequence, count: int) -> np.ndarray:
    """Return a user's pairs as an array; ValueError or TypeError names the first bad one."""
    for i, pair in enumerate(pairs):
        if not isinstance(pair, (tuple, list, np.ndarray)) or len(pair) != 2:
            raise ValueError(f"levels[{i}] is {pair!r}; it must be a pair (a, b)")
        for number in pair:
            check_range(f"a number of levels[{i}]", number, 0, count - 1)
    return np.array(pairs, np.int64).reshape(-1, 2)


def addition(
    digits: int = 3,
    min_digits: int = 0,
    base: int = 10,
    reverse: bool = False,
    pool: int = 65_536,
    max_steps: int = 0,
    levels: Sequence | None = None,
) -> World:
    """Build the world; see the module for the arguments."""
    check_range("base", base, 2, 36)
    check_range("digits", digits, 1, 62)
    check_range("min_digits", min_digits, 0, digits)
    check_range("pool", pool, 1, 2**24)
    check_range("max_steps", max_steps, 0, 2**30)
    check_switch("reverse", reverse)
    if base**digits > 2**62:
        raise ValueError(f"base ** digits is {base}**{digits}; it must be at most 2**62")
    fewest = min_digits or digits
    low = base ** (fewest - 1) if fewest > 1 else 0
    pairs = problems(pool, low, base**digits) if levels is None else own_problems(levels, base**digits)
    pool_records = np.zeros(len(pairs), LEVEL)
    pool_records["a"], pool_records["b"] = pairs[:, 0], pairs[:, 1]
    budget = digits + 2
    window = -(-(2 * digits + 2 + budget) // 16) * 16
    return World(
        reset=reset,
        step=step,
        observe=observe,
        params=values(PARAMS, radix=base, reverse=reverse, budget=budget),
        levels=pool_records,
        own_levels=levels is not None,
        state=state_record(
            tokens=(np.int32, (window,)),
            answer=(np.int32, (window // 2,)),
            length=np.int32,
            said=np.int32,  # tokens of the answer so far
            due=np.int32,  # digits of the sum
            right=np.int32,
            is_number=np.int32,
        ),
        observation=record(tokens=(np.int32, (window,)), length=np.int32),
        bounds={"tokens": (0, base + 3), "length": (0, window)},
        actions=base + 4,
        signals={"exact": 1.0, "match": 0.0, "length": 0.0, "wellformed": 0.0},
        max_steps=max_steps,
        tokenizer=character_tokenizer("+=" + DIGITS[:base]),
        types_tokens=True,
        solution=solution,
    )


def solution(level, params) -> list[int]:
    """Return the right answer's tokens."""
    number, tokens = int(level.a + level.b), list[int]()
    while number or not tokens:
        number, digit = divmod(number, int(params.radix))
        tokens.append(ZERO + digit)
    return [*(tokens if params.reverse else tokens[::-1]), END]
