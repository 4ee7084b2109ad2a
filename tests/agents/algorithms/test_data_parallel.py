"""Ranks train as one process does, and a run whose rank dies says so and continues from its checkpoint.

Run by torchrun this file is the ranks' program.
"""

import importlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO as StockPPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.distributions import CategoricalDistribution, DiagGaussianDistribution

from agents import A2C, GRPO, PPO, REINFORCE, RLOO, TRPO, TransformerPolicy
from agents.algorithms import data_parallel
from agents.jobs import checkpoints
from agents.policies.sampling import sample
from llm_envs.adapters.sb3 import TensorVecEnv

SMALL = {"backbone": {"width": 16, "layers": 1, "heads": 2}}
ROWS, STEPS, ITERATIONS = 6, 16, 3
SINGLE, DOUBLE = (torch.float32, 1e-6), (torch.float64, 1e-10)
# TRPO with 5 conjugate gradient steps: of 15, the last ones turn a change of 1e-15 into 1e-7, in one process too.
ADDITION = "Tokens/Addition-v0", {"digits": 2}
TRUNCATED = "Tokens/Addition-v0", {"digits": 2, "max_steps": 2}
MASKED = "Text/Coin-v0", {"window": 64, "max_steps": 7}
CONTINUOUS = "PathPlanner-v0", {"action": "continuous", "max_steps": 5}
EARLY = {"batch_size": 32, "n_epochs": 4, "target_kl": 1e-3, "learning_rate": 3e-3}
CASES = {  # algorithm, world, order, (dtype, bound), options
    "full_batch": (PPO, ADDITION, "runs", SINGLE, {"batch_size": 96, "n_epochs": 2}),
    "minibatches": (PPO, TRUNCATED, "runs", SINGLE, {"batch_size": 20, "n_epochs": 2, "ent_coef": 0.01}),
    "target_kl": (PPO, MASKED, "stock", DOUBLE, EARLY),
    "clipped": (PPO, TRUNCATED, "stock", DOUBLE, {"batch_size": 30, "n_epochs": 2, "max_grad_norm": 0.05}),
    "empty_parts": (PPO, TRUNCATED, "runs", DOUBLE, {"batch_size": 2, "n_epochs": 1, "clip_range_vf": 0.2}),
    "gaussian": (PPO, CONTINUOUS, "runs", SINGLE, {"batch_size": 32, "n_epochs": 2}),
    "kl_loss": (PPO, ADDITION, "runs", DOUBLE, {"batch_size": 30, "n_epochs": 2, "kl": {"coefficient": 0.5}}),
    "kl_reward": (A2C, ADDITION, "runs", DOUBLE, {"kl": {"coefficient": 0.5, "place": "reward"}}),
    "a2c": (A2C, TRUNCATED, "runs", DOUBLE, {"normalize_advantage": True, "ent_coef": 0.01}),
    "a2c_single": (A2C, ADDITION, "runs", SINGLE, {"ent_coef": 0.01}),
    "trpo": (TRPO, MASKED, "runs", DOUBLE, {"batch_size": 40, "n_critic_updates": 2, "cg_max_steps": 5}),
}
GROUPS = "Tokens/Copy-v0", {"length": 3, "vocab_size": 3, "group_size": 3, "weights": {"match": 1.0}}
ADAPTIVE = {"coefficient": 0.5, "target": 0.01}
CASES |= {
    "grpo": (GRPO, GROUPS, "runs", DOUBLE, {"batch_size": 30, "kl": ADAPTIVE}),
    "rloo": (RLOO, GROUPS, "runs", DOUBLE, {}),
    "reinforce": (REINFORCE, GROUPS, "runs", DOUBLE, {"normalize": "batch"}),
}
DYING = {"batch_size": 32, "n_epochs": 2}


class Drawing(BaseCallback):
    """Draws numbers on rank 0 only, as an evaluation does."""

    def _on_rollout_start(self):
        if getattr(self.model, "group", None) is None or self.model.group.rank == 0:
            torch.rand(3)
            np.random.rand(3)  # noqa: NPY002

    def _on_step(self):
        return True


