"""Language models as players of text games: anything that makes a text of a prompt, scored as in TALES.

A player is a callable `prompt -> text`: the prompt holds the objective, the transcript so far and what is asked, the
text is the next command. Here it is a model behind a chat-completions endpoint as OpenAI, vLLM, llama.cpp and Ollama
serve it; `play` takes any other. Two baselines need no model: "random" (an admissible command) and "oracle" (the
solution).

Scores are those of TALES (Cui et al., 2025, "TALES: Text Adventure Learning Environment Suite"): the highest score that
was reached within 100 steps as a share of the game's maximum, averaged over episodes, then over games.

    python examples/llm_player.py --agent random
    python examples/llm_player.py --url http://127.0.0.1:8000/v1 --model NAME --games Text/Cooking-v0 my_game.json
"""

import json
import os
import random
import re
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
import tyro
from rich.console import Console
from rich.table import Table

import llm_envs  # noqa: F401  (registers the ids)

Agent = Callable[[str], str]

GAMES = ("Text/Treasure-v0", "Text/Cooking-v0", "Text/KeyQuest-v0")
RULES = "You play a text game. Each turn you give one short command, such as: look, inventory, go north, take lamp."
QUESTION = "What is your next command? Answer with the command alone, on one line."
LEFT_OUT = "[earlier turns are left out]"
LETTERS_PER_TOKEN = 4  # of English, roughly
LONGEST = 200  # letters of a command
LARGEST = 1_000_000  # bytes of an endpoint's answer that are read
AGAIN = (408, 409, 429)  # HTTP status codes, beside 500 to 599, after which the request is sent again


class EndpointError(Exception):
    """The endpoint gave no answer; says what was tried."""


# ---------------------------------------------------------------------- players


def chat_agent(
    url: str,
    model: str,
    key: str = "",
    timeout: float = 60.0,
    retries: int = 3,
    pause: float = 1.0,
    max_tokens: int = 1000,
    temperature: float = 0.0,
) -> Agent:
    """Return a player that asks an OpenAI-compatible endpoint, `url` + "/chat/completions".

    Args:
        url: such as "http://127.0.0.1:8000/v1".
        model: its name there.
        key: sent as a bearer token; "" for none.
        timeout: seconds to wait for an answer.
        retries: how often a request that failed is sent again.
        pause: seconds before the first of these, doubled each time.
        max_tokens: of an answer, thoughts included.
        temperature: of the sampling.

    Raises:
        ValueError: `url` is none of HTTP.
        EndpointError: from the player, when the last try has failed, or at once when the request was refused.
    """
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"url is {url!r}; it must begin with http:// or https://")
    address = url.rstrip("/") + "/chat/completions"
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})

    def agent(prompt: str) -> str:
        messages = [{"role": "user", "content": prompt}]
        asked = {"model": model, "messages": messages, "max_tokens": max_tokens, "temperature": temperature}
        request = urllib.request.Request(address, json.dumps(asked).encode(), headers)
        for attempt in range(retries + 1):
            try:
                return ask(request, timeout)
            except urllib.error.HTTPError as error:
                reason = f"HTTP {error.code}: {error.read(200).decode(errors='replace')}"
                if error.code not in AGAIN and error.code < 500:
                    raise EndpointError(f"{address} refused the request, {reason}") from error
            except (OSError, HTTPException, ValueError) as error:
                reason = f"{type(error).__name__}: {error}"
            if attempt < retries:
                time.sleep(pause * 2**attempt)
        raise EndpointError(f"{address} failed {retries + 1} times, at last with {reason}")

    return agent


def ask(request: urllib.request.Request, timeout: float) -> str:
    """Send a request and return the answer's text; ValueError where it holds none."""
    with urllib.request.urlopen(request, timeout=timeout) as response:
        answer = json.loads(response.read(LARGEST))
    try:
        return str(answer["choices"][0]["message"]["content"] or "")
    except (LookupError, TypeError) as error:
        raise ValueError(f"no choices[0].message.content in {json.dumps(answer)[:200]}") from error


