"""PathPlanner: trajectories by hand, edges, obstacles, the continuous form, the oracle, errors."""

import numpy as np
import pytest

from llm_envs.engine.batch import BatchEnv
from llm_envs.navigation.plane.path_planner import path_planner

LEFT, RIGHT, UP, DOWN = range(4)
S = np.float32(838861 / 2**23)  # 0.1 rounded to a multiple of 2^-23
FAR = (0.9, 0.9)
OWN = {"start": (0, 0), "goal": FAR}


def batch(**config):
    """Return a batch with one row a level."""
    world = path_planner(**config)
    env = BatchEnv(world, len(world.levels), seed=0, order="sweep", split="all", autoreset="never")
    env.reset_rows()
    return env


def walk(env, actions):
    """Return the states of row 0 after each action, and the last outcome."""
    states = []
    for action in actions:
        env.step_rows(np.array([action]) if np.ndim(action) == 0 else np.array([action], np.float32))
        states.append(env.arrays.obs["state"][0].tolist())
    return states, {name: float(value[0]) for name, value in env.arrays.signals.items()}


def test_golden_trace():
    """Four moves and back; the sums are exact, so the way back ends where it began."""
    env = batch(levels=[{"start": (0.5, -0.25), "goal": FAR}])
    goal = np.round(0.9 * 2**23) / 2**23
    assert env.arrays.obs["goal"].tolist() == [[goal, goal, 0, 0]]
    states, signals = walk(env, [RIGHT, UP, LEFT, DOWN])
    assert states == [[0.5 + S, -0.25, S, 0], [0.5 + S, -0.25 + S, 0, S], [0.5, -0.25 + S, -S, 0], [0.5, -0.25, 0, -S]]
    assert signals == {"goal": 0, "step": 1, "distance": -S, "collision": 0}
    assert env.arrays.reward[0] == 0


def test_the_goal_is_reached_at_exactly_its_tolerance():
    """From 0 to 0.3: two steps leave a tenth. Both coordinates count, the velocity does not."""
    env = batch(levels=[{"start": (0, 0), "goal": (0.3, 0)}, {"start": (0, 0.2), "goal": (0.3, 0)}])
    for expected in ([False, False], [True, False]):
        env.step_rows(np.array([RIGHT, RIGHT]))
        assert env.arrays.terminated.tolist() == expected
    assert env.arrays.reward.tolist() == [10, 0]
    barely = batch(levels=[{"start": (0, 0), "goal": (0.3, 0)}], tolerance=0.1 - 2**-22)
    assert walk(barely, [RIGHT, RIGHT])[1]["goal"] == 0


def test_time_limit():
    for action, terminated in ((LEFT, False), (RIGHT, True)):
        env = batch(levels=[{"start": (0, 0), "goal": (0.3, 0)}], max_steps=2)
        walk(env, [action, action])
        assert (env.arrays.terminated[0], env.arrays.truncated[0]) == (terminated, True)


def test_the_edge_stops_a_move():
    env = batch(levels=[{"start": (0, -0.95), "goal": FAR}], step_size=0.5)
    states, signals = walk(env, [LEFT, LEFT, LEFT])
    assert [state[0] for state in states] == [-0.5, -1, -1]
    assert (states[-1][2:], signals["collision"]) == ([0, 0], 1)


def test_obstacles_stop_a_move_and_are_not_jumped_over():
    """One lies two steps to the right and is thinner than a step; its edge may be touched."""
    thin = {**OWN, "obstacles": [(0.25, -0.5, 0.3, 0.5)]}
    env = batch(levels=[thin], step_size=0.25, obstacles=2)
    states, signals = walk(env, [RIGHT, RIGHT])
    assert states == [[0.25, 0, 0.25, 0], [0.25, 0, 0, 0]]
    assert signals["collision"] == 1
    assert walk(env, [UP, UP, RIGHT])[0][-1] == [0.5, 0.5, 0.25, 0]
    shown = env.arrays.obs["obstacles"][0]
    assert np.allclose(shown, [[0.25, -0.5, 0.3, 0.5], [0, 0, 0, 0]])
    assert "AA" in env.render()
    assert env.decode(env.arrays.obs)[0].endswith("goal (0.90, 0.90), obstacle (0.25, -0.50, 0.30, 0.50)")
    assert env.frame().shape == (240, 240, 3)


