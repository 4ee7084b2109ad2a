"""Text games beside their peers, in one run: TextWorld's interpreter and TextWorldExpress.

    python benchmarks/text_games.py            some minutes, on an otherwise idle machine
    python benchmarks/text_games.py --quick    a smoke run; its figures mean nothing

(a) batch    Cooking (FTWP's hardest preset) with tokens and mask, ROWS rows, one and two threads: reply alone, and with
             description and inventory / TextWorld's .z8 of the same games with description, admissible commands, score.
(b) single   gym.Env.step with all strings, with and without facts / TextWorld with the same information.
(c) express  gym.Env.step with strings / TextWorldExpress' CookingWorld from Python (the package needs Java).
(d) games    Seconds to generate and compile 1,000 Cooking games; bytes of a row's state.

Actions are admissible ones, drawn at random outside of the time that is measured. Contenders take turns in one process;
the median over the turns is reported. The peers are extras: `pip install -e .[test,bench]`.
"""

import argparse
import importlib.util
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import gymnasium as gym
import numpy as np
from numba import config, njit

import llm_envs
from llm_envs.registration import build
from llm_envs.text.games.cooking import cooking

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

ROWS, GAMES, PRESET = 4096, 8, {"preset": "ftwp-hardest"}
ALL = ("description", "inventory")
Turn = Callable[[float], tuple[int, float]]  # seconds to spend -> steps, seconds in them


@njit
def pick(masks, chosen, seed):
    """Draw a legal action for every row."""
    for i in range(masks.shape[0]):
        count = 0
        for k in range(masks.shape[1]):
            count += masks[i, k]
        seed = seed * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
        place = np.int64((seed >> np.uint64(33)) % np.uint64(count))
        for k in range(masks.shape[1]):
            if masks[i, k]:
                if place == 0:
                    chosen[i] = k
                    break
                place -= 1
    return seed


def batch_turn(world_id: str, threads: int, **options) -> Turn:
    """Return what steps a batch."""
    env = llm_envs.make_batch(world_id, ROWS, threads=threads, split="all", max_steps=100, **options)
    env.reset(seed=0)
    chosen, seed = np.zeros(ROWS, np.int64), np.uint64(1)

    def turn(seconds: float) -> tuple[int, float]:
        nonlocal seed
        steps, spent = 0, 0.0
        while spent < seconds:
            seed = pick(env.arrays.obs["action_mask"], chosen, seed)
            start = time.perf_counter()
            env.step_rows(chosen)
            spent += time.perf_counter() - start
            steps += ROWS
        return steps, spent

    turn(1e-9)  # compiles
    return turn


def single_turn(world_id: str, **options) -> Turn:
    """Return what steps one environment by strings."""
    env = gym.make(world_id, observation="text", action="text", max_steps=100, **options).unwrapped
    rng = np.random.default_rng(0)
    info = env.reset(seed=0)[1]

    def turn(seconds: float) -> tuple[int, float]:
        nonlocal info
        steps, spent = 0, 0.0
        while spent < seconds:
            command = info["admissible_commands"][rng.integers(len(info["admissible_commands"]))]
            start = time.perf_counter()
            *_, terminated, truncated, info = env.step(command)
            if terminated or truncated:
                info = env.reset()[1]
            spent += time.perf_counter() - start
            steps += 1
        return steps, spent

    turn(1e-9)  # compiles
    return turn


def textworld_turn(files: list[Path], **wanted: bool) -> Turn:
    """Return what steps TextWorld's interpreter through the same games, with this information."""
    import textworld

    warnings.simplefilter("ignore")  # it says that it cannot keep the score; the file's rules do
    known = textworld.EnvInfos(feedback=True, description=True, admissible_commands=True, score=True, **wanted)
    envs = [textworld.start(str(file), known) for file in files]
    rng, at = np.random.default_rng(0), 0
    state, moves = envs[0].reset(), 0

    def turn(seconds: float) -> tuple[int, float]:
        nonlocal state, moves, at
        steps, spent = 0, 0.0
        while spent < seconds:
            command = state["admissible_commands"][rng.integers(len(state["admissible_commands"]))]
            start = time.perf_counter()
            state, _, done = envs[at].step(command)
            spent += time.perf_counter() - start
            steps, moves = steps + 1, moves + 1
            if done or moves >= 100:
                at, moves = (at + 1) % len(envs), 0
                state = envs[at].reset()
        return steps, spent

    return turn


