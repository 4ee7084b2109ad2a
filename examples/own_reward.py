"""Reward functions of your own: one on tensors, one on strings, each a named term with a weight.

A term is a plain function of one batched transition; `BatchEnv` calls it after the rules, adds weight times value to
the reward, and logs the value under the function's name, beside the world's own signals. Here, on 2-digit addition:

    brevity       -1 for every token; it reads tensors and stays on the batch's device
    looks_even    1 if the finished answer is an even number; it reads the text, and is called only where episodes end

    python examples/own_reward.py
"""

import torch

import llm_envs
from llm_envs.rewards import Reward, Transition

ROWS, STEPS, SEED = 256, 200, 0
WEIGHTS = {"exact": 1.0, "wellformed": 0.1}  # of the world's signals


def brevity(transition: Transition) -> torch.Tensor:
    """Return minus the number of tokens that the step added, (M,)."""
    return (transition.before["length"] - transition.obs["length"]).flatten().float()


def parse_answer(text: str) -> int | None:
    """Return the answer in "12+30=42<end>"; None where it is not a number."""
    answer = text.partition("=")[2].removesuffix("<end>")
    return int(answer) if answer.isdecimal() else None


def looks_even(texts: list[str]) -> list[float]:
    """Return for each finished text 1 if its answer is an even number, else 0."""
    return [float((answer := parse_answer(text)) is not None and answer % 2 == 0) for text in texts]


def main() -> None:
    """Play at random and print the mean of every term; the rewards must be their weighted sum."""
    terms = [Reward(brevity, weight=0.01), Reward(looks_even, weight=0.5, on_text=True, at_end=True)]
    batch = llm_envs.make_batch("Tokens/Addition-v0", ROWS, digits=2, weights=WEIGHTS, rewards=terms, seed=SEED)
    weights = {**batch.weights, "brevity": 0.01, "looks_even": 0.5}
    generator = torch.Generator().manual_seed(SEED)
    batch.reset()
    total, sums = 0.0, dict.fromkeys(weights, 0.0)
    for _ in range(STEPS):
        step = batch.step(torch.randint(batch.world.actions, (ROWS,), generator=generator))
        total += float(step.reward.sum())
        for name in sums:
            sums[name] += float(step.signals[name].sum())
    print("term        weight  mean a step")
    for name, value in sums.items():
        print(f"{name:11} {weights[name]:6.2f} {value / ROWS / STEPS:12.5f}")
    expected = sum(weights[name] * value for name, value in sums.items())
    print(f"mean reward {total / ROWS / STEPS:.5f}, weighted sum of the terms {expected / ROWS / STEPS:.5f}")


if __name__ == "__main__":
    main()
