"""The solver: its lists win under TextWorld's interpreter, and are as short as any that an exhaustive search finds."""

from dataclasses import replace

import numpy as np
import pytest
from text_search import after_each, any_game, compiled, shortest
from textworld_play import KINDS, make_games, play

from llm_envs.text.authoring.builder import Maker
from llm_envs.text.compiler.pool import compile_games
from llm_envs.text.formats.textworld.read import load
from llm_envs.text.games.arithmetic import arithmetic
from llm_envs.text.games.chain import chain
from llm_envs.text.games.collector import collector
from llm_envs.text.games.cooking import cooking
from llm_envs.text.games.cooking_world import cooking_world
from llm_envs.text.games.house import house
from llm_envs.text.games.key_quest import key_quest
from llm_envs.text.games.map_reader import map_reader
from llm_envs.text.games.pecking_order import pecking_order
from llm_envs.text.games.simon_says import simon_says
from llm_envs.text.games.sorting import sorting
from llm_envs.text.games.tidy import tidy
from llm_envs.text.games.treasure import treasure
from llm_envs.text.model.game import Quest
from llm_envs.text.records.codes import LOST
from llm_envs.text.records.state import game_kind
from llm_envs.text.solver.solve import STATE, fit, search_from, solve, solve_level, start_of
from llm_envs.text.solver.workspace import LARGEST

NO_HELP = ("inventory", "look", "examine")
FAMILIES = [
    (collector, {"level": 20, "mode": 3}),
    (treasure, {}),
    (treasure, {"level": 30}),
    (key_quest, {}),
    (key_quest, {"locks": 10, "rooms": 20}),
    (house, {}),
    (house, {"rooms": 10, "objects": 12, "quests": 8}),
    (chain, {}),
    (chain, {"length": 20, "branches": 8}),
    (cooking, {}),
    (cooking, {"preset": "ftwp-hardest"}),
    (cooking, {"recipe": 5, "take": 5, "cook": True, "cut": True, "open": True, "drop": True, "go": 12}),
    (tidy, {"level": "medium"}),
    (tidy, {"level": "house"}),
    (cooking_world, {}),
    (cooking_world, {"ingredients": 5, "rooms": 12}),
    (map_reader, {}),
    (arithmetic, {}),
    (sorting, {"things": 8}),
    (pecking_order, {}),
    (simon_says, {"length": 12}),
]
SMALL = [
    (collector, {"level": 5, "mode": 2}),
    (treasure, {"level": 3}),
    (key_quest, {"locks": 1, "rooms": 2}),
    (house, {"rooms": 2, "objects": 2, "quests": 2}),
    (chain, {"length": 2, "branches": 0}),
    (cooking, {}),
    (cooking, {"cook": True, "cut": True, "drop": True}),
    (tidy, {}),
    (cooking_world, {"ingredients": 1, "rooms": 3}),
    (sorting, {"things": 3}),
    (simon_says, {"length": 1}),
]


def by_name(cases):
    return [f"{maker.generate.__name__}-{'-'.join(map(str, settings.values()))}" for maker, settings in cases]


def check_shortest(level, state):
    """Check the solver's answer for a state against that of the exhaustive search, and return it."""
    found, fewest = search_from(level, state, 100_000), shortest(level, state)
    if fewest is None:
        assert found is None
        return None
    assert found is not None
    assert (len(found[0]), found[1]) == (fewest, True)
    return found[0]


@pytest.mark.parametrize("kind", KINDS)
def test_textworlds_own_games_are_won_under_its_interpreter(kind):
    for story in make_games([kind], range(2)):
        game = load(story.with_suffix(".json"))
        solution = solve(game)
        told = play(story, solution.commands)
        assert [one["command"] for one in told[1:]] == list(solution.commands)
        assert told[-1]["won"]
        assert told[-1]["score"] == solution.score == told[-1]["max_score"]
        assert len(solution.commands) <= len([one for one in game.walkthrough if not one.startswith(NO_HELP)])


@pytest.mark.parametrize(("maker", "settings"), FAMILIES, ids=by_name(FAMILIES))
def test_every_family_is_solved(maker, settings):
    for seed in range(4):
        game = maker.generate(seed, **settings)
        solution = solve(game)
        assert solution.optimal
        assert solution.score >= sum(quest.reward for quest in game.quests if quest.win and not quest.optional)
        assert len(solution.commands) <= len([one for one in game.walkthrough if not one.startswith(NO_HELP)])


