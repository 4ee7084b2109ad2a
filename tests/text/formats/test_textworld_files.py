"""TextWorld's files: games read as they are, written as TextWorld plays them, and refused when broken."""

import copy
import dataclasses
import gzip
import json
import random
from itertools import pairwise

import numpy as np
import pytest
import textworld
from textworld_play import KINDS, compile_export, make_games, play

from llm_envs.text.authoring.builder import Maker
from llm_envs.text.compiler.conditions import fact_text
from llm_envs.text.formats.textworld.read import load
from llm_envs.text.formats.textworld.write import export
from llm_envs.text.model.game import Game, Quest, Thing, kind_of
from llm_envs.text.model.validation import as_text, check


@pytest.fixture(scope="module")
def stories():
    return dict(zip(KINDS, make_games(KINDS), strict=True))


def own_game() -> Game:
    """Return a game with a door, a lock, and quests of every sort."""
    maker = Maker("own", "base", np.random.default_rng(0))
    hall, shed = maker.room("hall"), maker.room("shed")
    door = maker.connect(hall, "north", shed, "oak door", "locked")
    shelf, box = maker.fix("s", "shelf", hall), maker.fix("c", "box", shed, "closed")
    key = maker.put("k", "brass key", shelf)
    plum = maker.put("f", "plum", box, traits=["edible"], indefinite="some", synonyms=["fruit"])
    maker.put("o", "rope", "I")
    maker.say("match", key, door)
    maker.start(hall)
    maker.quest(("open", door), reward=3)
    maker.quest(("in", key, "I"), reward=2, optional=True)
    maker.quest(("eaten", plum), ("at", "P", hall), fail=[[("locked", door), ("at", key, hall)]])
    commands = ["take brass key from shelf", "unlock oak door with brass key", "open oak door", "go north", "open box"]
    commands += ["take plum from box", "eat plum", "go south"]
    return maker.game("Eat the plum, then come back.", commands, {"size": 2})


@pytest.mark.parametrize("kind", KINDS)
def test_games_of_every_kind_are_read_as_textworld_plays_them(stories, kind):
    file = stories[kind].with_suffix(".json")
    game, given = load(file), json.loads(file.read_text())
    theme = {"coin": "coin", "cooking": "cooking", "cooking-drop": "cooking-drop"}.get(kind, "base")
    assert (game.name, game.theme) == (file.stem, theme)
    assert [thing for thing, _ in given["infos"] if thing not in ("P", "I", "RECIPE")] == list(game.things)
    assert sum(quest.reward for quest in game.quests) == textworld.generator.Game.load(str(file)).max_score
    steps = play(stories[kind], game.walkthrough)
    assert steps[-1]["won"]
    assert [as_text(fact) for fact in game.facts] == [
        f"{one['name']}({', '.join(part['name'] for part in one['arguments'])})" for one in given["world"]
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_export_and_load_return_the_same_game(stories, kind, tmp_path):
    game = load(stories[kind].with_suffix(".json"))
    assert load(export(game, tmp_path / f"{game.name}.json")) == game


def test_gzip_files_are_read_too(tmp_path):
    game = own_game()
    plain = export(game, tmp_path / "own.json")
    packed = tmp_path / "own.json.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert load(packed) == load(plain) == load(str(plain)) == game


def test_textworld_plays_our_own_game_as_it_is_written(tmp_path):
    game = own_game()
    story = compile_export(game, tmp_path)
    steps = play(story, game.walkthrough)
    again = load(story.with_suffix(".json"))  # as TextWorld writes it: facts are sorted
    assert dataclasses.replace(again, facts=game.facts) == game
    assert sorted(again.facts) == sorted(game.facts)
    assert steps[0]["facts"] == sorted(fact_text(fact, game) for fact in game.facts)
    assert steps[0]["inventory"] == "You are carrying: a rope."
    looks = [f"examine {name}" for name in ("brass key", "oak door", "rope", "shelf")]
    others = ["inventory", "look", "put rope on shelf", "take brass key from shelf"]
    assert steps[0]["admissible_commands"] == ["drop rope", *looks, *others]
    assert all(step["command"] in before["admissible_commands"] for before, step in pairwise(steps))
    assert [step["score"] for step in steps] == [0, 2, 2, 5, 5, 5, 5, 5, 6]
    assert [step["won"] for step in steps] == [False] * 8 + [True]
    lost = play(story, ["take brass key from shelf", "drop brass key", "look"])
    assert [step["lost"] for step in lost] == [False, False, True]


def test_export_refuses_what_textworld_cannot_compile(tmp_path):
    game = own_game()
    with pytest.raises(ValueError, match=r"own\.txt'; it must end in \.json"):
        export(game, tmp_path / "own.txt")
    with pytest.raises(ValueError, match=r"objective: .*double quotes"):
        export(dataclasses.replace(game, objective='Say "plum".'), tmp_path / "own.json")
    rooms = dict(game.things, r_1=Thing("r_1", "hall", "A hall."))
    with pytest.raises(ValueError, match=r"r_1: .*name of r_0"):
        export(dataclasses.replace(game, things=rooms), tmp_path / "own.json")


# What is done to the parts of a file, and what `load` then says.
BROKEN = {
    "version is 2": lambda data: data.update(version=2),
    "'version' is missing": lambda data: data.pop("version"),
    "'world' is missing": lambda data: data.pop("world"),
    "quests: must be list, not 3": lambda data: data.update(quests=3),
    r"rules are not those of theme 'base'; unknown: fly": lambda data: data["KB"].update(
        logic=data["KB"]["logic"] + "\nrules { fly :: at(P, r) -> at(P, r); }"
    ),
    "missing: eat": lambda data: data["KB"].update(logic=data["KB"]["logic"].replace("eat :: ", "# ")),
    "not those of TextWorld": lambda data: data["KB"].update(
        logic=data["KB"]["logic"].replace("in(f, I) -> eaten(f)", "in(f, I) -> in(f, I)")
    ),
    r"world\[0\]: 'name' is missing": lambda data: data["world"][0].pop("name"),
    r"world\[0\]: name: must be str, not null": lambda data: data["world"][0].update(name=None),
    "'r_1' is said to be of type 'd'": lambda data: data["world"][0]["arguments"][0].update(type="d"),
    r"infos\[2\]: must be a list of an id and an entry": lambda data: data["infos"].insert(2, ["r_0"]),
    "r_0: has two entries": lambda data: data["infos"].append(data["infos"][2]),
    "s_0: its type is 'c'": lambda data: dict(data["infos"])["s_0"].update(type="c"),
    "f_0: synonyms: must be str, not 1": lambda data: dict(data["infos"])["f_0"].update(synonyms=[1]),
    "quest 0: reward: must be int, not 1.5": lambda data: data["quests"][0].update(reward=1.5),
    "quest 1: optional: must be bool, not 1": lambda data: data["quests"][1].update(optional=1),
    "quest 2: 'condition' is missing": lambda data: data["quests"][2]["fail_events"][0].pop("condition"),
    "there is no 'f_0'": lambda data: data["infos"].pop(2 + list(own_game().things).index("f_0")),
}


@pytest.mark.parametrize("reason", BROKEN)
def test_broken_files_are_refused_with_file_and_reason(reason, tmp_path):
    file = export(own_game(), tmp_path / "own.json")
    data = json.loads(file.read_text())
    BROKEN[reason](data)
    file.write_text(json.dumps(data))
    with pytest.raises(ValueError, match=rf"own\.json: .*{reason}"):
        load(file)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"\x1f\x8b", b'{"a": NaN}', b"[" * 100_000])
