"""Text games in the terminal: transcripts of what is typed in a pipe, and the map."""

import io
import re
import sys
from pathlib import Path

import pytest
from rich.console import Console
from worlds import APPLE_STORY

import llm_envs
from llm_envs import cli
from llm_envs.cli.text_map import Exit, draw_map
from llm_envs.cli.text_terminal import OWN, Terminal, is_text_game

STORY = "Text/Story-v0"
WINNING = ["take brass key", "go north", "unlock chest with brass key", "open chest", "take lens from chest",
           "put lens on lamp stand"]  # fmt: skip


@pytest.fixture
def play(monkeypatch, capsys):
    """Return a function that plays lines in a pipe and returns what is printed, checked for what always holds."""

    def call(world_id, *lines, options=()):
        monkeypatch.setattr(sys, "argv", ["llm-envs", "play", world_id, *options])
        monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lines)))
        cli.main()
        printed, errors = capsys.readouterr()
        assert errors == ""
        assert "\x1b" not in printed
        assert printed.endswith("\nBye.\n")
        return printed

    monkeypatch.setenv("COLUMNS", "1000")
    return call


def replies(printed):
    """Return what follows each typed line."""
    parts = re.split(r"^>.*\n", printed.removesuffix("\nBye.\n"), flags=re.MULTILINE)
    return [part.strip() for part in parts[1:]]


def test_a_game_from_its_beginning_to_its_end(play):
    printed = play(STORY, *WINNING, "look", "score")
    assert "The lamp is dark." in printed
    assert "\n\n-= Beach =-\nWaves roll in over grey pebbles." in printed
    told = replies(printed)
    assert told[0] == "You pick up the brass key from the ground.\nScore 0 of 3   Turn 1"
    assert told[1].startswith("-= Lamp Room =-\n")
    assert told[4].endswith("Your score has just gone up by one point.\nScore 1 of 3   Turn 5")
    assert "\n\n*** The End ***\n\nYou scored 3 out of a possible 3" in told[5]
    assert "RESTORE" not in told[5]
    assert told[5].endswith("\nType undo, restart or quit.")
    assert told[6] == "The game is over. Type undo, restart or quit."
    assert told[7].startswith("Score 3 of 3   Turn 6")


def test_what_was_done_can_be_undone(play):
    told = replies(play(STORY, *WINNING, "undo", "undo 3", "history", "sing", "undo", "inventory", "undo 99", "undo"))[
        6:
    ]
    assert told[0].startswith("Taken back: one step.\n\n-= Lamp Room =-")
    assert told[0].endswith("Score 1 of 3   Turn 5")
    assert told[1].startswith("Taken back: 3 steps.\n")
    assert told[1].endswith("Score 0 of 3   Turn 2")
    assert told[2] == "1 take brass key\n  2 go north"
    assert told[3].startswith("That's not a verb I recognise.")
    assert told[5].startswith("You are carrying: a brass key.")
    assert told[6].startswith("Taken back: 3 steps.\n\n-= Beach =-")
    assert told[6].endswith("Score 0 of 3   Turn 0")
    assert told[7] == "There is nothing to undo."


def test_nothing_is_undone_by_nought(play):
    told = replies(play(STORY, "undo 0", "go north", "undo 0", "undo 1"))
    assert told[0] == "There is nothing to undo."
    assert told[2] == "undo takes a number from 1 on."
    assert told[3].startswith("Taken back: one step.")


def test_help_lists_the_verbs_of_the_game(play):
    cook = replies(play("Text/Cooking-v0", "help", options=("--set", "preset=ftwp-hardest", "pool=2")))[0]
    verbs = cook.partition("verbs are: ")[2].partition(".")[0].split(", ")
    assert {"chop", "cook", "dice", "slice", "prepare", "eat", "go", "take", "drop", "open", "look"} <= set(verbs)
    told = replies(play(STORY, "help"))[0]
    assert "unlock" in told
    assert "cook" not in told


def test_restarting_can_be_undone_too(play):
    told = replies(play(STORY, *WINNING, "restart", "history", "undo", "history"))[6:]
    assert told[0].startswith("The lamp is dark.")
    assert told[1] == "Nothing yet."
    assert told[2].startswith("Taken back: one step.")
    assert told[3].endswith("5 take lens from chest   +1\n  6 put lens on lamp stand   +2")


def test_the_terminals_own_commands(play):
    told = replies(play(STORY, "help", "commands", "MAP", "", "undo all", "hint now"))
    assert [line.split()[0] for line in told[0].splitlines()[: len(OWN)]] == list(OWN)
    assert told[1].startswith("examine berries, ")
    assert "go north" in told[1].split(", ")
    assert told[2].splitlines()[:3] == ["?", "   |", "*Beach*"]
    assert told[3] == ""
    assert told[4].endswith("Turn 0")  # which is the game's to answer, and not understood
    assert told[5].endswith("Turn 0")


@pytest.mark.parametrize(("world_id", "detour"), [(STORY, ["go north", "go south"]), ("Text/Cooking-v0", ["look"])])
def test_hints_lead_to_the_end(world_id, detour):
    terminal, commands = Terminal(world_id, seed=1), []
    for command in detour:
        terminal.answer(command)
    while not terminal.is_over:
        way, _ = terminal.way_to_win()
        assert len(commands) < 60
        commands.append(way[0])
        terminal.answer(way[0])
    assert terminal.info()["won"]


