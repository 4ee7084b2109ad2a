"""The contract of every world, as invariants: a function whose docstring states one, and which raises where it fails.

`llm_envs.testing.check_world` runs them: `INVARIANTS` for every world, then `TENSOR_INVARIANTS`, or `STRING_INVARIANTS`
for a world whose observations or actions are strings.
"""

import contextlib
import inspect
import io
import re
import warnings

import gymnasium as gym
import numpy as np
from gymnasium.utils import env_checker

from llm_envs.registration import build, find, ids
from llm_envs.testing import tensor_worlds
from llm_envs.testing.random_walks import SEED, WorldUnderTest, card_sections, raises, random_actions, require

HEADINGS = ("Description", "Observation", "Action", "Reward", "Termination", "Truncation", "Arguments", "Source")


# ---------------------------------------------------------------------- every world


def card_is_complete(tested: WorldUnderTest) -> None:
    """The builder's module docstring has the card's headings in order and names all arguments, fields and signals.

    What a section leaves out, the same section of another world that it names ("see Text/World-v0") may name.
    """
    builder = find(tested.world_id)
    sections = card_sections(tested.world_id)
    found = [heading for heading in sections if heading in HEADINGS]
    require(found == list(HEADINGS), f"the card has the headings {found}, not {list(HEADINGS)}")
    for heading, names in {
        "Arguments": inspect.signature(builder).parameters,
        "Observation": tested.world.observation.names or (),
        "Reward": tested.world.signals,
    }.items():
        named = [card_sections(other).get(heading, "") for other in ids() if other in sections[heading]]
        text = "\n".join([sections[heading], *named])
        missing = [name for name in names if not re.search(rf"\b{name}\b", text)]
        require(not missing, f"the card's {heading} does not name {missing}")


def unknown_options_raise(tested: WorldUnderTest) -> None:
    """An unknown keyword is a TypeError that names the valid ones."""
    with raises(TypeError, "an unknown keyword", inspect.signature(find(tested.world_id)).parameters):
        build(tested.world_id, {**tested.config, "no_such_option": 1})


def stepping_needs_a_reset(tested: WorldUnderTest) -> None:
    """A step before the first reset is a RuntimeError."""
    batch, env = tested.batch(1), tested.single()
    for step in (batch.step_rows, batch.step, env.step):
        with raises(RuntimeError, "a step before reset"):
            step(random_actions(batch, np.random.default_rng(SEED)))


def gymnasium_accepts(tested: WorldUnderTest) -> None:
    """Gymnasium's check_env passes with warnings as errors, in all render modes."""
    # The checker renders in every mode, "human" too, which prints.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("error")
        env_checker.check_env(gym.make(tested.world_id, **tested.config).unwrapped)


# ---------------------------------------------------------------------- worlds with strings


def strings_are_reproducible(tested: WorldUnderTest) -> None:
    """Observations are in their space, a seed fixes the dialogue, and an action that is not a string raises."""
    require(
        env_checker.data_equivalence(_dialogue(tested), _dialogue(tested)), "two dialogues with the same seed differ"
    )


def _dialogue(tested: WorldUnderTest) -> list:
    """Return what `reset` and `step` returned in a seeded random play."""
    env, rng, world = tested.single(), np.random.default_rng(SEED), tested.world
    returned: list = [env.reset(seed=SEED)]
    for _ in range(tested.steps // 10):
        if world.takes_text:
            with raises(ValueError, "an action that is no string"):
                env.step(0)
        obs, reward, terminated, truncated, info = env.step(random_actions(env.batch, rng)[0])
        returned.append((obs, reward, terminated, truncated, info))
        require(obs in env.observation_space, f"{obs!r} is outside of {env.observation_space}")
        if terminated or truncated:
            returned.append(env.reset())  # without a seed: the next episode follows from the first one's
    return returned


INVARIANTS = (card_is_complete, unknown_options_raise, stepping_needs_a_reset)
STRING_INVARIANTS = (strings_are_reproducible, gymnasium_accepts)
TENSOR_INVARIANTS = (
    tensor_worlds.observations_are_in_their_space,
    tensor_worlds.rewards_are_weighted_signals,
    tensor_worlds.time_limits_truncate,
    tensor_worlds.seeds_fix_trajectories,
    tensor_worlds.rows_are_single_environments,
    tensor_worlds.gym_view_shows_its_row,
    tensor_worlds.snapshots_continue_bit_for_bit,
    tensor_worlds.bad_actions_raise,
    tensor_worlds.illegal_actions_are_no_ops,
    tensor_worlds.sweeps_visit_and_groups_share_levels,
    gymnasium_accepts,
    tensor_worlds.stable_baselines_accepts,
)
