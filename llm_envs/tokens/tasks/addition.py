"""Addition: write the sum of two numbers, digit by digit.

Description:  The prompt is "a+b="; the answer is a + b in the same base and an <end>. No number has leading zeros.
Observation:  tokens: int32 (T,), the text so far, padded on the right with <pad> (0); T is a multiple of 16.
              length: int32 (1,), the number of tokens. Prompt tokens are forced, all later ones are the policy's.
Action:       Discrete(base + 4): the next token. 0 <pad>, 1 <end>, 2 "+", 3 "=", then the digits from 0.
Reward:       exact: 1 at the end if the answer is right. Weight 0 unless asked for: match: 1/(n + 1) for each right
              token in its place, n being the digits of the sum. length: 1 at the end if the answer has n digits.
              wellformed: 1 at the end if the answer is a number without leading zeros, closed by <end>.
Termination:  <end> is generated, or the answer has as many tokens as the budget allows: digits + 2.
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

from llm_envs.engine.transcript import append_token, clear_tokens
from llm_envs.validation import check_list, check_range, check_switch, quote
from llm_envs.vocabulary import END, PAD, character_tokenizer
from llm_envs.world import Row, Rules, TextInterface, Transcript, World, record, state_record, values

PLUS, EQUALS, ZERO = 2, 3, 4  # tokens; the digit d is ZERO + d
DIGITS = string.digits + string.ascii_lowercase
PARAMS = record(radix=np.int64, reverse=np.int32, budget=np.int32)
LEVEL = record(a=np.int64, b=np.int64)


@njit
def reset(state, level, params):
    """Write the target, the digits of the sum and <end>."""
    state.num_generated, state.last, state.highest = 0, PAD, PAD
    state.correct, state.is_number = 1, 1
    # At most 2 * (2^62 - 1), within int64.
    state.target_length = write_digits(state.target, 0, level.a + level.b, params.radix)
    if not params.reverse:
        flip(state.target, 0, state.target_length)
    state.target[state.target_length] = END


@njit
def write_digits(tokens, start, number, base):
    """Write a number's digits from `start` on, lowest first; return where they end."""
    # Divisions are what an episode's beginning costs, so one a digit; unsigned ones need no correction of signs.
    rest, radix, end = np.uint64(number), np.uint64(base), start
    while True:
        tokens[end] = ZERO + np.int64(rest % radix)
        rest //= radix
        end += 1
        if rest == 0:
            return end


@njit
def flip(tokens, start, end):
    """Reverse tokens[start:end] in place."""
    for j in range((end - start) // 2):
        tokens[start + j], tokens[end - 1 - j] = tokens[end - 1 - j], tokens[start + j]


@njit
def append_number(observation, number, base):
    """Append a number's digits, highest first."""
    start = np.int64(observation.length)
    end = write_digits(observation.tokens, start, number, base)
    flip(observation.tokens, start, end)
    observation.length = end


@njit
def step(state, level, params, action, signals):
    """Compare one token with the target."""
    n = state.target_length
    # The highest digit so far: the last one, if the lowest came first.
    if action != END and (params.reverse or state.num_generated == 0):
        state.highest = action
    # Position n holds <end>. A later token is compared with it too; `correct` is 0 by then, since one was not <end>.
    if action == state.target[min(state.num_generated, n)]:
        signals.match = 1.0 / (n + 1)
    else:
        state.correct = 0
    state.last = action
    if action == END:
        leading_zero = state.num_generated > 1 and state.highest == ZERO
        state.is_number = state.is_number and state.num_generated > 0 and not leading_zero
    else:
        state.is_number = state.is_number and action >= ZERO
        state.num_generated += 1
        if state.num_generated < params.budget:
            return False
        state.is_number = 0  # never closed
    signals.exact = state.correct and action == END
    signals.length = state.num_generated == n
    signals.wellformed = state.is_number
    return True


@njit
def observe(state, level, params, observation):
    """Write the prompt, then token by token what the policy generates."""
    if state.t > 0:
        append_token(observation, state.last)
        return
    clear_tokens(observation)
    append_number(observation, level.a, params.radix)
    append_token(observation, PLUS)
    append_number(observation, level.b, params.radix)
    append_token(observation, EQUALS)


def problems(pool: int, low: int, high: int) -> np.ndarray:
    """Return up to `pool` different pairs of numbers in low..high-1; the same ones for the same arguments."""
    count = high - low
    # All pairs, where they fit: (count^2,) numbers k, as a = k // count, b = k % count -> (count^2, 2).
    if count * count <= pool:
        return low + np.stack(np.divmod(np.arange(count * count), count), axis=1)
    # Drawn with repetition; repetitions are dropped, so that the pool may be a little smaller than asked for.
    pairs = np.random.default_rng(0).integers(low, high, (pool, 2))
    # Indices of first occurrences, sorted: the order of drawing, which np.unique's sorted values would lose.
    first = np.unique(pairs, axis=0, return_index=True)[1]
    return pairs[np.sort(first)]


def custom_problems(pairs: Sequence, count: int) -> np.ndarray:
    """Return a user's pairs as an array; ValueError or TypeError names the first bad one."""
    check_list("levels", pairs, "pairs (a, b)", 1)
    for i, pair in enumerate(pairs):
        if not isinstance(pair, (tuple, list, np.ndarray)) or np.shape(pair)[:1] != (2,):
            raise ValueError(f"levels[{i}] is {quote(pair)}; it must be a pair (a, b)")
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
    # The smallest number of so many digits; 0 counts as one digit.
    low = base ** (fewest - 1) if fewest > 1 else 0
    pairs = problems(pool, low, base**digits) if levels is None else custom_problems(levels, base**digits)
    pool_records = np.zeros(len(pairs), LEVEL)
    pool_records["a"], pool_records["b"] = pairs[:, 0], pairs[:, 1]
    # The sum may have one digit more, and <end>. The window: two numbers, "+", "=" and the answer, rounded up to 16.
    budget = digits + 2
    window = -(-(2 * digits + 2 + budget) // 16) * 16
    transcript = Transcript(window, base + ZERO)
    return World(
        rules=Rules(reset, step, observe),
        params=values(PARAMS, radix=base, reverse=reverse, budget=budget),
        levels=pool_records,
        custom_levels=levels is not None,
        state=state_record(
            target=(np.int32, (window // 2,)),
            target_length=np.int32,  # digits of the sum
            num_generated=np.int32,  # tokens of the answer so far, <end> excluded
            last=np.int32,  # token
            highest=np.int32,  # digit so far, as a token
            correct=np.int32,
            is_number=np.int32,
        ),
        transcript=transcript,
        observation=record(**transcript.fields),
        bounds={
            **transcript.bounds,
            **dict.fromkeys(("target", "last", "highest"), (0, base + ZERO - 1)),
            "target_length": (0, digits + 1),
            "num_generated": (0, budget),
            "correct": (0, 1),
            "is_number": (0, 1),
        },
        actions=base + 4,
        signals={"exact": 1.0, "match": 0.0, "length": 0.0, "wellformed": 0.0},
        max_steps=max_steps,
        text=TextInterface(tokenizer=character_tokenizer("+=" + DIGITS[:base]), actions_are_tokens=True),
        solution=solution,
    )


def solution(row: Row) -> list[int]:
    """Return the right answer's tokens."""
    number, tokens = int(row.level.a + row.level.b), list[int]()
    while number or not tokens:
        number, digit = divmod(number, int(row.params.radix))
        tokens.append(ZERO + digit)
    return [*(tokens if row.params.reverse else tokens[::-1]), END]