def random_agent(env: gym.Env, seed: int) -> Agent:
    """Return a player that draws one of the admissible commands."""
    rng, batch = random.Random(seed), env.unwrapped.batch  # type: ignore[attr-defined]
    return lambda prompt: rng.choice(batch.info(0)["admissible_commands"])


def oracle_agent(env: gym.Env, seed: int) -> Agent:
    """Return a player that knows the solution."""
    batch = env.unwrapped.batch  # type: ignore[attr-defined]
    names = batch.world.action_names
    commands = iter([one if isinstance(one, str) else names[one] for one in batch.world.solution(batch.row(0))])
    return lambda prompt: next(commands, "look")


def clean(answer: str) -> str:
    """Return the command in a model's answer: its first line, without thoughts, quotes, marks and "> "."""
    answer = re.sub(r"<think>.*?(</think>|$)", "", answer, flags=re.DOTALL)
    lines = [line.strip(" \t>*\"'.") for line in answer.splitlines() if not line.lstrip().startswith("```")]
    line = next(filter(None, lines), "")
    return re.sub(r"^(next )?(command|action)\W*:", "", line, flags=re.IGNORECASE).strip(" \t>*\"'`.")[:LONGEST]


# ---------------------------------------------------------------------- a game


def make_prompt(opening: str, turns: list[tuple[str, str]], budget: int) -> str:
    """Return what a player is asked.

    Args:
        opening: the objective and the first description; never left out.
        turns: (command, reply) pairs; the oldest are left out where they are too long, the last one never is.
        budget: tokens for the transcript, counted as LETTERS_PER_TOKEN letters each.
    """
    told = [f"> {command}\n{reply}" for command, reply in turns]
    room = budget * LETTERS_PER_TOKEN - len(opening)
    kept: list[str] = []
    for turn in reversed(told):
        room -= len(turn) + 1
        if kept and room < 0:
            break
        kept.append(turn)
    omitted = [LEFT_OUT] if len(kept) < len(told) else []
    return "\n".join([RULES, "", opening, *omitted, *reversed(kept), "", QUESTION])


def make_env(game: str, steps: int, split: str | None = None) -> gym.Env:
    """Return the environment of an id, of TextWorld's JSON file or a story in YAML; episodes go through its games."""
    options: dict[str, Any] = {"observation": "text", "action": "text", "max_steps": steps, "order": "sweep"}
    if game.endswith((".json", ".json.gz")):
        return gym.make("Text/World-v0", games=[game], **options)
    if game.endswith((".yaml", ".yml")):
        return gym.make("Text/Story-v0", stories=[game], **options)
    env = gym.make(game, split=split, **options)
    if split is None and not env.unwrapped.batch.world.custom_levels:  # type: ignore[attr-defined]
        return gym.make(game, split="test", **options)
    return env


def play(env: gym.Env, agent: Agent, info: dict[str, Any], budget: int = 2000) -> dict[str, Any]:
    """Play the episode that `env.reset` began and told `info` of; return its score and turns."""
    most = info.get("max_score", 0)
    if not 0 < most < float("inf"):
        raise ValueError(f"max_score is {most}: a share of it cannot be told")
    opening, best, over = info["feedback"], info["score"], False
    turns: list[tuple[str, str]] = []
    while not over:
        command = clean(agent(make_prompt(opening, turns, budget)))
        _, _, terminated, truncated, info = env.step(command)
        turns.append((command, info["feedback"]))
        best, over = max(best, info["score"]), terminated or truncated
    share = 100 * best / most
    return {"percent": share, "score": best, "max_score": most, "steps": len(turns), "won": info["won"],
            "lost": info["lost"], "opening": opening, "turns": turns}  # fmt: skip


# ---------------------------------------------------------------------- the suite


def mean(values: Sequence[float]) -> float:
    """Return the mean."""
    return sum(values) / len(values)


