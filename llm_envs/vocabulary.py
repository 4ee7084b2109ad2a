"""Tokenizers made by rule: a closed list of words or characters, no training, no files."""

import hashlib
import json
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from llm_envs.validation import check_text, quote

PAD, END = 0, 1  # in every token world: padding after the text, and the token that ends an answer
SPECIAL = ("<pad>", "<end>")
UNKNOWN = "<unknown>"  # in no vocabulary: a tokenizer refuses what it does not know, and no other token stands for it
SHOWN = 8  # unknown words that an error names


def character_tokenizer(characters: str) -> Tokenizer:
    """Return a tokenizer with one token a character, after the special ones; texts decode without spaces added."""
    tokenizer = word_tokenizer(list(characters))
    # Splitting at the empty pattern cuts between any two characters; Fuse joins tokens without the space between words.
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    return tokenizer


def word_tokenizer(words: list[str]) -> Tokenizer:
    """Return a tokenizer with one token a word, after the special ones; texts are split and joined at spaces."""
    # Ids follow the list's order, not a training run: the same arguments give the same ids in every version.
    names = [*SPECIAL, *words]
    tokenizer = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def encode(tokenizer: Any, text: str) -> list[int]:
    """Return the tokens of a text, by a tokenizer of `tokenizers` or `transformers`.

    Raises:
        TypeError: `text` is no string.
        ValueError: names the words or letters that the vocabulary lacks; no special token stands for them.
    """
    check_text("the text", text)
    try:
        found = tokenizer.encode(text)
        tokens = [int(token) for token in getattr(found, "ids", found)]
        refused = None
    except Exception as error:  # `tokenizers` raises no narrower class for what it does not know
        tokens, refused = [], error
    if refused or _stands_in(tokenizer, tokens, text):
        parts = _parts(tokenizer, text)
        lacking = dict.fromkeys(part for part in parts if not _knows(tokenizer, part))
        if not lacking and refused:
            raise refused
        named = ", ".join(map(quote, list(lacking)[:SHOWN])) or quote(text)
        more = f" and {len(lacking) - SHOWN} more" if len(lacking) > SHOWN else ""
        raise ValueError(f"the vocabulary lacks {named}{more}, in the text {quote(text)}") from refused
    return tokens


def _parts(tokenizer: Any, text: str) -> list[str]:
    """Return what a tokenizer looks up by itself: letters or words."""
    splitter = getattr(getattr(tokenizer, "backend_tokenizer", tokenizer), "pre_tokenizer", None)
    return [part for part, _ in splitter.pre_tokenize_str(text)] if splitter is not None else text.split()


def _knows(tokenizer: Any, part: str) -> bool:
    try:
        found = tokenizer.encode(part)
    except Exception:  # see encode()
        return False
    return not _stands_in(tokenizer, getattr(found, "ids", found), part)


def _stands_in(tokenizer: Any, tokens: list[int], text: str) -> bool:
    """Return whether the token for unknown text is among the tokens, though the text does not name it."""
    name = getattr(getattr(tokenizer, "model", tokenizer), "unk_token", None)
    if not name or name in text:
        return False
    number = tokenizer.token_to_id(name) if hasattr(tokenizer, "token_to_id") else tokenizer.unk_token_id
    return number is not None and number in tokens


def fingerprint(tokenizer: Tokenizer | None) -> str | None:
    """Return a hash, 16 hexadecimal digits, of which token has which number; None for no tokenizer."""
    if tokenizer is None:
        return None
    # By content, sorted: two tokenizers that were made or saved differently may have the same ids.
    return hashlib.sha256(json.dumps(tokenizer.get_vocab(), sort_keys=True).encode()).hexdigest()[:16]
