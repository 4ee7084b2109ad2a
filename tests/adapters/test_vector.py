"""The vector view beside SyncVectorEnv of the single views: modes, strings, partial resets, levels, rows."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from same import assert_same

import llm_envs
from llm_envs.adapters.gym import GymEnv, GymVectorEnv

ADDITION, COIN, PLANNER, ROOMS = "Tokens/Addition-v0", "Text/Coin-v0", "Nav/PathPlanner-v0", "Nav/FourRooms-v0"
TREASURE, STRINGS = "Text/Treasure-v0", {"observation": "text", "action": "text"}
CASES = {
    "tokens": (ADDITION, {"digits": 2, "max_steps": 3}),
    "text": (COIN, {"max_steps": 7}),
    "plane": (PLANNER, {"action": "continuous", "max_steps": 9}),
    "grid": (ROOMS, {"size": 7, "max_steps": 20}),
    "strings": (TREASURE, {"pool": 8, "max_steps": 6, "facts": True, **STRINGS}),
    "coin strings": (COIN, {"max_steps": 6, **STRINGS}),
    "typed, seen as tokens": (TREASURE, {"pool": 8, "max_steps": 6, "action": "text"}),
}
SAME, NEXT, DISABLED = AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED
PARTS = ("obs", "reward", "terminated", "truncated", "info")


def both(case, mode, num_envs=3, **options):
    """Return our vector view and SyncVectorEnv of our single views."""
    world_id, config = CASES[case]
    ours = gym.make_vec(world_id, num_envs, autoreset_mode=mode, **config, **options)
    single = lambda: gym.make(world_id, **config, **options)  # noqa: E731
    return ours, SyncVectorEnv([single] * num_envs, autoreset_mode=mode)


def random_actions(envs, count):
    """Yield actions: samples of the space, or commands of the game."""
    world, rng = envs.unwrapped.batch.world, np.random.default_rng(1)
    envs.action_space.seed(1)
    for _ in range(count):
        if world.takes_text:
            yield tuple(world.action_names[k] for k in rng.integers(0, len(world.action_names), envs.num_envs))
        else:
            yield envs.action_space.sample()


def assert_same_steps(ours, theirs):
    for name, *pair in zip(PARTS, ours, theirs, strict=True):
        assert_same(*pair, name)


@pytest.mark.parametrize("mode", [SAME, NEXT], ids=lambda mode: mode.value)
@pytest.mark.parametrize("case", CASES)
def test_the_vector_view_equals_sync_vector_env(case, mode):
    ours, theirs = both(case, mode)
    assert isinstance(ours.unwrapped, GymVectorEnv)
    assert ours.observation_space == theirs.observation_space
    assert ours.action_space == theirs.action_space
    assert ours.autoreset_mode is theirs.autoreset_mode is ours.metadata["autoreset_mode"]
    assert ours.metadata["render_fps"] == theirs.metadata["render_fps"]
    for seed in (5, None, [7, 3, 9], [None, 4, None]):
        assert_same(ours.reset(seed=seed), theirs.reset(seed=seed))
        for actions in random_actions(ours, 40):
            assert_same_steps(ours.step(actions), theirs.step(actions))


@pytest.mark.parametrize("case", CASES)
def test_a_masked_reset_begins_those_rows_alone(case):
    """With DISABLED nothing else begins an episode. SyncVectorEnv pops the mask from the options it is given."""
    ours, theirs = both(case, DISABLED)
    assert_same(ours.reset(seed=2), theirs.reset(seed=2))
    for k, actions in enumerate(random_actions(ours, 30)):
        one, other = ours.step(actions), theirs.step(actions)
        assert_same_steps(one, other)
        over = one[2] | one[3]
        if over.any() or k % 5 == 0:
            mask = over if over.any() else np.array([False, True, False])
            seed = (None, 11, [5, None, 6])[k % 3]
            pair = [env.reset(seed=seed, options={"reset_mask": mask.copy()}) for env in (ours, theirs)]
            assert_same(*pair)


def test_a_row_that_is_over_is_not_stepped_without_autoreset():
    envs = gym.make_vec(ADDITION, 2, autoreset_mode="Disabled", max_steps=1)
    envs.reset(seed=0)
    envs.step([5, 5])
    before = envs.unwrapped.batch.read_buffers()
    with pytest.raises(RuntimeError, match=r"rows \[0, 1\] are over"):
        envs.step([5, 5])
    assert envs.unwrapped.batch.read_buffers() == before


def test_gymnasiums_own_mode_is_the_default():
    envs = gym.make_vec(ROOMS, 2)
    assert envs.metadata["autoreset_mode"] is envs.unwrapped.autoreset_mode is NEXT
    with pytest.raises(ValueError, match="autoreset_mode is 'Sometimes'; it must be one of 'NextStep'"):
        gym.make_vec(ROOMS, 2, autoreset_mode="Sometimes")


def without_zoo_keys(value):
    """Return steps without the key that rl_zoo3, once imported, lets Gymnasium's TimeLimit add to every info."""
    if isinstance(value, dict):
        return {k: without_zoo_keys(v) for k, v in value.items() if k.lstrip("_") != "TimeLimit.truncated"}
    return tuple(map(without_zoo_keys, value)) if isinstance(value, tuple) else value


