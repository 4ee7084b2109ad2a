"""Two threads on a free and on a busy machine: the rows' (steps/s) and torch's (seconds of training).

    python benchmarks/threads.py              under two minutes, on an otherwise idle machine of two cores
    python benchmarks/threads.py --training   the same for `python -m agents.train`, some minutes
    python benchmarks/threads.py --quick      a smoke run; its figures mean nothing

"busy": one other process spins, wherever the system puts it; "pinned": it spins on the last core alone. A batch's
default number of threads and one take turns in one process, and the medians over the turns are reported; a process for
every order in which torch, numba and llm_envs can be imported. What bounds the ratio is the share of the second core
that is left: 2 with both free, 1.5 beside a process that takes its half.
"""

import argparse
import contextlib
import itertools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

ROWS = 4096
WORLDS = ("Nav/FourRooms-v0", "Tokens/Addition-v0")
ORDERS = list(itertools.permutations(("torch", "numba", "llm_envs")))
LOADS = ("free", "busy", "pinned")
SPIN = """
import os, sys
if sys.argv[1] == "pinned":
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
while True:
    pass
"""
TARGETS = {"free": 1.6, "busy": 0.8, "pinned": 0.8}  # least ratio of a batch's own threads to one thread
SHORT = {"steps": 30_720, "warm.epochs": 1, "warm.episodes": 5000, "warm.stop-at": 2, "stop-at": 2}  # a short run
SLOWDOWN = 2.0  # most times as long that training may take on a busy machine


@contextlib.contextmanager
def load(kind: str) -> Iterator[None]:
    """Keep one core busy meanwhile, unless `kind` is "free"."""
    if kind == "free":
        yield
        return
    with subprocess.Popen([sys.executable, "-c", SPIN, kind]) as spinning:
        try:
            time.sleep(0.2)
            yield
        finally:
            spinning.kill()


def measure_order(order: list[str], seconds: float, repeats: int) -> dict[str, dict[str, float]]:
    """Return steps/s by world and number of threads, with the modules imported in this order."""
    for module in order:
        __import__(module)
    import run  # imports them too

    effort, found = run.Effort(seconds, repeats, 1), {}
    for world_id in WORLDS:
        contenders = {name: run.batch_work(world_id, ROWS, n)[1] for name, n in (("default", None), ("one", 1))}
        found[world_id] = run.rates(contenders, effort)
    return found


def rows(seconds: float, repeats: int, orders: list[tuple[str, ...]]) -> list[dict]:
    """Measure each order under each load, in a process of its own."""
    lines = []
    print("| load | imported | world | one thread, M steps/s | default | ratio | target |\n" + "| --- " * 7 + "|")
    for kind, order in itertools.product(LOADS, orders):
        command = [sys.executable, __file__, "--order", *order, "--seconds", str(seconds)]
        command += ["--repeats", str(repeats)]
        with load(kind):
            done = subprocess.run(command, check=True, capture_output=True, text=True)
        for world_id, rates in json.loads(done.stdout).items():
            line = {"load": kind, "order": " ".join(order), "world": world_id, **rates}
            line["ratio"] = rates["default"] / rates["one"]
            lines.append(line)
            figures = f"{rates['one'] / 1e6:.1f} | {rates['default'] / 1e6:.1f} | {line['ratio']:.2f}"
            print(f"| {kind} | {line['order']} | {world_id} | {figures} | >= {TARGETS[kind]} |", flush=True)
    return lines


def training(extra: list[str]) -> list[dict]:
    """Return the seconds of one short training run under each load."""
    lines: list[dict] = []
    print("| load | seconds of training | times as long | target |\n| --- | --- | --- | --- |")
    for kind in LOADS:
        with tempfile.TemporaryDirectory() as folder, load(kind):
            start = time.perf_counter()
            command = [sys.executable, "-m", "agents.train", "Tokens/Addition-v0", "--out", folder]
            command += [f"--{name}={value}" for name, value in SHORT.items()]
            subprocess.run([*command, *extra], check=True, capture_output=True)
            seconds = time.perf_counter() - start
        free = lines[0]["seconds"] if lines else seconds
        lines.append({"load": kind, "seconds": seconds, "slowdown": seconds / free})
        print(f"| {kind} | {seconds:.1f} | {lines[-1]['slowdown']:.2f} | <= {SLOWDOWN} |", flush=True)
    return lines


def main() -> None:
    """Measure, print a Markdown table and, as the last line, JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--training", action="store_true", help="measure training in place of batches")
    parser.add_argument("--quick", action="store_true", help="a smoke run; its figures mean nothing")
    parser.add_argument("--order", nargs="*", help="measure in this process, with these modules imported in this order")
    parser.add_argument("--seconds", type=float, default=0.15, help="of each turn")
    parser.add_argument("--repeats", type=int, default=5)
    options, extra = parser.parse_known_args()  # what is left is for agents.train
    if options.order:
        print(json.dumps(measure_order(options.order, options.seconds, options.repeats)))
        return
    if options.training:
        lines = training(extra)
    elif options.quick:
        lines = rows(0.02, 1, ORDERS[:1])
    else:
        lines = rows(options.seconds, options.repeats, ORDERS)
    import run

    print(json.dumps(run.machine() | {"quick": options.quick, "figures": lines}))


if __name__ == "__main__":
    main()
