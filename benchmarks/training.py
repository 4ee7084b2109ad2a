"""Training: Stable-Baselines3's algorithms beside ours, with the same policy, world, seeds and settings, one thread.

    python benchmarks/training.py              all sections, some minutes
    python benchmarks/training.py ppo trpo     only these
    python benchmarks/training.py --quick      a smoke run; its figures mean nothing

ppo      width 256, 4 layers, T = 64, 32 rows; batch 1,024 and 256, 1 and 4 epochs: tokens/s of whole iterations
rollout  the same without updates
trpo     CPU seconds of an update, width 64, 2 layers, T = 32, 8 rows x 32 steps, 10 critic updates
profile  where an iteration of ours goes
memory   1,024 rows x 256 tokens, width 256, 4 layers: peak memory of a process of its own
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from typing import Any

import torch
from ragged import ragged
from sb3_contrib import TRPO as StockTRPO
from stable_baselines3 import PPO as StockPPO
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.profiler import ProfilerActivity, profile

from agents import PPO, TRPO, TransformerPolicy
from agents.policies.packing import Sequences
from llm_envs.adapters.sb3 import TensorVecEnv
from llm_envs.engine.batch import BatchEnv

WIDE = {"width": 256, "layers": 4, "heads": 4}
MATMUL = ("mm", "addmm", "bmm", "linear", "matmul", "baddbmm")
SAMPLING = ("exponential", "argmax", "softmax", "logsumexp")


class FullWindows(TransformerPolicy):
    """The same policy as it reads without packing: the whole window of every state, padding and all."""

    def features(self, obs: Any) -> torch.Tensor:
        """Return features (B, D)."""
        states = Sequences.of(obs)
        return self._features(replace(states, lengths=torch.full_like(states.lengths, self.trunk.window)))


def model_of(algorithm: type, rows: int, backbone: dict, world: dict | None = None, **options: Any) -> Any:
    """Return an algorithm on the ragged world."""
    env = TensorVecEnv(BatchEnv(ragged(**(world or {})), rows, seed=0, threads=1))
    policy_kwargs = {"backbone": backbone, **options.pop("policy_kwargs", {})}
    policy = options.pop("policy", TransformerPolicy)
    return algorithm(policy, env, device="cpu", seed=0, policy_kwargs=policy_kwargs, **options)


def tokens_per_second(model: Any, iterations: int) -> float:
    """Return tokens/s of whole iterations, after one that does not count."""
    tokens = model.n_steps * model.n_envs
    model.learn(tokens)
    start = time.perf_counter()
    model.learn(iterations * tokens, reset_num_timesteps=False)
    return iterations * tokens / (time.perf_counter() - start)


def measure_ppo(quick: bool) -> list[dict]:
    """Whole iterations."""
    rows = []
    for batch, epochs, target in ((1024, 1, 40), (1024, 4, 50), (256, 1, 30), (256, 4, None)):
        settings = {"batch_size": batch, "n_epochs": epochs}
        steps = 8 if quick else 32
        packed = tokens_per_second(model_of(StockPPO, 32, WIDE, n_steps=steps, **settings), 1) if epochs == 1 else None
        stock = tokens_per_second(model_of(StockPPO, 32, WIDE, policy=FullWindows, n_steps=steps, **settings), 1)
        ours = tokens_per_second(model_of(PPO, 32, WIDE, n_steps=16 if quick else 256, **settings), 1 if quick else 3)
        what = f"PPO, batch {batch}, {epochs} epochs"
        rows.append(figure(what, stock, ours, "tokens/s", target))
        if packed:
            rows.append(figure(f"{what}; stock with our packing", packed, ours, "tokens/s", None))
    return rows


def measure_rollout(quick: bool) -> list[dict]:
    """`collect_rollouts` alone."""
    found = []
    for algorithm, steps in ((StockPPO, 8 if quick else 64), (PPO, 16 if quick else 256)):
        policy = FullWindows if algorithm is StockPPO else TransformerPolicy
        model = model_of(algorithm, 32, WIDE, policy=policy, n_steps=steps, batch_size=32)
        model._setup_learn(1)
        callback = model._init_callback(None)
        spent = []
        for _ in range(2 if quick else 4):
            model.rollout_buffer.reset()
            start = time.perf_counter()
            model.collect_rollouts(model.env, callback, model.rollout_buffer, steps)
            spent.append(time.perf_counter() - start)
        found.append(32 * steps / statistics.median(spent[1:]))
    return [figure("rollout", *found, "tokens/s", None)]


def measure_trpo(quick: bool) -> list[dict]:
    """One update, CPU seconds; sb3-contrib's needs attention that can be differentiated twice."""
    found = []
    backbone = {"width": 64, "layers": 2, "heads": 4}
    world = {"window": 32, "shortest": 20, "longest": 30}
    for algorithm, updates in ((StockTRPO, 1), (TRPO, 3)):
        policy = FullWindows if algorithm is StockTRPO else TransformerPolicy
        options = {"policy": policy, "n_steps": 32, "batch_size": 128, "n_critic_updates": 10}
        model = model_of(algorithm, 8, backbone, world, **options)
        model._setup_learn(1)
        callback = model._init_callback(None)
        model.collect_rollouts(model.env, callback, model.rollout_buffer, 32)
        spent = []
        for _ in range(updates):
            start = time.process_time()
            with sdpa_kernel(SDPBackend.MATH if algorithm is StockTRPO else list(SDPBackend.__members__.values())[1:3]):
                model.train()
            spent.append(time.process_time() - start)
        found.append(1 / statistics.median(spent))
    return [figure("TRPO update", *found, "updates/CPU s", 80)]


