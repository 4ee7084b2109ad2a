"""`torchrun -m agents.train`: ranks train as one process does; a dead one stops the others; `--resume` continues."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from training import state

from agents.algorithms import data_parallel
from agents.jobs import checkpoints
from agents.jobs.job import make_env, make_model, train
from agents.jobs.settings import parse

TINY = "Tokens/Copy-v0 --set length=2 vocab_size=3 pool=300 --weights match=1 --num-envs 16 --steps 1200"
TINY += " --warm.episodes 200 --warm.epochs 1 --backbone.width 16 --backbone.layers 1 --backbone.heads 2"
TINY += " --backbone.dropout 0 --validate-every 3 --stop-at 2.0 --device cpu --threads 1 --checkpoint-every 0"
ALGORITHMS = {  # one whose episodes span rollouts, one of whole episodes in groups
    "ppo": "--algo ppo --n-steps 9 --batch-size 60 --n-epochs 2",
    "grpo": "--algo grpo --group-size 4 --batch-size 60 --kl.coefficient 0.1 --kl.target 0.01",
}
LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "agents.train"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}


def started(algo, out, *more):
    """Start two ranks."""
    command = [*LAUNCH, *TINY.split(), *ALGORITHMS[algo].split(), "--out", str(out), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)


def alone(algo, out):
    """Train in this process."""
    threads = torch.get_num_threads()
    train(parse([*TINY.split(), *ALGORITHMS[algo].split(), "--out", str(out), "--checkpoint-every", "1e9"]))
    torch.set_num_threads(threads)
    return out


def check_equal(one, two):
    """Compare parameters, optimiser and what was logged of all rows."""
    first, second = state(one), state(two)
    assert first.keys() == second.keys()
    for name in first:
        torch.testing.assert_close(second[name], first[name], atol=1e-6, rtol=1e-6, msg=lambda text, at=name: at + text)
    first, second = (list(csv.DictReader((out / "progress.csv").open())) for out in (one, two))
    names = ["time/total_timesteps", "signals/match", "validation/exact", "rollout/entropy", "rollout/ep_rew_mean"]
    assert set(names) <= first[-1].keys()
    for name in names:
        values = [np.array([float(row[name] or "nan") for row in rows]) for rows in (first, second)]
        np.testing.assert_allclose(values[1], values[0], atol=1e-5, rtol=1e-5, err_msg=name)


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """Return the folder of a finished run of two ranks, that of one process, and what the ranks said."""
    folder = tmp_path_factory.mktemp("ranks")
    running = started("ppo", folder / "two")
    one = alone("ppo", folder / "one")
    output, errors = running.communicate(timeout=120)
    assert running.returncode == 0, errors[-4000:]
    return one, folder / "two", output


def test_two_ranks_end_as_one_process(ranks):
    one, two, _ = ranks
    check_equal(one, two)
    (before,) = checkpoints.checkpoints(one)
    trained, fresh = state(one), state(before)
    assert max((trained[name] - fresh[name]).abs().max() for name in fresh if name.startswith("policy.")) > 1e-3


def test_only_one_rank_speaks_and_writes(ranks):
    _, two, output = ranks
    assert output.count("training levels") == output.count("before RL") == 1
    assert "2 processes" in output
    assert len(list((two / "tensorboard").iterdir())) == 1
    assert {path.name for path in two.iterdir()} >= {"options.yaml", "progress.csv", "results.json", "model.zip"}
    assert not list(two.glob(".writing-*"))


def test_a_run_goes_on_with_as_many_ranks_as_it_had(ranks):
    _, two, _ = ranks
    with pytest.raises(ValueError, match=r"saved by 2 processes, not 1: torchrun --nproc-per-node 2"):
        train(parse(["--resume", "--out", str(two), "--steps", "4000"]))


def test_a_killed_rank_stops_the_others_and_resume_goes_on(tmp_path):
    running = started("grpo", tmp_path / "two")
    while len(checkpoints.checkpoints(tmp_path / "two")) < 2:
        assert running.poll() is None, running.communicate()[1][-4000:]
        time.sleep(0.01)
    os.kill(rank_of(running.pid, 1), signal.SIGKILL)
    _, errors = running.communicate(timeout=120)
    assert running.returncode != 0
    assert "rank 0 stops: rank 1 of 2 died or cannot be reached" in errors
    assert "--resume" in errors
    assert not (tmp_path / "two" / "model.zip").exists()
    running = started("grpo", tmp_path / "two", "--resume")
    one = alone("grpo", tmp_path / "one")
    output, errors = running.communicate(timeout=120)
    assert running.returncode == 0, errors[-4000:]
    assert "resumed at" in output
    check_equal(one, tmp_path / "two")


def rank_of(launcher, rank):
    """Return the process id of a rank."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == launcher and f"RANK={rank}".encode() in (place / "environ").read_bytes().split(b"\0"):
                return int(place.name)
        except FileNotFoundError:  # it has ended meanwhile
            continue
    raise AssertionError(f"the launcher has no rank {rank}")


def test_what_ranks_cannot_share_is_refused():
    pair = data_parallel.Group(0, 2, torch.device("cpu"), None)
    odd = parse(["Tokens/Copy-v0", "--num-envs", "15"])
    with pytest.raises(ValueError, match="15 rows cannot be divided among"):
        make_env(odd, {"pool": 64}, "cpu", pair)
    trpo = parse(["Tokens/Copy-v0", "--algo", "trpo", "--num-envs", "4"])
    with pytest.raises(ValueError, match=r"fisher_share is 0\.1; .* --fisher-share 1"):
        make_model(trpo, make_env(trpo, {"pool": 64}, "cpu", pair), "cpu", pair)


# ---------------------------------------------------------------------- the end of a rank

STORE = """
import torch.distributed as dist
store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
print(store.port, flush=True)
input()
"""
RANK = """
import atexit
from agents.distributed.group import Heartbeat
heartbeat = Heartbeat(0, 2)
atexit.register(heartbeat.stop)
heartbeat.start()
print("beats", flush=True)
input()
"""


def test_a_rank_ends_in_order_though_the_store_is_slow_to_answer():
    """A thread that returns from the store's C++ into an interpreter that has ended would abort the process."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", STORE], **pipes) as store:
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": store.stdout.readline().strip()}
        with subprocess.Popen([sys.executable, "-c", RANK], **pipes, env={**ENVIRONMENT, **place}) as rank:
            assert rank.stdout.readline() == "beats\n"
            store.send_signal(signal.SIGSTOP)
            time.sleep(1.0)  # the thread is waiting for the store by now
            rank.stdin.write("\n")
            rank.stdin.flush()
            with pytest.raises(subprocess.TimeoutExpired):
                rank.wait(2.5)
            store.send_signal(signal.SIGCONT)
            assert rank.wait(60) == 0
        store.stdin.write("\n")
