"""Programs: their encoding, number by number, and white space on every path through them."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from text_scene import GAME, Scene

from llm_envs.text.language import phrases, program, replies
from llm_envs.text.language.pieces import FIXED
from llm_envs.text.language.program import Literal, Program
from llm_envs.text.model.game import Thing
from llm_envs.text.records import codes

LITERAL, ATTACHES, SPACE_AFTER = program.LITERAL, program.ATTACHES, program.SPACE_AFTER


def test_a_program_number_by_number() -> None:
    """Targets are addresses; a literal that attaches begins one token later, behind its other form."""
    made = Program()
    made.literal("The ")
    shut = made.test((program.IS_OPEN, 7), (program.HAS_SOME, 3))
    made.slot(program.CONTENTS, 3)
    end = made.jump()
    made.bind(shut)
    made.slot(program.HANDS)
    made.literal(" ")
    made.bind(end)
    made.literal("!")
    made.literal("?")
    assert made.literals == {
        0: Literal(("The",), False),
        5: Literal((), False),
        6: Literal(("##!", "!", "##?"), True),
    }
    pieces, places = program.share([one.run for one in made.literals.values()])
    assert pieces == ["##!", "!", "##?", "The"]
    assert made.assemble(100, places) == [
        *(LITERAL + SPACE_AFTER, 3, 1),  # 100
        *(program.TEST, 114, 2, program.IS_OPEN, 7, program.HAS_SOME, 3),  # 103
        *(program.CONTENTS, 3),  # 110
        *(program.JUMP, 118),  # 112
        program.HANDS,  # 114
        *(LITERAL + SPACE_AFTER, 0, 0),  # 115
        *(LITERAL + ATTACHES, 1, 2),  # 118
        program.END,
    ]


def test_the_program_of_a_reply() -> None:
    at = int(phrases.ENTRIES[replies.TAKEN])  # "You take [the x] from [the y]."
    code = phrases.CODE[at : at + 14].tolist()
    assert code[0::3][:1] == [LITERAL + SPACE_AFTER]
    assert code[3:5] == [program.THE_NAME, 0]
    assert code[8:10] == [program.THE_NAME, 1]
    assert (code[10], code[13]) == (LITERAL, program.END)
    runs = [[FIXED[phrases.TOKENS[k]] for k in range(code[i + 1], code[i + 1] + code[i + 2])] for i in (0, 5, 10)]
    assert runs == [["You", "take"], ["from"], ["##."]]
    assert phrases.slots(replies.TAKEN) == [(program.THE_NAME, 0), (program.THE_NAME, 1)]


def test_slots_that_cannot_attach_need_white_space() -> None:
    assert phrases._program("([the x])").steps[1].op == program.THE_NAME
    with pytest.raises(ValueError, match=r"no white space before \[verb\]: 'to-\[verb\]'"):
        phrases._program("to-[verb]")


CONDITIONS = {"open": (codes.OPEN,), "closed": (codes.CLOSED, codes.LOCKED), "locked": (codes.LOCKED,)}
FRAGMENTS = st.text(",.! ", max_size=4)  # marks: each is a piece, whatever it stands beside
BRANCHES = st.tuples(st.sampled_from(sorted(CONDITIONS)), st.deferred(lambda: PARTS), st.deferred(lambda: PARTS))
PARTS = st.lists(FRAGMENTS | BRANCHES, max_size=3)


def written(parts: list) -> str:
    """Return parts as a template."""
    return "".join(
        part if isinstance(part, str) else f"[if {part[0]}]{written(part[1])}[otherwise]{written(part[2])}[end if]"
        for part in parts
    )


def printed(parts: list, lock: int) -> str:
    """Return what parts print while the lock is in a state."""
    return "".join(
        part if isinstance(part, str) else printed(part[1 if lock in CONDITIONS[part[0]] else 2], lock)
        for part in parts
    )


@settings(max_examples=300, deadline=None)
@given(PARTS)
def test_white_space_on_every_path(parts: list) -> None:
    """Rendering a text's branches prints what joining their strings gives, whatever continues what."""
    template = "Go" + written(parts)
    scene = Scene(replace(GAME, things={**GAME.things, "c_0": Thing("c_0", "chest", template)}))
    for lock in (codes.OPEN, codes.CLOSED, codes.LOCKED):
        scene.state.lock[0] = lock
        assert scene.reply(replies.EXAMINED, "c_0") == " ".join(("Go" + printed(parts, lock)).split())
