"""Every example runs as a reader would run it, and prints what it promises."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def right_after_training(printed):
    shares = [int(share) for share in re.findall(r"(?:before|after): (\d+)%", printed)]
    assert shares[0] < 20
    assert shares[1] > 80


def bisection_finds_and_chance_is_chance(printed):
    assert "check_world: OK" in printed
    guesses = re.search(r"guess (.*) -> reward 1", printed).group(1).split()[::2]
    assert len(guesses) <= 5  # floor(log2(16)) + 1
    assert abs(float(re.search(r"at random ([\d.]+)", printed).group(1)) - 1 / 16) < 0.005


def rewards_are_the_weighted_terms(printed):
    mean, total = map(float, re.search(r"mean reward (\S+), weighted sum of the terms (\S+)", printed).groups())
    assert mean == pytest.approx(total, abs=2e-5)
    terms = dict(re.findall(r"^(\w+) +[\d.]+ +(-?[\d.]+)$", printed, re.MULTILINE))
    assert set(terms) == {"exact", "match", "length", "wellformed", "brevity", "looks_even"}
    assert float(terms["brevity"]) == -1.0  # every step adds a token
    assert 0.0 < float(terms["looks_even"]) < 0.5


def the_oracle_wins_and_chance_does_not(printed):
    assert "> go " in printed or "> look" in printed
    rows = re.findall(r"^(\w+) +([\d.]+) +([\d.]+)$", printed, re.MULTILINE)
    scores = {name: (float(score), float(turns)) for name, score, turns in rows}
    assert scores["oracle"] == (1.0, 4.0)
    assert scores["random"][0] < 0.5


PROMISES = {
    "stock_sb3": right_after_training,
    "add_a_world": bisection_finds_and_chance_is_chance,
    "own_reward": rewards_are_the_weighted_terms,
    "text_game_random": the_oracle_wins_and_chance_does_not,
}


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_example(path):
    program = [sys.executable, path]
    PROMISES[path.stem](subprocess.run(program, check=True, capture_output=True, text=True, timeout=120).stdout)
