"""Transformer policies and policy-gradient training on llm_envs worlds, inside Stable-Baselines3."""

import sys

import llm_envs  # noqa: F401  isort: skip (before torch: it tells OpenMP, which torch loads, how threads wait)
from agents.algorithms import kl_regularizer
from agents.algorithms.a2c import A2C
from agents.algorithms.grpo import GRPO
from agents.algorithms.ppo import PPO
from agents.algorithms.reinforce import REINFORCE, RLOO
from agents.algorithms.trpo import TRPO
from agents.evaluate import evaluate
from agents.objectives import advantages, schedules
from agents.policies.generation import generate
from agents.policies.policy import TransformerPolicy
from agents.rollouts import buffer, replay
from agents.supervised.warm_start import warm_start

ALGORITHMS = {algorithm.__name__.lower(): algorithm for algorithm in (PPO, A2C, TRPO, REINFORCE, RLOO, GRPO)}

# Pickles name classes by module: models saved before agents had folders look for theirs here.
FORMER_MODULES = {
    "agents.buffers": buffer,
    "agents.estimators": advantages,
    "agents.reference": kl_regularizer,
    "agents.replay": replay,
    "agents.schedules": schedules,
}
sys.modules.update(FORMER_MODULES)

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