@pytest.mark.parametrize("mode", [SAME, NEXT], ids=lambda mode: mode.value)
def test_a_time_limit_over_the_worlds_own(mode):
    """As gym.make's TimeLimit, which SyncVectorEnv has around every single environment."""
    ours, theirs = both("grid", mode, max_episode_steps=4)
    assert_same(ours.reset(seed=1), theirs.reset(seed=1))
    for actions in random_actions(ours, 20):
        assert_same_steps(ours.step(actions), without_zoo_keys(theirs.step(actions)))
    assert gym.make_vec(ROOMS, 2, max_episode_steps=-1).unwrapped.batch.world.max_steps > 4
    with pytest.raises(ValueError, match="max_episode_steps is 0"):
        gym.make_vec(ROOMS, 2, max_episode_steps=0)


# ---------------------------------------------------------------------- levels and seeds


@pytest.mark.parametrize("case", ["tokens", "strings"])
def test_levels_can_be_chosen_and_are_told(case):
    world_id, config = CASES[case]
    envs, single = gym.make_vec(world_id, 3, **config), gym.make(world_id, **config)
    obs, infos = envs.reset(seed=0, options={"level": [2, 0, 1]})
    assert infos["level"].tolist() == [2, 0, 1]
    assert infos["_level"].all()
    for i, level in enumerate((2, 0, 1)):
        shown, info = single.reset(seed=i, options={"level": level})
        assert (type(info["level"]), info["level"]) == (np.int32, level)
        row = obs[i] if isinstance(obs, tuple) else {name: value[i] for name, value in obs.items()}
        assert_same(shown, row)
    _, infos = envs.reset(options={"level": [None, 2, None], "reset_mask": np.array([False, True, False])})
    assert (infos["level"][1], infos["_level"].tolist()) == (2, [False, True, False])
    assert envs.reset(options={"level": 1})[1]["level"].tolist() == [1, 1, 1]


def test_the_level_in_info_is_that_of_the_observation():
    """In SAME_STEP the next episode's, and the ended one's in final_info."""
    envs = gym.make_vec(ADDITION, 2, max_steps=1, order="sweep", autoreset_mode="SameStep", split="all")
    assert envs.reset(seed=0)[1]["level"].tolist() == [0, 1]
    *_, infos = envs.step([5, 5])
    assert (infos["level"].tolist(), infos["final_info"]["level"].tolist()) == ([2, 3], [0, 1])


@pytest.mark.parametrize("make", [gym.make, gym.make_vec])
def test_bad_reset_options_change_nothing(make):
    env = make(ADDITION, levels=[(2, 3), (4, 5)])
    env.reset(seed=0)
    before = env.unwrapped.batch.read_buffers()
    for options, message in (
        ({"level": 2}, "is 2; it must be from 0 to 1"),
        ({"levels": [0]}, "there is no reset option 'levels'; the options are level"),
    ):
        with pytest.raises(ValueError, match=message):
            env.reset(seed=3, options=options)
    assert env.unwrapped.batch.read_buffers() == before


def test_bad_masks_and_seeds_are_refused():
    envs = gym.make_vec(ADDITION, 2)
    with pytest.raises(RuntimeError, match="the first reset must begin every row"):
        envs.reset(options={"reset_mask": np.array([True, False])})
    envs.reset(seed=0)
    before = envs.unwrapped.batch.read_buffers()
    for mask, error in (
        ([True, False], TypeError),
        (np.array([1, 0]), TypeError),
        (np.array([True]), ValueError),
        (np.array([False, False]), ValueError),
    ):
        with pytest.raises(error, match="reset_mask is"):
            envs.reset(options={"reset_mask": mask})
    for seed in ([1], [1, 2, 3], [None], [1, None, 2]):
        with pytest.raises(ValueError, match="seed has"):
            envs.reset(seed=seed)
    assert envs.unwrapped.batch.read_buffers() == before


@pytest.mark.parametrize("make", [gym.make, gym.make_vec])
def test_the_seed_given_to_make_is_that_of_the_first_episode(make):
    """Without one the environment is not reproducible, as Gymnasium's are."""
    first = [make(ROOMS, seed=seed).reset()[0]["image"].tobytes() for seed in (3, 3, 4)]
    assert first[0] == first[1] != first[2]
    assert first[0] == make(ROOMS).reset(seed=3)[0]["image"].tobytes()
    assert len({make(ROOMS).unwrapped.batch.seed for _ in range(3)}) > 1