def test_files_that_are_no_json_objects_are_refused(content, tmp_path):
    file = tmp_path / "odd.json"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=r"odd\.json: "):
        load(file)


def test_files_cut_off_are_refused_and_missing_ones_are_missing(tmp_path):
    file = tmp_path / "cut.json.gz"
    file.write_bytes(gzip.compress(b"{}" * 1000)[:-5])
    with pytest.raises(ValueError, match="cut off"):
        load(file)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.json")


def test_nothing_but_value_errors_comes_of_random_changes(stories, tmp_path):
    rng = random.Random(0)
    junk = [None, True, -1, 2**70, 1.5, "", "x", "r_0", "slot_0", "P", "free", "\ud800", [], {}, [[]], "y" * 5000]
    sound, refused, file = list(map(_data, stories.values())), 0, tmp_path / "changed.json"
    for _ in range(400):
        data = copy.deepcopy(rng.choice(sound))
        spots = list(_spots({key: data[key] for key in ("world", "infos", "quests", "metadata")}))
        inside, key = rng.choice(spots)
        if rng.random() < 0.3:
            del inside[key]
        else:
            inside[key] = copy.deepcopy(rng.choice(junk))
        file.write_text(json.dumps(data))
        refused += _refuses(file)
    assert refused > 100


def _refuses(file):
    """Say whether a file is refused, in the one way that is allowed."""
    try:
        load(file)
    except ValueError as error:
        return str(error).startswith(f"{file}: ") or pytest.fail(str(error))
    return False


def _data(story):
    return json.loads(story.with_suffix(".json").read_text())


def _spots(value):
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield value, key
        if isinstance(inner, (dict, list)):
            yield from _spots(inner)


def without(*facts):
    return lambda game: dataclasses.replace(game, facts=tuple(fact for fact in game.facts if fact not in facts))


def with_facts(*facts):
    return lambda game: dataclasses.replace(game, facts=(*game.facts, *facts))


def named(thing, **changes):
    return lambda game: dataclasses.replace(
        game, things=dict(game.things) | {thing: dataclasses.replace(game.things[thing], **changes)}
    )


def quest(*win, **more):
    return lambda game: dataclasses.replace(game, quests=(Quest((win,) if win else (), **more),))


