"""The batch under its public name; `llm_envs.engine.batch` has it."""

from llm_envs.engine.batch import BatchEnv, Step

__all__ = ["BatchEnv", "Step"]
