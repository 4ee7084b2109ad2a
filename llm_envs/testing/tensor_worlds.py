"""The invariants of worlds whose views are arrays: each docstring states one, its function raises where it fails."""

import importlib.util
import warnings
from typing import Any

import gymnasium as gym
import numpy as np
from numba import config as numba_config

from llm_envs.adapters.gym import GymEnv
from llm_envs.adapters.spaces import observation_space
from llm_envs.engine.batch import BatchEnv
from llm_envs.testing.random_walks import SEED, WorldUnderTest, digest_walk, raises, random_actions, require, walk
from llm_envs.world import Vector

ROWS = 4  # few, since most invariants look at each of them
THREADS = min(2, numba_config.NUMBA_NUM_THREADS)
# What Stable-Baselines3 warns of a (7, 7, 3) grid of small integers: that it would be a poor photograph.
SB3_ADVICE = ".*is an image but|The minimal resolution for an image|.*unconventional shape"


def observations_are_in_their_space(tested: WorldUnderTest) -> None:
    """Observations and final observations have the space's fields, dtypes, shapes, bounds; masks allow an action."""
    batch = tested.batch(ROWS)
    space: Any = observation_space(tested.world)
    require(set(space) == set(tested.world.observation.names or ()), f"the space has {list(space)}")
    for _, now in walk(batch, tested.steps, SEED):
        done = now.terminated | now.truncated
        # Where no episode ended `final_obs` is stale: only the rows `done` are looked at, (number of them, ...).
        for observed in (now.obs, {name: value[done] for name, value in now.final_obs.items()}):
            for name, box in space.items():
                value = observed[name]
                require(value.dtype == box.dtype, f"{name} has dtype {value.dtype}, its box {box.dtype}")
                require(value.shape[1:] == box.shape, f"{name} has shape {value.shape[1:]}, its box {box.shape}")
                inside = (value >= box.low) & (value <= box.high)  # NaN fails too
                require(inside.all(), f"{name} holds {value[~inside]}, outside of {box}")
        if "action_mask" in space.spaces:
            require(now.obs["action_mask"].any(1).all(), "an action_mask allows no action")


def rewards_are_weighted_signals(tested: WorldUnderTest) -> None:
    """Rewards and signals are finite, and a reward is the sum of weight times signal."""
    # Different for every signal and of both signs, so that no two mistakes cancel.
    weights = {name: (-1) ** k * (k + 0.5) for k, name in enumerate(tested.world.signals)}
    for _, now in walk(tested.batch(ROWS, weights=weights), tested.steps, SEED):
        # reward = sum_k weight_k * signal_k. The kernel adds in float32, one term after the other, so that the sum is
        # right up to a rounding error in proportion to the terms, not to the sum, in which they may cancel.
        terms = np.array([weight * now.signals[name] for name, weight in weights.items()])  # (signals, N)
        close = np.abs(now.reward - terms.sum(0)) <= 1e-6 * (1 + np.abs(terms).sum(0))
        require(close.all() and np.isfinite(terms).all(), f"rewards {now.reward}, signals {now.signals}")


def time_limits_truncate(tested: WorldUnderTest) -> None:
    """`truncated` holds on step `max_steps` of an episode and on no other, whether or not it terminates there too."""
    for limited in tested.limits():
        clock = np.zeros(ROWS, np.int64)
        for _, now in walk(limited.batch(ROWS), tested.steps, SEED):
            clock += 1
            expected = clock == limited.world.max_steps  # never where it is 0: the clock begins at 1
            require((now.truncated == expected).all(), f"truncated is {now.truncated} at the steps {clock}")
            # The batch has begun the next episode in this step.
            clock[now.terminated | now.truncated] = 0


