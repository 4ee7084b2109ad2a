"""Golden digests: what seeded random walks in every world show and pay, whatever the layout of its records.

`python tests/golden/trajectories.py` writes `digests.json` anew; do so only where a change of what is observed is
meant. A digest is over the fields of observations by name, rewards, flags, signals, levels, true final observations
and, where a world speaks in strings, over its texts and infos. It does not see the state's layout, which may change.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import coin_walks
import gymnasium as gym
import numpy as np

import llm_envs

FILE = Path(__file__).with_name("digests.json")
WALKS = ((3, 150, 0), (3, 150, 1234))  # rows, steps, seed
ENGINE: list[dict[str, Any]] = [
    {"order": "sweep", "split": "all"},
    {"group_size": 3, "split": "all"},
    {"autoreset": "next_step"},
    {"split": "test"},
]
TEXT_FORMS: list[dict[str, Any]] = [
    {"action": "index"},
    {"action": "admissible"},
    {"observation": "state", "mask": "none"},
    {"action": "index", "mask": "none", "shows": ["description", "inventory"]},
    {"shows": []},
    {"window": 512, "max_steps": 400},
]
FAMILIES: dict[str, list[dict[str, Any]]] = {
    "Text/Collector-v0": [{"level": 10, "mode": 2}, {"mode": 3, "observation": "state"}],
    "Text/Treasure-v0": [{"level": 15}, {"level": 25, "action": "index"}],
    "Text/KeyQuest-v0": [{"locks": 3, "rooms": 8, "action": "index"}],
    "Text/House-v0": [{"rooms": 9, "objects": 12, "quests": 5, "action": "index"}],
    "Text/Chain-v0": [{"length": 6, "branches": 3, "action": "index"}, {"failure": False}],
    "Text/Cooking-v0": [
        {"preset": "ftwp-hardest", "action": "index"},
        {"preset": "ftwp-hardest", "shows": ["description", "inventory"]},
        {"recipe": 2, "take": 2, "cook": True, "cut": True, "open": True, "go": 6, "action": "admissible"},
    ],
    "Text/CookingWorld-v0": [{"ingredients": 3, "rooms": 6, "action": "index"}, {"doors": False}],
    "Text/Tidy-v0": [{"level": "medium", "action": "index"}, {"level": "hard"}],
    "Text/MapReader-v0": [{"rooms": 15, "distance": 4, "action": "index"}],
    "Text/Arithmetic-v0": [{"action": "index"}],
    "Text/Sorting-v0": [{"things": 6, "action": "index"}],
    "Text/PeckingOrder-v0": [{"things": 6, "action": "index"}],
    "Text/SimonSays-v0": [{"length": 6, "action": "index"}],
}
CONFIGURATIONS: list[tuple[str, dict[str, Any]]] = [
    *((world_id, {}) for world_id in llm_envs.ids()),
    *(("Tokens/Copy-v0", options) for options in ENGINE),
    *(("Text/KeyQuest-v0", options) for options in ENGINE),
    *(("Text/World-v0", options) for options in TEXT_FORMS),
    *((world_id, {"pool": 8, **options}) for world_id, forms in FAMILIES.items() for options in forms),
    ("Tokens/Copy-v0", {"task": "reverse", "length": 3}),
    ("Tokens/Copy-v0", {"task": "sort", "length": 20, "vocab_size": 100}),
    ("Tokens/Copy-v0", {"length": 5, "max_steps": 3, "weights": {"match": 0.5}}),
    ("Tokens/Copy-v0", {"levels": [[0, 1, 2], [3, 1]]}),
    ("Tokens/Addition-v0", {"reverse": True, "base": 2, "digits": 5}),
    (
        "Tokens/Addition-v0",
        {"digits": 6, "min_digits": 2, "weights": {"match": 1.0, "length": 0.5, "wellformed": 0.25}},
    ),
    ("Tokens/Addition-v0", {"levels": [[1, 2], [99, 1]], "digits": 2}),
    ("Nav/FourRooms-v0", {"size": 9, "view": 5, "see_through": True, "max_steps": 30}),
    ("Nav/FourRooms-v0", {"size": 11, "pool": 50}),
    ("Nav/FourRooms-v0", {"autoreset": "next_step", "max_steps": 20}),
    ("Nav/FourRooms-v0", {"weights": {"goal": 2.0, "step": -0.5, "bump": -0.25}}),
    ("Nav/PathPlanner-v0", {"action": "continuous", "inertia": 0.5}),
    ("Nav/PathPlanner-v0", {"obstacles": 4}),
    ("Nav/PathPlanner-v0", {"obstacles": 8, "action": "continuous", "max_steps": 40}),
    ("Text/Coin-v0", {"mode": 3, "window": 64}),
    ("Text/Coin-v0", {"level": 10, "mode": 2, "max_steps": 30, "weights": {"step": -0.1, "invalid": -1.0}}),
    *coin_walks.CONFIGURATIONS,
]
STRINGS: list[tuple[str, dict[str, Any]]] = [
    ("Text/Coin-v0", {"observation": "text", "action": "text"}),
    ("Text/Coin-v0", {"observation": "text"}),
    ("Text/Coin-v0", {"action": "text", "level": 8, "mode": 2}),
    ("Text/World-v0", {"observation": "text", "action": "text", "facts": True}),
    ("Text/World-v0", {"action": "text", "shows": ["inventory"]}),
    ("Text/Story-v0", {"observation": "text", "action": "text", "facts": True}),
    *(
        (world_id, {"pool": 4, "observation": "text", "action": "text", "facts": True})
        for world_id in FAMILIES
        if world_id != "Text/Collector-v0"
    ),
    *coin_walks.STRINGS,
]
TOLD = ("feedback", "description", "inventory", "admissible_commands", "score", "max_score", "won", "lost", "facts")
ODD = ("xyzzy", "", "take all", "open the", "go nowhere", "look", "examine me", "inventory", "drop everything")


def choose(batch: Any, rng: np.random.Generator) -> np.ndarray:
    """Return one action a row: in one step of eight any, else legal ones."""
    world, free = batch.world, rng.random() < 0.125
    if not isinstance(world.actions, int):
        return rng.uniform(world.actions.low, world.actions.high, (batch.num_envs, *world.actions.shape)).astype("f4")
    masks = np.ones((batch.num_envs, world.actions)) if free else batch.action_masks()
    return (rng.random(masks.shape) * masks).argmax(1)


def walk_digest(world_id: str, config: dict[str, Any], num_envs: int, steps: int, seed: int) -> str:
    """Return the digest of one walk of a batch."""
    digest, rng = hashlib.sha256(), np.random.default_rng(seed)
    batch = llm_envs.make_batch(world_id, num_envs, **config)
    batch.reset(seed)

    def add(values: dict[str, np.ndarray], rows: Any = slice(None)) -> None:
        for name in sorted(values):
            digest.update(name.encode() + np.ascontiguousarray(values[name][rows]).tobytes())

    add(batch.to_host().obs)
    for _ in range(steps):
        batch.step(choose(batch, rng))
        now = batch.to_host()
        add(now.obs)
        add(now.signals)
        add({"reward": now.reward, "terminated": now.terminated, "truncated": now.truncated})
        add(now.final_obs, now.terminated | now.truncated)
        add({"level": batch.level_index, "episode": batch.episode})
    return digest.hexdigest()[:16]


def dialogue_digest(world_id: str, config: dict[str, Any], steps: int, seed: int) -> str:
    """Return the digest of one dialogue with a single environment that takes or shows strings."""
    digest, rng = hashlib.sha256(), np.random.default_rng(seed)
    env = gym.make(world_id, disable_env_checker=True, **config).unwrapped
    typed = isinstance(env.action_space, gym.spaces.Text)

    def add(obs: Any, *rest: Any) -> None:
        info = rest[-1]
        shown = obs if isinstance(obs, str) else {name: value.tolist() for name, value in obs.items()}
        told = {name: info[name] for name in TOLD if name in info}
        digest.update(json.dumps([shown, *rest[:-1], told], sort_keys=True, default=str).encode())

    step = env.reset(seed=seed)
    add(*step)
    for _ in range(steps):
        if not typed:
            action: Any = int(rng.integers(env.action_space.n))
        elif rng.random() < 0.125:
            action = ODD[rng.integers(len(ODD))]
        else:
            known = step[-1].get("admissible_commands") or env.batch.world.action_names
            action = known[rng.integers(len(known))]
        step = env.step(action)
        add(*step)
        if step[2] or step[3]:
            step = env.reset()
            add(*step)
    return digest.hexdigest()[:16]


def name(world_id: str, config: dict[str, Any]) -> str:
    """Return what a configuration is called in the golden file."""
    return f"{world_id} {json.dumps(config, sort_keys=True)}"


def digest(world_id: str, config: dict[str, Any]) -> list[str]:
    """Return the digests of a configuration's walks, one a seed."""
    if (world_id, config) in STRINGS:
        return [dialogue_digest(world_id, config, steps, seed) for _, steps, seed in WALKS]
    return [walk_digest(world_id, config, *walk) for walk in WALKS]


if __name__ == "__main__":
    found = {name(*case): digest(*case) for case in CONFIGURATIONS + STRINGS}
    FILE.write_text(json.dumps(found, indent=1) + "\n")
    print(f"{len(found)} configurations")
