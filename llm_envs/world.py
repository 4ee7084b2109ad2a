"""What a world is: four records, three rules, named signals, a pool of levels.

A world's file writes its `Rules` for one row, as plain scalar functions under `numba.njit`, and one builder, a function
whose keyword arguments are the configuration and which returns a `World`. The engine owns the rest: the clock
`state.t`, the generator `state.rng`, the time limit, the weighting of signals, the next episode.

What a world does beside its rules, in Python on the host, are hooks: reading and writing text (`TextInterface`),
drawing (`Display`) and solving a level. Every hook takes one `Row`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from llm_envs.validation import check_choice as check_choice
from llm_envs.validation import check_range as check_range
from llm_envs.validation import check_switch as check_switch

# The engine's own fields, first in every state. A row's random numbers are among them: a copy of the record is a copy
# of the row's whole future.
HEADER = {
    "rng": np.uint64,  # the counter behind randint() and uniform()
    "stream": np.uint64,  # draws the levels; rows of a group share it
    "t": np.int64,  # steps taken in this episode
    "episode": np.int32,  # episodes begun since the seed, less one
    "level": np.int32,  # index into the split's levels
    "over": np.int32,  # 1 when it has ended
}


# Tables of the process, never emptied: a record type must not be freed while a kernel compiled for it can run.
_kinds: dict[np.dtype, np.dtype] = {}  # the record types in use, each once
_layouts: dict[tuple, np.dtype] = {}  # those that record() made, by their fields


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
            where the rules run as plain Python; or the record begins like another one, or another one like it: Numba
            takes the longer for a subtype of the shorter, and a function shared by both for compiled already.
    """
    # Compiled rules know no attributes but the fields; plain Python would find NumPy's first, and the two would differ.
    clash = [name for name in fields if hasattr(np.record, name)]
    if clash:
        raise ValueError(f"record fields {clash} have the names of NumPy attributes; choose others")
    described = [(name, *(kind if isinstance(kind, tuple) else (kind,))) for name, kind in fields.items()]
    # Aligned: a GPU reads a number only from a multiple of its size, and torch views need it too.
    kind = np.dtype(described, align=True)
    fields_of: Mapping[str, Any] = kind.fields or {}  # None for a record without fields
    layout = tuple((name, *fields_of[name][:2]) for name in kind.names or ())  # (name, type, offset in bytes) each
    if not layout:
        raise ValueError("a record needs at least one field: one without is the beginning of every other")
    # Equal layouts are one type, whoever made them; see keep().
    for other in _layouts:
        if layout != other and layout[: len(other)] == other[: len(layout)]:
            raise ValueError(
                f"a record of {list(kind.names or ())} and one of {[name for name, *_ in other]} begin alike, and Numba"
                " would take one for the other; let one of them begin with another field"
            )
    return _layouts.setdefault(layout, keep(kind))


def state_record(**fields: Any) -> np.dtype:
    """Return a state's record type: the engine's header, then the world's own fields."""
    return record(**HEADER, **fields)


def values(kind: np.dtype, **fields: Any) -> np.ndarray:
    """Return one record of `kind`, as an array of shape (1,), with every field given by name.

    Raises:
        TypeError: a field is missing, or there is none of this name.
    """
    names = set(kind.names or ())
    if names != set(fields):
        raise TypeError(f"a record of {sorted(names)} needs exactly these fields, not {sorted(fields)}")
    filled = np.zeros(1, kind)  # zeros, not empty: the bytes between fields are part of checksums
    for name, value in fields.items():
        filled[name] = value
    return filled


@dataclass(frozen=True)
class Vector:
    """A continuous action: float32 of `shape`, every entry within [low, high]. The rule reads `action.vector`."""

    low: float
    high: float
    shape: tuple[int, ...]


class Row(NamedTuple):
    """One row of a batch as hooks see it: records with attributes, to be read and never written.

    On the CPU they are live, and change with the next step. Where text is made of a stored observation, `state` and
    `level` are None.
    """

    state: Any
    level: Any
    params: Any
    observation: Mapping[str, np.ndarray]  # by field, without a batch dimension
    arrays: tuple[Any, ...] = ()  # state and level as (1,): Numba takes 1 us for an array, 10 to 25 for a record


@dataclass(frozen=True)
class Rules:
    """What happens in one row; plain scalar functions under `numba.njit`.

    `observe` runs once after each `reset` (then `state.t` is 0) and once after each `step`, on the record that it wrote
    for that row before: a world with a `Transcript` appends to it.
    """

    reset: Callable  # (state, level, params): write the first state
    step: Callable  # (state, level, params, action, signals) -> terminated; set signals by name
    observe: Callable  # (state, level, params, observation): write the observation
    valid: Callable | None = None  # (state, level, params) -> whether a restored state can be; see World.bounds


