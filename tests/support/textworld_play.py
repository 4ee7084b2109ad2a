"""Makes games with the package textworld, compiles them and plays them under its interpreter: the reference for tests.

`make_games(["simple", "cooking-drop"], range(3))` returns the paths of compiled games; `load` of
llm_envs.text.formats.textworld.read reads the `.json` file beside each. `play(path, commands)` returns what the
reference says.
"""

import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import textworld
from textworld import EnvInfos, GameOptions
from textworld.challenges import CHALLENGES

from llm_envs.text.formats.textworld.write import export
from llm_envs.text.model.game import Game

SHOWN = ("description", "inventory", "admissible_commands", "score", "max_score", "moves", "won", "lost", "facts")
STATUS = re.compile(r"\n*>\s+-=.*$", re.DOTALL)  # the line that the interpreter prints under each reply
CACHE = Path(tempfile.gettempdir()) / f"textworld-{textworld.__version__}-games-{os.getuid()}"


def _challenge(name: str, settings: Callable[[int], dict[str, Any]]) -> Callable[[int, GameOptions], Any]:
    return lambda seed, options: CHALLENGES[name][1](settings(seed), options)


def _custom(rooms: int, objects: int, steps: int) -> Callable[[int, GameOptions], Any]:
    def make(seed: int, options: GameOptions) -> Any:
        options.nb_rooms, options.nb_objects, options.quest_length = rooms, objects, steps
        options.grammar.allowed_variables_numbering = True
        return textworld.generator.make_game(options)

    return make


def _cooking(drop: bool) -> Callable[[int], dict[str, Any]]:
    def settings(seed: int) -> dict[str, Any]:
        parts = 1 + seed % 5
        return {
            "recipe": parts,
            "take": max(1, parts - seed % 2),
            "go": (1, 6, 9, 12)[seed % 4],
            "open": seed % 2 == 0,
            "cook": True,
            "cut": seed % 3 < 2,
            "drop": drop,
            "recipe_seed": 0,
            "split": None,
        }

    return settings


def _simple(seed: int) -> dict[str, Any]:
    return {
        "rewards": ("dense", "balanced", "sparse")[seed % 3],
        "goal": ("detailed", "brief", "none")[seed // 3 % 3],
        "test": False,
    }


KINDS: dict[str, Callable[[int, GameOptions], Any]] = {
    "simple": _challenge("tw-simple", _simple),
    "coin": _challenge("tw-coin_collector", lambda seed: {"level": (3, 6, 12, 105, 115, 205)[seed % 6]}),
    "hunt": _challenge("tw-treasure_hunter", lambda seed: {"level": (4, 14, 21, 8, 20, 22)[seed % 6]}),
    "cooking": _challenge("tw-cooking", _cooking(False)),
    "cooking-drop": _challenge("tw-cooking", _cooking(True)),
    "custom-small": _custom(2, 5, 2),
    "custom-medium": _custom(5, 10, 5),
    "custom-large": _custom(10, 20, 8),
}


def make_games(kinds: Iterable[str] = tuple(KINDS), seeds: Iterable[int] = range(1)) -> list[Path]:
    """Return compiled games, one for each kind and seed; what an earlier run made is taken from `CACHE`."""
    seeds = tuple(seeds)
    return [_make(kind, seed) for kind in kinds for seed in seeds]


def _make(kind: str, seed: int) -> Path:
    story = CACHE / f"{kind}_{seed}.z8"
    if not story.exists():
        options = GameOptions()
        options.seeds = 1000 + seed
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # see `play`; "simple" plays its games while it makes them
            _compile(KINDS[kind](seed, options), story, options)
    return story


def compile_export(game: Game, folder: Path) -> Path:
    """Write one of our games to a TextWorld file in `folder`, compile it, and return the path for `play`."""
    story = folder / f"{game.name.replace('/', '-')}.z8"
    return compile_game(textworld.generator.Game.load(str(export(game, story.with_suffix(".json")))), story)


def compile_game(game: Any, story: Path) -> Path:
    """Compile a game of TextWorld's, and return the path for `play`; its `.json` is beside it."""
    _compile(game, story, GameOptions())
    return story


def _compile(game: Any, story: Path, options: GameOptions) -> None:
    """Compile in a folder of its own, then move both files, so that processes side by side do no harm."""
    story.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=story.parent) as folder:
        options.path, options.force_recompile = str(Path(folder) / story.name), True
        textworld.generator.compile_game(game, options)
        for suffix in (".json", ".z8"):
            shutil.move(Path(folder) / (story.stem + suffix), story.with_suffix(suffix))


def play(game_file: str | Path, commands: Sequence[str]) -> list[dict[str, Any]]:
    """Play commands, until the game ends, and return what the reference says at the start and after each.

    Each entry has `command` (None at the start), `feedback` (stripped, without the status line), and those named in
    SHOWN; admissible_commands and facts are sorted, facts are strings: "in(old key: k, chest: c)".
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the interpreter says that it cannot keep the score; the file's rules do
        env = textworld.start(str(game_file), EnvInfos(feedback=True, **dict.fromkeys(SHOWN, True)))
    try:
        state = env.reset()
        told = [_tell(None, state)]
        for command in commands:
            if told[-1]["won"] or told[-1]["lost"]:
                break
            state, _, _ = env.step(command)
            told.append(_tell(command, state))
        return told
    finally:
        env.close()


def _tell(command: str | None, state: Any) -> dict[str, Any]:
    told = {"command": command, "feedback": STATUS.sub("", state["feedback"]).strip()}
    return told | {name: state[name] for name in SHOWN} | {"facts": sorted(map(str, state["facts"]))}
