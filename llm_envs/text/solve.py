"""The solver under its public name; `llm_envs.text.solver` has it."""

from llm_envs.text.solver.solve import solve

__all__ = ["solve"]