def table_of(played: dict[str, list[dict[str, Any]]], title: str) -> Table:
    """Return the table of results: a line a game, and their mean."""
    table = Table("game", "episodes", "score %", "won %", "steps", title=title, title_justify="left")
    columns = ("percent", "won", "steps")
    rows = {game: [mean([one[name] for one in episodes]) for name in columns] for game, episodes in played.items()}
    for game, (percent, won, steps) in rows.items():
        table.add_row(game, str(len(played[game])), f"{percent:.1f}", f"{100 * won:.0f}", f"{steps:.1f}")
    table.add_section()
    percent, won, steps = map(mean, zip(*rows.values(), strict=True))
    table.add_row("mean", "", f"{percent:.1f}", f"{100 * won:.0f}", f"{steps:.1f}")
    return table


def write(path: Path, played: dict[str, list[dict[str, Any]]], settings: dict[str, Any]) -> None:
    """Write what was played so far."""
    shares = {game: mean([one["percent"] for one in episodes]) for game, episodes in played.items()}
    games = {game: {"percent": shares[game], "episodes": episodes} for game, episodes in played.items()}
    found = {"settings": settings, "percent": mean(list(shares.values())), "games": games}
    path.write_text(json.dumps(found, indent=1) + "\n")


def main(
    games: tuple[str, ...] = GAMES,
    episodes: int = 3,
    agent: Literal["model", "random", "oracle"] = "model",
    url: str = "http://127.0.0.1:8000/v1",
    model: str = "default",
    key_variable: str = "",
    steps: int = 100,
    budget: int = 2000,
    split: str | None = None,
    timeout: float = 60.0,
    retries: int = 3,
    max_tokens: int = 1000,
    temperature: float = 0.0,
    out: Path = Path("llm_player.json"),
) -> None:
    """Play text games by a language model, and print and write its scores.

    Args:
        games: ids of text games, game files of TextWorld (.json, .json.gz), or stories (.yaml; docs/guide/stories.md).
        episodes: so many games of each, one after the other from its pool.
        agent: "model" asks the endpoint; "random" and "oracle" are baselines.
        url: the endpoint.
        model: its name there.
        key_variable: the environment variable that holds the endpoint's key, such as OPENAI_API_KEY; "" sends none.
        steps: commands in an episode.
        budget: tokens of the transcript that are shown.
        split: the part of each pool that is played; if not given test, or all of stories and games of your own.
        timeout: seconds to wait for an answer.
        retries: how often a request that failed is sent again.
        max_tokens: of an answer.
        temperature: of the sampling.
        out: where the results are written as JSON, after each episode.
    """
    settings: dict[str, Any] = {"agent": agent, "steps": steps, "budget": budget, "split": split}
    settings |= {"url": url, "model": model, "temperature": temperature} if agent == "model" else {}
    played: dict[str, list[dict[str, Any]]] = {}
    try:
        if episodes < 1 or not games:
            raise ValueError("there is nothing to play: give at least one game and one episode")
        if key_variable and key_variable not in os.environ:
            raise ValueError(f"key_variable is {key_variable!r}, but there is no such environment variable")
        key = os.environ[key_variable] if key_variable else ""
        chat = chat_agent(url, model, key, timeout, retries, max_tokens=max_tokens, temperature=temperature)
        for game, env in [(game, make_env(game, steps, split)) for game in dict.fromkeys(games)]:
            for k in range(episodes):
                _, info = env.reset(seed=None if k else 0)
                player = {"model": lambda *_: chat, "random": random_agent, "oracle": oracle_agent}[agent](env, k)
                episode = play(env, player, info, budget)
                played.setdefault(game, []).append(episode)
                write(out, played, settings)
                print(f"{game}: {episode['score']} of {episode['max_score']} points in {episode['steps']} steps")
    except (EndpointError, gym.error.Error, OSError, TypeError, ValueError) as error:
        sys.exit(f"llm_player: {type(error).__name__}: {error}")
    Console(width=None if sys.stdout.isatty() else 100).print(table_of(played, model if agent == "model" else agent))
    print(f"written to {out}")


if __name__ == "__main__":
    tyro.cli(main)
