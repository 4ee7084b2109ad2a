"""What a search leaves out: commands that are irrelevant to the required quests."""

from dataclasses import replace

import numpy as np
from text_search import compiled

from llm_envs.text.authoring.builder import Maker
from llm_envs.text.solver.prepare import prepare
from llm_envs.text.solver.solve import start_of


def pantry(*wanted, fail=()):
    """Return a game of two rooms, a closed box with a plum, a shelf and a brass key, that wants these facts."""
    maker = Maker("pantry", "base", np.random.default_rng(0))
    hall, cellar = maker.room("hall"), maker.room("cellar")
    maker.connect(hall, "south", cellar)
    box, shelf = maker.fix("c", "box", hall, "closed"), maker.fix("s", "shelf", cellar)
    things = {"box": box, "shelf": shelf, "plum": maker.put("f", "plum", box, traits=["edible"])}
    things["key"] = maker.put("k", "brass key", shelf)
    maker.start(hall)

    def named(fact):
        return tuple(things.get(word, word) for word in fact)

    maker.quest(*map(named, wanted), fail=[list(map(named, event)) for event in fail])
    return maker.game("Do something.")


def allowed(game):
    """Return the commands that the solver may use, but for those that walk."""
    level, plan = compiled(game)
    static = prepare(level.view(np.recarray)[0], start_of(level).view(np.recarray)[0])
    names = [plan.commands[k][0] for k in np.flatnonzero(static["allowed"][0])]
    return {name for name in names if not name.startswith("go ")}


def test_only_what_a_quest_needs_is_allowed():
    plum = {"open box", "take plum", "take plum from box", "take plum from shelf", "eat plum"}
    assert allowed(pantry(("eaten", "plum"))) == plum
    assert allowed(pantry(("at", "P", "r_1"))) == set()
    assert allowed(pantry(("open", "box"))) == {"open box"}


def test_what_a_fail_event_forbids_in_part_is_unconstrained():
    """A fail event of two conditions about the key: it may be taken, put anywhere and dropped."""
    fail = [[("on", "key", "shelf"), ("at", "P", "r_1")]]
    more = allowed(pantry(("eaten", "plum"), fail=fail)) - allowed(pantry(("eaten", "plum")))
    assert {"take brass key", "put brass key on shelf", "insert brass key into box", "drop brass key"} <= more


def test_nothing_is_prepared_where_nothing_wins():
    level, _ = compiled(replace(pantry(("open", "box")), quests=()))
    assert prepare(level.view(np.recarray)[0], start_of(level).view(np.recarray)[0]) is None
