"""Writes a `Game` as a file that TextWorld (the package textworld, 1.7) reads, compiles and plays."""

import importlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from llm_envs.text.formats.textworld.read import VERSION
from llm_envs.text.formats.textworld.rules import find_theme
from llm_envs.text.model.game import Fact, Game, Quest, Thing, kind_of
from llm_envs.text.model.validation import check
from llm_envs.validation import check_path

# Where the package keeps the rules of each theme; they are read at the time of writing.
FOLDERS = {
    "base": "generator/data/logic",
    "coin": "challenges/tw_coin_collector/textworld_data/logic",
    "cooking": "challenges/tw_cooking/textworld_data/logic",
    "cooking-drop": "challenges/tw_cooking/textworld_data/logic_drop",
}


def export(game: Game, path: str | Path) -> Path:
    """Write a game to a `.json` file of TextWorld's format and return its path.

    `llm_envs.text.formats.textworld.read.load` reads it back as the same game, if the file has the game's name. To
    play it: `textworld.generator.compile_game(textworld.generator.Game.load(path), options)` with `options.path`
    ending in .z8.

    Raises:
        ValueError: the path does not end in .json, the game is not sound, or TextWorld could not compile its texts.
        ImportError: the package textworld is missing; its rules are part of the file.
    """
    check_path("path", path)
    path = Path(path)
    if path.suffix != ".json":
        raise ValueError(f"path is {str(path)!r}; it must end in .json")
    check(game)
    rooms: dict[str, str] = {}
    for room in game.of_kind("r"):
        if rooms.setdefault(room.name.casefold(), room.id) != room.id:
            first = rooms[room.name.casefold()]
            raise ValueError(
                f"{game.name}: {room.id}: has the name of {first}; TextWorld needs different names of rooms"
            )
    for what, text in [*((key, thing.text) for key, thing in game.things.items()), ("objective", game.objective)]:
        if '"' in text:
            raise ValueError(
                f"{game.name}: {what}: TextWorld's texts cannot hold double quotes; write ' at words' edges"
            )
    ids = ["P", "I", *game.things, *(["RECIPE"] if any("RECIPE" in fact for fact in game.facts) else [])]
    data = {
        "version": VERSION,
        "world": [_fact(fact) for fact in game.facts],
        "grammar": {},
        "quests": [_quest(quest) for quest in game.quests],
        "infos": [[one, _info(game.things.get(one, Thing(one)))] for one in ids],
        "KB": {"logic": _logic(game.theme), "text_grammars_path": ""},
        "metadata": {"uuid": game.name, "walkthrough": list(game.walkthrough), "settings": dict(game.settings)},
        "objective": game.objective,
    }
    path.write_text(json.dumps(data))
    return path


def _logic(theme: str) -> str:
    try:
        package, reader = importlib.import_module("textworld"), importlib.import_module("textworld.generator.data")
    except ImportError as error:
        raise ImportError("export needs TextWorld's rules: install the package textworld (1.7)") from error
    folder = Path(str(package.__file__)).parent / FOLDERS[theme]
    logic = reader.KnowledgeBase.load(logic_path=str(folder), grammar_path="").serialize()["logic"]
    if find_theme(logic) != theme:
        raise ValueError(f"{folder} holds the rules of another theme than {theme!r}")
    return logic


def _info(thing: Thing) -> dict[str, Any]:
    named = thing.id not in ("P", "I")
    return {
        "id": thing.id,
        "type": thing.kind,
        "name": thing.name if named else None,
        "noun": None,
        "adj": None,
        "desc": thing.text if named else None,
        "room_type": None,
        "definite": None,
        "indefinite": thing.indefinite or None,
        "synonyms": list(thing.synonyms) or None,
    }


def _fact(fact: Fact) -> dict[str, Any]:
    return {"name": fact[0], "arguments": [{"name": one, "type": kind_of(one)} for one in fact[1:]]}


def _quest(quest: Quest) -> dict[str, Any]:
    return {
        "desc": "",
        "reward": quest.reward,
        "commands": [],
        "win_events": [_event(event) for event in quest.win],
        "fail_events": [_event(event) for event in quest.fail],
        "optional": quest.optional,
        "repeatable": quest.repeatable,
    }


def _event(facts: Iterable[Fact]) -> dict[str, Any]:
    conditions = [_fact(fact) for fact in facts]
    happening = _fact(("event", *sorted({one for fact in facts for one in fact[1:]})))
    trigger = {
        "name": "trigger",
        "preconditions": conditions,
        "postconditions": [*conditions, happening],
        "command_template": None,
        "reverse_name": None,
        "reverse_command_template": None,
    }
    return {"commands": [], "actions": [], "condition": trigger}
