"""Steps per second of a batch on a GPU, against what its memory allows.

A step is one `BatchEnv.step_rows` with legal random actions: the actions are copied in, the rules run, ended rows begin
their next episode, observations are written. It must at least read and write every state and write every observation
and outcome; `share` is those bytes per second over what one torch copy moves on the same GPU in the same run. `graph`
is a CUDA graph of ACTIONS steps, `eager` the same steps launched one by one. Medians of REPEATS runs.

    python benchmarks/gpu.py [id ...]
"""

import json
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch

import llm_envs
from llm_envs.engine.batch import BatchEnv

ROWS = [4**k for k in range(6, 11)]  # 4,096 to 1,048,576
ACTIONS = 16  # different batches of actions, used in turn
REPEATS = 5


def seconds(work: Callable[[], object], least: float = 0.1) -> float:
    """Return the time of one `work()` in seconds: the median of REPEATS runs of at least `least` each."""

    def timed(count: int) -> float:
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(count):
            work()
        torch.cuda.synchronize()
        return time.perf_counter() - start

    work()
    count = max(1, round(least / timed(1)))
    return statistics.median(timed(count) / count for _ in range(REPEATS))


def copy_bandwidth() -> float:
    """Return what a copy of 1 GiB on the device moves, read and written, in bytes per second."""
    source = torch.zeros(2**30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return 2 * len(source) / seconds(lambda: target.copy_(source))


def bytes_per_row(batch: BatchEnv) -> int:
    """Return what one step of one row must move."""
    observation, outcome = batch.world.observation.itemsize, batch._outcomes.kind.itemsize
    return 2 * batch.world.state.itemsize + observation + outcome


def measure(world_id: str, rows: int, bandwidth: float) -> dict:
    """Return one line of the table."""
    batch, rng = llm_envs.make_batch(world_id, rows, device="cuda"), np.random.default_rng(0)
    batch.reset(seed=0)
    if isinstance(batch.world.actions, int):
        given = rng.integers(0, batch.world.actions, (ACTIONS, rows))
    else:
        given = rng.uniform(batch.world.actions.low, batch.world.actions.high, (ACTIONS, *batch.last_action.shape))
    actions = torch.as_tensor(given, dtype=batch.last_action.dtype, device="cuda")

    def steps() -> None:
        for chosen in actions:
            batch.step_rows(chosen)

    eager = ACTIONS * rows / seconds(steps)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        steps()
    captured = ACTIONS * rows / seconds(graph.replay)
    share = captured * bytes_per_row(batch) / bandwidth
    return {"world": world_id, "rows": rows, "eager": eager, "graph": captured, "share": share}


def main(world_ids: list[str]) -> None:
    """Measure and print."""
    if not torch.cuda.is_available():
        sys.exit("benchmarks/gpu.py needs a CUDA GPU, and torch finds none")
    device, bandwidth = torch.cuda.get_device_name(), copy_bandwidth()
    print(f"{device}, torch {torch.__version__}, float32 and int32 records; a copy moves {bandwidth / 1e9:.0f} GB/s")
    print(f"{'world':24}{'rows':>10}{'eager M/s':>12}{'graph M/s':>12}{'share':>8}")
    found = []
    for world_id in world_ids or llm_envs.ids():
        for rows in ROWS:
            line = measure(world_id, rows, bandwidth)
            print(f"{world_id:24}{rows:10}{line['eager'] / 1e6:12.1f}{line['graph'] / 1e6:12.1f}{line['share']:8.1%}")
            found.append(line)
    print(json.dumps({"device": device, "copy_bytes_per_second": bandwidth, "steps_per_second": found}))


if __name__ == "__main__":
    main(sys.argv[1:])
