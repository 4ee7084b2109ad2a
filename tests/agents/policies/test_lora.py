"""What of a policy trains, and how: adapters, frozen parameters, weight decay, bfloat16, dropout."""

import pytest
import torch

from agents import PPO, TransformerPolicy
from agents.policies.lora import merge_low_rank
from llm_envs.adapters.sb3 import TensorVecEnv

SMALL = {"backbone": {"width": 16, "layers": 1, "heads": 2}}
COPY = {"length": 4, "vocab_size": 3}


def test_low_rank_adapters_train_alone_and_merge():
    env = TensorVecEnv("Tokens/Copy-v0", 8, **COPY)
    kwargs = {**SMALL, "low_rank": 2, "frozen": ("value_net.0",)}
    model = PPO("TransformerPolicy", env, n_steps=16, seed=0, learning_rate=0.01, device="cpu", policy_kwargs=kwargs)
    start = {name: p.detach().clone() for name, p in model.policy.named_parameters()}
    model.learn(256)
    changed = {name for name, p in model.policy.named_parameters() if not torch.equal(p, start[name])}
    assert changed
    assert all("0.a" in name or "0.b" in name or name.startswith("value_net.2") for name in changed)
    obs = env.reset_tensor(seed=0)
    with torch.no_grad():
        before = model.policy.features(obs)
        merge_low_rank(model.policy.trunk)
        assert torch.allclose(model.policy.features(obs), before, atol=1e-5)
    assert not any("parametrizations" in name for name, _ in model.policy.named_parameters())


def test_weight_decay_shrinks_matrices_alone():
    env = TensorVecEnv("Tokens/Copy-v0", 8, **COPY)
    policy = TransformerPolicy(env.observation_space, env.action_space, lambda _: 0.1, **SMALL, weight_decay=0.5)
    gains = {name: p.detach().clone() for name, p in policy.named_parameters()}
    for parameter in policy.parameters():
        parameter.grad = torch.zeros_like(parameter)
    policy.optimizer.step()
    for name, parameter in policy.named_parameters():
        assert torch.allclose(parameter, gains[name] * (0.95 if parameter.ndim > 1 else 1.0)), name


def test_unknown_names_and_ranks_are_refused():
    env = TensorVecEnv("Tokens/Copy-v0", 8, **COPY)
    for options, message in (({"frozen": ("trunk.nothing",)}, "trunk.nothing"), ({"low_rank": -1}, "low_rank is -1")):
        with pytest.raises(ValueError, match=message):
            TransformerPolicy(env.observation_space, env.action_space, lambda _: 0.1, **SMALL, **options)


def test_bfloat16_is_near_float32_and_trains():
    env = TensorVecEnv("Tokens/Copy-v0", 8, **COPY)
    obs = env.reset_tensor(seed=0)
    plain, low = (
        PPO("TransformerPolicy", env, n_steps=16, seed=0, device="cpu", policy_kwargs={**SMALL, "autocast": kind})
        for kind in (None, "bfloat16")
    )
    with torch.no_grad():
        a, b = plain.policy.features(obs), low.policy.features(obs)
    assert b.dtype == torch.float32
    assert 0 < (a - b).abs().max() < 0.1
    low.learn(256)


def test_dropout_is_off_in_rollouts_and_on_in_updates():
    env = TensorVecEnv("Tokens/Copy-v0", 8, **COPY)
    options = {**SMALL, "backbone": {**SMALL["backbone"], "dropout": 0.5}}
    model = PPO("TransformerPolicy", env, n_steps=16, seed=0, device="cpu", policy_kwargs=options)
    model._setup_learn(1)
    buffer = model.rollout_buffer
    model.collect_rollouts(model.env, model._init_callback(None), buffer, model.n_steps)
    batch = buffer.samples(buffer.valid_indices(), buffer.runs())
    with torch.no_grad():
        assert torch.allclose(
            model.policy.evaluate_actions(batch.observations, batch.actions)[1], batch.old_log_prob, atol=1e-5
        )
        model.policy.set_training_mode(True)
        assert not torch.allclose(
            model.policy.evaluate_actions(batch.observations, batch.actions)[1], batch.old_log_prob, atol=1e-2
        )
