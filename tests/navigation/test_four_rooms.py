"""FourRooms beside Minigrid itself, step by step; its generator, its maps, its errors."""

import gymnasium as gym
import minigrid  # noqa: F401  (registers the ids)
import numpy as np
import pytest
from minigrid.wrappers import FullyObsWrapper

from llm_envs.engine.batch import BatchEnv
from llm_envs.navigation.grid.view import ahead, spread
from llm_envs.navigation.tasks.four_rooms import FORWARD, LEFT, RIGHT, four_rooms, solution

ROOM = """
##########
##A>..####
##....GG##
##########
"""


def minigrids(count, **options):
    """Return Minigrid's environments, seeded 0, 1, ..., and their maps."""
    envs = [gym.make("MiniGrid-FourRooms-v0", **options).unwrapped for _ in range(count)]
    for seed, env in enumerate(envs):
        env.reset(seed=seed)
    return envs, [FullyObsWrapper(env).observation(env.gen_obs())["image"] for env in envs]


def batch(**config):
    """Return a batch with one row a level, row i on level i for ever."""
    world = four_rooms(**config)
    env = BatchEnv(world, len(world.levels), seed=0, order="sweep", split="all")
    env.reset_rows()
    return env


def same(obs, i, expected):
    """Say whether row i of our observations is Minigrid's."""
    return np.array_equal(obs["image"][i], expected["image"]) and obs["direction"][i, 0] == expected["direction"]


def compare(count, steps, plans, max_steps=100, **options):
    """Walk beside Minigrid in every row, by the row's plan and then at random; return the endings met."""
    names = {"agent_view_size": "view", "see_through_walls": "see_through"}
    envs, maps = minigrids(count, max_steps=max_steps, **options)
    ours = batch(levels=maps, max_steps=max_steps, **{names[name]: value for name, value in options.items()})
    rng, endings = np.random.default_rng(1), set()
    for i, env in enumerate(envs):
        assert same(ours.arrays.obs, i, env.gen_obs()), f"first observation of map {i}"
    todo = [plans(ours, i) for i in range(count)]
    for _ in range(steps):
        actions = np.array([plan.pop(0) if plan else rng.choice([0, 1, 2, 2, 2, 2, 3, 4, 5, 6]) for plan in todo])
        ours.step_rows(actions)
        now = ours.arrays
        for i, env in enumerate(envs):
            obs, reward, terminated, truncated, _ = env.step(actions[i])
            ended = terminated or truncated
            assert same(now.final_obs if ended else now.obs, i, obs), f"map {i}, step {env.step_count}"
            assert abs(now.reward[i] - reward) < 1e-6
            assert (now.terminated[i], now.truncated[i]) == (terminated, truncated)
            if ended:
                endings.add((terminated, truncated))
                obs, _ = env.reset(seed=i)
                todo[i] = plans(ours, i)
                assert same(now.obs, i, obs), "the first observation of the next episode is already there"
    return endings


def by_kind(env, i):
    """Return a plan: at random, to the goal at once, or to the goal with the last allowed step."""
    path = solution(env.row(i))
    return [[], path, [LEFT] * (env.world.max_steps - len(path)) + path][i % 3]


def test_equals_minigrid_step_by_step():
    endings = compare(200, 101, by_kind)
    assert endings == {(True, False), (False, True), (True, True)}


@pytest.mark.parametrize(
    ("view", "see_through"), [(3, False), (5, True), (7, True), (9, False), (15, False), (15, True)]
)
def test_views_equal_minigrid(view, see_through):
    compare(12, 60, by_kind, max_steps=40, agent_view_size=view, see_through_walls=see_through)


