"""The generated families of text games, played by TextWorld's own rules, and the promises of their cards."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from textworld import challenges
from textworld.generator import Game as TheirGame
from textworld.generator import World
from textworld.generator.data import KnowledgeBase
from textworld.generator.game import Event, GameProgression, Quest
from textworld.generator.inform7 import Inform7Game
from textworld.logic import Proposition, Variable

from llm_envs.registration import find, ids
from llm_envs.text.authoring.walkthrough import Walk
from llm_envs.text.games.chain import chain
from llm_envs.text.games.collector import collector
from llm_envs.text.games.house import house
from llm_envs.text.games.key_quest import key_quest
from llm_envs.text.games.treasure import treasure
from llm_envs.text.model.game import kind_of
from llm_envs.text.model.validation import check
from llm_envs.text.solver.solve import solve

COIN_RULES = Path(challenges.__file__).parent / "tw_coin_collector" / "textworld_data"
CASES = [
    *((collector, {"level": level, "mode": mode}) for level, mode in ((1, 1), (5, 1), (10, 2), (20, 3))),
    *((treasure, {"level": level}) for level in (1, 5, 10, 11, 15, 20, 21, 26, 30)),
    *((key_quest, {"locks": locks, "rooms": rooms}) for locks, rooms in ((1, 1), (2, 6), (3, 2), (10, 20))),
    (house, {}),
    (house, {"rooms": 1, "objects": 1, "quests": 1}),
    (house, {"rooms": 20, "objects": 32, "quests": 16}),
    *((chain, {"length": length}) for length in range(1, 9)),
    (chain, {"length": 20, "branches": 8}),
    (chain, {"branches": 0, "failure": False}),
]
NAMES = [f"{maker.generate.__name__}-{'-'.join(map(str, settings.values()))}" for maker, settings in CASES]
every_case = pytest.mark.parametrize(("maker", "settings"), CASES, ids=NAMES)


class Play:
    """A game under TextWorld's rules."""

    def __init__(self, game):
        kb = KnowledgeBase.load(str(COIN_RULES)) if game.theme == "coin" else KnowledgeBase.default()
        quests = [
            Quest(events(quest.win), events(quest.fail), quest.reward, optional=quest.optional) for quest in game.quests
        ]
        theirs = TheirGame(World.from_facts(list(map(proposition, game.facts)), kb), quests=quests)
        for thing in game.things.values():
            theirs.infos[thing.id].name = thing.name
        self.progress, self.inform = GameProgression(theirs), Inform7Game(theirs)

    def admissible(self):
        actions = self.progress.valid_actions
        return dict(zip(self.inform.gen_commands_from_actions(actions), actions, strict=True))

    def do(self, command):
        assert not self.progress.done, f"the game was over before {command!r}"
        commands = self.admissible()
        assert command in commands, f"{command!r} is not among {sorted(commands)}"
        self.progress.update(commands[command])


def events(ours):
    return [Event(conditions=list(map(proposition, event))) for event in ours]


def proposition(fact):
    return Proposition(fact[0], [Variable(key, kind_of(key)) for key in fact[1:]])


@every_case
def test_the_walkthrough_wins_under_textworlds_rules(maker, settings):
    for seed in range(3):
        game = maker.generate(seed, **settings)
        play = Play(game)
        assert play.progress.score == 0
        assert not play.progress.done
        for command in game.walkthrough:
            play.do(command)
        assert play.progress.completed
        assert not play.progress.failed
        assert play.progress.score == sum(quest.reward for quest in game.quests if not quest.optional)


@every_case
def test_games_are_whole_and_of_the_usual_size(maker, settings):
    for seed in range(20):
        game = maker.generate(seed, **settings)
        check(game)
        assert maker.generate(seed, **settings) == game
        assert settings.items() <= game.settings.items()
        names = [thing.name for thing in game.things.values() if thing.kind != "r"]
        assert not [(a, b) for a in names for b in names if set(a.split()) < set(b.split())]
    assert len({maker.generate(seed, **settings).facts for seed in range(20)}) > 1 or settings.get("level") == 1