def test_inertia_carries_the_velocity_over_until_something_is_hit():
    env = batch(levels=[{"start": (0, 0), "goal": (-0.9, 0)}], inertia=0.5, step_size=0.25)
    states, _ = walk(env, [RIGHT, UP, UP, UP, UP])
    assert states[:3] == [[0.25, 0, 0.25, 0], [0.375, 0.25, 0.125, 0.25], [0.4375, 0.625, 0.0625, 0.375]]
    assert states[3:] == [[0.4375, 0.625, 0, 0], [0.4375, 0.875, 0, 0.25]]


def test_continuous_actions():
    """The push scales the step; what is out of range is refused and moves nothing."""
    env = batch(levels=[{"start": (0, 0), "goal": (0.5, 0.5)}], action="continuous", step_size=0.25)
    states, _ = walk(env, [(0.5, -1), (1, 1)])
    assert states == [[0.125, -0.25, 0.125, -0.25], [0.375, 0, 0.25, 0.25]]
    for bad in [(1.5, 0), (0, -1.01), (np.nan, 0)]:
        with pytest.raises(ValueError, match=r"must be from -1.0 to 1.0"):
            env.step_rows(np.array([bad], np.float32))
    assert env.arrays.obs["state"][0].tolist() == states[-1]
    with pytest.raises(ValueError, match="must be floats"):
        env.step_rows(np.array([[1, 0]]))


@pytest.mark.parametrize("config", [{}, {"obstacles": 6}, {"step_size": 0.3, "obstacles": 3}, {"tolerance": 0.02}])
def test_the_oracle_reaches_every_generated_goal(config):
    """In exactly as many steps as it says and, without obstacles, as the distance in steps needs, each way alone."""
    env = batch(pool=150, max_steps=0, **config)
    plans = [env.world.solution(env.row(i)) for i in range(150)]
    ended = np.zeros(150, int)
    for t in range(max(map(len, plans))):
        env.step_rows(np.array([plan[min(t, len(plan) - 1)] for plan in plans]))
        ended[env.arrays.terminated & (ended == 0)] = t + 1
    assert ended.tolist() == [len(plan) for plan in plans]
    levels, params = env.world.levels, env.world.params[0]
    units = {name: np.round(np.float64(levels[name]) * 2**23).astype(int) for name in ("start", "goal")}
    step, tolerance = (round(float(params[name]) * 2**23) for name in ("step_size", "tolerance"))
    needed = -((tolerance - abs(units["goal"] - units["start"])) // step)
    least = needed.clip(0).sum(1)
    assert (ended >= least).all() if config.get("obstacles") else ended.tolist() == least.tolist()


def test_generated_obstacles_are_a_step_apart():
    levels = path_planner(obstacles=9, pool=500).levels
    left, bottom, right, top = np.moveaxis(np.float64(levels["obstacles"]), 2, 0)
    assert min((left + 1).min(), (bottom + 1).min(), (1 - right).min(), (1 - top).min()) >= 0.1
    for k in range(9):
        for j in range(k):
            across = np.maximum(left[:, k] - right[:, j], left[:, j] - right[:, k])
            assert (np.maximum(across, np.maximum(bottom[:, k] - top[:, j], bottom[:, j] - top[:, k])) >= 0.1).all()


def test_no_way_is_said_so():
    env = batch(levels=[{"start": (0, 0), "goal": (-0.9, 0), "obstacles": [(-0.5, -1.0, -0.4, 1.0)]}])
    with pytest.raises(ValueError, match="cannot be reached"):
        env.world.solution(env.row(0))
    assert path_planner(inertia=0.5, pool=1).solution is None


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"levels": [{"start": (0, 0)}]}, r"levels\[0\] is .* it must be a dict of start, goal"),
        ({"levels": [{**OWN, "goal": (1.5, 0)}]}, r"levels\[0\] goal is 1.5; it must be from -1.0 to 1.0"),
        ({"levels": [{**OWN, "start": (0, 0, 0)}]}, "start has 3 numbers; it must have 2"),
        ({"levels": [{**OWN, "start": (0.85, 0.95)}]}, "start is within tolerance=0.1 of the goal already"),
        ({"levels": [OWN, {**OWN, "obstacles": [(0.1, 0, 0.1, 1)]}]}, r"levels\[1\] obstacles\[0\] is empty"),
        ({"levels": [{**OWN, "obstacles": [(-0.1, -0.1, 0.1, 0.1)]}]}, "start is inside an obstacle"),
        ({"action": "both"}, "action is 'both'"),
        ({"inertia": 1.0}, "inertia is 1.0"),
        ({"obstacles": 64, "step_size": 0.5}, "obstacles=64 leaves no room for step_size=0.5"),
    ],
)
def test_bad_arguments_are_refused(config, words):
    with pytest.raises(ValueError, match=words):
        path_planner(pool=1, **config)
