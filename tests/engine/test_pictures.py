"""Worlds without a drawing of their own as pictures: one size, readable, the policy's words in another colour."""

import itertools
import string

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import DISTINCT

import llm_envs
from llm_envs.engine.font import BOX, CELL_HEIGHT, CELL_WIDTH, GLYPHS, glyph_numbers
from llm_envs.engine.pictures import HEIGHT, MARGIN, PALETTE, SMALLEST, WIDTH, draw_text, page_size, scale_for, wrap
from llm_envs.testing.random_walks import random_actions

PRINTABLE = "".join(chr(code) for code in range(32, 127))


def read(page: np.ndarray, scale: int) -> tuple[list[str], list[str]]:
    """Return what stands on a page, by comparing each cell with the font: its lines, and those of the policy alone."""
    known = {glyph.tobytes(): k for k, glyph in enumerate(GLYPHS)}
    lines, columns = page_size(scale)
    small = page[MARGIN::scale, MARGIN::scale][: lines * CELL_HEIGHT, : columns * CELL_WIDTH]
    colour = (small[:, :, None] == PALETTE).all(-1).argmax(-1)
    cells = colour.reshape(lines, CELL_HEIGHT, columns, CELL_WIDTH).swapaxes(1, 2)
    text = [[(PRINTABLE + "\N{REPLACEMENT CHARACTER}")[known[(cell > 0).tobytes()]] for cell in row] for row in cells]
    policy = [
        [letter if (cell == 2).any() else " " for letter, cell in zip(*row, strict=True)]
        for row in zip(text, cells, strict=True)
    ]
    return (["".join(row).rstrip() for row in text], ["".join(row).rstrip() for row in policy])


def test_every_printable_character_has_a_glyph_of_its_own():
    assert glyph_numbers(PRINTABLE).tolist() == list(range(95))
    assert glyph_numbers("é→\x00\x7f\U0001f600").tolist() == [BOX] * 5
    assert len({glyph.tobytes() for glyph in GLYPHS}) == 96
    assert not GLYPHS[0].any()
    # Space between the lines and the letters: the last row and the last column of a cell are empty.
    assert not GLYPHS[:, -1].any()
    assert not GLYPHS[:, :, -1].any()


@pytest.mark.parametrize("scale", [2, 3, 4, 5])
def test_a_page_can_be_read(scale):
    text = f"{string.digits} é\n\n{string.ascii_letters}\t{string.punctuation}"
    page = draw_text(text, [(3, 6)], scale)
    assert (page.shape, page.dtype) == ((HEIGHT, WIDTH, 3), np.uint8)
    lines, policy = read(page, scale)
    letters = string.ascii_letters + string.punctuation
    assert lines[:2] == ["0123456789 \N{REPLACEMENT CHARACTER}", ""]
    assert "".join(lines[2:]).replace(" ", "") == letters
    assert [line for line in policy if line] == ["   345"]


@given(st.text(alphabet="ab \n", max_size=200), st.integers(1, 12))
def test_wrapping_loses_nothing_but_white_space(text, columns):
    spans = wrap(text, columns)
    assert all(0 <= end - start <= columns for start, end in spans)
    between = [text[end:start] for (_, end), (start, _) in itertools.pairwise(spans)]
    assert set(between) <= {"", " ", "\n"}  # a word that is too long is cut, where nothing stands between
    assert (spans[0][0], spans[-1][1]) == (0, len(text))


def test_a_long_text_shows_its_end():
    lines, _ = page_size(SMALLEST)
    text = [f"line {k}" for k in range(3 * lines)]
    assert read(draw_text("\n".join(text)), SMALLEST)[0] == text[-lines:]


def test_short_texts_are_drawn_large():
    assert [scale_for(count) for count in (1, 208, 10_000)] == [5, 5, SMALLEST]


@pytest.mark.parametrize("world_id", DISTINCT)
def test_every_world_has_a_picture_of_one_size(world_id):
    """A video is made of equal frames: before the first action, in the middle and where the episode has ended."""
    batch = llm_envs.make_batch(world_id, 2, seed=0, autoreset="never")
    batch.reset_rows()
    frames = [batch.frame(1)]
    rng = np.random.default_rng(1)
    for _ in range(6):
        batch.step_rows(random_actions(batch, rng))
        frames.append(batch.frame(1))
    assert {(frame.shape, frame.dtype) for frame in frames} == {(frames[0].shape, np.dtype(np.uint8))}
    assert all(frame.std() > 0 for frame in frames)
    assert len({frame.tobytes() for frame in frames}) > 1  # they show where the episode stands


def test_the_policys_tokens_have_their_own_colour():
    """In a token world all that follows the prompt; in a game what the mask says."""
    batch = llm_envs.make_batch("Tokens/Addition-v0", 1, levels=[(2, 3)], autoreset="never")
    batch.reset_rows()
    assert [lines[0] for lines in read(batch.frame(), 5)] == ["2+3=", ""]
    batch.step_rows([9])
    assert [lines[0] for lines in read(batch.frame(), 5)] == ["2+3=5", "    5"]
    batch.step_rows([1])
    assert [lines[0] for lines in read(batch.frame(), 5)] == ["2+3=5<end>", "    5<end>"]
    rooms = [{"exits": [{"north": 1}, {"south": 0}], "coin": 1, "start": 0, "names": ["Old Mill", "Pier"]}]
    batch = llm_envs.make_batch("Text/Coin-v0", 1, levels=rooms)
    batch.reset_rows()
    batch.step_rows([batch.world.action_names.index("go north")])
    batch.step_rows([batch.world.action_names.index("inventory")])
    text, policy = read(batch.frame(), scale_for(256 * 10))
    assert [line for line in policy if line] == ["  go north", "  inventory"]
    assert [line for line in text if line] == batch.decode(batch.arrays.obs)[0].split("\n")


def test_a_row_out_of_range_has_no_picture():
    batch = llm_envs.make_batch("Tokens/Copy-v0", 2)
    batch.reset_rows()
    with pytest.raises(ValueError, match="row is 2; it must be from 0 to 1"):
        batch.frame(2)
