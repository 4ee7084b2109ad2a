"""Transformer policies and policy-gradient training on llm_envs worlds, inside Stable-Baselines3."""

from agents.a2c import A2C
from agents.evaluate import evaluate
from agents.generation import generate
from agents.grpo import GRPO
from agents.policies import TransformerPolicy
from agents.ppo import PPO
from agents.reinforce import REINFORCE, RLOO
from agents.trpo import TRPO
from agents.warmstart import warm_start

ALGORITHMS = {algorithm.__name__.lower(): algorithm for algorithm in (PPO, A2C, TRPO, REINFORCE, RLOO, GRPO)}

__all__ = [
    "A2C",
    "ALGORITHMS",
    "GRPO",
    "PPO",
    "REINFORCE",
    "RLOO",
    "TRPO",
    "TransformerPolicy",
    "evaluate",
    "generate",
    "warm_start",
]
