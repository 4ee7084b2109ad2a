"""One world of each rule set: generated families of text games have the rules and observations of Text/World-v0."""

import llm_envs
from llm_envs.registration import find

DISTINCT = [world_id for world_id in llm_envs.ids() if not hasattr(find(world_id), "generate")]