def test_hints_are_said(play):
    told = replies(play(STORY, *WINNING[:5], "hint", "undo", "hint", WINNING[4], WINNING[5], "hint"))
    assert told[5] == "Hint: put lens on lamp stand (that wins)"
    assert told[7].startswith("Hint: take lens from chest (1 more after it")
    assert told[10] == "The game is over. Type undo, restart or quit."


def test_where_no_hint_helps(capsys):
    terminal = Terminal(STORY, stories=[APPLE_STORY])
    assert terminal.way_to_win() == (["take apple", "put apple on shelf"], True)
    for line in ("take apple", "eat apple", "hint"):
        terminal.answer(line)
    assert capsys.readouterr().out.endswith("The solver found no way to win from here. Type undo or restart.\n")


def test_the_time_limit(play):
    told = replies(play(STORY, "look", "sing", "look", options=("--set", "max_steps=2")))
    assert told[0].endswith("Turn 1   1 command left")
    assert told[1].endswith("The time is up. Type undo, restart or quit.")
    assert told[2].startswith("The game is over.")


@pytest.mark.parametrize("world_id", [world_id for world_id in llm_envs.ids() if is_text_game(world_id)])
def test_every_text_game(play, world_id):
    options = ("--set", "pool=3") if world_id not in ("Text/World-v0", STORY) else ()
    told = replies(
        play(world_id, "look", "inventory", "map", "quit", options=("--seed", "1", "--split", "all", *options))
    )
    assert told[0].startswith("-= ")
    assert told[1].startswith("You are carrying")
    assert re.search(r"^\*.+\* you are here", told[2], re.MULTILINE)
    assert told[3] == ""


def test_seeds_and_splits_choose_the_game(play):
    games = {
        play("Text/Treasure-v0", options=("--seed", seed, "--split", split))
        for seed in "01"
        for split in ("train", "test")
    }
    assert len(games) == 4


def test_in_a_terminal(monkeypatch):
    """There the player sees what is typed, and colours; Ctrl-C leaves."""
    lines = iter(["go north", KeyboardInterrupt()])

    def typed(prompt):
        assert prompt == "\n> "
        if isinstance(line := next(lines), str):
            return line
        raise line

    monkeypatch.setattr("sys.stdin", type("Keyboard", (io.StringIO,), {"isatty": lambda self: True})())
    monkeypatch.setattr("builtins.input", typed)
    terminal = Terminal(STORY)
    terminal.console = Console(
        file=(screen := io.StringIO()), width=40, force_terminal=True, color_system="standard", soft_wrap=True
    )
    terminal.run()
    shown = screen.getvalue()
    assert "> go north" not in shown
    assert "\x1b[1;36m-= Lamp Room =-\x1b[0m" in shown
    assert max(map(len, re.sub(r"\x1b\[[\d;]*m", "", shown).splitlines())) <= 40
    assert shown.endswith("Bye.\n")


@pytest.mark.parametrize(
    ("world_id", "options", "reason"),
    [
        ("Tokens/Addition-v0", {}, "Tokens/Addition-v0 is no text game"),
        ("Nope-v0", {}, "there is no world 'Nope-v0'"),
        (STORY, {"observation": "tokens"}, "takes no option 'observation'"),
        (STORY, {"num_envs": 2}, "takes no option 'num_envs'"),
        (STORY, {"split": "some"}, "split is 'some'; it must be one of"),
        (STORY, {"rooms": 2}, "unexpected keyword argument 'rooms'"),
    ],
)
def test_refusals(world_id, options, reason):
    with pytest.raises((ValueError, TypeError), match=reason):
        Terminal(world_id, **options)


def test_a_missing_file_is_one_line_and_code_2(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["llm-envs", "play", "Text/World-v0", "--set", "games=['no.json']"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    assert "no.json" in capsys.readouterr().err


def exits(*ways):
    """Return exits both ways of "0 east 1" and the like; a "!" at the end is a shut door."""
    opposite = {"north": "south", "south": "north", "east": "west", "west": "east"}
    for text in ways:
        room, way, to = text.rstrip("!").split()
        yield Exit(int(room), way, int(to), text.endswith("!"))
        yield Exit(int(to), opposite[way], int(room), text.endswith("!"))


def test_a_map():
    names = {0: "Hall", 1: "Cellar", 2: "Attic"}
    drawn = draw_map(names, exits("0 east 1", "0 north 2!", "2 west 3", "1 south 4", "2 north 5!", "3 south 6"), here=1)
    assert drawn.splitlines() == [
        "       ?",
        "       #",
        "?---[Attic]",
        "       #",
        "    [Hall]----*Cellar*",
        "                  |",
        "                  ?",
        "",
        "*Cellar* you are here   ? not seen yet   # a shut door",
    ]


def test_a_map_that_no_grid_holds():
    """North, east, south, west, and one is elsewhere."""
    names = dict(enumerate(["A", "B", "C", "D", "E"]))
    drawn = draw_map(names, exits("0 north 1", "1 east 2", "2 south 3", "3 west 4"), here=4)
    assert drawn.splitlines()[:3] == ["[B]---[C]", " |     |", "[A]   [D]"]
    assert drawn.splitlines()[-1] == "Also: D, west: E; E, east: D"


def test_the_recorded_session(play, monkeypatch):
    """docs/guide/play.txt is what comes of what is typed in it."""
    monkeypatch.setenv("COLUMNS", "100")
    command, _, session = (Path(__file__).parents[2] / "docs" / "guide" / "play.txt").read_text().partition("\n")
    _, _, world_id, *options = command.removeprefix("$ ").split()
    assert play(world_id, *re.findall(r"^> (.*)$", session, re.MULTILINE), options=options) == session