def test_strings_are_a_view_of_the_one_batch():
    """A sweep shares the levels out among the rows, and groups have the same ones, whatever is shown."""
    for options in ({}, STRINGS):
        envs = gym.make_vec(TREASURE, 3, pool=6, max_steps=1, split="all", order="sweep", **options)
        seen = [envs.reset(seed=0)[1]["level"].tolist(), envs.reset()[1]["level"].tolist()]
        assert seen == [[0, 1, 2], [3, 4, 5]]
    infos = gym.make_vec(TREASURE, 4, pool=6, group_size=2, **STRINGS).reset(seed=0)[1]
    assert infos["level"][::2].tolist() == infos["level"][1::2].tolist()


def test_an_ended_rows_text_is_not_read_in_the_step_that_begins_the_next_episode():
    envs = gym.make_vec(TREASURE, 2, pool=4, max_steps=1, **STRINGS)
    first, _ = envs.reset(seed=0)
    envs.step(["look", "inventory"])
    obs, rewards, terminated, truncated, _ = envs.step([None, 7])
    assert (rewards.tolist(), terminated.any(), truncated.any()) == ([0, 0], False, False)
    assert all(isinstance(text, str) and ">" not in text for text in obs)
    for wrong in ("look", ["look"], ["look", 3], {"look", "inventory"}, {0: "look", 1: "look"}):
        with pytest.raises(ValueError, match="string"):
            envs.step(wrong)
    assert len(first) == 2


# ---------------------------------------------------------------------- options, rows


@pytest.mark.parametrize("make", [gym.make, gym.make_vec])
def test_an_unknown_option_is_refused_in_pythons_words(make):
    """Other libraries read them to know what to leave out; `world_id` is no option, the id alone says which world."""
    for name in ("frameskip", "world_id"):
        with pytest.raises(TypeError, match=f"got an unexpected keyword argument '{name}'; the options of .* size"):
            make(ROOMS, **{name: COIN})
    with pytest.raises(TypeError, match="got an unexpected keyword argument 'autoreset'"):
        make(ROOMS, autoreset="never")


def test_rows_by_attribute_and_method():
    envs, theirs = both("text", NEXT, render_mode="ansi")
    for env in (envs, theirs):
        env.reset(seed=0)
        env.set_attr("note", ["a", "b", "c"])
    assert envs.get_attr("note") == ("a", "b", "c")
    envs.set_attr("note", 1)
    assert envs.get_attr("note") == (1, 1, 1)
    assert_same(envs.call("action_masks"), theirs.call("action_masks"))
    assert envs.call("render") == theirs.call("render") == envs.render()
    assert envs.get_attr("render_mode") == theirs.get_attr("render_mode")
    assert envs.get_attr("action_space") == theirs.get_attr("action_space")
    assert envs.get_attr("level") == tuple(envs.unwrapped.batch.level_index.tolist())
    assert_same(envs.call("reset", seed=4), theirs.call("reset", seed=4))
    for name in ("nothing", "step_rows", "_states", "snapshot"):
        with pytest.raises(AttributeError, match=name):
            envs.get_attr(name)
    with pytest.raises(ValueError, match="values has 2 entries; it must have 3"):
        envs.set_attr("note", [1, 2])


def test_observations_are_copies_unless_views_are_asked_for():
    batch = llm_envs.make_batch(ADDITION, 2, autoreset="next_step")
    for copy in (True, False):
        envs = GymVectorEnv(batch, copy=copy)
        obs, _ = envs.reset(seed=0)
        before = obs["length"].copy()
        envs.step([5, 5])
        assert np.array_equal(obs["length"], before) is copy


def test_a_batch_that_a_view_cannot_show_is_refused():
    with pytest.raises(ValueError, match="num_envs=2, autoreset='never'"):
        GymEnv(llm_envs.make_batch(ADDITION, 2, autoreset="never"))
    with pytest.raises(ValueError, match="autoreset='same_step'"):
        GymEnv(llm_envs.make_batch(ADDITION, 1))
    with pytest.raises(ValueError, match="needs 'never'"):
        GymVectorEnv(llm_envs.make_batch(COIN, 2, **STRINGS))
    with pytest.raises(ValueError, match="needs 'next_step'"):
        GymVectorEnv(llm_envs.make_batch(COIN, 2), autoreset_mode=NEXT)


@pytest.mark.parametrize("mode", [SAME, NEXT], ids=lambda mode: mode.value)
def test_reward_terms_see_no_step_where_an_episode_begins(mode):
    """In NEXT_STEP the step that begins an episode is none: no callable may pay for it."""
    ours, theirs = both("tokens", mode, rewards=[(always, 0.5)])
    assert_same(ours.reset(seed=5), theirs.reset(seed=5))
    for actions in random_actions(ours, 12):
        assert_same_steps(ours.step(actions), theirs.step(actions))


def always(transition):
    """Pay 1 for every step."""
    return torch.ones(len(transition.terminated))
