"""Our rules beside TextWorld's interpreter, live: 24 games of all kinds, generated and played by the package.

Commands are drawn from ours: the walkthrough, admissible ones, and ones that cannot be done or understood.
"""

import functools

import gymnasium as gym
import numpy as np
import pytest

import llm_envs  # noqa: F401  (registers its ids)

pytest.importorskip("textworld", reason="the reference for text games is not installed: pip install textworld")
from textworld_play import KINDS, make_games, play

SEEDS, STEPS = range(3), 60
FREE = (
    *("x {}", "get {}", "take {}", "drop {}", "eat {}", "open {}", "close {}", "examine {}", "unlock {}"),
    *("put {} on {}", "insert {} into {}", "l", "i", "n", "s", "east", "go west", "wait", "score", "take", "xyzzy"),
)


@functools.cache
def one_game(kind: str, seed: int):
    return make_games([kind], [seed])[0]


def make_env(kind: str, seed: int):
    path = one_game(kind, seed).with_suffix(".json")
    return gym.make("Text/World-v0", games=[path], observation="text", action="text", facts=True, max_steps=0)


def draw_commands(env, seed: int) -> tuple[list[str], list[dict]]:
    """Play at random, a third of the time along the walkthrough; return the commands and what ours says to them."""
    rng, base = np.random.default_rng(seed), env.unwrapped
    info = env.reset(seed=0)[1]
    game = next(iter(base.batch.world.text.info.__self__.pool.symbols.values())).game
    names, plan = [thing.name for thing in game.things.values() if thing.name], list(game.walkthrough)
    commands, told, over = [], [info], False
    while not over and len(commands) < STEPS:
        chance = rng.random()
        if chance < 0.35 and plan and plan[0] in info["admissible_commands"]:
            command = plan.pop(0)
        elif chance < 0.8:
            command = str(rng.choice(info["admissible_commands"]))
        else:
            command = str(rng.choice(FREE)).format(*rng.choice(names, 2))
        *_, over, _, info = env.step(command)
        commands.append(command)
        told.append(info)
    return commands, told


def plain(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_step_equals_the_interpreter(kind, seed):
    commands, ours = draw_commands(make_env(kind, seed), seed)
    theirs = play(one_game(kind, seed), commands)
    assert len(ours) == len(theirs)
    free, wrong = 0, []
    for k, (our, their) in enumerate(zip(ours, theirs, strict=True)):
        said = their["command"]
        for name in ("admissible_commands", "facts", "score", "max_score", "won", "lost"):
            assert our[name] == their[name], f"{name} after {commands[:k]}"
        if not their["lost"]:  # TextWorld then tells what was so before the last command
            for name in ("description", "inventory"):
                assert plain(our[name]) == plain(their[name]), f"{name} after {commands[:k]}"
        if said is None:
            continue
        equal = plain(our["feedback"]) == plain(their["feedback"])
        if said in ours[k - 1]["admissible_commands"]:
            assert equal, f"the answer to {said!r} after {commands[: k - 1]}"
        else:
            free, wrong = free + 1, wrong + [said] * (not equal)
    assert len(wrong) <= max(1, 0.1 * free), f"{len(wrong)} of {free} answers to other commands: {wrong}"
