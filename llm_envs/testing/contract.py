"""The contract of every world: each law is a function whose docstring states it, and which raises if it is broken.

`llm_envs.testing.check_world` runs them: `LAWS` for every world, then `TENSOR_LAWS`, or `TEXT_LAWS` for a world that
shows or takes strings.
"""

import contextlib
import importlib.util
import inspect
import io
import re
import warnings
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import env_checker
from numba import config as numba_config

from llm_envs.adapters.gym import GymEnv
from llm_envs.adapters.spaces import observation_space
from llm_envs.engine.batch import BatchEnv
from llm_envs.registration import build, find, ids
from llm_envs.testing.random_walks import Subject, card_sections, digest_walk, random_actions, refused, require, walk
from llm_envs.world import Vector

HEADINGS = ("Description", "Observation", "Action", "Reward", "Termination", "Truncation", "Arguments", "Source")
ROWS, SEED, THREADS = 4, 11, min(2, numba_config.NUMBA_NUM_THREADS)
# What Stable-Baselines3 says of a (7, 7, 3) grid of small integers: that it would be a poor photograph.
SB3_ADVICE = ".*is an image but|The minimal resolution for an image|.*unconventional shape"


# ---------------------------------------------------------------------- laws of every world


def card_is_complete(subject: Subject) -> None:
    """The builder's module docstring has the card's headings in order and names all arguments, fields and signals.

    What a section leaves out, the same section of another world that it names ("see Text/World-v0") may name.
    """
    builder = find(subject.world_id)
    sections = card_sections(subject.world_id)
    found = [heading for heading in sections if heading in HEADINGS]
    require(found == list(HEADINGS), f"the card has the headings {found}, not {list(HEADINGS)}")
    for heading, names in {
        "Arguments": inspect.signature(builder).parameters,
        "Observation": subject.world.observation.names or (),
        "Reward": subject.world.signals,
    }.items():
        named = [card_sections(other).get(heading, "") for other in ids() if other in sections[heading]]
        text = "\n".join([sections[heading], *named])
        missing = [name for name in names if not re.search(rf"\b{name}\b", text)]
        require(not missing, f"the card's {heading} does not name {missing}")


def unknown_options_are_refused(subject: Subject) -> None:
    """An unknown keyword is a TypeError that names the valid ones."""
    with refused(TypeError, "an unknown keyword", inspect.signature(find(subject.world_id)).parameters):
        build(subject.world_id, {**subject.config, "no_such_option": 1})


def stepping_needs_a_reset(subject: Subject) -> None:
    """A step before the first reset is a RuntimeError."""
    batch, env = subject.batch(1), subject.single()
    for step in (batch.step_rows, batch.step, env.step):
        with refused(RuntimeError, "a step before reset"):
            step(random_actions(batch, np.random.default_rng(SEED)))


def gymnasium_accepts(subject: Subject) -> None:
    """Gymnasium's check_env passes with warnings as errors, in all render modes."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("error")
        env_checker.check_env(gym.make(subject.world_id, **subject.config).unwrapped)


# ---------------------------------------------------------------------- laws of worlds with tensors


def observations_are_in_their_space(subject: Subject) -> None:
    """Observations and final observations have the space's fields, dtypes, shapes, bounds; masks allow an action."""
    batch = subject.batch(ROWS)
    space: Any = observation_space(subject.world)
    require(set(space) == set(subject.world.observation.names or ()), f"the space has {list(space)}")
    for _, now in walk(batch, subject.steps, SEED):
        done = now.terminated | now.truncated
        for shown in (now.obs, {name: value[done] for name, value in now.final_obs.items()}):
            for name, box in space.items():
                value = shown[name]
                require(value.dtype == box.dtype, f"{name} has dtype {value.dtype}, its box {box.dtype}")
                require(value.shape[1:] == box.shape, f"{name} has shape {value.shape[1:]}, its box {box.shape}")
                inside = (value >= box.low) & (value <= box.high)  # NaN fails too
                require(inside.all(), f"{name} holds {value[~inside]}, outside of {box}")
        if "action_mask" in space.spaces:
            require(now.obs["action_mask"].any(1).all(), "an action_mask allows no action")


def rewards_are_weighted_signals(subject: Subject) -> None:
    """Rewards and signals are finite, and a reward is the sum of weight times signal."""
    weights = {name: (-1) ** k * (k + 0.5) for k, name in enumerate(subject.world.signals)}
    for _, now in walk(subject.batch(ROWS, weights=weights), subject.steps, SEED):
        terms = np.array([weight * now.signals[name] for name, weight in weights.items()])
        close = np.abs(now.reward - terms.sum(0)) <= 1e-6 * (1 + np.abs(terms).sum(0))
        require(close.all() and np.isfinite(terms).all(), f"rewards {now.reward}, signals {now.signals}")


