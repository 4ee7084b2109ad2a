"""Guess: find a secret number; each guess is answered by "higher" or "lower". A world of your own, in one file.

Description:  A number from 0 to n - 1 is drawn. Each guess is written to the text, followed by the answer.
Observation:  tokens: int32 (T,), guesses and answers, padded on the right with <pad> (0). length: int32 (1,), the
              number of tokens, at least 1: the text begins with "guess".
Action:       Discrete(n): the number i, whose token is i + 5.
Reward:       found: 1 for guessing the number. guess: 1 every step (weight 0 unless asked for).
Termination:  The number is guessed.
Truncation:   After max_steps steps.
Arguments:    n (int, 16): 2 to 1,000; max_steps (int, 8): time limit, 1 to 100.
Source:       An example; bisection needs at most floor(log2(n)) + 1 guesses.
"""

import gymnasium as gym
import numpy as np
from numba import njit

import llm_envs
from llm_envs.engine.transcript import append_token, clear_tokens
from llm_envs.testing import check_world
from llm_envs.vocabulary import word_tokenizer
from llm_envs.world import Rules, TextInterface, Transcript, World, check_range, record, state_record, values

GUESS, HIGHER, LOWER, FIRST = range(2, 6)  # tokens; 0 is <pad>, 1 <end>
PARAMS, LEVEL = record(n=np.int32), record(secret=np.int32)


@njit
def reset(state, level, params):
    """Forget the last guess."""
    state.guess = 0


@njit
def step(state, level, params, action, signals):
    """Return whether the guess is right."""
    state.guess = action
    signals.guess = 1.0
    signals.found = action == level.secret
    return action == level.secret


@njit
def observe(state, level, params, observation):
    """Write the guess and its answer."""
    if state.t == 0:
        clear_tokens(observation)
        append_token(observation, GUESS)
        return
    append_token(observation, state.guess + FIRST)
    if state.guess != level.secret:
        append_token(observation, HIGHER if level.secret > state.guess else LOWER)


def guess(n: int = 16, max_steps: int = 8) -> World:
    """Build the world; see the module for the arguments."""
    check_range("n", n, 2, 1000)
    check_range("max_steps", max_steps, 1, 100)
    transcript = Transcript(2 * max_steps + 1, n + FIRST)
    words = ["guess", "higher", "lower", *map(str, range(n))]
    return World(
        rules=Rules(reset, step, observe),
        params=values(PARAMS, n=n),
        levels=np.arange(n, dtype=np.int32).view(LEVEL),
        state=state_record(guess=np.int32),
        transcript=transcript,
        observation=record(**transcript.fields),
        bounds={**transcript.bounds, "guess": (0, n - 1)},
        actions=n,
        signals={"found": 1.0, "guess": 0.0},
        max_steps=max_steps,
        text=TextInterface(tokenizer=word_tokenizer(words)),
    )


def main() -> None:
    """Register the world, check it, play it by bisection as one environment and at random as a batch."""
    llm_envs.register("Mine/Guess-v0", guess)
    check_world("Mine/Guess-v0", steps=200)
    print("check_world: OK")

    env = gym.make("Mine/Guess-v0", split="all", render_mode="ansi")
    env.reset(seed=1)
    low, high, terminated = 0, 15, False
    while not terminated:
        middle = (low + high) // 2
        obs, reward, terminated, _, _ = env.step(middle)
        answer = obs["tokens"][obs["length"][0] - 1]
        low, high = (middle + 1, high) if answer == HIGHER else (low, middle - 1)
    print(env.render(), f"-> reward {reward:g}")

    batch = llm_envs.make_batch("Mine/Guess-v0", 1000, split="all", seed=0)
    batch.reset_rows()
    rng, found = np.random.default_rng(0), 0.0
    for _ in range(100):
        batch.step_rows(rng.integers(0, 16, 1000))
        found += batch.arrays.signals["found"].sum()
    print(f"at random {found / 100_000:.4f} of 100,000 guesses are right; 1/16 = {1 / 16:.4f} is expected")


if __name__ == "__main__":
    main()
