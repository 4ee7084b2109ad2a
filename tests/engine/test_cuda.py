"""The CUDA path: its meaning in Numba's simulator, its code as PTX, its refusals; on a GPU, where there is one, itself.

Run as a program under NUMBA_ENABLE_CUDASIM=1 NUMBA_DISABLE_JIT=1 this file prints what the simulator gives.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import types
from collections.abc import Iterator

import numba
import numpy as np
import pytest
import torch
from worlds import DISTINCT

import llm_envs
from llm_envs.engine import cuda
from llm_envs.engine.kernels import legality
from llm_envs.engine.records import Records
from llm_envs.rewards import Reward
from llm_envs.testing import trajectory_digest
from llm_envs.testing.random_walks import random_actions

pytest.importorskip("numba_cuda")
GPU = torch.cuda.is_available()
TEXTS = Reward(lambda texts: [float(len(text)) for text in texts], 0.25, "texts", at_end=True, on_text=True)
TERMS = {"rewards": [lambda t: t.obs["length"][:, 0] / t.before["length"][:, 0], TEXTS], "check_actions": True}
ABSENT = pytest.param("", marks=pytest.mark.skip(reason="no CUDA GPU; with one, every world is tested on it"))
WORLDS = DISTINCT if GPU else [ABSENT]
CASES: dict[str, tuple[str, dict]] = {world_id: (world_id, {}) for world_id in DISTINCT} | {
    "commands by number": ("Text/World-v0", {"action": "index", "shows": ["description", "inventory"]}),
    "commands listed": ("Text/World-v0", {"action": "admissible"}),
    "cooking": ("Text/Cooking-v0", {"preset": "ftwp-hardest", "pool": 8}),
    "rewards": ("Tokens/Addition-v0", TERMS),
    "reversed binary": ("Tokens/Addition-v0", {"reverse": True, "base": 2, "digits": 5, "weights": {"match": 0.5}}),
    "sweep of groups": ("Tokens/Copy-v0", {"task": "sort", "max_steps": 3, "order": "sweep", "group_size": 2}),
}
compiled = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is compiled under NUMBA_DISABLE_JIT=1")
LOCAL_BYTES = 512  # a thread's local memory is device memory: a rule should need next to none


def digest(name: str, device: str) -> str:
    """Return a case's digest on `device`."""
    world_id, config = CASES[name]
    return trajectory_digest(world_id, 8, 60, 7, device=device, **config)


