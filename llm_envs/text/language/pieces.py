"""Pieces: the subword tokens into which texts are cut, by rule, and the closed vocabulary of a pool of games.

A piece is a word of letters and digits, with ' or - inside; a digit of what is all digits; or a single other mark. A
piece that continues the one before it, without white space between, is written with ## in front, as in WordPiece: "the
king's key." is the | king's | key | ##. and "10" is 1 | ##0. Pieces joined give the text again, except that the kind
and amount of its white space are lost.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from llm_envs.text.language import replies
from llm_envs.text.model.game import DIRECTIONS
from llm_envs.validation import power_of_two
from llm_envs.vocabulary import END, SPECIAL, UNKNOWN
from llm_envs.world import Row

CONTINUATION = "##"  # in front of a piece that no white space separates from the one before
PROMPT = ">"  # before a command
HEADER = "-= {} =-"  # around the name of a room
SLOT = re.compile(r"\[([^\]]*)\]")  # in templates
MAX_VOCABULARY = 32_767  # token numbers are int16
MIN_VOCABULARY = 128
_WORD = re.compile(r"[A-Za-z0-9]+(?:['-][A-Za-z0-9]+)*|.", re.DOTALL)


@lru_cache(maxsize=65_536)
def _split_word(word: str) -> tuple[str, ...]:
    parts = _WORD.findall(word)
    # Digits one by one, so that the closed vocabulary has every number.
    parts = [piece for part in parts for piece in (part if part.isdigit() and part.isascii() else (part,))]
    return (parts[0], *(CONTINUATION + part for part in parts[1:]))


def split(text: str, continues: bool = False) -> list[str]:
    """Cut a text into pieces; `continues`: no white space separates it from the text before."""
    pieces = [piece for word in text.split() for piece in _split_word(word)]
    if continues and pieces and not text[0].isspace():
        pieces[0] = CONTINUATION + pieces[0]
    return pieces


def tokenizer(pieces: Sequence[str]) -> Tokenizer:
    """Return a tokenizer whose tokens are these, in this order, and which cuts texts as `split` does."""
    ids = {piece: i for i, piece in enumerate(pieces)}
    # WordPiece takes the longest known prefix of a word; a limit on a word's length would turn long ones into <pad>.
    made = Tokenizer(
        models.WordPiece(
            ids, unk_token=UNKNOWN, continuing_subword_prefix=CONTINUATION, max_input_chars_per_word=1_000_000
        )
    )
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.decoder = decoders.WordPiece(prefix=CONTINUATION, cleanup=False)
    made.add_special_tokens(list(SPECIAL))
    return made


def _number_words() -> list[str]:
    """Return the words of 0 to 99."""
    small = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
    words = [*small.split(), "seventeen", "eighteen", "nineteen"]
    for ten in ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"):
        words += [ten, *(f"{ten}-{words[one]}" for one in range(1, 10))]
    return words


NUMBER_WORDS = _number_words()
LARGE_NUMBER_WORDS = ("minus", "hundred", "thousand", "and")
KINDS_OF_FOOD = ("raw", "burned", "grilled", "roasted", "fried", "sliced", "diced", "chopped")  # before its name


def template_literals(template: str) -> Iterable[tuple[str, ...]]:
    """Yield the pieces of a template of `replies` between its slots."""
    end = 0
    for slot in (*SLOT.finditer(template), None):
        literal = template[end : slot.start() if slot else None]
        yield tuple(split(literal, continues=end > 0))
        end = slot.end() if slot else end


def _fixed() -> tuple[str, ...]:
    texts = [
        PROMPT, HEADER.format(""), "nothing a an the and", "point points turn turns", "0 1 2 3 4 5 6 7 8 9",
        " ".join(DIRECTIONS), " ".join(replies.VERB_WORDS), " ".join(replies.LINKS.values()), "You are carrying :",
        " ".join(KINDS_OF_FOOD), " ".join(NUMBER_WORDS), " ".join(LARGE_NUMBER_WORDS),
    ]  # fmt: skip
    pieces = [piece for text in texts for piece in split(text)]
    # Numbers may begin after a mark, as in "-5", and "the" after a quotation mark.
    pieces += [CONTINUATION + piece for piece in (*"0123456789.,:", "the")]
    pieces += [piece for template in replies.TEMPLATES.values() for run in template_literals(template) for piece in run]
    return (*SPECIAL, *dict.fromkeys(pieces))


# The first pieces of every vocabulary: the same ids in all pools, which compiled rules hold as constants.
FIXED = _fixed()
FIXED_IDS = {piece: i for i, piece in enumerate(FIXED)}


def fixed_tokens(*pieces: str) -> np.ndarray:
    """Return the tokens of fixed pieces, 0 for empty ones."""
    return np.array([FIXED_IDS[piece] if piece else 0 for piece in pieces], np.int16)


class Vocabulary:
    """The closed list of pieces of a pool: `FIXED`, then the pool's own in ASCII order, then unused ones up to 2^n."""

    def __init__(self, own: Iterable[str]) -> None:
        used = [*FIXED, *sorted(set(own).difference(FIXED_IDS))]
        if len(used) > MAX_VOCABULARY:
            raise ValueError(
                f"the games use {len(used)} different words and marks; there may be at most {MAX_VOCABULARY}"
            )
        # Powers of two: pools of like games get action masks of one shape, for which rules are compiled once.
        total = max(MIN_VOCABULARY, power_of_two(len(used)))
        self.pieces = (*used, *(f"<unused{k}>" for k in range(total - len(used))))
        self.ids = {piece: i for i, piece in enumerate(self.pieces)}
        self.spellings = [_spelling(piece) for piece in self.pieces]

    def encode(self, text: str) -> list[int]:
        """Return a text's tokens; KeyError if it has a piece that no text of the pool has."""
        return [self.ids[piece] for piece in split(text)]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of tokens."""
        return self.decode_after(ids).lstrip()

    def decode_after(self, ids: Iterable[int]) -> str:
        """Return the text of tokens that follow others: it begins with white space unless the first continues those."""
        text = "".join([self.spellings[i] for i in ids])
        # Tokens have lost the line breaks around the name of a room: insert them again for the reader.
        return text.replace(" =- ", " =-\n").replace(". -= ", ".\n-= ")


def _spelling(piece: str) -> str:
    """Return a piece as it is printed after others: after a space, or directly, or on a new line; <end> as nothing."""
    if piece == PROMPT:
        return "\n" + PROMPT
    if piece == SPECIAL[END]:
        return ""
    return piece.removeprefix(CONTINUATION) if piece.startswith(CONTINUATION) else f" {piece}"


class TranscriptReader:
    """Decodes transcripts; a transcript that extends the last one decoded costs only its new tokens."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.read, self.text = b"", ""  # the tokens decoded last, as bytes, and their text

    def decode(self, row: Row) -> str:
        """Return a row's transcript as readable text, a line for each command."""
        obs = row.observation
        length = int(obs["length"][0])
        tokens, mask = obs["tokens"][:length].tobytes(), obs["token_mask"][:length].tobytes()
        # Shortened, or of another row or episode: decode from the beginning.
        if not tokens.startswith(self.read):
            self.read, self.text = b"", ""
        at = len(self.read) // 4  # int32
        while at < length:  # a stretch of tokens by one author at a time
            end = mask.find(1 - mask[at], at)
            end = length if end < 0 else end
            part = self.vocabulary.decode_after(obs["tokens"][at:end].tolist())
            self.text += "\n" + part.lstrip() if at > 0 and mask[at - 1] > mask[at] else part
            at = end
        self.read = tokens
        return self.text.removesuffix(PROMPT).strip()
