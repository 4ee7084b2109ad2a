"""Files from strangers: what an error quotes is escaped and short, limits are said before work begins."""

import copy
import json
import re
import time

import numpy as np
import pytest

from llm_envs.text.compiler.pool import compile_games
from llm_envs.text.formats.story.yaml_lines import LARGEST
from llm_envs.text.formats.textworld.read import LARGEST_LOGIC, load
from llm_envs.text.games.key_quest import key_quest
from llm_envs.text.games.story import BUILT_IN, load_story
from llm_envs.text.model.game import Game, Quest, Thing
from llm_envs.text.model.validation import check

HOSTILE = {
    "escape": "\x1b]0;owned\x07",
    "carriage return": "a\rb",
    "C1 control": "a\x9b31mb",
    "right to left": "a\u202eb",
    "line separator": "a\u2028b",
    "a megabyte": "z" * 2**20,
}


def refusal(function, *arguments):
    """Return the message of a refusal, which fits on a screen and leaves the terminal alone."""
    start = time.perf_counter()
    with pytest.raises(ValueError) as error:  # noqa: PT011 (callers look at the message)
        function(*arguments)
    assert time.perf_counter() - start < 15  # what grew with the square took 24 s alone
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 1000
    return str(error.value)


def story_with(name):
    """Return stories with a name, quoted as YAML does it, in every place where a name can stand."""
    written = json.dumps(name)
    return [
        BUILT_IN.replace("brass key: key\n", f"{written}: key\n"),
        BUILT_IN.replace("is: food", f"is: {written}"),
        BUILT_IN.replace("start: beach", f"start: {written}"),
        BUILT_IN.replace("lens in hands", f"lens in hands and {written[1:-1]} is open")
        .replace("win: lens", 'win: "lens')
        .replace("is open,", 'is open",'),
        BUILT_IN.replace("reward: 2", f"reward: {written}"),
        BUILT_IN.replace("north: lamp room", f"north: {written}"),
        BUILT_IN.replace("text: Waves roll in", f'text: "[if {written[1:-1]}] Waves"\n    more: "'),
        f"{written}: 1\n{BUILT_IN}",
        f"rooms: {{{written}: 1, {written}: 2}}\n",
    ]


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("place", range(9))
def test_names_in_stories_are_escaped_and_shortened(kind, place):
    text = story_with(HOSTILE[kind])[place]
    assert refusal(load_story, text).startswith("story")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Return a sound game in TextWorld's format, and write changed ones."""
    game = key_quest.generate(0, locks=1, rooms=3)
    rules = "".join(f"{name} :: x -> y; " for name in ("go/north", "look"))
    return {
        "version": 1,
        "KB": {"logic": rules},
        "world": [
            {"name": name, "arguments": [{"name": one, "type": one.rpartition("_")[0] or one} for one in ids]}
            for name, *ids in game.facts
        ],
        "infos": [[one.id, {"id": one.id, "type": one.kind, "name": one.name}] for one in game.things.values()],
        "quests": [],
    }


def written(tmp_path, value):
    """Return the path of a JSON file."""
    path = tmp_path / "game.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


@pytest.mark.parametrize("kind", HOSTILE)
def test_names_of_rules_are_escaped_and_shortened(kind, data, tmp_path):
    changed = {**data, "KB": {"logic": f"{HOSTILE[kind][:1000]} :: x -> y;"}}
    assert "the rules are not those of theme" in refusal(load, written(tmp_path, changed))


def spots(value):
    """Yield every string in nested lists and objects with where it stands."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(inner, str):
            yield value, key
        elif isinstance(inner, (dict, list)):
            yield from spots(inner)


def known_rules(monkeypatch):
    """Let any rules pass, so that what comes after them is looked at."""
    monkeypatch.setattr("llm_envs.text.formats.textworld.read.find_theme", lambda logic: "base")


@pytest.mark.parametrize("kind", HOSTILE)
def test_values_in_games_are_escaped_and_shortened(kind, data, tmp_path, monkeypatch):
    known_rules(monkeypatch)
    count, rng = len(list(spots(data))), np.random.default_rng(0)
    for k in rng.choice(count, 25, replace=False):
        changed = copy.deepcopy(data)
        inside, key = list(spots(changed))[k]
        inside[key] = HOSTILE[kind]
        try:
            load(path := written(tmp_path, changed))
        except ValueError:
            assert refusal(load, path).startswith(f"{tmp_path}")


def test_keys_of_json_objects_are_given_once(tmp_path):
    """The last would win silently; another reader takes the first."""
    assert "has the key 'version' twice" in refusal(load, written(tmp_path, '{"version": 1, "version": 2}'))
    assert "has the key 'a\\x1b' twice" in refusal(load, written(tmp_path, '{"a\\u001b": {}, "a\\u001b": 2}'))


def test_limits_of_games_are_said_before_work_begins(data, tmp_path, monkeypatch):
    many = {**data, "KB": {"logic": ";" * (LARGEST_LOGIC + 1)}}
    assert "logic: 1048577 characters; at most 1048576" in refusal(load, written(tmp_path, many))
    known_rules(monkeypatch)
    facts = {**data, "world": data["world"] + data["world"][:1] * 60_000}
    assert re.search(r"facts: \d+ of them; at most 10000", refusal(load, written(tmp_path, facts)))
    event = {"condition": {"preconditions": data["world"][:1] * 60_000}}
    quests = {**data, "quests": [{"win_events": [event], "fail_events": [], "reward": 1}]}
    assert "60000 conditions; at most 1024" in refusal(load, written(tmp_path, quests))
    named = copy.deepcopy(data)
    next(info for _, info in named["infos"] if info["type"] == "k")["synonyms"] = ["a"] * 100_000
    assert "100000 synonyms; at most 16" in refusal(load, written(tmp_path, named))


def test_limits_of_stories_are_said_before_work_begins(tmp_path):
    long = BUILT_IN + "x: [" + "a, " * 2**20 + "]\n"
    assert refusal(load_story, long) == f"story: has more than {LARGEST} characters, the most that a story may have"
    path = tmp_path / "long.yaml"
    path.write_text(long)
    assert "has more than" in refusal(load_story, path)
    path.write_text("é" * LARGEST * 3)
    assert "has more than" in refusal(load_story, path)


@pytest.mark.parametrize(
    "text", ["word{} [if open]a[end if] ", "[noun]{} ", "{} "], ids=["conditions", "nouns", "different words"]
)
def test_texts_in_many_pieces_take_no_time(text):
    """60 things with the longest texts there may be: refused, and soon, by what a level has space for."""
    things = {"r_0": Thing("r_0", "room")}
    for k in range(60):
        body = "".join(text.format(f"{k}x{i}") for i in range(16_000 // (len(text) + 4)))[:15_000]
        things[f"c_{k}"] = Thing(f"c_{k}", f"box {k}", body.rpartition("[")[0] if "[" in body[-12:] else body)
    facts = [
        ("at", "P", "r_0"),
        *(("at", f"c_{k}", "r_0") for k in range(60)),
        *(("open", f"c_{k}") for k in range(60)),
    ]
    game = Game("many", "base", things, tuple(facts), (Quest(((("closed", "c_0"),),)),))
    check(game)
    assert re.fullmatch(
        r"many has \d+ (code|tokens), \d+ more than the \d+ a game may have", refusal(compile_games, [game])
    )
