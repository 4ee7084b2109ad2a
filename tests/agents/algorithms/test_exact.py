"""With equal seeds our algorithms end with the parameters of the stock ones: only where the numbers live differs."""

import numpy as np
import pytest
import torch
from sb3_contrib import TRPO as StockTRPO
from stable_baselines3 import A2C as StockA2C
from stable_baselines3 import PPO as StockPPO
from torch.nn.attention import SDPBackend, sdpa_kernel

from agents import A2C, PPO, TRPO, TransformerPolicy
from agents.objectives.advantages import generalized_advantage
from llm_envs.adapters.sb3 import TensorVecEnv

SMALL = {"width": 16, "layers": 2, "heads": 2}
PROMPTS = "Tokens/Addition-v0", {"digits": 2}
TRUNCATION = "Tokens/Addition-v0", {"digits": 2, "max_steps": 2}
MASKS = "Text/Coin-v0", {"window": 64, "max_steps": 7}  # whose windows drop their oldest half, too
CONTINUOUS = "PathPlanner-v0", {"action": "continuous", "max_steps": 5}


class DoublePolicy(TransformerPolicy):
    """Float64 parameters."""

    def _build(self, lr_schedule):
        super()._build(lr_schedule)
        self.double()
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)


def trained(algorithm, world, policy=TransformerPolicy, iterations=3, policy_kwargs=None, **options):
    """Train on 4 rows x 16 steps; the optimiser is SB3's Adam, whose larger epsilon does not amplify rounding."""
    world_id, config = world
    env = TensorVecEnv(world_id, 4, seed=0, **config)
    kwargs = {"backbone": SMALL, "optimizer_kwargs": {"eps": 1e-5}, **(policy_kwargs or {})}
    model = algorithm(policy, env, n_steps=16, seed=3, device="cpu", policy_kwargs=kwargs, **options)
    start = [parameter.detach().clone() for parameter in model.policy.parameters()]
    model.learn(iterations * 64)
    return model, max((a - b).abs().max().item() for a, b in zip(start, model.policy.parameters(), strict=True))


def difference(a, b):
    return max((x - y).abs().max().item() for x, y in zip(a.policy.parameters(), b.policy.parameters(), strict=True))


PPO_CASES = [
    (PROMPTS, {"batch_size": 64, "n_epochs": 3}),
    (PROMPTS, {"batch_size": 16, "n_epochs": 3}),
    (PROMPTS, {"batch_size": 24, "n_epochs": 4, "target_kl": 0.003}),
    (TRUNCATION, {"batch_size": 64, "n_epochs": 2, "ent_coef": 0.01, "clip_range_vf": 0.2}),
    (TRUNCATION, {"batch_size": 16, "n_epochs": 2}),
    (MASKS, {"batch_size": 64, "n_epochs": 2}),
    (MASKS, {"batch_size": 16, "n_epochs": 2, "target_kl": 0.003}),
    (CONTINUOUS, {"batch_size": 32, "ent_coef": 0.01}),
]


@pytest.mark.parametrize(("world", "options"), PPO_CASES)
def test_ppo_in_double_precision_and_stock_order(world, options):
    stock, moved = trained(StockPPO, world, DoublePolicy, **options)
    ours, _ = trained(PPO, world, DoublePolicy, rollout_buffer_kwargs={"order": "stock"}, **options)
    assert difference(stock, ours) < 1e-10
    assert moved > 1e-4
    assert stock.num_timesteps == ours.num_timesteps


@pytest.mark.parametrize(("world", "options"), [case for case in PPO_CASES if case[1]["batch_size"] == 64])
@pytest.mark.parametrize("limit", [None, 40])
def test_ppo_in_single_precision_and_full_batches(world, options, limit):
    """Whole-episode minibatches; with a limit of tokens in a pass the update recomputes group by group."""
    stock, moved = trained(StockPPO, world, **options)
    ours, _ = trained(PPO, world, policy_kwargs={"max_tokens_per_pass": limit}, **options)
    assert difference(stock, ours) < 1e-6
    assert moved > 1e-4


