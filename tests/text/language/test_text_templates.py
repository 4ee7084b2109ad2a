"""Descriptions: what every construct prints, in every state, and which texts are refused."""

from dataclasses import replace

import pytest
from text_scene import GAME, NUMBERS, Scene

from llm_envs.text.compiler.texts import Texts
from llm_envs.text.language import render, replies
from llm_envs.text.model.game import Thing
from llm_envs.text.records import codes


def test_numbers() -> None:
    """Portables by type and then as given; holders end with the hands."""
    assert list(NUMBERS.portables) == ["f_0", "f_1", "k_0", "o_0"]
    assert list(NUMBERS.things) == ["f_0", "f_1", "k_0", "o_0", "c_0", "s_0", "toaster_0", "d_0"]
    assert NUMBERS.holders == {"r_0": 0, "r_1": 1, "c_0": 2, "s_0": 3, "toaster_0": 4, "I": 5}
    assert NUMBERS.locks["d_0"] == 3


@pytest.mark.parametrize(
    ("lock", "door", "inside", "on", "middle"),
    [
        ("LOCKED", "CLOSED", "f_0", "", "a locked chest. A table. Bare. To the east is a shut"),
        ("CLOSED", "LOCKED", "", "k_0", "a closed chest. A table. On the table: an iron key. To the east is a shut"),
        ("OPEN", "OPEN", "", "", "an open chest. It is empty! A table. Bare. To the east is an open"),
        ("AJAR", "OPEN", "o_0", "", "an open chest. The chest holds some milk. A table. Bare. To the east is an open"),
    ],
)
def test_description_of_a_room(lock: str, door: str, inside: str, on: str, middle: str) -> None:
    scene = Scene().fill("c_0", *inside.split()).fill("s_0", *on.split())
    scene.state.lock[NUMBERS.locks["c_0"]] = getattr(codes, lock)
    scene.state.lock[NUMBERS.locks["d_0"]] = getattr(codes, door)
    start = '-= Kitchen =- You\'re in a "kitchen". You see'
    assert scene.say(render.render_description) == f"{start} {middle} oak door."


def test_floor_and_lists() -> None:
    scene = Scene().fill("r_1", "k_0", "o_0", "f_0")
    scene.state.room = 1
    hall = "-= King'S Hall 12 =- Echoes."
    assert scene.say(render.render_description) == f"{hall} There is an iron key, some milk and an apple on the floor."
    assert scene.fill("r_1").say(render.render_description) == hall
    assert scene.say(render.render_inventory) == "You are carrying nothing."
    assert scene.fill("I", "f_0", "k_0").say(render.render_inventory) == "You are carrying: an apple and an iron key."
    assert scene.say(render.render_parts, 1 << render.OBJECTIVE) == 'Find the "key".'


@pytest.mark.parametrize(
    ("things", "tail"), [("", ""), ("o_0", " is some milk."), ("o_0 f_0", " are some milk and an apple.")]
)
def test_examine(things: str, tail: str) -> None:
    """Supporters always tell what is on them, containers only while they are open; without a text that may be all."""
    scene = Scene().fill("s_0", *things.split()).fill("c_0", *things.split()).fill("toaster_0", *things.split())
    on = f"On the long table{tail}" if tail else "You see nothing special about the long table."
    assert scene.reply(replies.EXAMINED, "s_0") == on
    assert scene.reply(replies.EXAMINED, "toaster_0") == "For grilling."
    for state, words in ((codes.CLOSED, "(shut)."), (codes.OPEN, f"(open).{' In the chest' * bool(tail)}{tail}")):
        scene.state.lock[NUMBERS.locks["c_0"]] = state
        assert scene.reply(replies.EXAMINED, "c_0") == f"A chest {words}"
    assert scene.reply(replies.EXAMINED, "k_0") == "It's the \"king's\"."
    assert scene.reply(replies.EXAMINED, "f_1") == "You see nothing special about the bell pepper."
    assert scene.reply(replies.EXAMINED, "d_0") == "The oak door. It is closed."


