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


def ppo_raises_the_proxy_and_leaves_its_start(printed):
    """Rows are run, rollout, sqrt(KL), gold, proxy; both runs go out from the same policy."""
    rows = re.findall(r"^(with\w* KL) +(\d+) +([\d.]+) +([\d.]+) +([+-][\d.]+)", printed, re.MULTILINE)
    starts = set()
    for run in ("without KL", "with KL"):
        points = [tuple(map(float, row[1:])) for row in rows if row[0] == run]
        assert [point[0] for point in points] == [0, 1, 2, 3, 4]
        distances, proxies = [point[1] for point in points], [point[3] for point in points]
        assert distances[0] == 0.0
        assert min(distances[1:]) > 0.1
        assert proxies[-1] > proxies[0] + 0.03
        starts.add(points[0])
    assert len(starts) == 1
    assert "picture in" in printed


def the_new_reward_is_learned_and_kl_holds_the_old_task(printed):
    """Rows are run, round, requests, new reward, old reward, KL; both runs serve the same first round."""
    rows = re.findall(r"^(with\w* KL) +(\d+) +(\d+) +([+-][\d.]+) +([\d.]+) +([\d.]+)$", printed, re.MULTILINE)
    first, last = {}, {}
    for run in ("without KL", "with KL"):
        rounds = [tuple(map(float, row[1:])) for row in rows if row[0] == run]
        assert [served[0] for served in rounds] == list(range(1, 13))
        requests, new, kl = ([served[i] for served in rounds] for i in (1, 2, 4))
        assert requests == sorted(set(requests))
        assert new[-1] > new[0] + 0.3
        assert kl[0] == 0.0
        assert min(kl[1:]) > 0.0
        first[run], last[run] = rounds[0], rounds[-1]
    assert first["without KL"] == first["with KL"]
    assert last["with KL"][3] > last["without KL"][3]
    assert last["with KL"][4] < last["without KL"][4]
    assert re.search(r"^released  ", printed, re.MULTILINE)


def the_oracle_scores_all(printed):
    assert re.search(r"mean +│ +│ 100\.0 +│ +100", printed)


def three_worlds_are_drawn(printed):
    frames, width = map(int, re.search(r"worlds.gif: (\d+) frames of (\d+) x 300 pixels", printed).groups())
    assert frames > 10
    assert width > 1000


PROMISES = {
    "draw_worlds": three_worlds_are_drawn,
    "stock_sb3": right_after_training,
    "add_a_world": bisection_finds_and_chance_is_chance,
    "own_reward": rewards_are_the_weighted_terms,
    "text_game_random": the_oracle_wins_and_chance_does_not,
    "llm_player": the_oracle_scores_all,
    "reward_model": ppo_raises_the_proxy_and_leaves_its_start,
    "online_adaptation": the_new_reward_is_learned_and_kl_holds_the_old_task,
}
ARGUMENTS = {
    "draw_worlds": ["--out", "worlds.gif"],
    "reward_model": ["--quick", "--out", "out"],
    "online_adaptation": ["--quick", "--out", "out"],
    "llm_player": ["--agent", "oracle", "--episodes", "1"],
}
WRITES = {
    "draw_worlds": {"worlds.gif"},
    "reward_model": {"out/overoptimisation.png"},
    "online_adaptation": {"out/released.zip"},
    "llm_player": {"llm_player.json"},
}


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_example(path, tmp_path):
    """In an empty folder, where what it writes lies afterwards."""
    program = [sys.executable, path, *ARGUMENTS.get(path.stem, [])]
    done = subprocess.run(program, check=True, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    PROMISES[path.stem](done.stdout)
    written = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()}
    assert written == WRITES.get(path.stem, set())