# What is done to the game, and what `check` then says.
UNSOUND = {
    "theme: 'odd' is unknown": lambda game: dataclasses.replace(game, theme="odd"),
    "type 'd' is unknown in theme 'coin'": lambda game: dataclasses.replace(game, theme="coin"),
    r"x_0: type 'x' is unknown": lambda game: dataclasses.replace(game, things=dict(game.things, x_0=Thing("x_0"))),
    r"o_01: an id must be": lambda game: dataclasses.replace(game, things=dict(game.things, o_01=Thing("o_01"))),
    r"k_0 \(rope\): has the same name|o_0 \(rope\): has the same name": named("k_0", name="rope"),
    r"o_0: its name has 0 characters": named("o_0", name=""),
    "must be printable words": named("o_0", name="a  b"),
    r"'box from shelf' would have two meanings": named("o_0", name="box from shelf"),
    "a text of 16001 characters": named("r_0", text="x" * 16_001),
    r"its text has the character '\\x00'": named("r_0", text="a\0"),
    r"odd\(k_0\): fact 'odd' is unknown": with_facts(("odd", "k_0")),
    r"cooked\(f_0\): fact 'cooked' is unknown in theme 'base'": with_facts(("cooked", "f_0")),
    r"at\(k_9, r_0\): there is no 'k_9'": with_facts(("at", "k_9", "r_0")),
    r"has the types \(k, s, r\)": with_facts(("on", "k_0", "s_0", "r_0")),
    "is given twice": with_facts(("edible", "f_0")),
    r"k_0 \(brass key\): on\(k_0, s_0\) and in\(k_0, I\) cannot both hold": with_facts(("in", "k_0", "I")),
    "P: at.P, r_0. and at.P, r_1. cannot both hold": with_facts(("at", "P", "r_1")),
    r"c_0 \(box\): closed.* and open.* cannot both hold": with_facts(("open", "c_0")),
    r"o_0 \(rope\): is nowhere": without(("in", "o_0", "I")),
    "P: is nowhere": without(("at", "P", "r_0")),
    r"c_0 \(box\): must be open, closed or locked": without(("closed", "c_0")),
    r"d_0 \(oak door\): must be open, closed or locked": without(("locked", "d_0")),
    r"d_0 \(oak door\): must be linked both ways": without(("link", "r_0", "d_0", "r_1")),
    "the way back, south_of.r_0, r_1., is missing": without(("south_of", "r_0", "r_1")),
    "joins rooms that": with_facts(("east_of", "r_1", "r_0"), ("west_of", "r_0", "r_1")),
    "free both ways must be given if, and only if": with_facts(("free", "r_0", "r_1")),
    "f_0 .plum.: is eaten at the start": with_facts(("eaten", "f_0")),
    r"r_2 \(attic\): no way leads there": lambda game: dataclasses.replace(
        game, things=dict(game.things, r_2=Thing("r_2", "attic"))
    ),
    r"quest 0: has neither win nor fail": quest(),
    "quest 0: has an event without facts": lambda game: dataclasses.replace(game, quests=(Quest(((),)),)),
    "reward 1001": quest(("in", "k_0", "I"), reward=1001),
    "reward True": quest(("in", "k_0", "I"), reward=True),
    "only optional quests": quest(("in", "k_0", "I"), repeatable=True),
    r"quest 0: in\(k_7, I\): there is no 'k_7'": quest(("in", "k_7", "I")),
    r"quest 0: match\(k_0, c_0\): does not hold": quest(("match", "k_0", "c_0")),
    r"cannot both hold \(quest 0\)": quest(("in", "k_0", "I"), ("on", "k_0", "s_0")),
    r"quest 0: cannot be completed: locked\(c_0\)": quest(("locked", "c_0")),
    "65 of them": lambda game: dataclasses.replace(game, quests=game.quests[:1] * 65),
}


@pytest.mark.parametrize("reason", UNSOUND)
def test_unsound_games_are_refused_with_the_reason(reason):
    check(own_game())
    with pytest.raises(ValueError, match=f"(?s)somewhere: .*{reason}|somewhere: {reason}"):
        check(UNSOUND[reason](own_game()), "somewhere")


def test_a_goal_behind_a_door_whose_key_is_behind_it_too_is_refused():
    game = without(("on", "k_0", "s_0"))(own_game())
    with pytest.raises(ValueError, match=r"quest 0: cannot be completed: open\(d_0\) is out of reach"):
        check(with_facts(("in", "k_0", "c_0"))(game))


def test_recipes_must_be_whole(stories):
    game = load(stories["cooking-drop"].with_suffix(".json"))
    for name in ("ingredient_1", "base", "cooking_location", "out"):
        fact = next(iter(game.named(name)))
        with pytest.raises(ValueError, match=r"RECIPE: |ingredient_"):
            check(without(fact)(game))
    slot = next(fact for fact in game.facts if kind_of(fact[1]) == "slot")
    with pytest.raises(ValueError, match="must be free or used"):
        check(without(slot)(game))
