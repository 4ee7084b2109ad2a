"""Our algorithms in RL Baselines3 Zoo; written for rl_zoo3 2.9.

    import rl_zoo3.train
    from agents.jobs import zoo

    zoo.register()
    rl_zoo3.train.train()  # --algo trpo --env Tokens/Addition-v0 --conf-file mine.yml --gym-packages llm_envs

with `mine.yml` such as

    Tokens/Addition-v0:
      {n_timesteps: 1e6, n_envs: 512, policy: TransformerPolicy, n_steps: 20, policy_kwargs: {backbone: {width: 64}}}

The zoo looks algorithms up by name in one dict, and wraps single environments in `DummyVecEnv`. With it our algorithms
run through NumPy, with a warning, and those of whole episodes not at all; so `register` also makes the zoo build a
`TensorVecEnv` instead. The zoo's Monitor is then absent: `Monitor` files stay empty, and evaluation uses the rewards as
they are.
"""

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from agents import ALGORITHMS
from llm_envs.adapters.gym import GymEnv
from llm_envs.adapters.sb3 import TensorVecEnv

try:
    import rl_zoo3.exp_manager
    import rl_zoo3.utils
except ImportError as error:
    raise ImportError("the zoo needs rl_zoo3; install it with: pip install 'llm-envs[zoo]'") from error


def register(batched: bool = True, group_size: int = 1) -> None:
    """Add our algorithms to the zoo's registry, replacing SB3's of the same name.

    Args:
        batched: let the zoo make a `TensorVecEnv` of our worlds; False: its own vector environments.
        group_size: rows that share a level, if it divides their number, else 1; rloo and grpo need 2 or more.
    """
    # The zoo has no hook for either: its registry is a dict, its vector class a class attribute.
    rl_zoo3.utils.ALGOS.update(ALGORITHMS)
    maker: Any = staticmethod(lambda makers: make_rows(makers, group_size)) if batched else None
    rl_zoo3.exp_manager.ExperimentManager.default_vec_env_cls = maker


def make_rows(makers: Sequence[Callable[[], gym.Env]], group_size: int = 1) -> VecEnv:
    """Return a vector environment with a row for each of `makers`, which all make the same environment.

    A `TensorVecEnv` if that is one of our worlds, wrapped in nothing but Gymnasium's and SB3's own checks; else SB3's
    `DummyVecEnv`.
    """
    first = makers[0]()
    spec = first.spec
    if not _is_plain(first) or spec is None:
        return DummyVecEnv(list(makers))
    first.close()
    options, count = dict(spec.kwargs), len(makers)
    return TensorVecEnv(spec.id, count, group_size=1 if count % group_size else group_size, **options)


def _is_plain(env: gym.Env) -> bool:
    """Return whether an environment is one of ours, without wrappers that change observations or rewards."""
    while isinstance(env, (Monitor, PassiveEnvChecker, OrderEnforcing)):
        env = env.env
    return isinstance(env, GymEnv)
