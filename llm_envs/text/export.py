"""Games as files for TextWorld; `llm_envs.text.formats.textworld.write` has it."""

from llm_envs.text.formats.textworld.write import export

__all__ = ["export"]