class Saving(BaseCallback):
    """Saves a checkpoint before every rollout; kills rank 1 in the last rollout if asked to."""

    def __init__(self, folder, kill):
        super().__init__()
        self.folder, self.kill = folder, kill

    def _on_rollout_start(self):
        checkpoints.save(self.folder, self.model, {}, group=self.model.group)

    def _on_step(self):
        if self.kill and self.model.group.rank == 1 and self.num_timesteps > 2.5 * ROWS * STEPS:
            os.kill(os.getpid(), signal.SIGKILL)
        return True


def made(algorithm, world, group=None, **options):
    world_id, config = world
    env = TensorVecEnv(world_id, ROWS if group is None else group.rows_per_rank(ROWS), seed=1, **config)
    model = algorithm(
        TransformerPolicy, env, n_steps=STEPS, seed=3, policy_kwargs=dict(SMALL), **options
    )  # A2C writes into it
    if group is not None:
        if group.rank:  # attach makes it rank 0's
            torch.nn.init.zeros_(model.policy.value_net[0].weight)
            torch.manual_seed(99)
        data_parallel.attach(model, group)
    return model


def trained(name, group=None):
    """Train one of the cases and return what must be equal."""
    algorithm, world, order, (dtype, _), options = CASES[name]
    torch.set_default_dtype(dtype)
    try:
        model = made(algorithm, world, group, rollout_buffer_kwargs={"order": order}, **options)
        start = [parameter.detach().clone() for parameter in model.policy.parameters()]
        model.learn(ROWS * STEPS * ITERATIONS, callback=Drawing(), log_interval=None)
    finally:
        torch.set_default_dtype(torch.float32)
    state = next(iter(model.policy.optimizer.state_dict()["state"].values()))
    return {
        "start": start,
        "parameters": [parameter.detach() for parameter in model.policy.parameters()],
        "timesteps": model.num_timesteps,
        "steps": float(state["step"]),
        "episodes": [(float(episode["r"]), int(episode["l"])) for episode in model.ep_info_buffer],
        "logged": {k: float(v) for k, v in model.logger.name_to_value.items() if not k.startswith("time/")},
        "options": [model.max_grad_norm, model.normalize_advantage, getattr(model, "target_kl", None)],
    }


def train_with_checkpoints(folder, group, resume):
    if resume:
        env = TensorVecEnv(TRUNCATED[0], group.rows_per_rank(ROWS), **TRUNCATED[1])
        model, _ = checkpoints.load(checkpoints.checkpoints(folder)[-1], PPO, env, "cpu", group)
        data_parallel.attach(model, group)
    else:
        model = made(PPO, TRUNCATED, group, **DYING)
    remaining = ROWS * STEPS * ITERATIONS - model.num_timesteps
    model.learn(remaining, callback=Saving(folder, kill=not resume), reset_num_timesteps=False)
    if group.rank == 0:
        torch.save([parameter.detach() for parameter in model.policy.parameters()], folder / "end.pt")


def main(folder, resume):
    torch.set_num_threads(1)
    group = data_parallel.start(timeout=60.0)
    if not resume:
        torch.save({name: trained(name, group) for name in CASES}, folder / f"{group.rank}.pt")
    train_with_checkpoints(folder, group, resume)
    importlib.import_module("torch.distributed.nn.functional")  # as torch does by itself now and then
    group.close()
    names = [place.read_text() for place in Path("/proc/self/task").glob("*/comm")]
    assert not [name for name in names if "gloo" in name], "threads that may abort the process as the interpreter ends"


