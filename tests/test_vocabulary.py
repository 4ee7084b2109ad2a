"""Tokenizers made by rule: what they do not know is refused by name, and no special token stands for it."""

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from llm_envs.registration import build
from llm_envs.vocabulary import PAD, character_tokenizer, encode, word_tokenizer

COPY = build("Tokens/Copy-v0", {"length": 3, "vocab_size": 4, "pool": 4}).tokenizer
LONG = build("Tokens/Copy-v0", {"length": 3, "vocab_size": 70, "pool": 4}).tokenizer  # words, not letters
ADDITION = build("Tokens/Addition-v0", {"pool": 4}).tokenizer
TREASURE = build("Text/KeyQuest-v0", {"pool": 1}).tokenizer
COIN = build("Text/Coin-v0", {"pool": 4}).tokenizer

UNKNOWN = [
    (COPY, "AB=", "'A', 'B'"),
    (COPY, "a b =", "' '"),
    (COPY, "é=", "'é'"),
    (COPY, "a\n=", "'\\n'"),
    (COPY, "abz=", "'z'"),
    (ADDITION, "1 + 2 =", "' '"),
    (ADDITION, "x+2=", "'x'"),
    (ADDITION, "1\x1b+2=", "'\\x1b'"),
    (LONG, "s0 S1 =", "'S1'"),
    (LONG, "s0 s700 =", "'s700'"),
    (TREASURE, "Take Key", "'Take', 'Key'"),
    (TREASURE, "take xylophone", "'xylophone'"),
    (TREASURE, "take clé", "'clé'"),
    (COIN, "go up", "'up'"),
]


@pytest.mark.parametrize(("tokenizer", "text", "lacks"), UNKNOWN)
def test_what_the_vocabulary_lacks_is_named(tokenizer, text, lacks):
    with pytest.raises(ValueError, match="the vocabulary lacks ") as error:
        encode(tokenizer, text)
    assert str(error.value).startswith(f"the vocabulary lacks {lacks}, in the text ")
    assert str(error.value).isprintable()
    with pytest.raises(Exception, match=r"Missing \[UNK\]"):
        tokenizer.encode(text)  # nor does it pass by itself


@pytest.mark.parametrize(
    ("tokenizer", "text"),
    [(COPY, "ab="), (ADDITION, "12+30="), (LONG, "s0 s69 ="), (TREASURE, "go north"), (COIN, "go north")],
)
def test_what_it_knows_passes(tokenizer, text):
    tokens = encode(tokenizer, text)
    assert tokens == tokenizer.encode(text).ids
    assert PAD not in tokens
    assert tokenizer.decode(tokens) == text


def test_special_tokens_are_there_for_who_writes_them():
    assert encode(COPY, "ab=<end>")[-1] == 1
    assert encode(COPY, "<pad>a=")[0] == PAD


def test_many_unknown_words_are_counted():
    with pytest.raises(ValueError, match=r"'x0', .*, 'x7' and 92 more, in the text 'x0 x1") as error:
        encode(word_tokenizer(["a"]), " ".join(f"x{i}" for i in range(100)))
    assert len(str(error.value)) < 400


def test_tokenizers_of_others_do_not_pass_their_own_stand_in():
    """One with an <unk> of its own answers with it; here it is refused too."""
    own = Tokenizer(models.WordLevel({"<unk>": 0, "a": 1}, unk_token="<unk>"))
    own.pre_tokenizer = pre_tokenizers.Whitespace()
    assert encode(own, "a a") == [1, 1]
    with pytest.raises(ValueError, match="lacks 'b', in"):
        encode(own, "a b")


def test_a_tokenizer_of_transformers():
    fast = pytest.importorskip("transformers").PreTrainedTokenizerFast(tokenizer_object=character_tokenizer("ab="))
    assert encode(fast, "ab=") == [2, 3, 4]
    with pytest.raises(ValueError, match="lacks 'A', in"):
        encode(fast, "Ab=")


@pytest.mark.parametrize("text", [None, 3, b"ab", ["a"]])
def test_what_is_no_text_is_refused(text):
    with pytest.raises(TypeError, match=r"the text is .*; it must be a string"):
        encode(COPY, text)
