"""What the interpreter keeps of typed words: its dictionary has nine letters of each, its line 120 letters.

Two names that are the same here cannot be told apart by typing. Source: Inform 7 (6M62) for the Z-machine, as games of
TextWorld are compiled for.
"""

import re
from functools import lru_cache

UNNAMING = ("the", "of")  # words that name nothing by themselves
LETTERS = 9  # by which the interpreter knows a word; what is neither letter nor space counts twice
LONGEST, MOST_WORDS = 120, 15  # letters and words of a line; the interpreter reads no more
WORD = re.compile(r'[.,"]|[^\s.,"]+')


@lru_cache(maxsize=65_536)
def cut_off(word: str) -> str:
    """Return what the interpreter's dictionary keeps of a word."""
    # Even if every letter counts twice, such a word fits.
    if len(word) <= LETTERS // 2:
        return word
    room = LETTERS
    for k, letter in enumerate(word):
        room -= 1 if "a" <= letter <= "z" else 2
        if room < 0:
            return word[:k]
    return word


def words_of(*names: str) -> set[str]:
    """Return what the parser knows of the words of names."""
    return {cut_off(word) for name in names for word in name.lower().split()} - set(UNNAMING)
