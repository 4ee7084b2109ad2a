"""The coin game's words: phrases as rows of a token table, the commands that a player may type, and texts to read.

A phrase is a row of TOKENS, its first COUNTS entries. The first phrases are the commands, in the order of the actions.
"""

from typing import Any

import numpy as np

from llm_envs.text.authoring.room_names import NAMES
from llm_envs.text.model.game import DIRECTIONS
from llm_envs.vocabulary import SPECIAL

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
PROMPT, COIN_HERE, TAKEN, EXAMINED, NOTHING, COIN_HELD, NO_WAY, NO_COIN, UNKNOWN = range(OTHER + 1, OTHER + 10)
EXITS = UNKNOWN + 1  # 16 phrases, after a room's name: EXITS + a sum of 1 << d for each direction d that is open
DESCRIPTION = -1  # the reply that is no phrase: the description of the room


def exits_phrase(exits: int) -> str:
    """Return what follows a room's name where the directions in the bits of `exits` are open."""
    ways = [direction for d, direction in enumerate(DIRECTIONS) if exits >> d & 1]
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


def spaced(text: str) -> str:
    """Return a text whose words and marks stand between spaces as one to read."""
    return text.replace(" .", ".").replace(" :", ":")


def as_text(tokens: np.ndarray, token_mask: np.ndarray, vocabulary: tuple[str, ...]) -> str:
    """Return a transcript as a text to read, a line for each command and each reply.

    Args:
        tokens: int (length,), without padding.
        token_mask: (length,), 1 for the words of commands.
        vocabulary: the word of each token.
    """
    pieces = [vocabulary[token] for token in tokens.tolist()]
    for end in np.flatnonzero(token_mask[1:] < token_mask[:-1]) + 1:  # the first word of a reply
        pieces[end] = "\n" + pieces[end]
    return spaced(" ".join(pieces).replace(" \n", "\n").replace(" > ", "\n> "))


def describe_room(state: Any, level: Any, vocabulary: tuple[str, ...]) -> str:
    """Return the description of the player's room: its name, its exits, and the coin if it lies there."""
    name = [vocabulary[token] for token in level.names[state.room] if token]
    exits = int((1 << np.flatnonzero(level.exits[state.room] >= 0)).sum())
    here = [PHRASES[COIN_HERE]] if state.room == level.coin and not state.won else []
    return spaced(" ".join([*name, PHRASES[EXITS + exits], *here]))


def describe_state(state: Any, level: Any, vocabulary: tuple[str, ...]) -> dict[str, Any]:
    """Return what TextWorld's `infos` say of a state, under TextWorld's names."""
    won, description = bool(state.won), describe_room(state, level, vocabulary)
    admissible = [COMMANDS[k] for k in (*np.flatnonzero(level.exits[state.room] >= 0), LOOK, INVENTORY)]
    if won:
        admissible += ["examine coin", "drop coin"]
    elif state.room == level.coin:
        admissible += ["take coin", "examine coin"]
    return {
        "feedback": description if state.reply == DESCRIPTION else spaced(PHRASES[state.reply]),
        "description": description,
        "inventory": spaced(PHRASES[COIN_HELD if won else NOTHING]),
        "admissible_commands": sorted(admissible),
        "score": int(won),
        "max_score": 1,
        "won": won,
        "lost": False,
    }