@pytest.mark.parametrize("maker", [collector, treasure, key_quest, house, chain])
def test_the_usual_games_fit_the_usual_record(maker):
    for seed in range(50):
        game = maker.generate(seed)
        sizes = [len(game.of_kind(*kinds)) for kinds in (("r",), ("c", "s"), ("o", "k", "f"), ("d",))]
        assert all(size <= most for size, most in zip(sizes, (16, 16, 24, 16), strict=True))
        assert len(game.quests) <= 32
        assert len(game.walkthrough) <= 50


@pytest.mark.parametrize(("level", "mode"), [(1, 1), (1, 3), (7, 2), (33, 3), (100, 1)])
def test_collector_has_so_many_rooms_and_no_shorter_way(level, mode):
    game = collector.generate(4, level, mode)
    assert len(game.of_kind("r")) == level * mode
    assert len(game.walkthrough) == level  # level - 1 passages of a tree, and "take coin"
    assert len([fact for fact in game.facts if fact[0] == "free"]) == 2 * (level * mode - 1)


@pytest.mark.parametrize("level", range(1, 31))
def test_treasure_grows_with_the_level(level):
    for seed in range(5):
        game = treasure.generate(seed, level)
        assert len(game.of_kind("r")) == level + 1 - 6 * ((level - 1) // 10)
        assert len(game.of_kind("o")) == 2
        locked = [fact for fact in game.facts if fact[0] == "locked"]
        assert len(locked) == len(game.of_kind("k")) == (0 if level < 21 else 1 + (level - 21) // 3)
        assert bool(game.of_kind("c")) == (level > 10)
        assert not [fact for fact in game.facts if fact[0] == "open"]


def test_treasures_decoy_loses():
    for level in (3, 13, 23):
        game = treasure.generate(1, level)
        walk = Walk(game.things, game.facts)
        walk.take(game.quests[0].fail[0][0][1])
        play = Play(game)
        for command in walk.commands:
            play.do(command)
        assert play.progress.failed
        assert play.progress.score == 0


def within_reach(game, keys):
    """Return what can be taken by a player who unlocks only what these keys fit."""
    shut = {fact[1] for fact in game.named("locked")} - {fact[2] for fact in game.named("match") if fact[1] in keys}
    doors = {(fact[1], fact[3]): fact[2] for fact in game.named("link")}
    found = [fact[2] for fact in game.named("at") if fact[1] == "P"]
    for here in found:  # grows while it is read
        ways = [fact[1] for fact in game.facts if fact[0].endswith("_of") and fact[2] == here]
        found += [there for there in ways if there not in found and doors.get((here, there)) not in shut]
    found += [fact[1] for fact in game.named("at") if fact[2] in found and fact[1] not in shut]
    return {fact[1] for fact in game.facts if fact[0] in ("at", "in", "on") and fact[2] in found} & {
        thing.id for thing in game.of_kind("k", "o", "f")
    }


@pytest.mark.parametrize(("locks", "rooms"), [(1, 1), (2, 6), (4, 3), (10, 20)])
def test_each_key_lies_behind_the_lock_before(locks, rooms):
    for seed in range(10):
        game = key_quest.generate(seed, locks, rooms)
        keys = [fact[1] for fact in game.named("match")]
        assert len(keys) == len(set(keys)) == locks
        for used in range(locks):
            assert within_reach(game, keys[:used]) == set(keys[: used + 1])
        assert within_reach(game, keys) == {*keys, "o_0"}


def test_errands_are_done_nearest_first():
    """In the order of the objective the largest house took 98 to 142 commands, and the usual one 18 for seed 0."""
    largest = [len(house.generate(seed, rooms=20, objects=32, quests=16).walkthrough) for seed in range(10)]
    assert max(largest) <= 100
    usual = [house.generate(seed) for seed in range(10)]
    shortest = [len(solve(game).commands) for game in usual]
    assert sum(len(game.walkthrough) for game in usual) <= 1.1 * sum(shortest)


def test_articles_fit_the_words_after_them():
    """In every family's objectives and descriptions."""
    families = [made.generate for world_id in ids() if hasattr(made := find(world_id), "generate")]
    assert len(families) == 13
    for game in (generate(seed) for generate in families for seed in range(25)):
        for text in (game.objective, *(thing.text for thing in game.things.values())):
            said = re.sub(r"\[.*?\]", " ", text)
            assert not re.search(r"\ba [aeiou]|\ban [^aeiou\s]", said, re.IGNORECASE), text


@pytest.mark.parametrize("quests", [1, 3, 8])
def test_house_counts_what_it_is_asked_for(quests):
    game = house.generate(2, rooms=5, objects=8, quests=quests)
    kinds = ("r", "c", "s", "o", "k")
    assert [len(game.of_kind(kind)) for kind in kinds] == [5, 5, 5, 8, 0]
    assert len(game.quests) == quests
    assert game.objective.count(";") == quests - 1


@pytest.mark.parametrize("length", [1, 2, 4, 7, 12])
def test_the_goals_of_a_chain_are_reached_in_order(length):
    for seed in range(3):
        game = chain.generate(seed, length=length, branches=1)
        assert len(game.quests) == length + 2  # a side quest, and one that can only be failed
        play, rng = Play(game), np.random.default_rng(seed)
        for _ in range(40):
            if play.progress.done:
                break
            commands = sorted(play.admissible())
            play.do(commands[rng.integers(len(commands))])
            done = [quest.completed for quest in play.progress.quest_progressions[:length]]
            assert done == sorted(done, reverse=True)
        play = Play(game)
        for command in game.walkthrough:
            score = play.progress.score
            play.do(command)
            assert play.progress.score <= score + 1


def test_all_side_quests_of_a_chain_can_be_done():
    for seed in range(5):
        game = chain.generate(seed, length=6, branches=4)
        walk = Walk(game.things, game.facts)
        sides = [quest.win[0][0] for quest in game.quests if quest.optional]
        for name, thing, *place in sides:
            if name == "on":
                walk.put(thing, *place)
            else:
                walk.take(thing)
            if name == "eaten":
                walk.commands.append(f"eat {game.things[thing].name}")
        play = Play(game)
        for command in walk.commands:
            play.do(command)
        assert [quest.completed for quest in play.progress.quest_progressions if quest.quest.optional] == [True] * 4
        assert not play.progress.failed


def test_mistakes_in_a_chain_lose_if_asked_for():
    for seed in range(5):
        game = chain.generate(seed)
        food, thing = game.quests[-1].fail[0][0][1], game.quests[3].win[0][0][1]
        for item, verb in ((food, "eat"), (thing, "drop")):
            walk = Walk(game.things, game.facts)
            walk.take(item)
            if verb == "drop":
                walk.go(next(fact[0][2] for fact in game.quests[3].fail if fact[0][0] == "at"))
            play = Play(game)
            for command in (*walk.commands, f"{verb} {game.things[item].name}"):
                assert not play.progress.failed
                play.do(command)
            assert play.progress.failed
        assert not any(quest.fail for quest in chain.generate(seed, failure=False).quests)


REFUSED = [
    (collector, {"level": 0}, "level is 0; it must be from 1 to 100"),
    (collector, {"mode": 4}, "mode is 4; it must be from 1 to 3"),
    (collector, {"level": 40, "mode": 3}, "needs 120 rooms; there may be at most 100"),
    (treasure, {"level": 31}, "level is 31; it must be from 1 to 30"),
    (key_quest, {"locks": 0}, "locks is 0; it must be from 1 to 10"),
    (key_quest, {"rooms": 21}, "rooms is 21; it must be from 1 to 20"),
    (house, {"quests": 9}, "quests is 9 and objects 8; there must be at least as many objects as quests"),
    (house, {"objects": 33}, "objects is 33; it must be from 1 to 32"),
    (chain, {"length": 21}, "length is 21; it must be from 1 to 20"),
    (chain, {"branches": -1}, "branches is -1; it must be from 0 to 8"),
]


@pytest.mark.parametrize(("maker", "settings", "message"), REFUSED)
def test_refusals_name_the_value_and_what_is_allowed(maker, settings, message):
    with pytest.raises(ValueError, match=message):
        maker.generate(0, **settings)


def test_refused_types():
    with pytest.raises(TypeError, match=r"level must be an integer, not 2\.0"):
        treasure.generate(0, level=2.0)
    with pytest.raises(TypeError, match="failure must be True or False, not 1"):
        chain.generate(0, failure=1)


def test_settings_of_numpy_are_kept_as_plain_numbers():
    for maker in (treasure, collector):
        assert json.loads(json.dumps(maker.generate(0, level=np.int64(3)).settings))["level"] == 3
