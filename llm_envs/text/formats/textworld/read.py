"""Reads the JSON files of TextWorld games (Cote et al., 2018; version 1 of the format), plain or gzipped."""

import json
import re
import zlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from llm_envs.text.formats.textworld.rules import find_theme
from llm_envs.text.model.game import Fact, Game, Quest, Thing, kind_of
from llm_envs.text.model.validation import check
from llm_envs.validation import check_path, printable, quote

T = TypeVar("T")
VERSION = 1
LARGEST = 16 * 2**20  # bytes of a file, unpacked
LARGEST_LOGIC = 2**20  # characters of its rules; those of TextWorld's themes have at most 60,000
NAMELESS = ("P", "I", "RECIPE")  # ids that a game needs no entry for
MADE_WITH = ("desc", "mode", "seeds", "world_size", "quest_length")  # what metadata give if there are no settings


def load(path: str | Path) -> Game:
    """Read a game from a file that TextWorld wrote, `.json` or `.json.gz`. Its name is the file's.

    Raises:
        ValueError: the file is broken, or holds what this library's rules do not know; names file, entity and reason.
        OSError: there is no such file, or it cannot be read.
    """
    check_path("path", path)
    path = Path(path)
    with path.open("rb") as file:
        raw = file.read(LARGEST + 1)
    try:
        game = _game(re.sub(r"(\.json)?(\.gz)?$", "", path.name), _parse(raw))
    except (ValueError, zlib.error, RecursionError) as error:
        raise ValueError(printable(f"{path}: {error}")) from None  # a traceback would show the file's own letters
    check(game, str(path))
    return game


def _parse(raw: bytes) -> dict[str, Any]:
    if raw[:2] == b"\x1f\x8b":
        unpacker = zlib.decompressobj(31)  # of gzip files
        raw = unpacker.decompress(raw, LARGEST)
        if not unpacker.eof:
            raise ValueError(f"the gzip file is cut off, or holds more than {LARGEST} bytes")
    if len(raw) > LARGEST:
        raise ValueError(f"the file has more than {LARGEST} bytes")
    try:
        data = json.loads(raw.decode(), parse_constant=_refuse, object_pairs_hook=_once)
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from error
    return _take(data, dict, "the file")


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object's entries; ValueError where a key is given twice, of which the last would win."""
    entries = dict(pairs)
    if len(entries) < len(pairs):
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise ValueError(f"an object has the key {quote(twice)} twice")
    return entries


def _game(name: str, data: dict[str, Any]) -> Game:
    version = _get(data, "version", int, "")
    if version != VERSION:
        raise ValueError(f"version is {version}; only version {VERSION} can be read")
    logic = _get(_get(data, "KB", dict, ""), "logic", str, "KB")
    if len(logic) > LARGEST_LOGIC:
        raise ValueError(f"KB: logic: {len(logic)} characters; at most {LARGEST_LOGIC} are possible")
    theme = find_theme(logic)
    things = {}
    for k, entry in enumerate(_get(data, "infos", list, "")):
        thing = _thing(entry, f"infos[{k}]")
        if thing.id in things:
            raise ValueError(f"{quote(thing.id)[1:-1]}: has two entries in infos")
        if thing.id not in NAMELESS:
            things[thing.id] = thing
    facts = tuple(_fact(fact, f"world[{k}]") for k, fact in enumerate(_get(data, "world", list, "")))
    things |= {one: Thing(one) for fact in facts for one in fact[1:] if kind_of(one) == "slot" and one not in things}
    quests = tuple(_quest(quest, f"quest {k}") for k, quest in enumerate(_get(data, "quests", list, "")))
    metadata = _get(data, "metadata", dict, "", {})
    made_with = {key: metadata[key] for key in MADE_WITH if key in metadata}
    settings = _get(metadata, "settings", dict, "metadata", made_with)
    return Game(name, theme, things, facts, quests, _get(data, "objective", str, "", ""),
                _strings(metadata, "walkthrough", "metadata"), settings)  # fmt: skip


def _thing(entry: Any, where: str) -> Thing:
    if not isinstance(entry, list) or len(entry) != 2:
        raise ValueError(f"{where}: must be a list of an id and an entry, not {_short(entry)}")
    thing_id, info = _take(entry[0], str, where), _take(entry[1], dict, where)
    for key, wanted in (("id", thing_id), ("type", kind_of(thing_id))):
        if _get(info, key, str, thing_id) != wanted:
            raise ValueError(f"{thing_id}: its {key} is {quote(info[key])}; it must be {quote(wanted)}")
    name, text, indefinite = (_get(info, key, str, thing_id, "") for key in ("name", "desc", "indefinite"))
    return Thing(thing_id, name, text, indefinite, _strings(info, "synonyms", thing_id))


def _quest(quest: Any, where: str) -> Quest:
    _take(quest, dict, where)
    win, fail = (
        tuple(_event(event, where) for event in _get(quest, key, list, where)) for key in ("win_events", "fail_events")
    )
    if "reward" not in quest:
        raise ValueError(f"{where}: 'reward' is missing")
    reward = _get(quest, "reward", int, where, 1 if win else 0)
    flags = [_get(quest, key, bool, where, False) for key in ("optional", "repeatable")]
    return Quest(win, fail, reward, *flags)


def _event(event: Any, where: str) -> tuple[Fact, ...]:
    """Return an event's facts but those that a passage is free, which the interpreter does not test."""
    condition = _get(_take(event, dict, where), "condition", dict, where)
    facts = (_fact(fact, where) for fact in _get(condition, "preconditions", list, where))
    return tuple(fact for fact in facts if fact[0] != "free" or len(fact) == 2)


def _fact(fact: Any, where: str) -> Fact:
    name = _get(_take(fact, dict, where), "name", str, where)
    ids = []
    for argument in _get(fact, "arguments", list, where):
        one = _get(_take(argument, dict, where), "name", str, where)
        kind = _get(argument, "type", str, where)
        if kind != kind_of(one):
            raise ValueError(
                f"{where}: {quote(name)[1:-1]}: {quote(one)} is said to be of type {quote(kind)}; "
                f"its id says {quote(kind_of(one))}"
            )
        ids.append(one)
    return (name, *ids)


def _strings(mapping: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    return tuple(_take(one, str, f"{where}: {key}") for one in _get(mapping, key, list, where, []))


def _get(mapping: Mapping[str, Any], key: str, kind: type[T], where: str, default: T | None = None) -> T:
    """Return a value of that type; null or nothing stand for the default, if there is one."""
    value = mapping.get(key)
    if value is None and default is not None:
        return default
    if key not in mapping:
        raise ValueError(f"{where or 'the file'}: {key!r} is missing")
    return _take(value, kind, f"{where}: {key}" if where else key)


def _take(value: Any, kind: type[T], where: str) -> T:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"{where}: must be {kind.__name__}, not {_short(value)}")
    return value


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