@pytest.fixture(scope="module")
def simulator() -> dict[str, str]:
    """Return every case's digest from the simulator, which needs a process of its own."""
    command, env = [sys.executable, __file__], {"NUMBA_ENABLE_CUDASIM": "1", "NUMBA_DISABLE_JIT": "1"}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))  # the tests' helpers
    run = subprocess.run(command, env=os.environ | env, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr[-4000:]
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", CASES)
def test_simulated_kernels_equal_the_cpu(name: str, simulator: dict[str, str]) -> None:
    """The kernel, its grid loop and the batch's device branch give the CPU's bytes."""
    assert simulator[name] == digest(name, "cpu")


def kernels(batch, cc: tuple[int, int], monkeypatch, states=None) -> Iterator[tuple[str, list[str]]]:
    """Yield the PTX of the start and the step kernel, with the list of its accesses to device memory."""
    device = types.SimpleNamespace(compute_capability=cc)
    monkeypatch.setattr("numba.cuda.dispatcher.get_current_device", lambda: device)
    made = cuda.sources(batch.world.rules, legality(batch.world), lambda f: f)
    for kernel, arguments in zip(made, (batch._reset_arguments, batch._step_arguments), strict=True):
        kinds = [numba.typeof(x) for x in arguments]
        kinds[cuda.STATES] = states or kinds[cuda.STATES]
        ptx = numba.cuda.compile_ptx(kernel, (numba.typeof(cuda.TURN), *kinds), cc=cc)[0]
        yield ptx, re.findall(r"\b((?:ld|st)\.global\S*)\s", ptx)


def has_bytes(kind: np.dtype) -> bool:
    """Say whether a record has one-byte fields, nested ones too."""
    return kind.itemsize == 1 or any(has_bytes(kind[name].base) for name in kind.names or ())


@compiled
@pytest.mark.parametrize("cc", [(8, 0), (9, 0)], ids=["sm_80", "sm_90"])
@pytest.mark.parametrize("world_id", DISTINCT)
def test_kernels_compile_to_wide_accesses(world_id: str, cc: tuple[int, int], monkeypatch) -> None:
    """Records are aligned, so a field is one access; only one-byte fields are read by bytes; locals in registers."""
    batch = llm_envs.make_batch(world_id, 4)
    small = any(has_bytes(x.dtype) for x in batch._reset_arguments)
    for ptx, found in kernels(batch, cc, monkeypatch):
        assert f".target sm_{cc[0]}{cc[1]}" in ptx
        assert any(x.startswith("ld.") and x.endswith("64") for x in found), "the generator's counter is one load"
        assert small or not [x for x in found if x.startswith("ld.") and x.endswith("8")]
        local = sum(int(size) for size in re.findall(r"\.local .*\[(\d+)\]", ptx))
        assert local <= LOCAL_BYTES, f"{local} bytes of local memory a thread"


@compiled
@pytest.mark.filterwarnings("ignore:.*subtype")
def test_packed_records_would_be_read_by_bytes(monkeypatch) -> None:
    """What the test above excludes does happen: the same state without alignment."""
    batch = llm_envs.make_batch("Tokens/Addition-v0", 4)
    packed = np.dtype([(name, batch.world.state[name]) for name in batch.world.state.names])
    (_, found), _ = kernels(batch, (9, 0), monkeypatch, numba.typeof(np.zeros(1, packed)))
    assert [x for x in found if x.startswith("ld.") and x.endswith("8")]


@pytest.mark.parametrize("device", ["gpu", "CUDA", "cuda:", "cuda:x", "cuda:-1", "cpu:0", "", "mps"])
def test_unknown_devices_are_refused(device) -> None:
    with pytest.raises(ValueError, match=rf"device is '{device}'; it must be 'cpu', 'cuda' or 'cuda:N'"):
        llm_envs.make_batch("Tokens/Copy-v0", 2, device=device)


@pytest.mark.parametrize("device", [None, 0])
def test_what_is_no_device_is_refused(device) -> None:
    with pytest.raises(TypeError, match=f"device is {device}; it must be a string"):
        llm_envs.make_batch("Tokens/Copy-v0", 2, device=device)


@pytest.mark.parametrize("device", ["cuda:99"] if GPU else ["cuda", torch.device("cuda", 1)])
def test_absent_gpus_are_refused(device) -> None:
    with pytest.raises(ValueError, match=rf"'{device}', but (there are|torch finds no CUDA GPU).*device='cpu' works"):
        llm_envs.make_batch("Tokens/Copy-v0", 2, device=device)


def test_a_missing_package_is_named(monkeypatch) -> None:
    monkeypatch.setattr(cuda.importlib.util, "find_spec", lambda name: None if name == "numba_cuda" else "here")
    with pytest.raises(ValueError, match=r"numba-cuda\[cu13\] is not installed; device='cpu' works"):
        cuda.require("cuda")


@pytest.mark.parametrize("columns", [False, True])
def test_buffers_are_laid_out_as_on_the_cpu(columns: bool, monkeypatch) -> None:
    """Every field's tensor lies where NumPy puts the field; host memory stands in for the GPU's."""
    monkeypatch.setattr(cuda, "cuda", types.SimpleNamespace(as_cuda_array=torch.Tensor.numpy))
    monkeypatch.setattr(torch.cuda, "device", contextlib.nullcontext)
    fields = [("a", "?"), ("b", "u8"), ("c", "i1", (3,)), ("d", "f4", (2, 2)), ("e", "u2"), ("f", "f8"), ("g", "?", 5)]
    kind = np.dtype([*fields, ("nested", np.dtype([("x", "i4")]))], align=True)
    raw = np.zeros(3, kind)
    for k, (name, *_) in enumerate(fields):
        raw[name] = k % 2 + np.arange(raw[name].size).reshape(raw[name].shape)
    device, host = cuda.DeviceRecords(3, kind, columns, device="cpu"), Records(3, kind, columns)
    device.write(raw), host.write(raw)
    assert set(device.tensors) == set(host.tensors)
    for name, value in host.tensors.items():
        assert device.tensors[name].dtype == value.dtype
        assert torch.equal(device.tensors[name], value), name
    assert (device.records == raw).all()
    assert device.row(1).tobytes() == raw[1].tobytes()
    assert device.read() == host.read()
    with pytest.raises(RuntimeError, match=r"use tensors, or to_host\(\)"):
        _ = device.arrays


def assert_alike(left: np.ndarray, right: np.ndarray) -> None:
    """Compare records: integers exactly, floats to 1e-6, since a GPU fuses multiplication and addition."""
    for name in left.dtype.names or ():
        assert_alike(left[name], right[name])
    if left.dtype.kind == "f":
        np.testing.assert_allclose(left, right, rtol=1e-6, atol=1e-6)
    elif left.dtype.names is None:
        np.testing.assert_array_equal(left, right)


class TestOnGPU:
    @pytest.mark.parametrize("world_id", WORLDS)
    def test_steps_equal_the_cpu(self, world_id: str) -> None:
        """Step by step from the CPU's state, so that roundings do not add up."""
        host, device = (llm_envs.make_batch(world_id, 512, seed=5, device=d) for d in ("cpu", "cuda"))
        rng = np.random.default_rng(0)
        host.reset_rows(), device.reset_rows()
        for _ in range(100):
            actions = random_actions(host, rng)
            host.step_rows(actions), device.step_rows(actions)
            for buffer in ("_states", "_observations", "_outcomes"):
                one, other = getattr(host, buffer), getattr(device, buffer)
                assert_alike(*(np.frombuffer(x.read(), x.kind) for x in (one, other)))
            device._states.write(host._states.read())
        with pytest.raises(RuntimeError, match="to_host"):
            _ = device.arrays

    @pytest.mark.parametrize("world_id", WORLDS)
    def test_a_captured_step_equals_eager_ones_that_do_not_wait(self, world_id: str) -> None:
        eager, graphed = (llm_envs.make_batch(world_id, 300, device="cuda") for _ in range(2))
        high = eager.world.actions if isinstance(eager.world.actions, int) else 1
        eager.reset(), graphed.reset()
        graphed.step_rows()  # warm-up: compiles
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            graphed.step_rows()
        graphed.reset(seed=5), eager.reset(seed=5)
        for _ in range(50):
            actions = (torch.rand(graphed.last_action.shape, device="cuda") * high).to(graphed.last_action.dtype)
            torch.cuda.set_sync_debug_mode("error")
            try:
                graphed.last_action.copy_(actions)
                graph.replay()
                eager.step(actions)
            finally:
                torch.cuda.set_sync_debug_mode("default")
            assert graphed.save_buffers() == eager.save_buffers()


if __name__ == "__main__":
    made = llm_envs.make_batch("Tokens/Copy-v0", 2, device="cuda")
    assert made._step_driver.__module__ == "llm_envs.engine.cuda"
    print(json.dumps({name: digest(name, "cuda") for name in CASES}))
