"""Tokenizers made by rule: a closed list of words or characters, no training, no files."""

import hashlib
import json

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

PAD, END = 0, 1  # in every token world: padding after the text, and the token that ends an answer
SPECIAL = ("<pad>", "<end>")


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
    tokenizer = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token=SPECIAL[0]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def fingerprint(tokenizer: Tokenizer | None) -> str | None:
    """Return a hash, 16 hexadecimal digits, of which token has which number; None for no tokenizer."""
    if tokenizer is None:
        return None
    # By content, sorted: two tokenizers that were made or saved differently may have the same ids.
    return hashlib.sha256(json.dumps(tokenizer.get_vocab(), sort_keys=True).encode()).hexdigest()[:16]
