"""Copy: reproduce, reverse or sort a sequence of symbols, token by token.

Description:  The prompt is a row of symbols and "="; the answer is the same symbols, as they stand, in reverse, or in
              ascending order.
Observation:  tokens: int32 (T,), the text so far, padded on the right with <pad> (0); T is 2 length + 2, rounded up
              to a multiple of 16. length: int32 (1,), the number of tokens. Prompt tokens are forced, all later ones
              are the policy's.
Action:       Discrete(vocab_size + 3): the next token. 0 <pad>, 1 <end>, 2 "=", then the symbols.
Reward:       exact: 1 at the end if the answer is right. match: 1/n for each right symbol in its place, n being the
              number of symbols (weight 0 unless asked for).
Termination:  <end> is generated, or the answer has as many tokens as the budget allows: n + 1.
Truncation:   After max_steps steps, if given.
Arguments:    task ("copy", "reverse", "sort"); length (int, 8): most symbols in a prompt, 1 to 1,000; vocab_size
              (int, 16): different symbols, 2 to 1,000; pool (int, 65536): number of prompts; max_steps (int, 0): time
              limit, 0 for none; levels: prompts of your own, lists of symbol numbers from 0.
Levels:       Lengths uniform in 1..length, symbols uniform; the symbol i is the token i + 3.
Source:       Graves, Wayne & Danihelka (2014), "Neural Turing Machines", sections 4.1 and 4.5.
"""

import string
from collections.abc import Sequence

import numpy as np
from numba import njit

from llm_envs.engine.transcript import append_token, clear_tokens
from llm_envs.validation import check_choice, check_list, check_range
from llm_envs.vocabulary import END, PAD, character_tokenizer, word_tokenizer
from llm_envs.world import Row, Rules, TextInterface, Transcript, World, record, state_record, values

EQUALS, FIRST = 2, 3  # "=" and the first symbol
TASKS = COPY, REVERSE, SORT = range(3)
NAMES = ("copy", "reverse", "sort")
PARAMS = record(task=np.int32)


@njit
def reset(state, level, params):
    """Write the target, the right answer."""
    n = level.length
    state.num_generated, state.last, state.correct = 0, PAD, 1
    for j in range(n):
        k = n - 1 - j if params.task == REVERSE else j
        state.target[j] = level.symbols[k] + FIRST
    # Sorted here once an episode, so that `step` compares with a target whatever the task.
    if params.task == SORT:
        sort(state.target, n)


@njit
def sort(numbers, n):
    """Sort the first n numbers in place, by insertion."""
    for j in range(1, n):
        number, k = numbers[j], j
        while k > 0 and numbers[k - 1] > number:
            numbers[k] = numbers[k - 1]
            k -= 1
        numbers[k] = number


@njit
def step(state, level, params, action, signals):
    """Compare one token with the target."""
    n = level.length
    expected = state.target[state.num_generated] if state.num_generated < n else END
    # `observe` appends it: rules do not write observations.
    state.num_generated += 1
    state.last = action
    if action != expected:
        state.correct = 0
    elif action != END:
        signals.match = 1.0 / n
    # <end>, or the budget of n + 1 tokens is spent: then `correct` is 0, for the last of them was not <end>.
    if action != END and state.num_generated <= n:
        return False
    signals.exact = state.correct
    return True


@njit
def observe(state, level, params, observation):
    """Write the prompt, then token by token what the policy generates."""
    if state.t > 0:
        append_token(observation, state.last)
        return
    clear_tokens(observation)
    for j in range(level.length):
        append_token(observation, level.symbols[j] + FIRST)
    append_token(observation, EQUALS)


def random_prompts(pool: int, length: int, vocab_size: int, kind: np.dtype) -> np.ndarray:
    """Return `pool` prompts; the same ones for the same arguments."""
    rng = np.random.default_rng(0)
    levels = np.zeros(pool, kind)
    levels["length"] = rng.integers(1, length + 1, pool)
    inside = np.arange(length) < levels["length"][:, None]
    # (pool, length), 0 beyond each prompt's end: a level's split is a hash of its bytes.
    levels["symbols"][:, :length] = rng.integers(0, vocab_size, (pool, length)) * inside
    return levels


def custom_prompts(prompts: Sequence, length: int, vocab_size: int, kind: np.dtype) -> np.ndarray:
    """Return a user's prompts as levels; ValueError names the first bad one."""
    check_list("levels", prompts, "prompts, each a list of symbols", 1)
    levels = np.zeros(len(prompts), kind)
    for i, prompt in enumerate(prompts):
        check_list(f"levels[{i}]", prompt, "symbols")
        if not 1 <= len(prompt) <= length:
            raise ValueError(f"levels[{i}] has {len(prompt)} symbols; it must have 1 to length={length}")
        for j, symbol in enumerate(prompt):
            check_range(f"levels[{i}][{j}]", symbol, 0, vocab_size - 1)
        levels[i]["length"], levels[i]["symbols"][: len(prompt)] = len(prompt), prompt
    return levels


def copy(
    task: str = "copy",
    length: int = 8,
    vocab_size: int = 16,
    pool: int = 65_536,
    max_steps: int = 0,
    levels: Sequence | None = None,
) -> World:
    """Build the world; see the module for the arguments."""
    check_choice("task", task, NAMES)
    check_range("length", length, 1, 1000)
    check_range("vocab_size", vocab_size, 2, 1000)
    check_range("pool", pool, 1, 2**24)
    check_range("max_steps", max_steps, 0, 2**30)
    # Prompt and answer of `length` symbols each, "=" and <end>: 2 length + 2, rounded up to a multiple of 16, so that
    # similar lengths share their record types, and with them the compiled kernels.
    window = -(-(2 * length + 2) // 16) * 16
    kind = record(length=np.int16, symbols=(np.int16, (window // 2,)))
    shape = (length, vocab_size, kind)
    prompts = random_prompts(pool, *shape) if levels is None else custom_prompts(levels, *shape)
    letters = string.ascii_lowercase + string.ascii_uppercase + string.digits
    # One character a symbol while there are enough of them: a prompt is then "abca=", and not "s0 s1 s2 s0 =".
    short = vocab_size <= len(letters)
    words = list(letters[:vocab_size]) if short else [f"s{i}" for i in range(vocab_size)]
    tokenizer = character_tokenizer("=" + "".join(words)) if short else word_tokenizer(["=", *words])
    transcript = Transcript(window, vocab_size + FIRST)
    return World(
        rules=Rules(reset, step, observe),
        params=values(PARAMS, task=NAMES.index(task)),
        levels=prompts,
        custom_levels=levels is not None,
        state=state_record(target=(np.int32, (window // 2,)), num_generated=np.int32, last=np.int32, correct=np.int32),
        transcript=transcript,
        observation=record(**transcript.fields),
        bounds={
            **transcript.bounds,
            "target": (0, vocab_size + FIRST - 1),
            "num_generated": (0, length + 1),
            "last": (0, vocab_size + FIRST - 1),
            "correct": (0, 1),
        },
        actions=vocab_size + 3,
        signals={"exact": 1.0, "match": 0.0},
        max_steps=max_steps,
        text=TextInterface(tokenizer=tokenizer, actions_are_tokens=True),
        solution=solution,
    )


def solution(row: Row) -> list[int]:
    """Return the right answer's tokens."""
    symbols = row.level.symbols[: row.level.length].tolist()
    order = {COPY: symbols, REVERSE: symbols[::-1], SORT: sorted(symbols)}[int(row.params.task)]
    return [*(symbol + FIRST for symbol in order), END]
