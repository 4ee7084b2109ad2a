"""One world of each rule set, and the smallest story: what several tests play."""

import llm_envs
from llm_envs.registration import find

# Generated families of text games have the rules and observations of Text/World-v0.
DISTINCT = [world_id for world_id in llm_envs.ids() if not hasattr(find(world_id), "generate")]

APPLE_STORY = """
objective: Put the apple on the shelf.
start: hall
rooms:
  hall: {contents: [apple, shelf]}
things:
  apple: food
  shelf: supporter
quests:
  - {win: apple on shelf}
"""
