"""Stories under their public names: games that users write in YAML."""

from llm_envs.text.formats.story.read import load_story
from llm_envs.text.games.story import BUILT_IN, story

__all__ = ["BUILT_IN", "load_story", "story"]
