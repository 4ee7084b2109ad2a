"""Maps of the coin game: drawn by TextWorld's rule, or the user's own; and the shortest way through one."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from llm_envs.text.authoring.room_names import NAMES
from llm_envs.text.games.coin.words import LONGEST_NAME, TAKE, WORD_IDS
from llm_envs.text.model.game import BACK, DIRECTIONS
from llm_envs.validation import check_choice, check_list, check_range, quote
from llm_envs.world import Row, record

MOST_ROOMS = 100
SHAPES = (8, 16, 32, 64, MOST_ROOMS)  # rooms a record has space for: few, since every shape is compiled anew
MOST_WORDS = 32_767  # token numbers are int16
LONGEST_WORD = 15  # letters in a word of a room's name
OPPOSITE = np.array([DIRECTIONS.index(BACK[way]) for way in DIRECTIONS])


def level_record(rooms: int) -> np.dtype:
    """Return the record of one game with space for so many rooms."""
    space = next(shape for shape in SHAPES if shape >= rooms)
    return record(
        start=np.int16,  # room
        coin=np.int16,  # room
        exits=(np.int16, (space, 4)),  # the room that lies north, south, east, west; -1 for none
        names=(np.int16, (space, LONGEST_NAME)),  # tokens, padded with 0
    )


def random_maps(pool: int, level: int, mode: int) -> np.ndarray:
    """Return `pool` games; the same ones for the same arguments, and a larger pool begins with the smaller one.

    Rooms 0 to level - 1 are a chain from the start to the coin, each joined to the one before through a free exit of
    it. Further rooms, dead ends, are then joined in the same way to the rooms of the chain in turn.
    """
    rooms = level * mode
    draws = np.random.default_rng(0).random((pool, rooms + len(NAMES)))
    levels = np.zeros(pool, level_record(rooms))
    levels["exits"], levels["coin"] = -1, level - 1
    for room in range(1, rooms):
        join(levels["exits"], room - 1 if room < level else room % level, room, draws[:, room])
    names = np.zeros((len(NAMES), LONGEST_NAME), np.int16)
    for i, name in enumerate(NAMES):
        names[i, : len(name.split())] = [WORD_IDS[word] for word in name.split()]
    levels["names"][:, :rooms] = names[draws[:, rooms:].argsort(axis=1)[:, :rooms]]
    return levels


def join(exits: np.ndarray, source: int, room: int, draws: np.ndarray) -> None:
    """Put `room` behind a free exit of `source`, in every game: the one that its draw from [0, 1) falls on."""
    free = exits[:, source] < 0  # (pool, 4)
    wanted = (draws * free.sum(axis=1)).astype(int) + 1
    direction = (free.cumsum(axis=1) >= wanted[:, None]).argmax(axis=1)
    game = np.arange(len(exits))
    exits[game, source, direction] = room
    exits[game, room, OPPOSITE[direction]] = source


def own_maps(games: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return a user's games as levels, and the words of their room names that the vocabulary lacks.

    Raises:
        ValueError: names the first bad game and what is wrong with it.
    """
    check_list("levels", games, "games, each a dict with 'exits' and 'coin'", 1)
    for i, game in enumerate(games):
        check_game(f"levels[{i}]", game)
    levels = np.zeros(len(games), level_record(max((len(game["exits"]) for game in games), default=1)))
    levels["exits"] = -1
    ids = dict(WORD_IDS)
    for level, game in zip(levels, games, strict=True):
        level["start"], level["coin"] = game.get("start", 0), game["coin"]
        for room, ways in enumerate(game["exits"]):
            for way, target in ways.items():
                level["exits"][room, DIRECTIONS.index(way)] = target
            for k, word in enumerate(game.get("names", NAMES)[room].split()):
                if ids.setdefault(word, len(ids)) >= MOST_WORDS:
                    raise ValueError(f"levels have room names of more than {MOST_WORDS:,} different words")
                level["names"][room, k] = ids[word]
    return levels, tuple(ids)[len(WORD_IDS) :]


def check_game(where: str, game: Mapping[str, Any]) -> None:
    """Raise ValueError (TypeError for what is no integer) unless `game` is a map on which the coin can be reached."""
    if not isinstance(game, Mapping) or not {"exits", "coin"} <= set(game) <= {"exits", "coin", "names", "start"}:
        raise ValueError(f"{where} must be a dict with 'exits' and 'coin', and 'names' and 'start' if wanted")
    check_list(f"{where}['exits']", game["exits"], "dicts, one a room")
    check_list(f"{where}['names']", game.get("names", ()), "strings, one a room")
    exits, last = game["exits"], len(game["exits"]) - 1
    if not all(isinstance(ways, Mapping) for ways in exits):
        raise ValueError(f"{where}['exits'] must have a dict for each room, such as {{'north': 1}}")
    check_range(f"{where}: number of rooms", len(exits), 1, MOST_ROOMS)
    check_range(f"{where}['coin']", game["coin"], 0, last)
    check_range(f"{where}['start']", game.get("start", 0), 0, last)
    for room, ways in enumerate(exits):
        for way, target in ways.items():
            place = f"{where}['exits'][{room}][{quote(way)}]"
            check_choice(f"{place}: an exit", way, DIRECTIONS)
            check_range(place, target, 0, last)
    for room, ways in enumerate(exits):
        for way, target in ways.items():
            place = f"{where}['exits'][{room}][{way!r}]"
            back = BACK[way]
            if exits[target].get(back) != room:
                raise ValueError(f"{place} is {target}; then ['exits'][{target}][{back!r}] must be {room}")
    names = game.get("names", NAMES[: len(exits)])
    if len(names) != len(exits):
        raise ValueError(f"{where} has {len(names)} names for {len(exits)} rooms")
    for name in names:
        words = str(name).split()
        fine = isinstance(name, str) and all(
            word.isascii() and word.isalnum() and len(word) <= LONGEST_WORD for word in words
        )
        if not (fine and 1 <= len(words) <= LONGEST_NAME):
            raise ValueError(
                f"{where} has a room named {quote(name)}; a name is 1 to {LONGEST_NAME} words of at most "
                f"{LONGEST_WORD} letters and digits"
            )
    ways_out = [[ways.get(way, -1) for way in DIRECTIONS] for ways in exits]
    if way_to_coin(ways_out, game.get("start", 0), game["coin"]) is None:
        raise ValueError(f"{where}: no way leads from room {game.get('start', 0)} to the coin in room {game['coin']}")


def way_to_coin(exits: Any, start: int, coin: int) -> list[int] | None:
    """Return a shortest list of directions from `start` to `coin` by breadth-first search; None if there is none.

    Args:
        exits: the room in each direction, or a negative number, for each room: a list of lists or (rooms, 4).
        start: a room.
        coin: a room.
    """
    ways: dict[int, list[int]] = {start: []}
    queue = [start]
    for room in queue:  # which grows meanwhile
        if room == coin:
            return ways[room]
        for direction, target in enumerate(exits[room]):
            if target >= 0 and int(target) not in ways:
                ways[int(target)] = [*ways[room], direction]
                queue.append(int(target))
    return None


def solution(row: Row) -> list[int]:
    """Return a shortest list of actions from the start to the win."""
    level = row.level
    return [*(way_to_coin(level.exits, int(level.start), int(level.coin)) or []), TAKE]
