"""Stable-Baselines3's own PPO, unchanged, with a transformer policy, on a world of this library.

`TensorVecEnv` is an SB3 `VecEnv`, `TransformerPolicy` an SB3 policy: nothing else is needed. (`agents.PPO` is the same
algorithm with rollouts that skip what token worlds do not need; see `python -m agents.train`.)

    python examples/stock_sb3.py
"""

import torch
from stable_baselines3 import PPO

from agents import TransformerPolicy, evaluate
from llm_envs.adapters.sb3 import TensorVecEnv

STEPS = 40_000  # tokens; about 10 s
WORLD, CONFIG = "Tokens/Copy-v0", {"length": 3, "vocab_size": 4, "pool": 2000}  # copy up to 3 of 4 symbols
WEIGHTS = {"exact": 1.0, "match": 1.0}  # a dense reward beside the exact one
BACKBONE = {"kind": "transformer", "width": 32, "layers": 1, "heads": 2, "positions": "learned"}


def main() -> None:
    """Train, and compare the greedy policy with what it was at first."""
    torch.manual_seed(0)
    env = TensorVecEnv(WORLD, 128, weights=WEIGHTS, seed=0, **CONFIG)
    model = PPO(
        TransformerPolicy,
        env,
        n_steps=16,
        batch_size=256,
        n_epochs=4,
        learning_rate=2e-3,
        gamma=1.0,
        ent_coef=0.01,
        seed=0,
        device="cpu",
        policy_kwargs={"backbone": BACKBONE, "shared_value": True},
    )
    for when in ("before", "after"):
        found = evaluate(model, WORLD, "test", transcripts=1000, **CONFIG)
        print(
            f"{when}: {found.signals['exact']:.0%} of {found.episodes} episodes on prompts never trained on are right,"
        )
        print("    such as", *sorted(set(found.transcripts), key=len)[-4:])
        if when == "before":
            model.learn(STEPS)


if __name__ == "__main__":
    main()
