"""Saved batches. A snapshot's bytes: a magic word, a JSON header, the states, the observations, a checksum.

A snapshot may come from a stranger: nothing in it is executed, every length is checked before it is used, and states
and observations outside of the world's bounds are refused.
"""

import itertools
import json
import struct
import zlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from llm_envs.engine.jit import fingerprint
from llm_envs.engine.records import Records
from llm_envs.validation import quote
from llm_envs.world import World

MAGIC = b"llm-envs snapshot 1\n"


def layout(world: World) -> int:
    """Return a checksum of a world's records and rules."""
    # The rules' code too: other rules could not continue the episode as the saved batch would have.
    rules = "".join(fingerprint(rule) for rule in (world.rules.reset, world.rules.step, world.rules.observe))
    return zlib.crc32(repr((world.state, world.observation, rules)).encode())


def pack(header: dict, parts: list[bytes]) -> bytes:
    """Return one snapshot."""
    # magic | length of the header, uint32, little-endian | header, JSON | parts | CRC-32 of all before, uint32
    text = json.dumps(header, sort_keys=True).encode()
    body = MAGIC + struct.pack("<I", len(text)) + text + b"".join(parts)
    return body + struct.pack("<I", zlib.crc32(body))


def unpack(raw: bytes, header: dict, sizes: list[int]) -> list[bytes]:
    """Return the parts of a snapshot whose header equals `header` and whose parts have these sizes.

    Raises:
        ValueError: not a snapshot, damaged, or of another world, configuration or layout; says which field differs.
    """
    # 8: the header's length and the checksum, which are read below without a further test.
    if not isinstance(raw, (bytes, bytearray)) or not raw.startswith(MAGIC) or len(raw) < len(MAGIC) + 8:
        raise ValueError("not a snapshot: it does not start with the magic word of one")
    raw = bytes(raw)
    # A checksum finds damage, not malice: whoever writes a snapshot can compute it. `check_values` is for the latter.
    if zlib.crc32(raw[:-4]) != struct.unpack("<I", raw[-4:])[0]:
        raise ValueError("the snapshot is damaged: its checksum does not match")
    start = len(MAGIC) + 4
    (length,) = struct.unpack("<I", raw[len(MAGIC) : start])
    try:
        found = json.loads(raw[start : start + length])
        differing = [name for name in header if found.get(name) != header[name]]
    except (ValueError, AttributeError, RecursionError) as error:
        raise ValueError("the snapshot's header cannot be read") from error
    if differing:
        name = differing[0]
        raise ValueError(
            f"the snapshot is of another batch: its {name} is {quote(found.get(name))}, not {quote(header[name])}"
        )
    if len(raw) != start + length + sum(sizes) + 4:
        raise ValueError(f"the snapshot has {len(raw)} bytes, not {start + length + sum(sizes) + 4}")
    # The parts' ends, from the header's on; a part lies between each two of them.
    ends = np.cumsum([start + length, *sizes])
    return [raw[a:b] for a, b in itertools.pairwise(ends)]


def check_values(world: World, levels: Records, num_levels: int, states: bytes, observations: bytes) -> None:
    """Raise ValueError unless every row holds values that an episode can reach, since the rules use them as indices."""
    rows, observed = np.frombuffer(states, world.state), np.frombuffer(observations, world.observation)
    fields = set(world.state.names or ())
    own = {name: limits for name, limits in world.bounds.items() if name in fields}
    # `rng`, `stream` and `episode` may hold anything: the rules only hash them.
    header = {"level": (0, num_levels - 1), "t": (0, np.inf), "over": (0, 1)}
    _check_bounds("state", rows, header | own)
    _check_bounds("observation", observed, {name: world.bounds[name] for name in world.observation.names or ()})
    if world.rules.valid is None:
        return
    # Bounds hold field by field; what fields allow each other (a key where its level has one) only the rules know. They
    # take records with attributes, as the batch's own are.
    states_, params = rows.view(np.recarray), world.params.view(np.recarray)[0]
    for i, state in enumerate(states_):
        if not world.rules.valid(state, levels.row(int(state.level)), params):
            raise ValueError(f"the snapshot's row {i} holds a state that its level does not have")


