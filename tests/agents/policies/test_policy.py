"""The transformer policy: what it reads and masks, and that one pass over a text is many over its prefixes."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import A2C
from stable_baselines3 import PPO as StockPPO
from worlds import DISTINCT

from agents import PPO, TransformerPolicy
from agents.backbones import Transformer, TransformerConfig
from agents.policies.packing import balanced_cuts, find_runs, gather, shuffled_by_run
from agents.policies.sampling import sample
from llm_envs.adapters.sb3 import TensorVecEnv

SMALL = {"backbone": {"width": 16, "layers": 2, "heads": 2}}


def policy_of(world_id, **config):
    env = TensorVecEnv(world_id, 4, **config)
    return env, TransformerPolicy(env.observation_space, env.action_space, lambda _: 1e-3, **SMALL)


@pytest.mark.parametrize("positions", ["rotary", "learned"])
def test_a_position_sees_no_later_token(positions):
    torch.manual_seed(0)
    model = Transformer(7, 12, TransformerConfig(width=16, layers=2, heads=2, positions=positions))
    tokens = torch.randint(0, 7, (3, 12))
    changed = tokens.clone()
    changed[:, 6:] = (changed[:, 6:] + 1) % 7
    before, after = model(tokens), model(changed)
    assert torch.equal(before[:, :6], after[:, :6])
    assert not torch.allclose(before[:, 6:], after[:, 6:])


def test_rotary_attention_depends_on_distance_alone():
    """The same two tokens, moved along together, attend to each other equally: RoFormer's equation 16."""
    from agents.backbones.transformer import rotary_angles, rotate

    torch.manual_seed(0)
    q, k = torch.randn(8), torch.randn(8)
    cos, sin = rotary_angles(32, 8)
    turned = [rotate(x.expand(32, 1, 1, 8), cos, sin)[:, 0, 0] for x in (q, k)]
    scores = turned[0] @ turned[1].T
    assert torch.allclose(scores[10, 4], scores[26, 20], atol=1e-5)
    assert not torch.allclose(scores[10, 4], scores[10, 5], atol=1e-3)


def test_padding_after_the_text_changes_nothing():
    _, policy = policy_of("Tokens/Copy-v0")
    tokens = torch.zeros(2, 32, dtype=torch.int32)
    tokens[:, :5] = torch.tensor([4, 5, 6, 2, 4])
    padded = tokens.clone()
    padded[1, 5:] = 9
    length = torch.full((2, 1), 5)
    features = policy.features({"tokens": padded, "length": length})
    assert torch.allclose(features[0], features[1], atol=1e-6)


@pytest.mark.parametrize("world_id", DISTINCT)
def test_every_world_is_read_by_stock_and_own_algorithms(world_id, tmp_path):
    """Train, save, load, predict the same."""
    env = TensorVecEnv(world_id, 4)
    for algorithm in (StockPPO, A2C, PPO):
        model = algorithm(TransformerPolicy, env, n_steps=8, policy_kwargs=SMALL, seed=0)
        before = [p.clone() for p in model.policy.parameters()]
        model.learn(64)
        assert any(not torch.equal(a, b) for a, b in zip(before, model.policy.parameters(), strict=True))
        obs = env.reset()
        model.save(tmp_path / "model")
        loaded = algorithm.load(tmp_path / "model", device="cpu")
        assert np.array_equal(model.predict(obs, deterministic=True)[0], loaded.predict(obs, deterministic=True)[0])


def test_stock_algorithms_train_on_gym_make():
    model = StockPPO(TransformerPolicy, gym.make("Tokens/Addition-v0", digits=1), n_steps=16, batch_size=16)
    model.learn(32)
    assert model.num_timesteps == 32


def test_illegal_actions_are_never_drawn():
    env, policy = policy_of("Text/Coin-v0")
    obs = env.reset_tensor(seed=3)
    mask = obs["action_mask"].bool()
    assert not mask.all()
    with torch.no_grad():
        for _ in range(50):
            actions, _, log_probs = policy(obs)
            assert mask[torch.arange(4), actions].all()
            assert torch.isfinite(log_probs).all()
        probs = policy.get_distribution(obs).distribution.probs
    assert probs[~mask].max() < 1e-12