def test_occlusion_equals_process_vis():
    """On any pattern of walls, not only on four rooms; the agent's cell is clear."""
    from minigrid.core.grid import Grid
    from minigrid.core.world_object import Wall

    rng = np.random.default_rng(0)
    for width in (3, 7, 11, 15):
        for density in np.linspace(0, 0.6, 40):
            walls = rng.random((width, width)) < density
            walls[width // 2, -1] = False
            grid, lit, rows = Grid(width, width), 1 << width // 2, []
            for x, y in np.argwhere(walls):
                grid.set(x, y, Wall())
            for clear in (~walls[:, ::-1]).T @ (1 << np.arange(width)):
                lit = spread(lit, clear, width)
                rows.append(lit >> np.arange(width) & 1)
                lit = ahead(lit, clear, width)
            assert np.array_equal(np.array(rows[::-1]).T, grid.process_vis((width // 2, width - 1)))


@pytest.mark.parametrize("size", [5, 19, 31])
def test_generated_maps_are_four_rooms(size):
    half, pool = size // 2, 4000
    levels = four_rooms(size=size, pool=pool).levels
    lines = levels["lines"]
    cells = (lines[:, 0, :size, None] >> np.arange(size, dtype=np.uint32) & 1).astype(bool)  # [map, x, y]
    across = (lines[:, 1, :size, None] >> np.arange(size, dtype=np.uint32) & 1).astype(bool)
    assert np.array_equal(cells, across.swapaxes(1, 2))
    assert not lines[:, :, size:].any()
    for wall in (cells[:, half], cells[:, :, half]):
        low, high = wall[:, :half], wall[:, half + 1 :]
        assert (low.sum(1) == 1).all()
        assert (high.sum(1) == 1).all()
        for side in (low[:, 1:], high[:, :-1]):  # gaps: every place but a corner, equally often
            assert (np.abs(side.mean(0) * (half - 1) - 1) < 0.25).all()
    assert np.delete(np.delete(cells, [0, half, size - 1], 1), [0, half, size - 1], 2).all()
    assert (cells.sum((1, 2)) == 4 * (half - 1) ** 2 + 4).all()
    for x, y in (("x", "y"), ("goal_x", "goal_y")):
        assert cells[np.arange(pool), levels[x], levels[y]].all()
    assert ((levels["x"] != levels["goal_x"]) | (levels["y"] != levels["goal_y"])).all()
    assert (np.abs(np.bincount(levels["direction"], minlength=4) / pool - 0.25) < 0.05).all()


def test_golden_trace():
    """A map small enough to follow by hand: a step, a bump, nothing, a turn, a step, a turn, the goal."""
    env = batch(levels=[ROOM], view=3, max_steps=10)
    assert env.decode(env.arrays.obs) == ["facing right\n####GG\n##....\n##A^.."]
    assert env.world.solution(env.row(0)) == [RIGHT, FORWARD, LEFT, FORWARD, FORWARD]
    rewards, ends, bumps, views = [], [], [], []
    for action in (FORWARD, FORWARD, 3, RIGHT, FORWARD, LEFT, FORWARD):
        env.step_rows(np.array([action]))
        now = env.arrays
        rewards.append(round(float(now.reward[0]), 6))
        ends.append(bool(now.terminated[0]))
        bumps.append(int(now.signals["bump"][0]))
        views.append(env.decode(now.final_obs if ends[-1] else now.obs)[0].split("\n")[1:])
    assert rewards == [0, 0, 0, 0, 0, 0, 0.37]
    assert ends == [False] * 6 + [True]
    assert bumps == [0, 1, 0, 0, 0, 0, 0]
    assert views[3] == ["######", "GG....", "##A^.."]
    assert views[5] == ["######", "##GG##", "..A^##"]
    assert views[6] == ["      ", "######", "##A^##"]


def test_maps_as_text_and_as_arrays_are_the_same_levels():
    array = np.full((5, 4, 3), (2, 5, 0))
    array[1:4, 1:3] = (1, 0, 0)
    array[3, 1], array[3, 2], array[1, 1] = (2, 5, 0), (8, 1, 0), (10, 0, 0)
    env = batch(levels=[ROOM, array])
    assert env.world.levels[0] == env.world.levels[1]
    assert env.render(1) == ROOM.strip("\n")
    assert env.frame(0).shape == (64, 80, 3)


def test_a_map_needs_no_walls_around_it_and_may_have_32_cells_a_side():
    """What is outside is wall, to the view and to the feet."""
    wide = "A<" + ".." * 30 + "GG"
    env = batch(levels=["\n".join([wide, *[".." * 32] * 31]), "GGA<", "GG\nA<"], view=5)
    image = env.arrays.obs["image"]
    assert (image[0, :2, 4] == (1, 0, 0)).all()  # its left hand points down the map
    assert (image[0, 3:, 4] == [(2, 5, 0), (0, 0, 0)]).all()  # the edge is a wall, nothing is seen behind it
    assert image[1, 2].tolist() == [[0, 0, 0], [0, 0, 0], [2, 5, 0], [8, 1, 0], [1, 0, 0]]
    env.step_rows(np.full(3, FORWARD))
    assert env.arrays.signals["bump"].tolist() == [1, 0, 1]
    assert env.arrays.terminated.tolist() == [False, True, False]
    corner = batch(levels=["\n".join([*[".." * 32] * 31, ".." * 30 + "GGAv"])], view=3)
    assert corner.decode(corner.arrays.obs) == ["facing down\n      \n######\n##A^GG"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("A>..\n..D?", r"levels\[0\], line 2, column 3: found 'D\?'; allowed are '##', '\.\.', 'GG', 'A>'"),
        ("A>GG\n...", r"line 2, column 4: the line ends after 3 characters"),
        ("A>GG\n..GG", r"line 2, column 3: found a second goal; a map has exactly one"),
        ("A>..", r"has no goal; a map has exactly one, 'GG'"),
        ("GG..", r"has no agent; a map has exactly one, 'A>' or 'Av'"),
        ("A>GG" + ".." * 31, r"33 by 1 tiles; it must be 1 to 32"),
        (np.array([[(10, 0, 0)], [(8, 1, 0)], [(4, 2, 1)]]), r"line 1, column 3: found the tile \(4, 2, 1\)"),
        (np.zeros((3, 3)), r"shape \(3, 3\), dtype float64; it must be \(width, height, 3\) integers"),
    ],
)
def test_bad_maps_are_refused(given, words):
    with pytest.raises(ValueError, match=words):
        four_rooms(levels=[given])


@pytest.mark.parametrize(
    "config", [{"size": 6}, {"size": 33}, {"view": 4}, {"view": 17}, {"max_steps": 0}, {"pool": 0}]
)
def test_bad_arguments_are_refused(config):
    with pytest.raises(ValueError, match=f"{next(iter(config))} is"):
        four_rooms(**config)