def seeds_fix_trajectories(tested: WorldUnderTest) -> None:
    """The same seed and actions give the same states, observations and outcomes, on one thread and on several."""
    one, more = tested.batch(32, threads=1), tested.batch(32, threads=THREADS)
    first, second, third = (digest_walk(batch, tested.steps // 10, SEED) for batch in (one, one, more))
    # Twice the same batch: a seeded reset must leave nothing of the walk before it.
    require(first == second, "a second walk with the same seed differs")
    require(first == third, f"{THREADS} threads differ from one")


def rows_are_single_environments(tested: WorldUnderTest) -> None:
    """Row i is, bit for bit, one row seeded seed + i; final_obs is what that row shows when nothing resets it."""
    batch, singles = tested.batch(ROWS), [tested.batch(1, autoreset="never") for _ in range(ROWS)]
    for i, single in enumerate(singles):
        single.reset_rows(SEED + i)
    for actions, now in walk(batch, tested.steps // 4, SEED):
        for i, single in enumerate(singles):
            single.step_rows(actions[i : i + 1])
            if now.terminated[i] or now.truncated[i]:
                for name, value in single.arrays.obs.items():
                    require((value[0] == now.final_obs[name][i]).all(), f"the final {name} of row {i} differs")
                single.reset_rows()
        whole, parts = batch.read_buffers(), [single.read_buffers() for single in singles]
        # Final observations (buffer 2) are left out: a single row that never resets itself writes none.
        for k, kind in {0: "states", 1: "observations", 3: "outcomes"}.items():
            require(whole[k] == b"".join(part[k] for part in parts), f"the {kind} differ")


def gym_view_shows_its_row(tested: WorldUnderTest) -> None:
    """`gym.Env` gives what the row of a batch does: observation, reward, flags, signals, next episode."""
    for limited in tested.limits():
        _compare_gym_view(limited.single(), limited.batch(2), tested.steps // 4)


def _compare_gym_view(env: GymEnv, batch: BatchEnv, steps: int) -> None:
    """Compare `env` with row 1 of `batch`: row i of a batch seeded s is a single environment seeded s + i."""
    env.reset(seed=SEED + 1)
    for actions, now in walk(batch, steps, SEED):
        obs, *outcome, info = env.step(actions[1])
        expected = [float(now.reward[1]), bool(now.terminated[1]), bool(now.truncated[1])]
        require(outcome == expected, f"reward and flags are {outcome}, the row's {expected}")
        # The level is the one the step was taken in; `now.level` may be the next episode's already.
        expected_info = {f"signals/{name}": value[1] for name, value in now.signals.items()}
        expected_info["level"] = now.final_level[1]
        require(info == expected_info, f"info is {info}, the row's {expected_info}")
        pairs = [(obs, now.obs)]
        if any(outcome[1:]):
            # The single environment stays at the end until it is reset; the batch's row has begun its next episode.
            with raises(RuntimeError, "a step after the end"):
                env.step(actions[1])
            pairs = [(obs, now.final_obs), (env.reset()[0], now.obs)]
        for observed, rows in pairs:
            differing = [name for name, value in observed.items() if not np.array_equal(value, rows[name][1])]
            require(not differing, f"{differing} differ from the row's")


def snapshots_continue_bit_for_bit(tested: WorldUnderTest) -> None:
    """A batch restored from a snapshot continues bit for bit; a damaged or foreign one raises and changes nothing."""
    batch, twin, other = tested.batch(ROWS), tested.batch(ROWS, seed=99), tested.batch(ROWS + 1)
    other.reset_rows()
    for _ in walk(batch, 20, SEED):
        pass
    saved = batch.snapshot()
    twin.restore(saved)
    rng = np.random.default_rng(SEED)
    for _ in range(tested.steps // 10):
        actions = random_actions(batch, rng)
        batch.step_rows(actions)
        twin.step_rows(actions)
        states, *_, outcomes = batch.read_buffers()
        then, *_, outcomes_then = twin.read_buffers()
        require(states == then and outcomes == outcomes_then, "the restored batch went another way")
    before, middle = twin.read_buffers(), len(saved) // 2
    # One bit in the middle, among the states: no length and no header shows it, only the checksum does.
    damaged = saved[:middle] + bytes([saved[middle] ^ 1]) + saved[middle + 1 :]
    for wrong in (b"", saved[:-1], damaged, other.snapshot()):
        with raises(ValueError, "a foreign or damaged snapshot"):
            twin.restore(wrong)
    require(twin.read_buffers() == before, "a refused snapshot changed the batch")


def bad_actions_raise(tested: WorldUnderTest) -> None:
    """Actions of the wrong dtype, shape or range are ValueErrors and leave every row as it was."""
    # Of right actions, each wrong one changes a single thing: dtype, range or shape.
    batch, env, actions = tested.batch(ROWS), tested.single(), tested.world.actions
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
        with raises(ValueError, f"the action {bad!r}"):
            batch.step_rows(bad)
    for bad in single:
        with raises(ValueError, f"the single action {bad!r}"):
            env.step(bad)
    require((batch.read_buffers(), env.batch.read_buffers()) == states, "a refused action changed the batch")


def illegal_actions_are_no_ops(tested: WorldUnderTest) -> None:
    """With check_actions=False an illegal action is a no-op: the clock counts it, and nothing else changes."""
    batch, actions = tested.batch(1, check_actions=False, autoreset="never"), tested.world.actions
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
        # By bytes: the padding too, and NaN equals NaN.
        require(state.tobytes() == expected.tobytes(), f"the action {value} changed the state to {state}")
        require(not now.terminated[0] and now.reward[0] == 0, f"the action {value} was rewarded or ended the episode")


def sweeps_visit_and_groups_share_levels(tested: WorldUnderTest) -> None:
    """A sweep visits each level once before it begins again; the rows of a group have the same levels."""
    count = len(tested.world.levels)
    # A third of the pool in each of three resets visits all of a pool up to three times 4,096.
    batch = tested.batch(min(-(-count // 3), 4096), order="sweep", threads=1)
    visited = []
    for _ in range(3):
        batch.reset_rows()
        visited.append(batch.level_index)
    once = np.concatenate(visited)[:count].tolist()
    require(len(set(once)) == len(once), "a sweep visits a level twice before it has seen all")
    groups = tested.batch(6, group_size=3)
    for _ in range(5):
        groups.reset_rows()
        chosen = groups.level_index.reshape(2, 3)
        require((chosen == chosen[:, :1]).all(), f"the levels of two groups of three are {chosen}")


def stable_baselines_accepts(tested: WorldUnderTest) -> None:
    """Stable-Baselines3's check_env passes with warnings as errors, where it is installed."""
    if importlib.util.find_spec("stable_baselines3") is None:
        return
    from stable_baselines3.common import env_checker as sb3_checker

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", SB3_ADVICE)
        sb3_checker.check_env(gym.make(tested.world_id, **tested.config).unwrapped)