def test_sampling_is_bit_for_bit_that_of_torch():
    """An exponential race draws what Categorical.sample() draws and leaves the generator where that leaves it."""
    env, policy = policy_of("Tokens/Copy-v0")
    with torch.no_grad():
        distribution = policy.get_distribution(env.reset_tensor(seed=0))
        torch.manual_seed(5)
        ours, ours_next = sample(distribution, False), torch.rand(1)
        torch.manual_seed(5)
        theirs, theirs_next = distribution.distribution.sample(), torch.rand(1)
    assert torch.equal(ours, theirs)
    assert torch.equal(ours_next, theirs_next)


def test_runs_end_at_dones_and_at_dropped_windows():
    lengths = torch.tensor([[3, 3], [4, 4], [5, 2], [3, 3]])
    dones = torch.tensor([[False, False], [False, False], [True, False], [False, False]])
    assert find_runs(lengths, dones).T.tolist() == [[2, 2, 2, 3], [1, 1, 3, 3]]


def test_shuffling_keeps_runs_together_and_loses_nothing():
    last = torch.tensor([[1, 0], [1, 2], [2, 2]])  # row 0: steps 0-1, 2; row 1: step 0, steps 1-2
    order, ends = shuffled_by_run(last, torch.tensor([4, 2, 0, 3, 5, 1]))
    assert order.tolist() == [4, 5, 2, 0, 1, 3]
    assert ends.tolist() == [2, 3, 5, 6]
    some, ends = shuffled_by_run(last, torch.tensor([1, 4, 0]))
    assert (some.tolist(), ends.tolist()) == ([1, 0, 4], [2, 3])


def test_minibatches_are_cut_at_the_nearest_ends_of_runs():
    ends = torch.tensor([10, 20, 23, 40])
    assert balanced_cuts(ends, 20) == [20, 20]
    assert balanced_cuts(ends, 100) == [40]
    assert balanced_cuts(ends, 12) == [10, 10, 3, 17]
    assert balanced_cuts(torch.tensor([40]), 12) == [40]


def test_one_pass_over_a_text_equals_a_pass_over_each_prefix():
    """The log-probabilities, values and entropies of `Sequences` are those of the plain observations."""
    env, policy = policy_of("Text/Coin-v0", window=64)
    obs, seen, dones = env.reset_tensor(seed=1), [], []
    generator = torch.Generator().manual_seed(0)
    actions = []
    for _ in range(40):  # long enough for windows to drop their oldest half
        seen.append({name: value.clone() for name, value in obs.items()})
        actions.append(torch.multinomial(obs["action_mask"].float(), 1, generator=generator).flatten())
        step = env.step_tensor(actions[-1])
        obs = step.obs
        dones.append((step.terminated | step.truncated).clone())
    held = {name: torch.stack([s[name] for s in seen]) for name in seen[0]}
    last = find_runs(held["length"].view(40, 4), torch.stack(dones))
    steps, rows = torch.randperm(160).div(4, rounding_mode="floor"), torch.randperm(160) % 4
    chosen = torch.stack(actions)[steps, rows]
    plain = policy.evaluate_actions({name: value[steps, rows] for name, value in held.items()}, chosen)
    packed = policy.evaluate_actions(gather(held, last, steps, rows), chosen)
    for a, b in zip(plain, packed, strict=True):
        assert torch.allclose(a, b, atol=1e-5)


def test_bad_backbones_are_refused():
    box = spaces.Dict(x=spaces.Box(0, 1, (2,)))
    for options, message in (
        ({"kind": "rnn"}, "no backbone 'rnn'"),
        ({"heads": 3}, "must divide"),
        ({"positions": "none"}, "rotary"),
        ({"width": 0}, "at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            TransformerPolicy(box, spaces.Discrete(2), lambda _: 1e-3, backbone=options)