@pytest.mark.parametrize("world", [PROMPTS, TRUNCATION, MASKS])
@pytest.mark.parametrize("normalize", [False, True])
def test_a2c(world, normalize):
    options = {"normalize_advantage": normalize, "ent_coef": 0.01}
    stock, moved = trained(StockA2C, world, DoublePolicy, **options)
    ours, _ = trained(A2C, world, DoublePolicy, rollout_buffer_kwargs={"order": "stock"}, **options)
    assert difference(stock, ours) < 1e-10
    assert moved > 1e-4
    stock, _ = trained(StockA2C, world, **options)
    ours, _ = trained(A2C, world, **options)
    assert difference(stock, ours) < 1e-6


@pytest.mark.parametrize(("world", "iterations"), [(PROMPTS, 3), (TRUNCATION, 1), (MASKS, 1), (CONTINUOUS, 3)])
@pytest.mark.parametrize("shared", [False, True])
def test_trpo(world, iterations, shared):
    """With 4 conjugate gradient steps: each amplifies rounding about tenfold on these nearly singular matrices."""
    options = {"iterations": iterations, "batch_size": 16, "n_critic_updates": 3, "cg_max_steps": 4}
    options["policy_kwargs"] = {"shared_value": shared}
    with sdpa_kernel(SDPBackend.MATH):  # sb3-contrib differentiates twice, which fused attention cannot
        stock, moved = trained(StockTRPO, world, DoublePolicy, **options)
    ours, _ = trained(TRPO, world, DoublePolicy, rollout_buffer_kwargs={"order": "stock"}, **options)
    assert difference(stock, ours) < 1e-9
    assert moved > 1e-3


def test_trpo_subsamples_as_stock_slices():
    """sub_sampling_factor k takes every k-th state; stock fails on dictionaries."""
    model, moved = trained(TRPO, PROMPTS, batch_size=16, sub_sampling_factor=2)
    assert moved > 1e-4
    assert all(parameter.is_leaf for parameter in model.policy.parameters())


@pytest.mark.parametrize("world", [PROMPTS, CONTINUOUS])
def test_trpo_with_the_fisher_matrix_of_some_texts(world):
    """A third of them give another step, which the line search still accepts."""
    whole, _ = trained(TRPO, world, iterations=1, batch_size=16)
    part, moved = trained(TRPO, world, iterations=1, batch_size=16, fisher_share=0.34)
    assert difference(whole, part) > 1e-3
    assert moved > 1e-3


def test_trpo_keeps_parameters_in_their_memory():
    """The line search rebinds `data`; graphs captured before know the old memory."""
    env = TensorVecEnv("Tokens/Addition-v0", 4, digits=2)
    model = TRPO(TransformerPolicy, env, n_steps=16, batch_size=16, device="cpu", policy_kwargs={"backbone": SMALL})
    homes = [(parameter, parameter.data_ptr()) for parameter in model.policy.parameters()]
    model.learn(128)
    assert [(id(a), a.data_ptr()) for a in model.policy.parameters()] == [(id(a), home) for a, home in homes]


def test_trpo_refuses_dropout_and_a_kl_loss():
    env = TensorVecEnv("Tokens/Addition-v0", 4)
    with pytest.raises(ValueError, match="needs 0"):
        TRPO(TransformerPolicy, env, policy_kwargs={"backbone": {**SMALL, "dropout": 0.1}})
    with pytest.raises(ValueError, match="place"):
        TRPO(TransformerPolicy, env, kl={"coefficient": 0.1}, policy_kwargs={"backbone": SMALL})


def test_gae_on_ragged_random_episodes():
    """Against the definition: A_t = sum_k (gamma lambda)^k delta_{t+k} up to the episode's end."""
    rng = np.random.default_rng(0)
    time, rows, gamma, lam = 40, 7, 0.97, 0.9
    rewards, values, last = rng.normal(size=(time, rows)), rng.normal(size=(time, rows)), rng.normal(size=rows)
    dones = rng.random((time, rows)) < 0.15
    expected = np.zeros((time, rows))
    for n in range(rows):
        for t in range(time):
            weight = 1.0
            for k in range(t, time):
                following = 0.0 if dones[k, n] else (values[k + 1, n] if k + 1 < time else last[n])
                expected[t, n] += weight * (rewards[k, n] + gamma * following - values[k, n])
                weight *= gamma * lam
                if dones[k, n]:
                    break
    given = [torch.as_tensor(x) for x in (rewards, values, last, dones)]
    assert np.allclose(generalized_advantage(*given, gamma, lam).numpy(), expected, atol=1e-12)