@dataclass(frozen=True)
class Transcript:
    """A text that only grows, whose fields are (part of) the observation; `llm_envs.engine.transcript` writes it.

    Args:
        window: T, the most tokens it holds.
        vocab_size: V; tokens are 0 .. V - 1, and 0 pads on the right.
        authors: whether `token_mask` notes who wrote each token: 0 the world, 1 the policy.
    """

    window: int
    vocab_size: int
    authors: bool = False

    @property
    def fields(self) -> dict[str, Any]:
        """Return the fields for `record`: tokens (T,) int32, length int32 and, with authors, token_mask (T,) int8."""
        # The mask in front: no record may be the beginning of another.
        authors = {"token_mask": (np.int8, (self.window,))} if self.authors else {}
        return {**authors, "tokens": (np.int32, (self.window,)), "length": np.int32}

    @property
    def bounds(self) -> dict[str, tuple[float, float]]:
        """Return the bounds of `fields`."""
        bounds: dict[str, tuple[float, float]] = {"tokens": (0, self.vocab_size - 1), "length": (0, self.window)}
        return bounds | ({"token_mask": (0, 1)} if self.authors else {})


@dataclass(frozen=True, kw_only=True)
class TextInterface:
    """How a world reads and writes text."""

    tokenizer: Any = None  # tokenizers.Tokenizer of the observation's `tokens`
    actions_are_tokens: bool = False  # an action is the next token of the text
    observe_text: bool = False  # observations of the views are decode()'s text in place of the fields
    decode: Callable[[Row], str] | None = None  # reads row.observation alone; default: its tokens, or its fields
    parse: Callable[[str, Row], Any] | None = None  # -> action; the views then take strings
    info: Callable[[Row], dict[str, Any]] | None = None  # what the string form adds to `info`


@dataclass(frozen=True, kw_only=True)
class Display:
    """How a world is drawn for people."""

    render: Callable[[Row], str] | None = None  # text for a terminal; default: the observation as text
    frame: Callable[[Row], np.ndarray] | None = None  # (height, width, 3) uint8; default: the text as a picture
    action_names: tuple[str, ...] = ()  # one a discrete action, where actions have names


@dataclass(frozen=True, kw_only=True)
class World:
    """One environment in one configuration, as its builder returns it. The engine reads it and changes nothing.

    Raises:
        ValueError: what the engine cannot run, with the reason.
    """

    rules: Rules
    params: np.ndarray  # (1,) record, read only
    levels: np.ndarray  # (M,) records: the whole pool, all splits; equal contents are equal levels
    state: np.dtype  # from state_record()
    observation: np.dtype
    bounds: Mapping[str, tuple[float, float]]  # (low, high), inclusive, of each field of the observation and the state
    actions: (
        int | Vector | np.dtype
    )  # number of discrete actions, a continuous action, or a record that parse() returns
    signals: Mapping[str, float]  # reward terms and their default weights
    max_steps: int = 0  # time limit; 0 for none
    custom_levels: bool = False  # the user brought the levels: then nothing is held out by default
    transcript: Transcript | None = None  # where the observation has one
    text: TextInterface | None = None
    display: Display | None = None
    solution: Callable[[Row], list] | None = None  # a best list of actions from the start of row.level

    def __post_init__(self) -> None:
        """Raise ValueError for what the engine cannot run, with the reason."""
        if tuple(self.state.names or ())[: len(HEADER)] != tuple(HEADER):
            raise ValueError("the state must be made by state_record(), which puts the engine's fields first")
        # The header has bounds of its own, the same for every world (see engine.snapshot).
        observed, own = set(self.observation.names or ()), set(self.state.names or ()) - set(HEADER)
        if not observed <= set(self.bounds) <= observed | own:
            raise ValueError(f"bounds are for {sorted(self.bounds)}; the observation has {self.observation.names}")
        # A snapshot may come from a stranger, and rules use states as indices without a check.
        unbounded = sorted(own - set(self.bounds))
        if unbounded and self.rules.valid is None:
            raise ValueError(
                f"the state's fields {unbounded} need bounds, or the rules a `valid`, to check snapshots by"
            )
        if not self.signals:
            raise ValueError("a world needs at least one signal: it is what rewards are made of")
        if not len(self.levels):
            raise ValueError("the pool of levels is empty")

    @property
    def takes_text(self) -> bool:
        """Whether actions are strings in the views."""
        return self.text is not None and self.text.parse is not None

    @property
    def shows_text(self) -> bool:
        """Whether observations are strings in the views."""
        return self.text is not None and self.text.observe_text

    @property
    def uses_strings(self) -> bool:
        """Whether observations or actions are strings in the views."""
        return self.takes_text or self.shows_text

    @property
    def actions_are_tokens(self) -> bool:
        """Whether an action is the next token of the text."""
        return self.text is not None and self.text.actions_are_tokens

    @property
    def tokenizer(self) -> Any:
        """The tokenizers.Tokenizer of the observation's tokens, or None."""
        return self.text.tokenizer if self.text else None

    @property
    def action_names(self) -> tuple[str, ...]:
        """The names of the discrete actions, or () where they have none."""
        return self.display.action_names if self.display else ()