def measure_profile(quick: bool) -> list[dict]:
    """Shares of an iteration's time on the CPU, by kind of operation."""
    model = model_of(PPO, 32, WIDE, n_steps=16 if quick else 256, batch_size=1024, n_epochs=1)
    tokens = model.n_steps * 32
    model.learn(tokens)
    start = time.process_time()
    model.learn(tokens, reset_num_timesteps=False)
    unprofiled = time.process_time() - start
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        model.learn(tokens, reset_num_timesteps=False)
    kinds = {"matrix products": 0.0, "attention": 0.0, "sampling": 0.0, "other": 0.0}
    others: dict[str, float] = {}
    for event in seen.key_averages():
        name, spent = event.key.removeprefix("aten::"), event.self_cpu_time_total
        if "attention" in name:
            kinds["attention"] += spent
        elif name in MATMUL:
            kinds["matrix products"] += spent
        elif name.strip("_") in SAMPLING:
            kinds["sampling"] += spent
        else:
            kinds["other"] += spent
            others[name] = others.get(name, 0.0) + spent
    total = sum(kinds.values())
    rows = [{"what": f"profile: {kind}", "value": spent / total, "unit": "share"} for kind, spent in kinds.items()]
    inside = sum(spent for kind, spent in kinds.items() if kind != "other") / 1e6  # the profiler slows what is small
    rows.append({"what": "profile: outside, of an iteration without profiler", "value": 1 - inside / unprofiled})
    rows[-1] |= {"unit": "share", "target": 0.25}
    largest = sorted(others.items(), key=lambda pair: -pair[1])[:14]
    rows += [{"what": f"profile: other, {name}", "value": spent / total, "unit": "share"} for name, spent in largest]
    return rows


def measure_memory(quick: bool) -> list[dict]:
    """Peak memory in a process of its own."""
    rows = "64" if quick else "1024"
    out = subprocess.run([sys.executable, __file__, "--peak", rows], capture_output=True, text=True, check=True).stdout
    return [{"what": f"memory: {rows} rows x 256 tokens", "value": float(out.split()[-1]), "unit": "GiB", "target": 6}]


def peak(rows: int) -> float:
    """Run one iteration, whose rollout begins in the middle of texts, and return the process's peak in GiB."""
    world = {"window": 256, "shortest": 200, "longest": 256}
    limits = {"max_tokens_per_pass": 8192}
    model = model_of(PPO, rows, WIDE, world, n_steps=256, batch_size=rows * 256, n_epochs=1, policy_kwargs=limits)
    model.learn(rows * 256 * 2)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def figure(what: str, stock: float, ours: float, unit: str, target: float | None) -> dict:
    """Return one row of the table."""
    return {"what": what, "stock": stock, "value": ours, "unit": unit, "ratio": ours / stock, "target": target}


SECTIONS = {
    "ppo": measure_ppo,
    "rollout": measure_rollout,
    "trpo": measure_trpo,
    "profile": measure_profile,
    "memory": measure_memory,
}


def main() -> None:
    """Measure the sections asked for; print a Markdown table and, as the last line, JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", help=", ".join(SECTIONS))
    parser.add_argument("--quick", action="store_true", help="a smoke run; its figures mean nothing")
    parser.add_argument("--peak", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if unknown := [name for name in options.sections if name not in SECTIONS]:
        parser.error(f"no section {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    torch.set_num_threads(1)
    if options.peak:
        print(peak(options.peak))
        return
    rows = []
    print("| what | stock | ours | unit | ratio | at least |\n| --- | --- | --- | --- | --- | --- |")
    for section in options.sections or SECTIONS:
        for row in SECTIONS[section](options.quick):
            rows.append(row)
            cells = [f"{row[key]:,.3g}" if row.get(key) is not None else "" for key in ("stock", "value")]
            ratio, target = (f"{row[key]:,.3g}" if row.get(key) else "" for key in ("ratio", "target"))
            print(f"| {row['what']} | {cells[0]} | {cells[1]} | {row['unit']} | {ratio} | {target} |", flush=True)
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
