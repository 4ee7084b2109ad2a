"""Games from the files of TextWorld; `llm_envs.text.formats.textworld.read` has it."""

from llm_envs.text.formats.textworld.read import load

__all__ = ["load"]