def torchrun(folder, *more):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", __file__]
    settings = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    arguments = [*command, str(folder), *more]
    return subprocess.run(arguments, capture_output=True, text=True, timeout=180, env=settings, check=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return the folder and the end of a run of two ranks that trained all cases, before one of them died."""
    folder = tmp_path_factory.mktemp("ranks")
    return folder, torchrun(folder)


@pytest.fixture(scope="module")
def ranks(run):
    folder, ended = run
    assert (folder / "1.pt").exists(), ended.stderr[-4000:]
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("name", CASES)
def test_two_ranks_equal_one_process(ranks, name):
    """Prompts, masks, truncation, minibatches, epochs, early stop, gradient clipping, advantages normalised or not."""
    one, two, other = trained(name), ranks[0][name], ranks[1][name]
    bound = CASES[name][3][1]
    for a, b, c in zip(one["parameters"], two["parameters"], other["parameters"], strict=True):
        assert torch.equal(b, c), "the ranks parted"
        assert (a - b).abs().max() < bound
    assert max((a - b).abs().max() for a, b in zip(one["start"], one["parameters"], strict=True)) > 1e-4
    for what in ("timesteps", "steps", "episodes", "options"):
        assert one[what] == two[what] == other[what], what
    assert one["logged"].keys() == two["logged"].keys()
    exact = {"train/explained_variance", "train/policy_gradient_loss", "train/policy_objective", "signals/exact"}
    for what in exact & one["logged"].keys():
        assert one["logged"][what] == pytest.approx(two["logged"][what], rel=1e-4, abs=1e-5), what


def test_the_early_stop_stops_early(ranks):
    """Else its case would show nothing: without it there are 3 iterations x 4 epochs x 3 minibatches."""
    assert 0 < ranks[0]["target_kl"]["steps"] < 36


def test_two_ranks_equal_stock_ppo(ranks):
    """SB3's own loop, buffer and update, in one process."""
    _, world, _, _, options = CASES["full_batch"]
    stock = made(StockPPO, world, **options)
    stock.learn(ROWS * STEPS * ITERATIONS, callback=Drawing())
    for a, b in zip(stock.policy.parameters(), ranks[0]["full_batch"]["parameters"], strict=True):
        assert (a - b).abs().max() < 5e-6


def test_a_dead_rank_stops_the_others_and_the_run_resumes(run):
    """SIGKILL gives rank 1 no chance to say anything."""
    folder, died = run
    assert died.returncode != 0
    assert "rank 0 stops: rank 1 of 2 died or cannot be reached" in died.stderr
    assert "--resume" in died.stderr
    assert not (folder / "end.pt").exists()
    resumed = torchrun(folder, "resume")
    assert resumed.returncode == 0, resumed.stderr[-4000:]
    one = made(PPO, TRUNCATED, **DYING)
    one.learn(ROWS * STEPS * ITERATIONS)
    for a, b in zip(one.policy.parameters(), torch.load(folder / "end.pt"), strict=True):
        assert (a - b).abs().max() < 1e-6


def fake(rank, size=2):
    """Return a rank that can do all that needs no other."""
    return data_parallel.Group(rank, size, torch.device("cpu"), None)


def test_ranks_draw_what_torch_draws_for_all_rows():
    logits, loc = torch.randn(6, 5), torch.randn(6, 2)

    def categorical(rows):
        made = CategoricalDistribution(5)
        return made.proba_distribution(logits[rows])

    def gaussian(rows):
        made = DiagGaussianDistribution(2)
        return made.proba_distribution(loc[rows], torch.tensor([0.1, -0.3]))

    for distribution in (categorical, gaussian):
        torch.manual_seed(0)
        whole, parts = distribution(slice(None)).distribution.sample(), []
        for rank in range(3):
            torch.manual_seed(0)
            parts.append(sample(distribution(slice(2 * rank, 2 * rank + 2)), False, fake(rank, 3)))
        assert torch.equal(torch.cat(parts), whole)


def test_outside_torchrun_there_is_no_group():
    assert data_parallel.start() is None


def test_rows_are_shared_evenly():
    assert fake(0).rows_per_rank(6) == 3
    with pytest.raises(ValueError, match="7 rows cannot be divided among 2 ranks"):
        fake(0).rows_per_rank(7)


@pytest.mark.parametrize(
    ("algorithm", "options", "env_options", "message"),
    [
        (StockPPO, {"batch_size": 8}, {}, "the algorithms of `agents` have one"),
        (A2C, {"replay": {"capacity": 100}}, {}, "leave out replay"),
        (TRPO, {"sub_sampling_factor": 2}, {}, "sub_sampling_factor"),
        (PPO, {"batch_size": 8}, {"order": "sweep"}, "order='sweep'"),
    ],
)
def test_what_has_no_data_parallel_form_is_refused(algorithm, options, env_options, message):
    env = TensorVecEnv("Tokens/Addition-v0", 4, digits=1, **env_options)
    model = algorithm(TransformerPolicy, env, n_steps=8, policy_kwargs=dict(SMALL), **options)  # A2C writes into it
    with pytest.raises(ValueError, match=message):
        data_parallel.attach(model, fake(0))


if __name__ == "__main__":
    main(Path(sys.argv[1]), "resume" in sys.argv[2:])