def _check_bounds(what: str, records: np.ndarray, bounds: Mapping[str, tuple[float, float]]) -> None:
    for name, (low, high) in bounds.items():
        least, most = records[name].min(), records[name].max()
        if not (least >= low and most <= high):  # NaN fails too
            raise ValueError(
                f"the snapshot's {what} has {name} from {least} to {most}; it must be from {low:g} to {high:g}"
            )


class Saved:
    """The part of `BatchEnv` that saves and restores its rows."""

    world: World
    num_envs: int
    num_levels: int
    pool_checksum: int
    order: str
    group_size: int
    identity: Any  # an engine.batch.Identity
    _levels: Records
    _states: Records
    _observations: Records
    _finals: Records
    _outcomes: Records
    _actions: Records
    _terms: Any  # RewardTerms or None
    _seeds: np.ndarray  # (N,) uint64
    _started: bool

    @property
    def _written(self) -> tuple:
        """The buffers that a step writes."""
        return self._states, self._observations, self._finals, self._outcomes

    def read_buffers(self) -> list[bytes]:
        """Return all that a step writes, as bytes on the host: states, observations, finals, outcomes."""
        return [buffer.read() for buffer in self._written]

    def save_buffers(self) -> list:
        """Return copies of all that a step writes, on the batch's device: no wait, unlike `read_buffers`."""
        return [buffer.copy() for buffer in self._written]

    def load_buffers(self, saved: list) -> None:
        """Undo steps: restore what `save_buffers` returned."""
        for buffer, held in zip(self._written, saved, strict=True):
            buffer.write(held)

    @cached_property
    def _layout(self) -> int:
        return layout(self.world)  # once a batch: hashing the rules of a text game takes 0.1 s

    def _header(self) -> dict[str, Any]:
        """Return what a snapshot and the batch that restores it must agree in."""
        world = self.world
        return {
            "world": self.identity.world_id,
            "configuration": self.identity.configuration,
            "layout": self._layout,
            "levels": self.pool_checksum,
            "params": zlib.crc32(world.params.tobytes()),
            "num_envs": self.num_envs,
            "order": self.order,
            "group_size": self.group_size,
            "max_steps": world.max_steps,
        }

    def snapshot(self) -> bytes:
        """Return the whole batch as bytes; a batch restored from them continues bit for bit as this one would.

        Raises:
            RuntimeError: before the first reset.
        """
        # Outcomes and final observations are left out: they are of the step before, and no rule reads them.
        if not self._started:
            raise RuntimeError("reset() must be called before snapshot()")
        return pack(self._header(), [self._states.read(), self._observations.read()])

    def restore(self, saved: bytes) -> None:
        """Continue from a snapshot of the same world, configuration, pool and number of rows.

        Raises:
            ValueError: it is damaged, of another batch, or holds values that no episode reaches; nothing has changed.
        """
        parts = (self._states, self._observations)
        found = unpack(saved, self._header(), [self.num_envs * part.kind.itemsize for part in parts])
        check_values(self.world, self._levels, self.num_levels, *found)
        # Only now, when everything has been checked, is anything written.
        for part, raw in zip(parts, found, strict=True):
            part.write(raw)
        self._started = True

    def __getstate__(self) -> dict[str, Any]:
        """Return all that steps and resets have changed."""
        return {
            "header": self._header(),
            "started": self._started,
            "seeds": self._seeds,
            "actions": self._actions.read(),
            "buffers": self.read_buffers(),
            "terms": self._terms.save() if self._terms else None,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over what `__getstate__` returned; ValueError where the pool or the rules differ from then."""
        # A pickle holds the id and the configuration, from which another version may build another world.
        differing = [name for name, value in self._header().items() if state["header"][name] != value]
        if differing:
            raise ValueError(f"the pickled batch differs from what its id and configuration build in {differing}")
        self._started, self._seeds = state["started"], state["seeds"]
        self._actions.write(state["actions"])
        for buffer, raw in zip(self._written, state["buffers"], strict=True):
            buffer.write(raw)
        if self._terms:
            self._terms.load(state["terms"])
