"""Every argument of every builder, and of a batch, given what nobody means: refused at once, by the argument's name."""

import inspect
import math
import time

import numpy as np
import pytest

import llm_envs
from llm_envs.engine.batch import BatchEnv
from llm_envs.registration import build, find

WRONG = {
    "an array": np.zeros(3),
    "an array of strings": np.array(["tokens", "text"]),
    "a zero-dimensional array": np.array(5),
    "an empty list": [],
    "a list of nothing": [None],
    "a nested list": [[[]]],
    "a set": set(),
    "a dict": {},
    "a full dict": {"a": 1},
    "a generator": (one for one in "abc"),
    "bytes": b"tokens",
    "an empty string": "",
    "a word": "no such thing",
    "a null character": "a\0b",
    "an escape": "\x1b[31mred",
    "a long string": "x" * 100_000,
    "None": None,
    "NaN": math.nan,
    "infinity": math.inf,
    "a huge number": 2**70,
    "a number below all": -(2**70),
    "minus one": -1,
    "a fraction": 2.5,
    "a whole float": 1.0,
    "True": True,
    "an object": object(),
    "a function": len,
    "a type": int,
}
# What is no mistake: the arguments' own "nothing", numbers that may be real, and switches.
RIGHT = {
    "levels": {"None"},
    "games": {"None", "an array of strings"},  # paths, of which the first that there is not is named
    "stories": {"None", "an array of strings"},
    "shows": {"an empty list", "a set"},
    "preset": {"an empty string"},
    "weights": {"None", "a dict"},
    "rewards": {"an empty list", "a set"},
    "threads": {"None"},
    "split": {"None"},
    "check_actions": {"None", "True"},
    **{
        name: {"True"}
        for name in ("reverse", "see_through", "facts", "failure", "doors", "cook", "cut", "open", "drop")
    },
}
CASES = [(world_id, name) for world_id in llm_envs.ids() for name in inspect.signature(find(world_id)).parameters]
SECONDS = 10.0  # for all wrong values of an argument: nothing large may be made before it is looked at


def refused(make, name, kind):
    """Require that what `make` is given is refused with a message that has the argument's name and is short."""
    with pytest.raises((TypeError, ValueError)) as error:
        make(WRONG[kind])
    message = str(error.value)
    assert name in message, f"{name} = {kind}: {message}"
    assert len(message) < 1000, f"{name} = {kind}: {len(message)} characters"
    assert message.isprintable(), f"{name} = {kind}: {message!r}"


@pytest.mark.parametrize(("world_id", "name"), CASES, ids=[f"{world_id}-{name}" for world_id, name in CASES])
def test_wrong_builder_arguments_are_refused_by_name(world_id, name):
    start = time.perf_counter()
    for kind in WRONG.keys() - RIGHT.get(name, set()):
        refused(lambda value: build(world_id, {name: value}), name, kind)
    assert time.perf_counter() - start < SECONDS


BATCH = sorted(set(inspect.signature(BatchEnv).parameters) - {"world", "identity"})


@pytest.mark.parametrize("name", BATCH)
def test_wrong_arguments_of_a_batch_are_refused_by_name(name):
    for kind in WRONG.keys() - RIGHT.get(name, set()):

        def make(value):
            llm_envs.make_batch("Tokens/Copy-v0", **{"num_envs": 2, "pool": 4, "split": "all", name: value})

        refused(make, "reward" if name == "rewards" else name, kind)


@pytest.mark.parametrize("world_id", [5, None, [], "x" * 100_000, "\x1b[2J"])
def test_an_id_that_there_is_not(world_id):
    with pytest.raises(ValueError, match="there is no world") as error:
        llm_envs.make_batch(world_id, 2)
    assert len(str(error.value)) < 2000
    assert str(error.value).isprintable()


INSIDE = [  # what stands inside of a list that is right by itself
    ("Tokens/Copy-v0", "levels", [3]),
    ("Tokens/Copy-v0", "levels", ["abc"]),
    ("Tokens/Copy-v0", "levels", [[1.5]]),
    ("Tokens/Addition-v0", "levels", [(1, "2")]),
    ("Tokens/Addition-v0", "levels", [(1, 2, 3)]),
    ("Tokens/Addition-v0", "levels", [np.array(3)]),
    ("Nav/FourRooms-v0", "levels", [[[1, 2], [3]]]),
    ("Nav/FourRooms-v0", "levels", [{}]),
    ("Nav/FourRooms-v0", "levels", ["##\x1b["]),
    ("Nav/PathPlanner-v0", "levels", [{"start": 1, "goal": (0, 0)}]),
    ("Nav/PathPlanner-v0", "levels", [{"start": (0, 0), "goal": (0.5, math.nan)}]),
    ("Nav/PathPlanner-v0", "levels", [{"start": (0, 0), "goal": (0.5, 0), "obstacles": 3}]),
    ("Nav/PathPlanner-v0", "levels", [{"start": (0, 0), "goal": (0.5, 0), "obstacles": [3]}]),
    ("Text/Coin-v0", "levels", [{"exits": 3, "coin": 0}]),
    ("Text/Coin-v0", "levels", [{"exits": [{"north": np.zeros(2)}], "coin": 0}]),
    ("Text/Coin-v0", "levels", [{"exits": [{}], "coin": 0, "names": 3}]),
    ("Text/Coin-v0", "levels", [{"exits": [{}], "coin": 0, "names": ["\x1b"]}]),
    ("Text/World-v0", "games", [""]),
    ("Text/World-v0", "games", ["a\0b"]),
    ("Text/World-v0", "games", [b"a"]),
    ("Text/Story-v0", "stories", [""]),
    ("Text/Story-v0", "stories", ["a\0b"]),
    ("Text/Story-v0", "stories", [3]),
    ("Text/Cooking-v0", "go", 7),
]


@pytest.mark.parametrize(("world_id", "name", "value"), INSIDE)
def test_what_stands_inside_of_a_list_is_refused_by_its_place(world_id, name, value):
    with pytest.raises((TypeError, ValueError), match=name) as error:
        build(world_id, {name: value})
    assert str(error.value).isprintable()
