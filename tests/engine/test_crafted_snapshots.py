"""Snapshots from strangers: what no episode reaches is refused by name, before anything is indexed by it."""

import struct
import zlib

import numpy as np
import pytest

from llm_envs import make_batch
from llm_envs.engine.snapshot import pack, unpack
from llm_envs.testing.random_walks import random_actions
from llm_envs.world import HEADER

WORLDS = [
    ("Tokens/Copy-v0", {}),
    ("Tokens/Addition-v0", {}),
    ("Nav/FourRooms-v0", {}),
    ("Nav/PathPlanner-v0", {"obstacles": 3}),
    ("Text/Coin-v0", {}),
    ("Text/World-v0", {}),
    ("Text/KeyQuest-v0", {"pool": 4, "action": "admissible"}),
    ("Text/Cooking-v0", {"pool": 4, "action": "index"}),
]
ANY = {"rng", "stream", "episode"}  # every value of these is reached


def walked(world_id, config):
    batch, rng = make_batch(world_id, 3, seed=1, **config), np.random.default_rng(0)
    batch.reset_rows()
    for _ in range(12):
        batch.step_rows(random_actions(batch, rng))
    return batch


def crafted(batch, part, change):
    """Return the batch's snapshot with its states (0) or observations (1) changed, under a right checksum."""
    kinds = batch.world.state, batch.world.observation
    parts = unpack(batch.snapshot(), batch._header(), [3 * kind.itemsize for kind in kinds])
    records = np.frombuffer(parts[part], kinds[part]).copy()
    change(records)
    parts[part] = records.tobytes()
    return pack(batch._header(), parts)


def extremes(kind):
    if kind.kind == "f":
        return [np.nan, np.inf, -1e30]
    limits = np.iinfo(kind)
    return [limits.max, limits.min] if limits.min else [limits.max]


@pytest.mark.parametrize(("world_id", "config"), WORLDS)
def test_bounded_fields_are_checked(world_id, config):
    batch = walked(world_id, config)
    before, world = batch.read_buffers(), batch.world
    for part, kind in enumerate((world.state, world.observation)):
        for name in kind.names:
            if name in ANY or name not in {*world.bounds, *HEADER}:
                continue
            for value in extremes(kind[name].base):
                if name == "t" and value > 0:
                    continue

                def change(records, name=name, value=value):
                    records[name][1] = value

                with pytest.raises(ValueError, match=f"the snapshot's .* has {name} from"):
                    batch.restore(crafted(batch, part, change))
    assert batch.read_buffers() == before


GAMES = [case for case in WORLDS if case[0] in ("Text/World-v0", "Text/KeyQuest-v0", "Text/Cooking-v0")]
INDICES = ["room", "holder", "first", "after", "lock", "reply", "x", "ending", "low", "high", "typed"]


@pytest.mark.parametrize(("world_id", "config"), GAMES)
@pytest.mark.parametrize("field", INDICES)
def test_a_game_is_checked_against_its_level(world_id, config, field):
    """Whatever a field holds, the snapshot is refused, or the game can be shown and played on."""
    batch, rng, refused = walked(world_id, config), np.random.default_rng(0), 0
    good = batch.snapshot()
    for _ in range(60):

        def change(records):
            part = records["interface" if field in ("low", "high", "typed") else "game"]
            values = part[field].reshape(3, -1)
            values[1, rng.integers(min(values.shape[1], 12))] = rng.integers(0, 256)

        saved = crafted(batch, 0, change)
        try:
            batch.restore(saved)
        except ValueError:
            with pytest.raises(ValueError, match="the snapshot's row 1 holds a state that its level does not have"):
                batch.restore(saved)
            refused += 1
            continue
        for _ in range(5):
            batch.step_rows(random_actions(batch, rng))
            assert all(batch.decode(batch.arrays.obs))
        batch.restore(good)
    assert refused or field in ("x", "typed")  # these index nothing where no thing is named, no command begun


def test_lists_that_lead_in_a_circle_are_refused():
    batch = walked("Text/KeyQuest-v0", {"pool": 4})

    def change(records):
        state = records[0]["game"]
        held = next(h for h in range(len(state["first"])) if state["first"][h] != 255)
        state["after"][state["first"][held]] = state["first"][held]

    with pytest.raises(ValueError, match="row 0 holds a state"):
        batch.restore(crafted(batch, 0, change))


def test_a_wrong_checksum_is_refused_first():
    batch = walked("Tokens/Copy-v0", {})
    saved = bytearray(batch.snapshot())
    saved[-4:] = struct.pack("<I", zlib.crc32(saved[:-4]) ^ 1)
    with pytest.raises(ValueError, match="checksum"):
        batch.restore(bytes(saved))