def express_turn() -> Turn:
    """Return what steps TextWorldExpress as its examples do."""
    from textworld_express import TextWorldExpressEnv

    env, rng = TextWorldExpressEnv(envStepLimit=100), np.random.default_rng(0)
    env.load(gameName="cookingworld", gameParams="")
    info = env.reset(gameFold="train", generateGoldPath=False)[1]

    def turn(seconds: float) -> tuple[int, float]:
        nonlocal info
        steps, spent = 0, 0.0
        while spent < seconds:
            command = info["validActions"][rng.integers(len(info["validActions"]))]
            start = time.perf_counter()
            _, _, done, info = env.step(command)
            spent += time.perf_counter() - start
            steps += 1
            if done:
                info = env.reset(gameFold="train", generateGoldPath=False)[1]
        return steps, spent

    return turn


def rates(contenders: dict[str, Turn], seconds: float, turns: int) -> dict[str, float]:
    """Return steps per second by name, the median over turns."""
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(turns):
        for name, turn in contenders.items():
            steps, spent = turn(seconds)
            found[name].append(steps / spent)
    return {name: statistics.median(rates) for name, rates in found.items()}


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run")
    options = parser.parse_args()
    seconds, turns, count = (0.05, 1, 20) if options.quick else (2.0, 5, 1000)
    from textworld_play import compile_export

    games = [cooking.generate(seed, **PRESET) for seed in range(GAMES)]
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for k, game in enumerate(games):
            place = Path(folder) / str(k)
            place.mkdir()
            files.append(compile_export(game, place))
        threads = [1] if config.NUMBA_NUM_THREADS == 1 else [1, 2]
        contenders: dict[str, Turn] = {"TextWorld": textworld_turn(files)}
        everything = {"inventory": True, "won": True, "lost": True, "max_score": True}
        contenders["TextWorld, all strings"] = textworld_turn(files, **everything)
        contenders["TextWorld, all strings and facts"] = textworld_turn(files, **everything, facts=True)
        for n in threads:
            for name, shows in (("reply", ()), ("reply, description, inventory", ALL)):
                turn = batch_turn("Text/World-v0", n, games=games, action="index", shows=shows)
                contenders[f"Cooking, {name}, mask, {n} threads"] = turn
            contenders[f"Cooking, typed words, {n} threads"] = batch_turn("Text/World-v0", n, games=games)
            for name, shows in (("reply", ()), ("reply, description, inventory", ALL)):
                turn = batch_turn("Text/Collector-v0", n, action="index", shows=shows)
                contenders[f"Collector, {name}, mask, {n} threads"] = turn
        contenders["gym.Env, strings"] = single_turn("Text/World-v0", games=games)
        contenders["gym.Env, strings and facts"] = single_turn("Text/World-v0", games=games, facts=True)
        contenders["gym.Env, CookingWorld, strings"] = single_turn("Text/CookingWorld-v0")
        if importlib.util.find_spec("textworld_express") is not None:
            contenders["TextWorldExpress, CookingWorld"] = express_turn()
        found = rates(contenders, seconds, turns)
    print("| what | steps/s | / TextWorld | / TextWorld, all strings | / ... and facts | / TextWorldExpress |")
    print("|---|---|---|---|---|---|")
    peers = [
        "TextWorld",
        "TextWorld, all strings",
        "TextWorld, all strings and facts",
        "TextWorldExpress, CookingWorld",
    ]
    for name, rate in found.items():
        ratios = " | ".join(f"{rate / found[peer]:,.3g}" if peer in found else "-" for peer in peers)
        print(f"| {name} | {rate:,.0f} | {ratios} |")
    start = time.perf_counter()
    build("Text/Cooking-v0", {**PRESET, "pool": count})
    print(f"\n{count:,} Cooking games generated and compiled in {time.perf_counter() - start:.1f} s")
    print(f"bytes of a row's state: {build('Text/World-v0', {'games': games}).state.itemsize}")


if __name__ == "__main__":
    main()
