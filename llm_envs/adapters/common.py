"""What the views share: render modes and drawing a row."""

from typing import Any

import gymnasium as gym

from llm_envs.engine.batch import BatchEnv

SECONDS_PER_FRAME = 0.1
RENDER_MODES = ("ansi", "human", "rgb_array")  # of every world: text can be printed and drawn
METADATA = {"render_modes": list(RENDER_MODES), "render_fps": round(1 / SECONDS_PER_FRAME)}


def draw(batch: BatchEnv, row: int, render_mode: str | None) -> Any:
    """Return (or, for "human", print) one row as `render_mode` asks."""
    if render_mode == "rgb_array":
        return batch.frame(row)
    if render_mode is None:
        gym.logger.warn("render() was called on an environment made without a render_mode")
        return None
    text = batch.render(row)
    return text if render_mode == "ansi" else print(text)
