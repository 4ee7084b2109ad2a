"""What the coin game says and understands: phrases as rows of a token table, room names, commands a player may type.

A phrase is a row of TOKENS, its first COUNTS entries. The first phrases are the commands, in the order of the actions.
"""

from typing import Any

import numpy as np

from llm_envs.text.authoring.room_names import NAMES
from llm_envs.vocabulary import SPECIAL

DIRECTIONS = ("north", "south", "east", "west")
BACK = (1, 0, 3, 2)  # the direction that leads back
COMMANDS = (*(f"go {direction}" for direction in DIRECTIONS), "take coin", "examine coin", "look", "inventory")
TAKE, EXAMINE, LOOK, INVENTORY, OTHER = range(len(DIRECTIONS), len(COMMANDS) + 1)  # after the four directions

REPLIES = (
    ">",
    "A coin lies here .",
    "Taken . You have won .",
    "It is small and golden .",
    "You carry nothing .",
    "You carry a coin .",
    "You see no way there .",  # from here on the command was refused
    "You see no coin here .",
    "That makes no sense .",
)
PROMPT, COIN_HERE, TAKEN, LOOKS, NOTHING, COIN_HELD, NO_WAY, NO_COIN, NO_SENSE = range(OTHER + 1, OTHER + 10)
EXITS = NO_SENSE + 1  # 16 phrases, after a room's name: bit d of the phrase's place says that direction d is open


def exits_phrase(code: int) -> str:
    """Return what follows a room's name where the directions in the bits of `code` are open."""
    ways = [direction for d, direction in enumerate(DIRECTIONS) if code >> d & 1]
    return ". " + (f"Exits : {' '.join(ways)} ." if ways else "No exits .")


PHRASES = (*COMMANDS, "?", *REPLIES, *map(exits_phrase, range(16)))  # "?" stands for what was not understood
WORDS = (*SPECIAL, *dict.fromkeys(word for text in (*PHRASES, *NAMES) for word in text.split()))
WORD_IDS = {word: i for i, word in enumerate(WORDS)}

COUNTS = np.array([len(phrase.split()) for phrase in PHRASES], np.int16)
TOKENS = np.zeros((len(PHRASES), COUNTS.max()), np.int16)
for i, phrase in enumerate(PHRASES):
    TOKENS[i, : COUNTS[i]] = [WORD_IDS[word] for word in phrase.split()]

LONGEST_NAME = 4  # words of a room's name
LONGEST_TURN = int(1 + COUNTS[:PROMPT].max() + LONGEST_NAME + COUNTS[EXITS:].max() + COUNTS[PROMPT:EXITS].max())

ARTICLES = {"the", "a", "an", "some", "my", "this", "that"}
SYNONYMS = {
    **{f"{verb}{way}": d for d, name in enumerate(DIRECTIONS) for way in (name, name[0]) for verb in
       ("", "go ", "walk ", "run ")},
    **dict.fromkeys(("take coin", "get coin", "carry coin", "hold coin", "pick up coin", "pick coin up"), TAKE),
    **{f"{verb} {at}coin": EXAMINE for verb in ("look", "l") for at in ("", "at ")},
    **{f"{verb} coin": EXAMINE for verb in ("examine", "x", "watch", "check", "describe", "read")},
    **dict.fromkeys(("look", "l"), LOOK),
    **dict.fromkeys(("inventory", "inv", "i", "take inventory"), INVENTORY),
}  # fmt: skip


def parse(text: str) -> int:
    """Return the action that a typed command stands for, OTHER if none; case, spaces and articles do not matter."""
    words = text.lower().strip().removesuffix(".").split()
    return SYNONYMS.get(" ".join(word for word in words if word not in ARTICLES), OTHER)


def as_text(tokens: np.ndarray, typed: np.ndarray, words: tuple[str, ...]) -> str:
    """Return tokens as a text to read, a line for each command and each reply; `typed` marks the commands' words."""
    said = [words[token] for token in tokens.tolist()]
    for end in np.flatnonzero(typed[1:] < typed[:-1]) + 1:
        said[end] = "\n" + said[end]
    text = " ".join(said).replace(" \n", "\n").replace(" > ", "\n> ")
    return text.replace(" .", ".").replace(" :", ":")


def describe_state(state, level, words: tuple[str, ...]) -> dict[str, Any]:
    """Return what TextWorld tells of a state, under TextWorld's names."""
    won = bool(state.won)
    here = bool(state.room == level.coin) and not won
    ways = np.flatnonzero(level.exits[state.room] >= 0)
    room = [level.names[state.room], TOKENS[EXITS + (1 << ways).sum()], TOKENS[[COIN_HERE] * here].ravel()]
    admissible = [COMMANDS[k] for k in (*ways, LOOK, INVENTORY)]
    admissible += ["take coin", "examine coin"] if here else ["examine coin", "drop coin"] if won else []
    return {
        "feedback": plain(state.tokens[state.reply : state.length], words),
        "description": plain(np.concatenate(room), words),
        "inventory": plain(TOKENS[COIN_HELD if won else NOTHING], words),
        "admissible_commands": sorted(admissible),
        "score": int(won),
        "max_score": 1,
        "won": won,
        "lost": False,
    }


def plain(tokens: np.ndarray, words: tuple[str, ...]) -> str:
    """Return tokens, with padding anywhere among them, as one line of text."""
    tokens = tokens[tokens > 0]
    return as_text(tokens, np.zeros_like(tokens), words)
