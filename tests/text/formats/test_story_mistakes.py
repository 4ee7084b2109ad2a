"""What no story is: each mistake is refused with its line and column, damaged files with nothing but ValueErrors."""

import re

import numpy as np
import pytest
from story_texts import EXAMPLE, change
from text_player import check_facts

from llm_envs.text.games.story import load_story

MISTAKES = [  # what is changed in SMALL, where the error points, what it says
    ("start: hall", "start: hal", (1, 8), "start has unknown room 'hal'; did you mean 'hall'?"),
    ("start: hall\n", "", (1, 1), "the document needs an entry 'start'"),
    ("start: hall", "begin: hall", (1, 1), "the document has unknown entry 'begin'; there is doors, hands"),
    ("rooms:", "rooms: [", (4, 10), "expected ',' or ']', but got ':'"),
    ("north: study", "north: studio", (4, 20), "rooms > hall > exits > north has unknown room 'studio'"),
    ("north: study", "up: study", (4, 13), "rooms > hall > exits has unknown entry 'up'; there is east, north"),
    ("north: study", "north: hall", (4, 20), "this exit leads to its own room"),
    ("north: study", "north: study, east: study", (4, 33), "'hall' and 'study' are joined already, on line 4"),
    ("north: study", "north: {to: study, door: gate}", (4, 38), "unknown door 'gate'; there is none"),
    (
        "  study:\n",
        "  study: {exits: {south: cave}}\n  cave:\n",
        (6, 26),
        "south of 'study' there would be 'cave', but",
    ),
    ("  study:\n", "  study: {exits: {east: study 2}}\n  study 2: {exits: {west: hall}}\n", (7, 27), "'hall'"),
    ("  study:\n", "  study:\n  cave:\n", (7, 3), "no way leads from 'hall' to 'cave'"),
    ("  study:\n", "  study:\n  hall:\n", (7, 3), "'hall' is in rooms already, on line 3"),
    ("  study:\n", "  study: nice\n", (6, 10), "rooms > study must be entries of the form `name: value`, not a single"),
    ("  study:\n", "  study: {complete: true}\n", (6, 21), "room 'study' has no text that could be complete"),
    (
        "  study:\n",
        "  study: {text: A room., complete: 1}\n",
        (6, 36),
        "study > complete is '1'; it must be true or false",
    ),
    ("[chest, apple]", "[chest, apple, pear]", (5, 30), "rooms > hall > contents > 3 has unknown thing 'pear'"),
    ("[chest, apple]", "[chest]", (10, 3), "'apple' is nowhere; name it in the contents of a room"),
    ("[chest, apple]", "[chest, apple, apple]", (5, 30), "'apple' has a place already, on line 5"),
    ("[chest, apple]", "chest", (5, 15), "rooms > hall > contents must be a list, not a single value"),
    ("contents: [ring]", "contents: [ring], size: 3", (8, 73), "things > chest has unknown entry 'size'; there is"),
    ("contents: [ring]", "contents: [ring, chest]", (8, 72), "'chest' has a place already, on line 5"),
    ("key: old key,", "key: ring,", (8, 46), "things > chest > key has unknown key 'ring'; there is old key"),
    (
        "state: locked",
        "state: shut",
        (8, 33),
        "things > chest > state is 'shut'; it must be one of open, closed, locked",
    ),
    ("is: container", "is: crate", (8, 15), "things > chest > is is 'crate'; it must be one of portable, food, key"),
    ("apple: food", "apple: fruit", (10, 10), "things > apple is 'fruit'; it must be one of portable, food, key"),
    ("apple: food", "apple: {is: food, article: an}", (10, 30), "article is 'an'; it must be one of some, the"),
    ("  ring:", "  ring:\n  hall:", (12, 3), "'hall' is a name already, on line 3"),
    ("  ring:", "  Ring:", (11, 3), "'Ring' cannot be a name; it must be lower-case words"),
    ("  ring:", "  ring:\n  cup on tray:", (12, 3), "'cup on tray' cannot be a name, because of the word 'on'"),
    ("  ring:", "  ring:\n  the cup:", (12, 3), "'the cup' cannot be a name, because of the word 'the'"),
    ("  ring:", "  ring:\n  hands:", (12, 3), "'hands' cannot be a name; conditions use it"),
    ("  ring:", "  ring: {text: 'A [big ring.'}", (11, 16), "things > ring > text has a square bracket without its"),
    ("  ring:", "  ring: {text: 'A ring [here].'}", (11, 16), "[here] is none of [if ...], [else if ...], [otherwise]"),
    ("  ring:", "  ring: {text: '[if open]A ring.[end if]'}", (11, 16), "cannot read the condition 'open'"),
    ("  ring:", "  ring: {text: '[if box is open]A.[end if]'}", (11, 16), "unknown door or container 'box'"),
    ("  ring:", "  ring: {text: '[if chest is open]A ring.'}", (11, 16), "an [if ...] is not closed by [end if]"),
    ("  ring:", "  ring: {text: 'A ring.[otherwise]'}", (11, 16), "[otherwise] stands where no [if ...] is open"),
    ("  ring:", "  ring: {text: '[if chest is open][if chest is open]A.[end if]'}", (11, 16), "stands inside another"),
    (
        "  ring:",
        "  ring: {text: '[a list of things on the chest]'}",
        (11, 16),
        "unknown supporter 'chest'; there is none",
    ),
    ("  study:\n", "  study: {text: 'A [noun].'}\n", (6, 17), "rooms > study > text: [noun] is none of"),
    ("  ring:", f"  ring: {{text: {'long ' * 4000}}}", (11, 16), "text has 19999 characters; it may have 16000"),
    ("  ring:", "  ring: {text: ''}", (11, 16), "things > ring > text is empty"),
    ("ring in hands", "ring on hands", (14, 8), "'ring on hands': it must be 'ring in hands'"),
    ("ring in hands", "gem in hands", (14, 8), "quests > 1 > win has unknown name 'gem'"),
    ("ring in hands", "ring near chest", (14, 8), "cannot read the condition 'ring near chest'; it must be like"),
    ("ring in hands", "ring in hall and ring in hands", (14, 8), "another condition on the same thing"),
    ("ring in hands", "ring is open", (14, 8), "ring has no state; only doors, containers and food have states"),
    ("ring in hands", "apple is open", (14, 8), "apple can be eaten; only"),
    ("ring in hands", "chest in study", (14, 8), "chest cannot be moved, so that this never changes"),
    ("ring in hands", "player in chest", (14, 8), "the player can only be in a room"),
    ("ring in hands", "ring in apple", (14, 8), "nothing can be in or on apple"),
    ("ring in hands", "old key in hands", (14, 8), "quests > 1 > win holds at the start already"),
    ("ring in hands", "[]", (14, 8), "quests > 1 > win is empty"),
    (
        "ring in hands",
        "ring in hands\n  fail: chest is locked",
        (15, 9),
        "quests > 1 > fail holds at the start already",
    ),
    (
        "ring in hands",
        "ring in hands\n  reward: two",
        (15, 11),
        "reward is two; it must be a whole number from 0 to 1000",
    ),
    ("ring in hands", "ring in hands\n  reward: 1001", (15, 11), "reward is 1001; it must be a whole number"),
    ("ring in hands", "ring in hands\n  optional: yes", (14, 1), "no quest has 'win' without being optional"),
    ("- win: ring in hands", "- fail: apple is eaten", (14, 1), "no quest has 'win' without being optional"),
    (
        "- win: ring in hands",
        "- fail: apple is eaten\n  reward: 2",
        (15, 3),
        "quests > 1 has no 'win', so that 'reward'",
    ),
    ("- win: ring in hands", "- reward: 2", (14, 3), "quests > 1 needs an entry 'win' or 'fail'"),
    ("- win: ring in hands", "- ring", (14, 3), "quests > 1 must be entries of the form"),
    ("key: old key, ", "", (14, 8), "quests > 1 cannot be won: 'ring in hands' is out of reach"),
    ("hands: [old key]", "doors: {gate: }\nhands: [old key]", (12, 9), "the door 'gate' is in no exit"),
    ("hands: [old key]", "hands: [old key, 'a\x01']", (12, 20), "character #x0001 is not allowed in YAML"),
    ("hands: [old key]", "objective: It\ufeff.\nhands: [old key]", (12, 12), "which cannot be printed"),
    ("hands: [old key]", "objective: Find [it].\nhands: [old key]", (12, 12), "without square brackets"),
]


