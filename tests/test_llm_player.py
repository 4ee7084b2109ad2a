"""The example that plays text games by a language model: answers, prompts, scores, and what endpoints do wrong."""

import importlib.util
import json
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from llm_envs.engine import levels
from llm_envs.text.games.story import BUILT_IN

PATH = Path(__file__).parents[1] / "examples" / "llm_player.py"
STORY = "Text/Story-v0"
WINNING = ["take brass key", "go north", "unlock chest with brass key", "open chest", "take lens from chest",
           "put lens on lamp stand"]  # fmt: skip


@pytest.fixture(scope="module")
def player():
    spec = importlib.util.spec_from_file_location("llm_player", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Endpoint(BaseHTTPRequestHandler):
    """Answers by the server's script: a text, a status code, raw bytes, or seconds to wait; at its end by "look"."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.path, dict(self.headers), body))
        answer = self.server.script.pop(0) if self.server.script else "look"
        if isinstance(answer, float):
            time.sleep(answer)
            answer = "look"
        if isinstance(answer, str):
            answer = json.dumps({"choices": [{"message": {"content": answer}}]}).encode()
        with suppress(ConnectionError):  # who waited for long has left
            self.send_response(answer if isinstance(answer, int) else 200)
            self.end_headers()
            self.wfile.write(b"the model is not well" if isinstance(answer, int) else answer)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as made:
        made.script, made.requests, made.url = [], [], f"http://127.0.0.1:{made.server_port}/v1"
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def test_a_model_that_knows_the_way_scores_all(player, server, tmp_path, monkeypatch, capsys):
    server.script[:] = [f"> {command}\nbecause I can" for command in WINNING]
    monkeypatch.setenv("A_KEY", "secret")
    out = tmp_path / "found.json"
    player.main((STORY,), 1, url=server.url, model="canned", key_variable="A_KEY", split="all", out=out)
    printed, written = capsys.readouterr().out, json.loads(out.read_text())
    for expected in (f"{STORY}: 3 of 3 points in 6 steps", "canned", "100.0", f"written to {out}"):
        assert expected in printed
    assert (written["percent"], written["settings"]["model"]) == (100.0, "canned")
    assert "secret" not in out.read_text()
    episode = written["games"][STORY]["episodes"][0]
    assert (episode["won"], [command for command, _ in episode["turns"]]) == (True, WINNING)
    path, headers, body = server.requests[-1]
    assert (path, headers["Authorization"], body["model"]) == ("/v1/chat/completions", "Bearer secret", "canned")
    prompt = body["messages"][0]["content"]
    for expected in (player.RULES, "The lamp is dark.", "-= Beach =-", "> take brass key\nYou pick up the brass key",
                     "> take lens from chest\nYou take the lens", player.QUESTION):  # fmt: skip
        assert expected in prompt


def test_nonsense_is_answered_by_the_games_parser(player, server):
    server.script[:] = ["", "make me a sandwich", '"take key."', "<think>I could eat ... </think>\n```\nEAT\n```"]
    agent, env = player.chat_agent(server.url, "m"), player.make_env(STORY, 4, "all")
    episode = player.play(env, agent, env.reset(seed=0)[1])
    assert (episode["percent"], episode["steps"], episode["won"]) == (0.0, 4, False)
    assert [command for command, _ in episode["turns"]] == ["", "make me a sandwich", "take key", "EAT"]
    assert episode["turns"][1][1] == "That's not a verb I recognise."
    assert episode["turns"][2][1].startswith("You pick up the brass key from the ground.")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ([500, 503, 429], None),
        ([b"no JSON", b'{"choices": []}', b'{"choices": [{"message": 3}]}'], None),
        ([500] * 4, "failed 4 times, at last with HTTP 500: the model is not well"),
        ([b"[]"] * 4, r"failed 4 times, at last with ValueError: no choices\[0\].message.content in \[\]"),
        ([0.5] * 4, "failed 4 times, at last with TimeoutError"),
        ([401], "refused the request, HTTP 401: the model is not well"),
    ],
)
def test_what_fails_is_tried_again_and_then_told(player, server, script, reason):
    server.script[:] = script
    agent = player.chat_agent(server.url, "m", timeout=0.2, pause=0.001)
    if reason is None:
        assert agent("What now?") == "look"
    else:
        with pytest.raises(player.EndpointError, match=reason):
            agent("What now?")
    assert len(server.requests) == len(script) + (reason is None)
    assert all("Authorization" not in headers for _, headers, _ in server.requests)


def test_no_endpoint(player):
    with pytest.raises(player.EndpointError, match="failed 2 times, at last with URLError"):
        player.chat_agent("http://127.0.0.1:9", "m", retries=1, pause=0.001)("What now?")
    with pytest.raises(ValueError, match="it must begin with http:// or https://"):
        player.chat_agent("file:///etc/passwd", "m")


@pytest.mark.parametrize(
    ("answer", "command"),
    [
        ("go north", "go north"),
        ("\n  > take king's key from chest\nThen I ...", "take king's key from chest"),
        ('"open door"', "open door"),
        ("Command: `look`.", "look"),
        ("**Next action:** go east", "go east"),
        ("```text\ngo west\n```", "go west"),
        ("<think>north?\nsouth?</think>\n\ngo south", "go south"),
        ("<think>I shall never end", ""),
        ("", ""),
        ("x" * 1000, "x" * 200),
    ],
)
def test_answers_are_cleaned(player, answer, command):
    assert player.clean(answer) == command


def test_old_turns_are_left_out_of_long_prompts(player):
    turns = [(f"command {k}", "reply " * 20) for k in range(50)]
    whole, cut = player.make_prompt("Opening.", turns, 10_000), player.make_prompt("Opening.", turns, 200)
    assert "command 0\n" in whole
    assert player.LEFT_OUT not in whole
    assert len(cut) < 200 * player.LETTERS_PER_TOKEN + len(player.RULES + player.QUESTION + player.LEFT_OUT) + 10
    assert [k for k in range(50) if f"> command {k}\n" in cut] == [45, 46, 47, 48, 49]
    assert cut.index("Opening.") < cut.index(player.LEFT_OUT) < cut.index("> command 45")
    assert "> command 49\n" in player.make_prompt("Opening. " * 100, turns, 1)


def test_baselines(player, tmp_path, capsys):
    games = (STORY, "Text/Treasure-v0")
    found = {}
    for agent in ("oracle", "random", "random"):
        player.main(games, 2, agent, split="all", steps=20, out=(out := tmp_path / "found.json"))
        last, found[agent] = found.get(agent), json.loads(out.read_text())
    assert found["random"] == last
    assert (found["oracle"]["percent"], found["random"]["percent"] < 100) == (100.0, True)
    episodes = found["oracle"]["games"]["Text/Treasure-v0"]["episodes"]
    assert episodes[0]["opening"] != episodes[1]["opening"]  # the sweep goes on to the next game


def test_all_of_ones_own_games_are_played_and_else_the_test_split(player, tmp_path):
    (tmp_path / "own.yaml").write_text(BUILT_IN)
    for game in (STORY, str(tmp_path / "own.yaml")):
        player.main((game,), 1, "oracle", out=(out := tmp_path / "found.json"))
        assert json.loads(out.read_text())["percent"] == 100.0
    batch = player.make_env("Text/KeyQuest-v0", 20).unwrapped.batch
    assert batch.num_levels == len(levels.select(batch.world, "test"))


def test_the_highest_score_counts(player):
    """It falls after it was reached."""
    scores = iter([2, 1, 0])

    class Falling:
        def step(self, command):
            score = next(scores)
            return "", 0.0, score == 0, False, {"feedback": "", "score": score, "won": False, "lost": score == 0}

    info = {"feedback": "", "score": 0, "max_score": 4}
    assert player.play(Falling(), lambda prompt: "wait", info)["percent"] == 50.0
    with pytest.raises(ValueError, match="max_score is inf"):
        player.play(Falling(), lambda prompt: "wait", info | {"max_score": float("inf")})


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"games": ("Tokens/Addition-v0",)}, "got an unexpected keyword argument 'observation'"),
        ({"games": ("Nope-v0",)}, "NameNotFound"),
        ({"games": ("nope.json",)}, "nope.json"),
        ({"episodes": 0}, "at least one game and one episode"),
        ({"key_variable": "NO_SUCH_KEY"}, "there is no such environment variable"),
        ({"url": "ftp://here"}, "it must begin with http"),
    ],
)
def test_bad_input_is_told_in_a_line(player, options, reason, tmp_path):
    with pytest.raises(SystemExit, match=reason) as end:
        player.main(**{"games": (STORY,), "split": "all", "out": tmp_path / "no.json"} | options)
    assert str(end.value).startswith("llm_player: ")
    assert not (tmp_path / "no.json").exists()
