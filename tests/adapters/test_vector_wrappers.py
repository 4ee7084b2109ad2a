"""Every vector wrapper of Gymnasium around our vector view and around SyncVectorEnv of our single ones: the same.

What they return is compared to the last bit, and what they refuse, in construction or later, must be refused alike.
"""

import functools
import itertools
import os

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import vector
from same import assert_same

import llm_envs

STRINGS = {"observation": "text", "action": "text"}
CASES = {  # one id of each family, and how its actions are drawn
    "tokens": ("Tokens/Addition-v0", {"digits": 2, "max_steps": 3}),
    "text": ("Text/Coin-v0", {"max_steps": 5}),
    "strings": ("Text/Treasure-v0", {"max_steps": 4, "pool": 4, **STRINGS}),
    "grid": ("Nav/FourRooms-v0", {"size": 7, "max_steps": 6}),
    "plane": ("Nav/PathPlanner-v0", {"action": "continuous", "max_steps": 6}),
}
MODES = (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP)
NUM_ENVS, STEPS = 3, 14


def first_keys(envs):
    """Return the name of an observation's first field, or what FilterObservation refuses."""
    space = envs.single_observation_space
    return [next(iter(space))] if isinstance(space, gym.spaces.Dict) else ["tokens"]


def flat(wrapper):
    """Return a wrapper of flattened observations, which most observation wrappers need."""
    return lambda envs: wrapper(vector.FlattenObservation(envs))


def loaded_late(name, *args):
    """Return a wrapper that needs a package; Gymnasium raises where that is missing."""
    return lambda envs: getattr(vector, name)(envs, *args)


def wrappers_of_gymnasium(folder):
    """Return every vector wrapper by name, as a function of the environment."""
    single = gym.wrappers
    return {
        "RecordEpisodeStatistics": vector.RecordEpisodeStatistics,
        "DictInfoToList": vector.DictInfoToList,
        "TransformReward": lambda envs: vector.TransformReward(envs, lambda reward: reward * 2 + 1),
        "ClipReward": lambda envs: vector.ClipReward(envs, -0.5, 0.5),
        "NormalizeReward": vector.NormalizeReward,
        "VectorizeTransformReward": lambda envs: vector.VectorizeTransformReward(
            envs, single.TransformReward, func=lambda reward: reward + 1
        ),
        "TransformAction": lambda envs: vector.TransformAction(envs, lambda actions: actions),
        "VectorizeTransformAction": lambda envs: vector.VectorizeTransformAction(
            envs, single.TransformAction, func=lambda action: action, action_space=envs.single_action_space
        ),
        "ClipAction": vector.ClipAction,
        "RescaleAction": lambda envs: vector.RescaleAction(envs, -2.0, 2.0),
        "TransformObservation": lambda envs: vector.TransformObservation(envs, lambda obs: obs),
        "VectorizeTransformObservation": lambda envs: vector.VectorizeTransformObservation(
            envs,
            single.TransformObservation,
            func=lambda obs: obs,
            observation_space=envs.single_observation_space,
        ),
        "FilterObservation": lambda envs: vector.FilterObservation(envs, first_keys(envs)),
        "FlattenObservation": vector.FlattenObservation,
        "GrayscaleObservation": vector.GrayscaleObservation,
        "ResizeObservation": lambda envs: vector.ResizeObservation(envs, (4, 4)),
        "ReshapeObservation": flat(lambda envs: vector.ReshapeObservation(envs, envs.single_observation_space.shape)),
        "RescaleObservation": flat(lambda envs: vector.RescaleObservation(envs, 0.0, 1.0)),
        "DtypeObservation": flat(lambda envs: vector.DtypeObservation(envs, np.float64)),
        "NormalizeObservation": flat(vector.NormalizeObservation),
        "RecordVideo": lambda envs: vector.RecordVideo(envs, str(folder / str(id(envs))), disable_logger=True),
        "HumanRendering": vector.HumanRendering,
        "NumpyToTorch": loaded_late("NumpyToTorch"),
        "ArrayConversion": loaded_late("ArrayConversion", np, np),
        "JaxToNumpy": loaded_late("JaxToNumpy"),
        "JaxToTorch": loaded_late("JaxToTorch"),
    }


NAMES = list(wrappers_of_gymnasium(None))


def test_no_wrapper_is_left_out():
    assert set(NAMES) == set(vector.__all__)


@functools.cache
def commands(world_id):
    """Return the commands of a game that are played as texts."""
    return llm_envs.make_batch(world_id, 1, **CASES["strings"][1]).world.action_names


def actions_of(case, envs, count):
    """Yield the same actions for the same case."""
    world_id, config = CASES[case]
    if "action" in config and config["action"] == "text":
        rng, names = np.random.default_rng(0), commands(world_id)
        for _ in range(count):
            yield tuple(names[k] for k in rng.integers(0, len(names), NUM_ENVS))
        return
    space = envs.unwrapped.action_space
    space.seed(1)
    for _ in range(count):
        yield space.sample()


def without_time(found):
    """Return what an environment returned without the wall-clock time that RecordEpisodeStatistics tells."""
    for info in found[-1] if isinstance(found[-1], list) else [found[-1]]:
        if "episode" in info:
            info["episode"] = {name: value for name, value in info["episode"].items() if name not in ("t", "_t")}
    return found


def played(case, make, wrap):
    """Return all that a wrapped environment returns, up to the type of the first error."""
    told = []
    try:
        envs = wrap(make())
        told.append(envs.reset(seed=5))
        told += [without_time(envs.step(actions)) for actions in actions_of(case, envs, STEPS)]
        envs.close()
    except Exception as error:
        told.append(type(error))
    return told


def sampled(cases):
    """Return the cases, of which plain runs take every seventh."""
    return [pytest.param(*case, marks=[pytest.mark.whole] if k % 7 else []) for k, case in enumerate(cases)]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("name", "case", "mode"), sampled(itertools.product(NAMES, CASES, MODES)))
def test_a_wrapper_does_to_our_view_what_it_does_to_sync_vector_env(name, case, mode, tmp_path, monkeypatch):
    monkeypatch.setitem(os.environ, "SDL_VIDEODRIVER", "dummy")
    world_id, config = CASES[case]
    options = {"render_mode": "rgb_array", **config} if name in ("RecordVideo", "HumanRendering") else config
    wrap = wrappers_of_gymnasium(tmp_path)[name]
    ours = played(case, lambda: gym.make_vec(world_id, NUM_ENVS, autoreset_mode=mode, **options), wrap)
    single = functools.partial(gym.make, world_id, **options)
    theirs = played(case, lambda: SyncVectorEnv([single] * NUM_ENVS, autoreset_mode=mode), wrap)
    assert_same(ours, theirs)
    assert len(ours) > 1 or isinstance(ours[0], type)