def time_limits_truncate(subject: Subject) -> None:
    """`truncated` holds on step `max_steps` of an episode and on no other, whether or not it terminates there too."""
    for limited in subject.limits():
        clock = np.zeros(ROWS, np.int64)
        for _, now in walk(limited.batch(ROWS), subject.steps, SEED):
            clock += 1
            due = clock == limited.world.max_steps  # never, without a limit of 0
            require((now.truncated == due).all(), f"truncated is {now.truncated} at the steps {clock}")
            clock[now.terminated | now.truncated] = 0


def seeds_fix_trajectories(subject: Subject) -> None:
    """The same seed and actions give the same states, observations and outcomes, on one thread and on several."""
    one, more = subject.batch(32, threads=1), subject.batch(32, threads=THREADS)
    first, second, third = (digest_walk(batch, subject.steps // 10, SEED) for batch in (one, one, more))
    require(first == second, "a second walk with the same seed differs")
    require(first == third, f"{THREADS} threads differ from one")


def rows_are_single_environments(subject: Subject) -> None:
    """Row i is, bit for bit, one row seeded seed + i; final_obs is what that row shows when nothing resets it."""
    batch, singles = subject.batch(ROWS), [subject.batch(1, autoreset="never") for _ in range(ROWS)]
    for i, single in enumerate(singles):
        single.reset_rows(SEED + i)
    for actions, now in walk(batch, subject.steps // 4, SEED):
        for i, single in enumerate(singles):
            single.step_rows(actions[i : i + 1])
            if now.terminated[i] or now.truncated[i]:
                for name, value in single.arrays.obs.items():
                    require((value[0] == now.final_obs[name][i]).all(), f"the final {name} of row {i} differs")
                single.reset_rows()
        whole, parts = batch.read_buffers(), [single.read_buffers() for single in singles]
        for k, kind in {0: "states", 1: "observations", 3: "outcomes"}.items():
            require(whole[k] == b"".join(part[k] for part in parts), f"the {kind} differ")


def gym_view_shows_its_row(subject: Subject) -> None:
    """`gym.Env` gives what the row of a batch does: observation, reward, flags, signals, next episode."""
    for limited in subject.limits():
        _compare_gym_view(limited.single(), limited.batch(2), subject.steps // 4)


def _compare_gym_view(env: GymEnv, batch: BatchEnv, steps: int) -> None:
    env.reset(seed=SEED + 1)
    for actions, now in walk(batch, steps, SEED):
        obs, *outcome, info = env.step(actions[1])
        expected = [float(now.reward[1]), bool(now.terminated[1]), bool(now.truncated[1])]
        require(outcome == expected, f"reward and flags are {outcome}, the row's {expected}")
        told = {f"signals/{name}": value[1] for name, value in now.signals.items()} | {"level": now.final_level[1]}
        require(info == told, f"info is {info}, the row's {told}")
        pairs = [(obs, now.obs)]
        if any(outcome[1:]):
            with refused(RuntimeError, "a step after the end"):
                env.step(actions[1])
            pairs = [(obs, now.final_obs), (env.reset()[0], now.obs)]
        for shown, rows in pairs:
            differing = [name for name, value in shown.items() if not np.array_equal(value, rows[name][1])]
            require(not differing, f"{differing} differ from the row's")


def snapshots_go_on(subject: Subject) -> None:
    """A batch restored from a snapshot goes on bit by bit; a damaged or foreign one is refused and changes nothing."""
    batch, twin, other = subject.batch(ROWS), subject.batch(ROWS, seed=99), subject.batch(ROWS + 1)
    other.reset_rows()
    for _ in walk(batch, 20, SEED):
        pass
    saved = batch.snapshot()
    twin.restore(saved)
    rng = np.random.default_rng(SEED)
    for _ in range(subject.steps // 10):
        actions = random_actions(batch, rng)
        batch.step_rows(actions)
        twin.step_rows(actions)
        states, *_, outcomes = batch.read_buffers()
        then, *_, outcomes_then = twin.read_buffers()
        require(states == then and outcomes == outcomes_then, "the restored batch went another way")
    before, middle = twin.read_buffers(), len(saved) // 2
    damaged = saved[:middle] + bytes([saved[middle] ^ 1]) + saved[middle + 1 :]
    for wrong in (b"", saved[:-1], damaged, other.snapshot()):
        with refused(ValueError, "a foreign or damaged snapshot"):
            twin.restore(wrong)
    require(twin.read_buffers() == before, "a refused snapshot changed the batch")


def bad_actions_are_refused(subject: Subject) -> None:
    """Actions of the wrong dtype, shape or range are ValueErrors and leave every row as it was."""
    batch, env, actions = subject.batch(ROWS), subject.single(), subject.world.actions
    batch.reset_rows(SEED)
    env.reset(seed=SEED)
    if isinstance(actions, int):
        good = np.zeros(ROWS, np.int64)
        wrong: list[Any] = [good.astype(np.float32), good.astype(bool), good - 1, good + actions]
        single: list[Any] = [0.0, True, None, "0", -1, actions, np.zeros(2, int)]
    else:
        assert isinstance(actions, Vector)
        good = np.full((ROWS, *actions.shape), actions.low, np.float32)
        wrong = [good.astype(np.int64), good - 1, good * np.nan, good + np.inf, good + 2 * (actions.high - actions.low)]
        single = [None, "0", *(value[0] for value in wrong), good[0, :-1]]
    states = batch.read_buffers(), env.batch.read_buffers()
    for bad in [*wrong, good[:-1], good[None], good[..., None]]:
        with refused(ValueError, f"the action {bad!r}"):
            batch.step_rows(bad)
    for bad in single:
        with refused(ValueError, f"the single action {bad!r}"):
            env.step(bad)
    require((batch.read_buffers(), env.batch.read_buffers()) == states, "a refused action changed the batch")


def illegal_actions_pass(subject: Subject) -> None:
    """With check_actions=False an illegal action passes the turn: the clock goes on, and nothing else changes."""
    batch, actions = subject.batch(1, check_actions=False, autoreset="never"), subject.world.actions
    bad: list[Any] = [-1, actions, 2**40]
    shape: tuple[int, ...] = ()
    if isinstance(actions, Vector):
        bad, shape = [np.nan, np.inf, actions.high + 1], actions.shape
    for value in bad:
        batch.reset_rows(SEED)
        expected = batch.row(0).state.copy()
        expected.t += 1
        batch.step_rows(np.full((1, *shape), value))
        now, state = batch.arrays, batch.row(0).state
        require(state.tobytes() == expected.tobytes(), f"the action {value} changed the state to {state}")
        require(not now.terminated[0] and now.reward[0] == 0, f"the action {value} was rewarded or ended the episode")


def sweeps_and_groups_share_levels_out(subject: Subject) -> None:
    """A sweep visits each level once before it begins again; the rows of a group have the same levels."""
    count = len(subject.world.levels)
    batch = subject.batch(min(-(-count // 3), 4096), order="sweep", threads=1)
    visited = []
    for _ in range(3):
        batch.reset_rows()
        visited.append(batch.level_index)
    once = np.concatenate(visited)[:count].tolist()
    require(len(set(once)) == len(once), "a sweep visits a level twice before it has seen all")
    groups = subject.batch(6, group_size=3)
    for _ in range(5):
        groups.reset_rows()
        chosen = groups.level_index.reshape(2, 3)
        require((chosen == chosen[:, :1]).all(), f"the levels of two groups of three are {chosen}")


def stable_baselines_accepts(subject: Subject) -> None:
    """Stable-Baselines3's check_env passes with warnings as errors, where it is installed."""
    if importlib.util.find_spec("stable_baselines3") is None:
        return
    from stable_baselines3.common import env_checker as sb3_checker

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", SB3_ADVICE)
        sb3_checker.check_env(gym.make(subject.world_id, **subject.config).unwrapped)


# ---------------------------------------------------------------------- laws of worlds with strings


def strings_are_reproducible(subject: Subject) -> None:
    """Observations are in their space, a seed fixes the dialogue, and what is not a string is refused."""
    require(
        env_checker.data_equivalence(_dialogue(subject), _dialogue(subject)), "two dialogues with the same seed differ"
    )


def _dialogue(subject: Subject) -> list:
    env, rng, world = subject.single(), np.random.default_rng(SEED), subject.world
    told: list = [env.reset(seed=SEED)]
    for _ in range(subject.steps // 10):
        if world.takes_text:
            with refused(ValueError, "an action that is no string"):
                env.step(0)
        told.append(env.step(random_actions(env.batch, rng)[0]))
        require(told[-1][0] in env.observation_space, f"{told[-1][0]!r} is outside of {env.observation_space}")
        if told[-1][2] or told[-1][3]:
            told.append(env.reset())
    return told


LAWS = (card_is_complete, unknown_options_are_refused, stepping_needs_a_reset)
TEXT_LAWS = (strings_are_reproducible, gymnasium_accepts)
TENSOR_LAWS = (
    observations_are_in_their_space,
    rewards_are_weighted_signals,
    time_limits_truncate,
    seeds_fix_trajectories,
    rows_are_single_environments,
    gym_view_shows_its_row,
    snapshots_go_on,
    bad_actions_are_refused,
    illegal_actions_pass,
    sweeps_and_groups_share_levels_out,
    gymnasium_accepts,
    stable_baselines_accepts,
)
