"""The command line, `llm-envs`. Exit codes: 1 where `check` found a broken invariant, 2 for bad arguments."""

import inspect
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from io import TextIOWrapper
from typing import Annotated, Any

import numpy as np
import tyro
from numba import config as numba_config
from rich.console import Console
from rich.table import Table

from llm_envs.adapters.gym import GymEnv, make_single
from llm_envs.adapters.spaces import action_space, observation_space
from llm_envs.cli.arguments import Pairs, parse_values, refusing
from llm_envs.cli.text_terminal import LEAVING, Terminal, is_text_game
from llm_envs.engine.levels import SHARES, percentile
from llm_envs.registration import build, find, ids, make_batch
from llm_envs.testing import check_world
from llm_envs.testing.random_walks import random_actions
from llm_envs.validation import check_seed
from llm_envs.world import World

Id = Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="ID", help="One of `llm-envs list`.")]
SET = tyro.conf.arg(name="set", metavar="NAME=VALUE ...", help="The world's configuration, such as digits=2.")
Settings = Annotated[Pairs, SET]
PROGRAM = "llm-envs"


def console() -> Console:
    """Return where tables go: as wide as the terminal, or wide enough for a pipe."""
    return Console(width=None if sys.stdout.isatty() else 200, markup=False, highlight=False)


def card(world_id: str) -> str:
    """Return a world's card: the docstring of its builder's module."""
    return inspect.getdoc(inspect.getmodule(find(world_id))) or "(no card)"


def action_words(world: World) -> tuple[str, ...]:
    """Return a name for each discrete action: the world's own, or the tokens where the actions are the tokens."""
    if world.action_names or world.tokenizer is None:
        return world.action_names
    # Where an action is a command's number, it is no token, though the observation has tokens.
    size = world.tokenizer.get_vocab_size()
    return tuple(map(world.tokenizer.id_to_token, range(size))) if size == world.actions else ()


def list_worlds() -> None:
    """List all worlds."""
    table = Table("id", "task", "observation", "actions", "signals")
    for world_id in ids():
        world, task = build(world_id, {}), card(world_id).splitlines()[0].rpartition(": ")[2]
        fields = ", ".join(world.observation.names or ())
        table.add_row(world_id, task, fields, str(action_space(world)), ", ".join(world.signals))
    console().print(table)


def info(world_id: Id, settings: Settings = ()) -> None:
    """Show a world's card, spaces, signals, levels and options."""
    with refusing(PROGRAM):
        world = build(world_id, parse_values(*settings))
    space, places = observation_space(world), percentile(world.levels)
    options = inspect.signature(find(world_id)).parameters
    fields = [f"{name}: {box}" for name, box in space.spaces.items()] if hasattr(space, "spaces") else [str(space)]
    names = ", ".join(f"{i} {name}" for i, name in enumerate(action_words(world)))
    levels = [f"{split} {np.isin(places, share).sum():,}" for split, share in SHARES.items()]
    table = Table(title=world_id, title_justify="left", show_header=False, show_lines=True)
    table.add_row("observation", "\n".join(fields))
    table.add_row("action", f"{action_space(world)}\n{names}".strip())
    table.add_row("signals", "\n".join(f"{name}, weight {weight:g}" for name, weight in world.signals.items()))
    table.add_row("levels", "\n".join([*levels, f"all {len(places):,}"]))
    table.add_row("options", "\n".join(f"{option.name} = {option.default!r}" for option in options.values()))
    print(card(world_id), end="\n\n")
    console().print(table)


def play(world_id: Id, settings: Settings = (), seed: int = 0, split: str | None = None) -> None:
    """Play a world in the terminal: a text game with hints, undo and a map; any other episode after episode.

    An action is its number or its name; floats for a continuous one; what you like where the world reads text. Where a
    name is a number too (the digits of Addition), the name is meant. q, quit or the end of the input leaves. In a text
    game, type help. --split is train, validation, test or all.
    """
    with refusing(PROGRAM):
        check_seed(seed)
        options = parse_values(*settings) | ({} if split is None else {"split": split})
        typed = is_text_game(world_id) and not {"observation", "action"} & options.keys()
        game = Terminal(world_id, seed, **options) if typed else playable(world_id, options)
    if isinstance(game, Terminal):
        game.run()
    else:
        play_episodes(game, seed)


def play_episodes(env: GymEnv, seed: int) -> None:
    """Play episode after episode."""
    words = action_words(env.batch.world)
    if words and not env.batch.world.takes_text:
        print("actions:", ", ".join(f"{i} {word}" for i, word in enumerate(words)))
    given: int | None = seed
    while play_episode(env, words, given):
        given = None  # the next episodes continue the first one's stream
    print("\nBye.")


