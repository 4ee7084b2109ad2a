"""The command line: what it prints, what it refuses, and with which exit code."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

import llm_envs
from llm_envs import cli, testing


@pytest.fixture
def run(monkeypatch, capsys):
    """Return a function that runs `llm-envs` on arguments and typed lines: (exit code, stdout, stderr)."""

    def call(*arguments, typed=""):
        monkeypatch.setattr(sys, "argv", ["llm-envs", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()

    return call


def test_the_console_script_lists_every_world():
    script = Path(sys.executable).with_name("llm-envs")
    printed = subprocess.run([script, "list"], check=True, capture_output=True, text=True).stdout
    for expected in (*llm_envs.ids(), "write the sum of two numbers", "tokens, length", "Discrete(14)", "exact, match"):
        assert expected in printed


def test_info_shows_card_spaces_weights_levels_and_options(run):
    code, printed, _ = run("info", "Tokens/Addition-v0", "--set", "digits=1", "base=3")
    assert code == 0
    train = llm_envs.make_batch("Tokens/Addition-v0", 1, digits=1, base=3).num_levels
    for expected in (
        "Termination:",
        "Box(0, 6,",
        "Discrete(7)",
        "exact, weight 1",
        f"train {train}",
        "all 9",
        "base = 10",
    ):
        assert expected in printed


def test_a_repeated_set_adds_to_the_first(run):
    """At level 2 without dead ends the coin lies one room away."""
    code, printed, _ = run(
        "play", "Text/Collector-v0", "--set", "level=2", "--set", "mode=1", "max_steps=9", typed="hint\n"
    )
    assert code == 0
    assert "(1 more after it, the fewest)" in printed


def test_playing_tokens_by_name_and_by_number(run):
    """The prompt is 1 + 1: "2" is the digit, not the action 2; there is no digit 12, so that is the action, digit 8."""
    code, printed, errors = run("play", "Tokens/Addition-v0", "--set", "levels=[(1, 1)]", typed="2\n12\n<end>\n8\nq\n")
    assert (code, errors) == (0, "")
    for expected in (
        "1+1=2\n",
        "1+1=28\n",
        "1+1=28<end>\nreward 0 (exact 0",
        "(terminated): return 0.",
        "1+1=8\n",
    ):
        assert expected in printed
    assert printed.endswith("Bye.\n")


def test_playing_text(run):
    game = "levels=[{'exits': [{'north': 1}, {'south': 0}], 'coin': 1, 'names': ['Mill', 'Pier']}]"
    _, printed, _ = run("play", "TextGame-v0", "--set", game, typed="sing\nn\nget the coin\n")
    assert "> ?\n" in printed
    assert "> go north\nPier." in printed
    assert "The episode is over (terminated): return 1." in printed


def test_playing_with_floats(run):
    code, printed, _ = run(
        "play", "PathPlanner-v0", "--set", "action=continuous", "max_steps=2", typed="0.5 0.5\nleft\n7 7\n.5,.5\nq\n"
    )
    assert code == 0
    assert "could not convert string to float: 'left'" in printed
    assert "they must be from -1.0 to 1.0" in printed
    assert (printed.count("reward "), printed.count("(truncated)")) == (2, 1)


@pytest.mark.parametrize("word", ["q", "quit"])
@pytest.mark.parametrize("world_id", ["Tokens/Addition-v0", "Text/Coin-v0", "Text/Story-v0"])
def test_two_words_leave(run, word, world_id):
    code, printed, _ = run("play", world_id, typed=f"{word}\nlook\n")
    assert (code, printed.endswith("Bye.\n")) == (0, True)
    assert printed.count("action> ") + printed.count("\n> ") == 1


def test_what_the_output_cannot_say_is_replaced(tmp_path):
    """In a terminal that knows only ASCII; what is typed may be any bytes."""
    story = "start: hall\nrooms: {hall: {text: Un café., contents: [apple]}}\nthings: {apple: food}\n"
    (tmp_path / "a.yaml").write_text(story + "quests: [{win: apple in hands}]\n", "utf-8")
    surroundings = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    command = [sys.executable, "-c", "from llm_envs.cli import main; main()", "play", "Text/Story-v0", "--set"]
    command.append(f"stories=[{str(tmp_path / 'a.yaml')!r}]")
    done = subprocess.run(command, capture_output=True, env=surroundings, input=b"\xe9\xff")
    assert done.returncode == 0, done.stderr
    assert b"Un caf?" in done.stdout


def test_a_wrong_action_is_asked_for_again(run):
    _, printed, _ = run("play", "Nav/FourRooms-v0", typed="jump\n7\n-1\n\nleft\n0\n")
    assert (printed.count("is no action; type a number from 0 to 6"), printed.count("reward ")) == (4, 2)


def test_bench_prints_three_rates(run):
    code, printed, _ = run("bench", "Text/Coin-v0", "--set", "action=text", "--num-envs", "64", "--seconds", "0.01")
    rows = [line.split("│") for line in printed.splitlines() if line.startswith("│")]
    assert (code, [row[1].split()[0] for row in rows][:2]) == (0, ["1", "64"])
    assert all(float(row[3]) > 0 for row in rows)


def test_check_prints_ok_or_which_invariant_is_broken(run, monkeypatch):
    arguments = ("check", "Tokens/Copy-v0", "--set", "length=2", "--steps", "40")
    code, printed, _ = run(*arguments)
    assert (code, printed) == (0, "OK: Tokens/Copy-v0 keeps the contract.\n")

    def worlds_are_free_of_charge(tested):
        """A world costs nothing."""
        raise AssertionError("a price")

    monkeypatch.setattr(testing, "INVARIANTS", (worlds_are_free_of_charge,))
    code, printed, _ = run(*arguments)
    assert code == 1
    assert "breaks worlds_are_free_of_charge. A world costs nothing. Found: a price" in printed


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("info", "Nope-v0"), "there is no world 'Nope-v0'; the ids are Tokens/Addition-v0"),
        (
            ("info", "Tokens/Copy-v0", "--set", "size=1"),
            "got an unexpected keyword argument 'size'; the options of Tokens/Copy-v0 are task, length",
        ),
        (("play", "Tokens/Copy-v0", "--set", "length=0"), "length is 0; it must be from 1 to 1000"),
        (("play", "Text/Coin-v0", "--set", "level=0"), "level is 0; it must be from 1 to 100"),
        (("play", "Tokens/Copy-v0", "--seed", "-1"), "seed is -1"),
        (("check", "Tokens/Copy-v0", "--set", "length"), "'length' is not of the form name=value"),
        (("info", "Tokens/Copy-v0", "--set", f"length={'-' * 100_000}1"), "the value of length, '-----"),
        (("info", "Tokens/Copy-v0", "--set", f"length={'[' * 1000}"), "length must be an integer, not '[[["),
        (("info", "Tokens/Copy-v0", "--set", "length={[]: 1}"), "length must be an integer, not '{[]: 1}'"),
        (("info", "Tokens/Copy-v0", "--set", "task=\x1b[31mred"), "task is '\\x1b[31mred'; it must be one of"),
        (("info", "\x1b[2J"), "there is no world '\\x1b[2J'"),
        (("bench", "Tokens/Copy-v0", "--num-envs", "0"), "num_envs is 0"),
    ],
)
def test_bad_input_is_one_line_and_code_2(run, arguments, reason):
    code, printed, errors = run(*arguments)
    assert (code, printed) == (2, "")
    assert errors.startswith("llm-envs: ")
    assert (reason in errors, errors.count("\n")) == (True, 1)
