"""The bytes of a saved batch: a magic word, a JSON header, the states, the observations, a checksum.

A snapshot may come from a stranger: nothing in it is executed, every length is checked before it is used, and levels
outside the pool are refused.
"""

import itertools
import json
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np

from llm_envs.engine.jit import fingerprint

if TYPE_CHECKING:
    from llm_envs.engine.batch import BatchEnv

MAGIC = b"llm-envs snapshot 1\n"


def header(batch: "BatchEnv") -> dict:
    """Return what a snapshot and the batch that takes it up must agree in."""
    world, (name, _, configuration) = batch.world, batch.identity.partition(" ")
    rules = "".join(fingerprint(rule) for rule in (world.reset, world.step, world.observe))
    return {
        "world": name,
        "configuration": configuration,
        "layout": zlib.crc32(repr((world.state, world.observation, rules)).encode()),
        "levels": batch.pool_checksum,
        "params": zlib.crc32(world.params.tobytes()),
        "num_envs": batch.num_envs,
        "order": batch.order,
        "group_size": batch.group_size,
        "max_steps": world.max_steps,
    }


def pack(header: dict, parts: list[bytes]) -> bytes:
    """Return one snapshot."""
    text = json.dumps(header, sort_keys=True).encode()
    body = MAGIC + struct.pack("<I", len(text)) + text + b"".join(parts)
    return body + struct.pack("<I", zlib.crc32(body))


def unpack(raw: bytes, header: dict, sizes: list[int]) -> list[bytes]:
    """Return the parts of a snapshot whose header equals `header` and whose parts have these sizes.

    Raises:
        ValueError: not a snapshot, damaged, or of another world, configuration or layout; says which field differs.
    """
    if not isinstance(raw, (bytes, bytearray)) or not raw.startswith(MAGIC) or len(raw) < len(MAGIC) + 8:
        raise ValueError("not a snapshot: it does not start with the magic word of one")
    raw = bytes(raw)
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
        raise ValueError(f"the snapshot is of another batch: its {name} is {found.get(name)!r}, not {header[name]!r}")
    if len(raw) != start + length + sum(sizes) + 4:
        raise ValueError(f"the snapshot has {len(raw)} bytes, not {start + length + sum(sizes) + 4}")
    ends = np.cumsum([start + length, *sizes])
    return [raw[a:b] for a, b in itertools.pairwise(ends)]
