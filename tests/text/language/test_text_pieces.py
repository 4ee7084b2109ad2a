"""How texts are cut into pieces and joined, the tokenizer that does the same, and a pool's vocabulary."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_envs.text.language.pieces import FIXED, MAX_VOCABULARY, TranscriptReader, Vocabulary, split, tokenizer
from llm_envs.world import Row


def join(pieces: list[str]) -> str:
    vocabulary = Vocabulary(pieces)
    return vocabulary.decode([vocabulary.ids[piece] for piece in pieces])


def cut_and_joined(text: str, pieces: str) -> None:
    assert split(text) == pieces.split()
    assert join(split(text)) == " ".join(text.split())


def test_pieces() -> None:
    """Words keep ' and - inside; digits and marks stand alone; what is glued says so."""
    cut_and_joined("The king-size bed isn't here.", "The king-size bed isn't here ##.")
    cut_and_joined("12 keys,\n\n 3rd  floor: 'x-'", "1 ##2 keys ##, 3rd floor ##: ' ##x ##- ##'")
    cut_and_joined("#1 ## café ---", "# ##1 # ### caf ##é - ##- ##-")
    assert split("s, then", continues=True) == ["##s", "##,", "then"]
    assert split(" then", continues=True) == ["then"]
    assert join(["##s", "##,", "then"]) == "s, then"


def test_new_lines() -> None:
    """A room's name, a prompt and a command each end a line, whether a transcript is read at once or as it grows."""
    pieces = split("Go on. > go east -= Hall =- Dust. > look No -= Hall =-. >")
    assert join(pieces) == "Go on.\n> go east -= Hall =-\nDust.\n> look No -= Hall =-.\n>"
    vocabulary, start = Vocabulary(pieces), pieces.index("go")
    tokens, typed = np.array([vocabulary.ids[piece] for piece in pieces], np.int32), np.zeros(len(pieces), np.int8)
    typed[start : start + 2] = 1
    reader = TranscriptReader(vocabulary)
    for lengths in ([len(pieces)], [start, start + 1, start + 2, len(pieces)]):
        rows = [{"tokens": tokens, "length": np.array([n]), "token_mask": typed} for n in lengths]
        told = [reader.decode(Row(None, None, None, row)) for row in rows]
        assert told[-1] == "Go on.\n> go east\n-= Hall =-\nDust.\n> look No -= Hall =-."
    assert told[:-1] == ["Go on.", "Go on.\n> go", "Go on.\n> go east"]


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("ab1'-#.,> é\n") | st.characters(exclude_categories=("C", "Z")), max_size=60))
def test_tokenizer_cuts_as_split_does(text: str) -> None:
    vocabulary = Vocabulary(split(text))
    made = tokenizer(vocabulary.pieces)
    ids = made.encode(text).ids
    assert ids == vocabulary.encode(text)
    assert made.decode(ids).split() == vocabulary.decode(ids).split() == text.split()


def test_vocabulary() -> None:
    """The fixed pieces keep their numbers, the others are sorted, and the size is a power of two."""
    few, many = Vocabulary(["zebra", "ant", "the"]), Vocabulary(f"w{k}" for k in range(3000))
    assert few.pieces[: len(FIXED)] == many.pieces[: len(FIXED)] == FIXED
    assert few.pieces[len(FIXED) : len(FIXED) + 3] == ("ant", "zebra", "<unused0>")
    assert (len(few.pieces), len(many.pieces)) == (512, 4096)
    assert len(set(many.pieces)) == 4096
    full = MAX_VOCABULARY - len(FIXED)
    assert len(Vocabulary(f"w{k}" for k in range(full)).pieces) == 2**15
    with pytest.raises(ValueError, match="32768 different words and marks; there may be at most 32767"):
        Vocabulary(f"w{k}" for k in range(full + 1))
