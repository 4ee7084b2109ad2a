"""Configurations of the coin game for the golden digests: every option, and where two of them meet."""

from typing import Any

HOUSE: dict[str, Any] = {  # Hall is the start; the coin lies in the Old Mill, two rooms away
    "exits": [{"north": 1, "west": 3}, {"south": 0, "east": 2}, {"west": 1}, {"east": 0}],
    "names": ["Hall", "Pier", "Old Mill", "Attic"],
    "coin": 2,
}
LOOP: dict[str, Any] = {  # names of the game's own, a start in the middle, and a way around
    "exits": [{"east": 1, "south": 2}, {"west": 0, "south": 3}, {"north": 0, "east": 3}, {"north": 1, "west": 2}],
    "start": 3,
    "coin": 0,
}
ROOM: dict[str, Any] = {"exits": [{}], "names": ["Round Room 9"], "coin": 0}
OPTIONS: list[dict[str, Any]] = [
    {"level": 1},
    {"level": 3, "mode": 2, "pool": 7, "split": "all"},
    {"level": 33, "mode": 3, "max_steps": 60},
    {"level": 100, "max_steps": 0, "pool": 64},
    {"window": 64, "max_steps": 0},
    {"window": 100, "mode": 2, "autoreset": "next_step"},
    {"window": 1024, "level": 20, "max_steps": 140},
    {"split": "test"},
    {"split": "validation", "mode": 2},
    {"order": "sweep", "split": "all", "pool": 5},
    {"group_size": 3, "mode": 2},
    {"action": "text", "window": 64, "max_steps": 20},
    {"action": "text", "weights": {"score": 2.0, "step": -0.5, "invalid": -0.25}},
    {"levels": [HOUSE]},
    {"levels": [HOUSE, LOOP, ROOM], "window": 64, "max_steps": 0},
    {"levels": [HOUSE, LOOP, ROOM] * 4, "split": "train", "order": "sweep"},
]
DIALOGUES: list[dict[str, Any]] = [
    {"observation": "text", "action": "text", "levels": [HOUSE, LOOP, ROOM], "max_steps": 12},
    {"observation": "text", "action": "text", "level": 4, "mode": 3, "window": 64, "max_steps": 0},
    {"observation": "text", "action": "text", "weights": {"invalid": -1.0, "step": -0.125}, "split": "test"},
    {"observation": "text", "level": 12, "mode": 2, "window": 1024, "levels": [LOOP]},
    {"action": "text", "levels": [HOUSE], "window": 64},
]
CONFIGURATIONS = [("Text/Coin-v0", options) for options in OPTIONS] + [("TextGame-v0", {"mode": 2, "level": 6})]
STRINGS = [("Text/Coin-v0", options) for options in DIALOGUES]
