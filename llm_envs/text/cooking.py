"""The cooking game under its public name; `llm_envs.text.games.cooking` has it."""

from llm_envs.text.games.cooking import PRESETS, cooking

__all__ = ["PRESETS", "cooking"]
