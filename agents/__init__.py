"""Transformer policies and policy-gradient training on llm_envs worlds, inside Stable-Baselines3."""

from agents.evaluate import evaluate
from agents.policies import TransformerPolicy
from agents.ppo import PPO
from agents.warmstart import warm_start

__all__ = ["PPO", "TransformerPolicy", "evaluate", "warm_start"]
