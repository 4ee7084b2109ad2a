"""What a world is: four records, three rules, named signals, a pool of levels.

A world's file writes its rules for one row, as plain scalar functions under `numba.njit`:

    reset(state, level, params)                    write the first state
    step(state, level, params, action, signals)    change the state, set signals by name, return terminated
    observe(state, level, params, observation)     write every field of the observation

`observe` runs once after each `reset` (then `state.t` is 0) and once after each `step`, on the record that it wrote for
that row before: a world that shows a growing transcript may append to it.

and one builder, a function whose keyword arguments are the configuration and which returns a `World`. The engine owns
the rest: the clock `state.t`, the generator `state.rng`, the time limit, the weighting of signals, the next episode.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from llm_envs.validation import check_choice as check_choice
from llm_envs.validation import check_range as check_range
from llm_envs.validation import check_switch as check_switch

# The engine's own fields, first in every state.
HEADER = {
    "rng": np.uint64,  # the counter behind randint() and uniform()
    "stream": np.uint64,  # draws the levels; rows of a group share it
    "episode": np.int32,  # episodes begun since the seed, less one
    "level": np.int32,  # index into the split's levels
    "t": np.int32,  # steps taken in this episode
    "over": np.int32,  # 1 when it has ended
}


_kinds: dict[np.dtype, np.dtype] = {}


def keep(kind: np.dtype) -> np.dtype:
    """Return the one object that stands for a record type, and keep it for good.

    Numba knows structured types by their address: if one were freed and another took its place, a kernel compiled for
    the first would run on the second's memory. Sharing one object is also quicker: an equal one costs 5 us a call.
    """
    return _kinds.setdefault(kind, kind)


def record(**fields: Any) -> np.dtype:
    """Return an aligned record type; a field is a scalar type, a record type or (type, shape).

    Raises:
        ValueError: a field has the name of a NumPy attribute (`size`, `take`, `base`, ...), which would hide it
            where the rules run as plain Python.
    """
    clash = [name for name in fields if hasattr(np.record, name)]
    if clash:
        raise ValueError(f"record fields {clash} have the names of NumPy attributes; choose others")
    described = [(name, *(kind if isinstance(kind, tuple) else (kind,))) for name, kind in fields.items()]
    return keep(np.dtype(described, align=True))


def state_record(**fields: Any) -> np.dtype:
    """Return a state's record type: the engine's header, then the world's own fields."""
    return record(**HEADER, **fields)


def values(kind: np.dtype, **fields: Any) -> np.ndarray:
    """Return one record of `kind`, as an array of shape (1,), with every field given by name."""
    names = set(kind.names or ())
    if names != set(fields):
        raise TypeError(f"a record of {sorted(names)} needs exactly these fields, not {sorted(fields)}")
    filled = np.zeros(1, kind)
    for name, value in fields.items():
        filled[name] = value
    return filled


@dataclass(frozen=True)
class Vector:
    """A continuous action: float32 of `shape`, every entry within [low, high]. The rule reads `action.vector`."""

    low: float
    high: float
    shape: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class World:
    """One environment in one configuration, as its builder returns it. The engine reads it and changes nothing."""

    reset: Callable  # the rules, under numba.njit
    step: Callable
    observe: Callable
    params: np.ndarray  # (1,) record, read only
    levels: np.ndarray  # (M,) records: the whole pool, all splits; equal contents are equal levels
    state: np.dtype  # from state_record()
    observation: np.dtype
    bounds: Mapping[str, tuple[float, float]]  # observation field -> (low, high), inclusive
    actions: int | Vector  # number of discrete actions, or a continuous action
    signals: Mapping[str, float]  # reward terms and their default weights
    max_steps: int = 0  # time limit; 0 for none
    own_levels: bool = False  # the user brought the levels: then nothing is held out by default
    tokenizer: Any = None  # tokenizers.Tokenizer of `tokens`, where the world speaks
    types_tokens: bool = False  # an action is the next token of the text
    decode: Callable[[Mapping], str] | None = None  # one row's observation -> text; default: its tokens
    text_observation: bool = False  # the views show decode()'s text in place of the fields
    parse: Callable[..., int] | None = None  # (text, batch, row) -> action; the views then take strings
    action_names: tuple[str, ...] = ()  # one a discrete action, where actions have names
    render: Callable[..., str] | None = None  # (state, level, params) -> text for a terminal
    frame: Callable[..., np.ndarray] | None = None  # (state, level, params) -> (height, width, 3) uint8
    info: Callable[..., dict] | None = None  # (batch, row) -> what the string form puts into `info`
    solution: Callable[..., list] | None = None  # (level, params) -> a best list of actions from the start

    def __post_init__(self) -> None:
        """Refuse what the engine cannot run, with the reason."""
        if tuple(self.state.names or ())[: len(HEADER)] != tuple(HEADER):
            raise ValueError("the state must be made by state_record(), which puts the engine's fields first")
        if set(self.bounds) != set(self.observation.names or ()):
            raise ValueError(f"bounds are for {sorted(self.bounds)}, the observation has {self.observation.names}")
        if not self.signals:
            raise ValueError("a world needs at least one signal, or no reward can be told")
        if not len(self.levels):
            raise ValueError("the pool of levels is empty")