@pytest.mark.parametrize(("maker", "settings"), SMALL, ids=by_name(SMALL))
def test_no_list_is_shorter_in_small_games(maker, settings):
    for seed in range(2):
        level, _ = compiled(maker.generate(seed, **settings))
        assert check_shortest(level, start_of(level))


@pytest.mark.parametrize("start", range(0, 80, 10))
def test_no_list_is_shorter_in_any_games(start):
    for seed in range(start, start + 10):
        level, _ = compiled(any_game(seed))
        check_shortest(level, start_of(level))


def test_a_game_is_solved_from_any_state():
    game = key_quest.generate(0, 2, 4)
    pool = compile_games([game])
    numbers, optimal, _ = solve_level(pool.levels[:1], pool.size)
    level, plan = compiled(game)
    assert optimal
    assert tuple(plan.commands[number][0] for number in numbers) == solve(game).commands
    state = start_of(level)
    for done, number in enumerate(numbers):
        theirs = np.zeros(1, game_kind(pool.size))
        fit(state, theirs)
        assert len(solve_level(pool.levels[:1], pool.size, theirs)[0]) == len(numbers) - done
        commands, states = after_each(level, state)
        state = np.array([states[commands.index(number)]], STATE)
    assert solve_level(level, LARGEST, state) == ([], True, 0)
    state["ending"] = LOST
    assert solve_level(level, LARGEST, state) is None


def one_room(*quests):
    maker = Maker("one room", "base", np.random.default_rng(0))
    hall = maker.room("hall")
    box = maker.fix("c", "box", hall, "locked")
    maker.say("match", maker.put("k", "brass key", box), box)
    maker.put("f", "plum", hall, traits=["edible"])
    maker.start(hall)
    return replace(maker.game("Do something."), quests=quests)


def test_what_can_be_won_and_what_not():
    assert solve(one_room(Quest(((("at", "P", "r_0"),),)))).commands == ()  # it is so at the start
    assert solve(one_room(Quest(((("eaten", "f_0"),),)))).commands == ("take plum", "eat plum")
    assert solve(one_room(Quest(((("in", "f_0", "c_0"),), (("eaten", "f_0"),))))).score == 1
    lost = (("eaten", "f_0"),)
    for quests in (
        [],
        [Quest(((("open", "c_0"),),))],  # the key is in the box
        [Quest(((("eaten", "f_0"),),), optional=True)],
        [Quest((lost,), (lost,))],
    ):
        assert solve(one_room(*quests)) is None
    with pytest.raises(ValueError, match="repeatable; only optional quests may be"):
        solve(one_room(Quest((lost,), repeatable=True)))


@pytest.mark.parametrize("shuts", [False, True])
def test_what_would_lose_elsewhere_is_undone(shuts):
    maker = Maker("three rooms", "base", np.random.default_rng(0))
    yard, path, hall = (maker.room(name) for name in ("yard", "path", "hall"))
    maker.connect(yard, "south", path)
    maker.connect(path, "south", hall)
    box, plum = maker.fix("c", "box", yard, "closed"), maker.put("f", "plum", yard)
    first = ("open", box) if shuts else ("in", plum, "I")
    maker.start(yard)
    maker.quest(first)
    maker.quest(("at", "P", hall), fail=[[first, ("at", "P", hall)]])
    level, _ = compiled(maker.game("Do something."))
    assert len(check_shortest(level, start_of(level))) == 4


def test_past_the_limit_a_list_may_be_longer_than_need_be():
    game = cooking.generate(0, preset="ftwp-hardest")
    best, quick = solve(game), solve(game, limit=500)
    assert best.optimal
    assert not quick.optimal
    assert len(best.commands) <= len(quick.commands) <= len(game.walkthrough)
    assert best.score == quick.score == 11
    assert solve(game, limit=1) is None


def test_refusals():
    game = arithmetic.generate(0)
    with pytest.raises(ValueError, match="limit is 0; it must be from 1"):
        solve(game, limit=0)
    pool = compile_games([game, game])
    with pytest.raises(ValueError, match="level must be one record"):
        solve_level(pool.levels, pool.size)
    with pytest.raises(ValueError, match="state must be one record"):
        solve_level(pool.levels[:1], pool.size, np.zeros(2, game_kind(pool.size)))
    with pytest.raises(ValueError, match="level is of another layout than size"):
        solve_level(pool.levels[:1], LARGEST)
