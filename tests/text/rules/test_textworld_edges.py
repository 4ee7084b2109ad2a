"""Edges of TextWorld, live: names within names, quests that hold at the start, odd texts; games made by hand."""

import gymnasium as gym
import pytest

import llm_envs  # noqa: F401  (registers its ids)
from llm_envs.text.formats.textworld.read import load

pytest.importorskip("textworld", reason="the reference for text games is not installed: pip install textworld")
from textworld import GameMaker
from textworld.generator.game import Event, Quest
from textworld_play import compile_game, play

PEN = ("o", "pen", "kitchen")  # to be brought into the garden, which wins


class House:
    """A kitchen and a garden behind a closed door, with things: (type, name, place, properties)."""

    def __init__(self, *things, texts=None):
        self.maker = GameMaker()
        kitchen, garden = self.maker.new_room("kitchen"), self.maker.new_room("garden")
        self.maker.new_door(self.maker.connect(kitchen.north, garden.south), "wooden door").add_property("closed")
        self.maker.set_player(kitchen)
        self.named = {"kitchen": kitchen, "garden": garden, "I": self.maker.inventory}
        for kind, name, place, *properties in things:
            self.named[name] = thing = self.maker.new(kind, name=name)
            for one in properties:
                thing.add_property(one)
            self.named[place].add(thing)
        for name, text in (texts or {}).items():
            self.named[name].infos.desc = text

    def quest(self, *facts, lose=False, **settings):
        conditions = [self.maker.new_fact(name, *(self.named[one] for one in ids)) for name, *ids in facts]
        events = [Event(conditions=conditions)]
        return Quest([], events) if lose else Quest(events, **settings)

    def compiled(self, folder, *quests):
        self.maker.quests = [*quests, self.quest(("at", "pen", "garden"))]
        return compile_game(self.maker.build(), folder / "game.z8")


def both(game, commands):
    """Play on both sides and compare every step; return what ours told."""
    options = {"observation": "text", "action": "text", "facts": True, "max_steps": 0}
    env = gym.make("Text/World-v0", games=[game.with_suffix(".json")], **options)
    told = [env.reset(seed=0)[1]] + [env.step(command)[-1] for command in commands]
    for our, their in zip(told, play(game, commands), strict=True):
        for name in ("admissible_commands", "facts", "score", "max_score", "won", "lost"):
            assert our[name] == their[name], f"{name} after {their['command']}"
        for name in ("description", "inventory", "feedback"):
            if name != "feedback" or their["command"]:  # the first one is a banner
                assert our[name].split() == their[name].split(), f"{name} after {their['command']}"
    return told


def test_names_within_names(tmp_path):
    """What a name may mean too is said: by words in any order, each known by nine letters."""
    house = House(
        PEN,
        ("o", "lamp", "I"),
        ("o", "old lamp", "kitchen"),
        ("c", "box", "kitchen", "open"),
        ("s", "table", "kitchen"),
        *(("o", name, "kitchen") for name in ("ring key", "old key ring", "cupboarding", "cupboardin")),
    )
    lamp = ["insert lamp into box", "take lamp from box", "put lamp on table", "take lamp from table", "unlock lamp"]
    ring = ["take ring key", "drop ring key", "put ring key in box", "take old key ring"]
    told = both(house.compiled(tmp_path), [*lamp, *ring, "take cupboarding", "examine lamp"])
    assert told[1]["feedback"].startswith("(the lamp into the box)")


def test_quests_that_hold_at_the_start(tmp_path):
    """They score before the first command, silently; that a passage is free is not asked for."""
    house = House(PEN, ("o", "lamp", "I"), ("o", "coin", "kitchen"))
    lit, paid = ("in", "lamp", "I"), [("in", "coin", "I"), ("free", "kitchen", "garden")]
    game = house.compiled(tmp_path, house.quest(lit, reward=2), house.quest(*paid))
    told = both(game, ["look", "take coin", "drop lamp", "take lamp", "open wooden door"])
    assert [one["score"] for one in told] == [2, 2, 3, 3, 3, 3]


@pytest.mark.parametrize(
    ("lose", "message"), [(False, "all that have to be done are done at the start"), (True, "has failed at the start")]
)
def test_games_over_before_they_begin_are_refused(lose, message, tmp_path):
    house = House(("o", "pen", "I"))
    house.maker.quests = [house.quest(("in", "pen", "I"), lose=lose)]
    if lose:
        house.maker.quests.append(house.quest(("at", "pen", "garden")))
    house.maker.build().save(str(tmp_path / "over.json"))
    with pytest.raises(ValueError, match=message):
        load(tmp_path / "over.json")


def test_odd_texts(tmp_path):
    """Quotes and brackets beside substitutions, nothing to say of a thing, lists with their verb."""
    texts = {
        "pen": "A '[noun]' and ([noun]): re-[noun], the [noun]'s. 'Tis 5' long. [if c_0 is open]A[end if]'s fun",
        "box": "",
        "table": "",
        "kitchen": "There [is-are a list of things in the c_0], and there [is-are a list of things on the s_0].",
    }
    things = [("c", "box", "kitchen", "open"), ("s", "table", "kitchen"), ("o", "cup", "table")]
    things += [("o", "jar", "box"), ("o", "pin", "box")]
    house = House(("o", "pen", "I"), *things, texts=texts)
    first = ["examine pen", "examine box", "examine table", "take jar from box", "examine box", "put jar on table"]
    then = ["examine table", "look", "take cup from table", "look", "examine table", "close box", "examine box"]
    both(house.compiled(tmp_path), [*first, *then])
