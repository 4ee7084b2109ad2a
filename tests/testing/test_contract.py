"""Every registered world keeps the contract; compiled and interpreted rules agree; the checks catch what they say."""

import dataclasses
import json
import os
import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest
from numba import njit

import llm_envs
from llm_envs import registration
from llm_envs.testing import check_world, trajectory_digest
from llm_envs.tokens.tasks.copy import copy

# Beyond every id without arguments: configurations whose rules, records or spaces differ.
CONFIGURATIONS = [
    ("Tokens/Copy-v0", {"task": "reverse"}),
    ("Tokens/Copy-v0", {"task": "sort", "length": 20, "vocab_size": 100}),
    ("Tokens/Addition-v0", {"reverse": True, "base": 2, "digits": 5}),
    ("Nav/FourRooms-v0", {"size": 9, "view": 5, "see_through": True, "max_steps": 30}),
    ("Nav/PathPlanner-v0", {"action": "continuous", "inertia": 0.5}),
    ("Nav/PathPlanner-v0", {"obstacles": 4}),
    ("Text/Coin-v0", {"mode": 3, "window": 64}),
    ("Text/World-v0", {"action": "index"}),
    ("Text/World-v0", {"action": "admissible"}),
    ("Text/World-v0", {"observation": "state", "mask": "none"}),
    ("Text/KeyQuest-v0", {"pool": 5, "observation": "state", "action": "index"}),
    (
        "Text/Cooking-v0",
        {"preset": "ftwp-hardest", "pool": 8, "action": "index", "shows": ["description", "inventory"]},
    ),
]
TEXTS = [
    ("Text/Coin-v0", {"observation": "text", "action": "text"}),
    ("Text/Coin-v0", {"observation": "text"}),
    ("Text/Coin-v0", {"action": "text"}),
    ("Text/World-v0", {"observation": "text", "action": "text", "facts": True}),
    ("Text/World-v0", {"action": "text"}),
]
TENSOR_CASES = [(world_id, {}) for world_id in llm_envs.ids()] + CONFIGURATIONS


def name(case) -> str:
    world_id, config = case
    return world_id + "".join(f"-{key}={value}" for key, value in config.items())


@pytest.mark.parametrize("case", TENSOR_CASES + TEXTS, ids=name)
def test_contract(case):
    world_id, config = case
    check_world(world_id, steps=1000, **config)


@pytest.fixture(scope="module")
def interpreted() -> list[str]:
    """The digests of all cases with the rules run as plain Python, from one process for all."""
    program = (
        "import json, sys; from llm_envs.testing import trajectory_digest; "
        "print(json.dumps([trajectory_digest(i, 3, 120, 7, **c) for i, c in json.loads(sys.argv[1])]))"
    )
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-c", program, json.dumps(TENSOR_CASES)]
    return json.loads(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


@pytest.mark.parametrize("k", range(len(TENSOR_CASES)), ids=lambda k: name(TENSOR_CASES[k]))
def test_compiled_rules_equal_interpreted_ones(k, interpreted):
    """Numba's integers wrap and its divisions differ from Python's in corners that rules must not rely on."""
    world_id, config = TENSOR_CASES[k]
    assert trajectory_digest(world_id, 3, 120, 7, **config) == interpreted[k]


@pytest.mark.parametrize("case", [case for case in TENSOR_CASES if case[1].get("action") != "continuous"], ids=name)
def test_a_solution_ends_its_episode_on_its_last_action(case):
    """Random walks seldom win; this one must, so that what a win pays and shows is checked too."""
    world_id, config = case
    batch = llm_envs.make_batch(world_id, 1, split="all", autoreset="never", **config)
    won = 0
    for seed in range(20):
        batch.reset_rows(seed)
        actions = batch.world.solution(batch.row(0))
        if 0 < batch.world.max_steps < len(actions):
            continue
        for k, action in enumerate(actions):
            batch.step_rows(np.asarray(action)[None])
            assert batch.arrays.terminated[0] == (k == len(actions) - 1)
        assert batch.arrays.reward[0] > 0
        won += 1
    assert won > 0


# ---------------------------------------------------------------------- the checks themselves


def corridor(**replaced):
    """Return the builder of a right world in which `replaced` fields of the World are wrong."""

    def build(pool: int = 10, max_steps: int = 6):
        return dataclasses.replace(copy(pool=pool, max_steps=max_steps), **replaced)

    build.__module__ = copy.__module__  # whose docstring is a card
    return build


@njit
def pays_nan(state, level, params, action, signals):
    """Pay NaN for one of the actions."""
    signals.match = np.nan if action == 5 else 0.0
    return action == 1


BREACHES = {
    "observations_are_in_their_space": {"bounds": {**copy(pool=10).bounds, "tokens": (0, 9)}},
    "card_is_complete": {"signals": {"exact": 1.0, "unheard_of": 0.0}},
    "rewards_are_weighted_signals": {"rules": dataclasses.replace(copy(pool=10).rules, step=pays_nan)},
}


@pytest.mark.parametrize("invariant", BREACHES)
def test_check_world_names_the_broken_invariant(invariant, monkeypatch):
    monkeypatch.setitem(registration._builders, "Tokens/Copy-v0", corridor(**BREACHES[invariant]))
    with pytest.raises(AssertionError, match=f"Tokens/Copy-v0 .* breaks {invariant}"):
        check_world("Tokens/Copy-v0", steps=200)


def test_a_users_own_world_is_registered_checked_and_made(monkeypatch):
    monkeypatch.setattr(registration, "_builders", dict(registration._builders))
    llm_envs.register("Mine/Corridor-v0", corridor())
    check_world("Mine/Corridor-v0", steps=200)
    assert gym.make("Mine/Corridor-v0", pool=5).unwrapped.batch.world.max_steps == 6
    assert gym.make_vec("Mine/Corridor-v0", 3).reset(seed=0)[0]["length"].shape == (3, 1)
    for taken in ("Mine/Corridor-v0", "CartPole-v1"):
        with pytest.raises(ValueError, match=f"the id '{taken}' is taken"):
            llm_envs.register(taken, corridor())