NOTHING = "You see nothing special about the chest."
SPACES = [  # text, then what it prints with the chest closed, open, locked
    ("[if open]an open[otherwise]a shut[end if], odd one", "a shut, odd one", "an open, odd one", "a shut, odd one"),
    ("A. [if open]B[end if][if closed]C[end if].", "A. C.", "A. B.", "A. C."),
    ("A. [if locked]B[end if][if open]C[end if]s [noun]", "A. s chest", "A. Cs chest", "A. Bs chest"),
    ("A[if locked] [end if]B, C", "AB, C", "AB, C", "A B, C"),
    ("[if closed][if locked]L[else]C[end if]![end if]", "C!", "", "L!"),
    ("[if open]O[otherwise][if locked]L[end if]S[end if]S", "SS", "OS", "LSS"),
    ("A [if open]B", "A", "A B", "A"),
    ("[if c_0 is open]B[else if c_0 is locked]D[end if][if the c_0 is closed] E", "E", "B", "D E"),
    ("[if closed and there is nothing on the s_0]N[end if][if there is nothing in c_0] M[end if]", "N M", "M", "N M"),
    ("", NOTHING, "The chest is empty.", NOTHING),
]


@pytest.mark.parametrize(("text", "closed", "opened", "locked"), SPACES)
def test_branches_and_spaces(text: str, closed: str, opened: str, locked: str) -> None:
    """Whether a piece is glued to the last one may depend on the branches taken."""
    scene = Scene(replace(GAME, things={**GAME.things, "c_0": Thing("c_0", "chest", text)}))
    for state, expected in ((codes.CLOSED, closed), (codes.OPEN, opened), (codes.LOCKED, locked)):
        scene.state.lock[NUMBERS.locks["c_0"]] = state
        assert scene.reply(replies.EXAMINED, "c_0") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[if raining]x[end if]", r"text of o_0: \[if raining\] has an unknown condition"),
        ("[if c_9 is open]x[end if]", r"\[if c_9 is open\] asks for the state of 'c_9'"),
        ("[if s_0 is open]x[end if]", "asks for the state of 's_0', which is no container and no door"),
        ("[if closed]x[end if]", "asks for the state of 'o_0'"),
        ("[if there is something in the s_0]x", "names 's_0', which is no container of this game"),
        ("[a list of things on the c_0]", "names 'c_0', which is no supporter"),
        ("x[end if]", r"\[end if\] has no \[if\] before it"),
        ("x[otherwise]", r"\[otherwise\] has no \[if\]"),
        ("[if c_0 is open]x[otherwise]y[else if c_0 is closed]z", r"comes after \[otherwise\]"),
        ("[bold type]x", r"\[bold type\] is not understood"),
        ("a [noun", r"has a '\[' that belongs to no substitution"),
        ("a noun]", r"has a '\]'"),
    ],
)
def test_refused_texts(text: str, message: str) -> None:
    things = {**GAME.things, "o_0": Thing("o_0", "milk", text)}
    with pytest.raises(ValueError, match=message):
        Texts(replace(GAME, things=things), NUMBERS)


def test_refused_names() -> None:
    for thing, message in (
        (Thing("o_0", " "), "name of o_0 has 0 words and marks; it must have 1 to 64"),
        (Thing("o_0", "." * 65), "name of o_0 has 65"),
        (Thing("o_0", "milk", indefinite="a bit of"), "indefinite article of o_0 is 'a bit of'; it must be a single"),
    ):
        with pytest.raises(ValueError, match=message):
            Texts(replace(GAME, things={**GAME.things, "o_0": thing}), NUMBERS)
    with pytest.raises(ValueError, match=r"text of the objective: \[noun\] is not understood"):
        Texts(replace(GAME, objective="Find the [noun]."), NUMBERS)


def test_texts_share_tokens() -> None:
    """A run of tokens that is part of another takes no space of its own."""
    texts = Texts(GAME, NUMBERS)
    assert " ".join(texts.run).count("iron key") == 2, (
        "in a command for put and in one for take, and as no name besides"
    )
    assert texts.needs == {"code": len(texts.code), "tokens": len(texts.run)}
