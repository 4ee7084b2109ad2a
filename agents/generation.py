"""Writing from prompts under its public name; `agents.policies.generation` has it."""

from agents.policies.generation import generate

__all__ = ["generate"]