@pytest.mark.parametrize(("old", "new", "place", "message"), MISTAKES)
def test_mistakes_are_told_with_line_and_column(old, new, place, message, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(change(old, new), "utf-8")
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        load_story(file)
    assert str(error.value).startswith(f"{file}, line {place[0]}, column {place[1]}: ")


def test_two_sides_of_a_door_must_agree():
    text = """\
start: a1
rooms:
  a1: {exits: {north: {to: b1, door: gate}}}
  b1: {exits: {south: {to: a1, door: hatch}}}
doors: {gate: , hatch: }
quests: [{win: player in b1}]
"""
    with pytest.raises(ValueError, match=r"line 3, .* the door is 'gate'; from its other side, line 4, 'hatch'"):
        load_story(text)
    text = change(
        "b1: {exits: {south: {to: a1, door: hatch}}}", "b1: {exits: {east: {to: c1, door: gate}}}\n  c1:", text
    )
    with pytest.raises(ValueError, match=r"line 4, .* the door 'gate' is in another exit already, on line 3"):
        load_story(text)


@pytest.mark.parametrize(
    "text", ["\n\n", "a: b\n--- \nc: d\n", "- a\n- b\n", "a: *b\n", "? [a]\n: b\n", "[" * 5000 + "\n"]
)
def test_what_is_no_story_at_all(text):
    with pytest.raises(ValueError, match=r"^story(, line|: lists and entries are nested too deeply)"):
        load_story(text)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ValueError, match=r"none\.yaml: cannot be read: No such file"):
        load_story(tmp_path / "none.yaml")
    with pytest.raises(ValueError, match="cannot be read: Is a directory"):
        load_story(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    with pytest.raises(ValueError, match=r"latin\.yaml: is no UTF-8 text: byte 9"):
        load_story(tmp_path / "latin.yaml")
    with pytest.raises(TypeError, match="a story is a YAML text or a path, not 3"):
        load_story(3)


def test_damaged_stories_raise_nothing_but_value_errors():
    rng = np.random.default_rng(0)
    pieces = re.findall(r"\w+|\s+|.", EXAMPLE)
    read, errors = 0, []
    for _ in range(400):
        damaged = list(pieces)
        for _ in range(int(rng.integers(1, 4))):
            where, kind = int(rng.integers(len(damaged))), int(rng.integers(3))
            piece = damaged[int(rng.integers(len(damaged)))]
            damaged[where : where + (kind != 1)] = [] if kind == 0 else [piece]
        try:
            check_facts(load_story("".join(damaged) + "\n"))
            read += 1
        except ValueError as error:
            errors.append(str(error))
    assert 0 < read < 400
    assert [error for error in errors if not re.match(r"story, line \d+, column \d+: ", error)] == []