def playable(world_id: str, options: dict[str, Any]) -> GymEnv:
    """Make a world for playing: with typed actions where its builder knows action="text"."""
    if "action" in inspect.signature(find(world_id)).parameters and "action" not in options:
        with suppress(ValueError):  # its actions are never text, or another option is wrong: then the next line raises
            return make_single(world_id, action="text", **options)
    return make_single(world_id, **options)


def play_episode(env: GymEnv, words: tuple[str, ...], seed: int | None) -> bool:
    """Play one episode; return whether it came to its end, False where the player leaves."""
    env.reset(seed=seed)
    total = 0.0
    print(f"\n{env.batch.render(0)}")
    while True:
        try:
            if (typed := input("action> ").strip()) in LEAVING:
                return False
            _, reward, terminated, truncated, info = env.step(understand(typed, env.batch.world, words))
        except (EOFError, KeyboardInterrupt):
            return False
        except ValueError as error:
            print(error)
            continue
        total += reward
        terms = {key.removeprefix("signals/"): info[key] for key in info if key.startswith("signals/")}
        signals = ", ".join(f"{name} {value:g}" for name, value in terms.items())
        print(f"\n{env.batch.render(0)}\nreward {reward:g} ({signals})")
        if terminated or truncated:
            print(f"The episode is over ({'terminated' if terminated else 'truncated'}): return {total:g}.")
            return True


def understand(typed: str, world: World, words: tuple[str, ...]) -> Any:
    """Return the action that was typed: a command, a number, or (n,) float32; ValueError where it is none."""
    if world.takes_text:
        return typed
    if not isinstance(world.actions, int):
        return np.array(typed.replace(",", " ").split(), np.float32)
    # Names first: where a name is a number too (the digits of Addition), it is the name that is meant.
    choices = (*words, *map(str, range(world.actions)))
    if typed not in choices:
        raise ValueError(f"{typed!r} is no action; type a number from 0 to {world.actions - 1}, a name, or q to quit")
    # `choices` is () or the names, then the numbers: both in the actions' order, so that the remainder is the action.
    return choices.index(typed) % world.actions


def bench(world_id: Id, settings: Settings = (), num_envs: int = 4096, seconds: float = 2.0) -> None:
    """Time random play, observations and new episodes included: one environment, then a batch of --num-envs rows."""
    with refusing(PROGRAM):
        options, threads = parse_values(*settings), numba_config.NUMBA_NUM_THREADS
        single = make_single(world_id, **options)
        batches = {n: make_batch(world_id, num_envs, threads=n, **options) for n in sorted({1, threads})}
    single.reset(seed=0)
    # Drawn before the clock starts: the generator would cost as much as the step of one row.
    actions: list = [random_actions(single.batch, np.random.default_rng(k))[0] for k in range(64)]

    def step_one(action: Any) -> None:
        *_, terminated, truncated, _ = single.step(action)
        if terminated or truncated:
            single.reset()

    table = Table("rows", "threads", "million steps/s")
    table.add_row("1 (gym.Env)", "1", f"{rate(step_one, actions, seconds) / 1e6:.3f}")
    for n, batch in batches.items():
        batch.reset_rows(seed=0)
        drawn = [random_actions(batch, np.random.default_rng(k)) for k in range(64)]
        steps = rate(batch.step_rows, drawn, seconds) * num_envs
        table.add_row(f"{num_envs:,}", str(n), f"{steps / 1e6:.2f}")
    console().print(table)


def rate(step: Callable[[Any], None], actions: list, seconds: float) -> float:
    """Return how often a second `step(action)` runs, over and over the `actions`, after one round of warm-up."""
    # The first round compiles, or loads what was compiled: it counts as no steps, and the clock starts at its end.
    done, start, now = -len(actions), 0.0, 0.0
    while done <= 0 or now - start < seconds:
        for action in actions:
            step(action)
        # The clock is read once a round, so that reading it is no part of a step.
        done, now = done + len(actions), time.perf_counter()
        start = start or now
    return done / (now - start)


def check(world_id: Id, settings: Settings = (), steps: int = 2000) -> None:
    """Check by random walks of up to --steps that a world keeps the contract; exit code 1 where it does not."""
    with refusing(PROGRAM):
        build(world_id, options := parse_values(*settings))
    # Built above, so that a wrong option is a wrong command line (exit code 2), not a failed check (1).
    try:
        check_world(world_id, steps, **options)
    except AssertionError as error:
        print(error)
        sys.exit(1)
    print(f"OK: {world_id} keeps the contract.")


def main() -> None:
    """Entry point of `llm-envs`."""
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # any bytes may be typed, and no letter is too odd to be printed
    commands: dict[str, Callable] = {"list": list_worlds, "info": info, "play": play, "bench": bench, "check": check}
    tyro.extras.subcommand_cli_from_dict(commands, prog=PROGRAM, description="Worlds for language-model agents.")
