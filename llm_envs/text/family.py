"""Builders of text worlds under their public names; `llm_envs.text.interface.world` has them."""

from llm_envs.text.interface.world import games_world, made, text_game

__all__ = ["games_world", "made", "text_game"]
