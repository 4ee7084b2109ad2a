"""Typed commands as records: any values are an action, and texts may be given to a batch."""

import os
import subprocess
import sys

import numpy as np
import pytest

import llm_envs
from llm_envs.text.interface.typed_actions import COMMAND
from llm_envs.text.language import replies
from llm_envs.text.records import codes

COOKING = {"pool": 5, "action": "text", "split": "all"}


def command(verb: int, x: int, y: int, z: int = codes.NONE, inferred: int = 0, number: int = -1) -> np.ndarray:
    """Return an action, (1,) COMMAND."""
    return np.array([(number, verb, x, y, z, inferred)], COMMAND)


def commands(rng: np.random.Generator, rows: int) -> np.ndarray:
    """Draw commands whose parts are often near those of a level, and else anything."""

    def part(most: int) -> np.ndarray:
        return np.where(rng.random(rows) < 0.7, rng.integers(0, most, rows), rng.integers(0, 256, rows))

    number, inferred = rng.integers(-1, 400, rows), np.where(rng.random(rows) < 0.7, 0, part(128))
    parts = zip(part(150), part(30), part(30), part(40), inferred, number, strict=True)
    return np.concatenate([command(*one) for one in parts])


def fuzz(world_id: str, steps: int) -> int:
    """Play any records; return how many were carried out or answered. Interpreted rules check their indices."""
    batch = llm_envs.make_batch(world_id, 8, seed=0, max_steps=30, **COOKING)
    rng, understood = np.random.default_rng(0), 0
    batch.reset_rows()
    for k in range(steps):
        anything = np.frombuffer(rng.bytes(8 * COMMAND.itemsize), COMMAND)
        batch.step_rows(commands(rng, 8) if k % 3 else anything)
        understood += int((batch.arrays.signals["invalid"] == 0).sum())
        assert all(batch.decode(batch.arrays.obs))
    return understood


@pytest.mark.parametrize("world_id", ["Text/Cooking-v0", "Text/House-v0"])
def test_any_record_can_be_played(world_id):
    assert fuzz(world_id, 3000) > 100


def test_no_number_is_an_index_out_of_range():
    program = "from test_text_packing import fuzz; print(fuzz('Text/Cooking-v0', 300))"
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert int(done.stdout) > 10


def cooking(rows: int = 1):
    batch = llm_envs.make_batch("Text/Cooking-v0", rows, **COOKING)
    batch.reset_rows(0)
    return batch


@pytest.mark.parametrize(
    "action",
    [
        command(200, 0, 0),
        command(255, 0, 0),
        command(255, 255, 255, 255, 255, 2**15 - 1),
        command(codes.EXAMINE, 0, codes.NONE, number=-2),
        command(codes.TAKE, codes.NONE, codes.NONE),
        command(codes.GO, 4, codes.NONE),
        command(codes.VERBS + replies.EXAMINED, codes.NONE, codes.NONE),
        command(codes.VERBS + replies.ONLY_VERB, codes.NONE, codes.NONE, z=len(replies.VERB_WORDS)),
        command(codes.EXAMINE, 0, codes.NONE, z=codes.NONE, inferred=replies.INFERRED),
        command(codes.EXAMINE, 0, codes.NONE, number=400),
    ],
)
def test_what_no_text_means_is_not_understood_and_costs_no_turn(action):
    batch = cooking()
    batch.step_rows(action)
    assert batch.row(0).state.game.reply == replies.NO_SENSE
    assert batch.arrays.signals["turn"][0] == 0
    assert batch.decode(batch.arrays.obs)[0].endswith("I didn't understand that sentence.")


def test_a_batch_takes_a_list_of_texts_one_a_row():
    texts, records = cooking(2), cooking(2)
    for said in (["look", "inventory"], ["examine cookbook", "xyzzy"]):
        records.step_rows(np.array([records.parse_row(text, row) for row, text in enumerate(said)], COMMAND))
        texts.step(said)
        assert texts.snapshot() == records.snapshot()
    assert "You are carrying" in texts.decode(texts.arrays.obs)[1]
    before = texts.snapshot()
    for wrong, message in [
        ("look", "actions are 'look'; they must be a list of 2 strings, one a row"),
        (["look"], "actions are \\['look'\\]; they must be a list of 2 strings"),
        ([["look"], ["look"]], r"actions\[0\] is \['look'\]; it must be a string"),
        ({"look": 0, "inventory": 1}, "actions are .*; they must be a list of 2 strings"),
        ([], r"actions are \[\]; they must be a list of 2 strings"),
        ([None, None], r"actions\[0\] is None; it must be a string"),
        (["look", 3], r"actions\[1\] is 3; it must be a string"),
    ]:
        with pytest.raises(ValueError, match=message):
            texts.step(wrong)
    assert texts.snapshot() == before
    texts.step(np.array(["look", "inventory"]))  # an array is a list too


def test_reward_terms_see_the_number_of_a_typed_command():
    """The first field of its record: the command's number in the game's table, -1 for what is none of its commands."""
    seen = []
    batch = llm_envs.make_batch(
        "Text/Cooking-v0", 2, rewards=[lambda t: seen.append(t.action.tolist()) or t.terminated.float()], **COOKING
    )
    batch.reset_rows(0)
    batch.step(["inventory", "xyzzy"])
    commands = batch.world.levels[batch.level_index[0]]["commands"]
    assert commands[seen[0][0], 0] == codes.INVENTORY
    assert seen[0][1] == -1


def test_texts_are_refused_where_nothing_reads_them():
    batch = llm_envs.make_batch("Tokens/Copy-v0", 2)
    with pytest.raises(RuntimeError, match="reset"):
        batch.step(["look", "look"])
    batch.reset_rows()
    with pytest.raises(ValueError, match="Tokens/Copy-v0 reads no text in this configuration; actions must be numbers"):
        batch.step(["look", "look"])


@pytest.mark.parametrize("actions", [[0, 1], np.zeros(2), np.zeros(1, COMMAND), np.zeros((2, 1), COMMAND)])
def test_what_is_no_record_is_refused(actions):
    batch = cooking(2)
    with pytest.raises(ValueError, match=r"it must be a string|it must be \(2,\)"):
        batch.step_rows(actions)


def test_typed_commands_have_no_mask():
    with pytest.raises(ValueError, match="typed commands have no mask"):
        cooking().action_masks()
