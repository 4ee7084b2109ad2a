"""Reading with a cache gives what reading whole texts gives, whatever happens to the rows; and nothing waits inside."""

import numpy as np
import pytest
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecMonitor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from agents import GRPO, PPO, TransformerPolicy, evaluate
from agents.policies.decoding import Plan, Reader
from agents.rollouts import cuda_graphs
from agents.rollouts.buffer import SequenceRolloutBuffer
from agents.rollouts.collector import select_actions
from agents.rollouts.statistics import SignalTotals
from llm_envs.adapters.sb3 import TensorVecEnv

BACKBONES = [
    {"width": 16, "layers": 2, "heads": 2},
    {"width": 16, "layers": 2, "heads": 2, "positions": "learned"},
    {"kind": "gru", "width": 16, "layers": 2},
]
COIN = {"window": 64, "max_steps": 20}


def policy_of(env, **options):
    return TransformerPolicy(env.observation_space, env.action_space, lambda _: 1e-3, **options)


def random_legal(obs, generator):
    return torch.multinomial(obs["action_mask"].float(), 1, generator=generator).flatten()


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("limit", [None, 30])
def test_features_equal_those_of_whole_texts(backbone, limit):
    """Ragged prompts, answers of several tokens a step, ends, time limits and windows that drop their oldest half."""
    env = TensorVecEnv("Text/Coin-v0", 5, **COIN)
    policy = policy_of(env, backbone=backbone, max_tokens_per_pass=limit)
    reader, generator = Reader(policy, 5), torch.Generator().manual_seed(0)
    obs, restarts = env.reset_tensor(seed=1), 0
    with torch.no_grad():
        for _ in range(60):
            restarts += reader.plan(obs).num_pending > 0
            assert torch.allclose(reader(obs), policy.features(obs), atol=1e-5)
            obs = env.step_tensor(random_legal(obs, generator)).obs
    assert restarts > 10


def test_a_token_is_read_once():
    """Without restarts a step reads one token a row; after them, the new prompts."""
    env = TensorVecEnv("Tokens/Copy-v0", 8, length=4)
    policy = policy_of(env, backbone=BACKBONES[0])
    reader, obs = Reader(policy, 8), env.reset_tensor(seed=0)
    prompts = int(obs["length"].sum())
    with torch.no_grad():
        assert reader.plan(obs).num_pending == prompts - 8
        reader(obs)
        step = env.step_tensor(torch.full((8,), 3))
        done = step.terminated
        assert reader.plan(step.obs).num_pending == int((step.obs["length"].view(-1) - 1)[done].sum())


@pytest.mark.parametrize("backbone", BACKBONES)
def test_shared_beginnings_change_no_number(backbone):
    """Groups of one prompt: what is read once for all gives the features, gradients and samples of reading each."""
    found = []
    for shared in (False, True):
        env = TensorVecEnv("Tokens/Copy-v0", 12, group_size=4, seed=0, length=6, vocab_size=3)
        model = GRPO(TransformerPolicy, env, seed=0, device="cpu", policy_kwargs={"backbone": backbone})
        assert model.policy.shares_prefixes
        model.policy.shares_prefixes = shared
        model._setup_learn(1)
        model.collect_rollouts(env, model._init_callback(None), model.rollout_buffer, model.n_steps)
        (batch,) = model.rollout_buffer.get(None)
        order = batch.flat.argsort()
        log_probs = model.policy.evaluate_actions(batch.observations, batch.actions)[1]
        gradients = torch.autograd.grad(log_probs.sum(), list(model.policy.trunk.parameters()))
        packed = len(batch.observations.packed(shared)[0]["tokens"])
        found.append((batch.actions[order], log_probs[order], batch.old_log_prob[order], gradients, packed))
    (a, b, c, d, many), (e, f, g, h, few) = found
    assert torch.equal(a, e)
    assert torch.allclose(b, f, atol=1e-5)
    assert torch.allclose(c, g, atol=1e-5)
    assert all(torch.allclose(x, y, atol=1e-4) for x, y in zip(d, h, strict=True))
    assert few < 0.7 * many


def test_rows_may_be_changed_under_the_reader():
    """Another environment's texts, rows in another order: what differs is read again."""
    env = TensorVecEnv("Text/Coin-v0", 6, **COIN)
    policy = policy_of(env, backbone=BACKBONES[0])
    reader = Reader(policy, 6)
    with torch.no_grad():
        first = {name: value.clone() for name, value in env.reset_tensor(seed=1).items()}
        reader(first)
        shuffled = {name: value.flip(0) for name, value in first.items()}
        assert torch.allclose(reader(shuffled), policy.features(shuffled), atol=1e-5)
        cut = {**first, "length": first["length"] // 2}
        assert torch.allclose(reader(cut), policy.features(cut), atol=1e-5)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_predict_carries_what_was_read(backbone):
    """SB3's evaluate_policy, whose episode_start is not to be trusted, gets the actions of plain forward passes."""
    env = TensorVecEnv("Text/Coin-v0", 6, **COIN)
    model = PPO(TransformerPolicy, env, n_steps=8, seed=0, device="cpu", policy_kwargs={"backbone": backbone})
    seen = []
    predict = model.policy.predict

    def checked(obs, state=None, episode_start=None, deterministic=False):
        actions, state = predict(obs, state, episode_start, deterministic)
        tensors = {name: torch.as_tensor(value) for name, value in obs.items()}
        with torch.no_grad():
            seen.append(np.array_equal(actions, model.policy._predict(tensors, deterministic=True).numpy()))
        return actions, state

    model.policy.predict = checked
    returns, lengths = evaluate_policy(model.policy, VecMonitor(env), 20, return_episode_rewards=True)
    assert len(returns) == 20
    assert len(seen) >= max(lengths)
    assert all(seen)


def test_predict_takes_single_observations_and_refuses_foreign_states():
    env = TensorVecEnv("Tokens/Copy-v0", 3)
    model = PPO(TransformerPolicy, env, n_steps=8, device="cpu", policy_kwargs={"backbone": BACKBONES[0]})
    obs = env.reset()
    many, state = model.predict(obs, deterministic=True)
    one, _ = model.predict({name: value[1] for name, value in obs.items()}, state=state, deterministic=True)
    assert many.shape == (3,)
    assert one.shape == ()
    assert one == many[1]


class NoWaiting(TorchDispatchMode):
    """Refuses operations whose kernels look at values on the host, which fake tensors let through."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.__name__.split(".")[0]
        if name in ("multinomial", "_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim"):
            raise AssertionError(f"{name} waits for the device")
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("sampling", [{}, {"temperature": 0.7, "top_k": 3, "top_p": 0.9, "epsilon": 0.1}])
def test_nothing_waits_for_the_device_inside_a_rollout_step(backbone, sampling, monkeypatch):
    """On fake tensors, which have no values: reading, deciding, storing, counting."""
    env = TensorVecEnv("Text/Coin-v0", 4, **COIN)
    model = PPO(TransformerPolicy, env, n_steps=4, device="cpu", policy_kwargs={"backbone": backbone})
    real = {name: value.clone() for name, value in env.reset_tensor(seed=0).items()}

    def refused(*args, **kwargs):
        raise AssertionError("a tensor went to the host")

    with FakeTensorMode() as fake, torch.no_grad():
        policy = policy_of(env, backbone=backbone, sampling=sampling)
        model.policy = policy
        buffer = SequenceRolloutBuffer(4, env.observation_space, env.action_space, "cpu", n_envs=4)
        obs = {name: fake.from_tensor(value) for name, value in real.items()}
        reader, totals = Reader(policy, 4), SignalTotals(env.batch.world.signals, 4, "cpu")
        reader.read_texts = {name: torch.full_like(obs[name], -1) for name in ("tokens", "token_mask") if name in obs}
        for name in ("cpu", "numpy", "item", "tolist"):
            monkeypatch.setattr(torch.Tensor, name, refused)
        with NoWaiting():
            for t in range(2):
                start = torch.zeros(4, dtype=torch.long)
                plan = Plan(start, num_pending=0, longest=0, max_position=30 + t, restarted=True)
                kept, actions, values, log_probs = select_actions(policy, reader.read(obs, plan), obs)
                buffer.allocate(kept, actions, True)
                buffer.put(t, kept, actions=actions, values=values.flatten(), log_probs=log_probs)
                totals.add({name: torch.zeros(4) for name in totals.running}, torch.zeros(4, dtype=torch.bool))
        monkeypatch.undo()
    assert kept.keys() >= {"tokens", "length"} | ({"support"} if sampling else set())


def test_signals_are_summed_over_episodes_that_outlast_a_rollout():
    """Coin games of 7 turns, none of which is won, in rollouts of 4 steps."""
    env = TensorVecEnv("Text/Coin-v0", 3, seed=0, window=64, max_steps=7, level=5)
    model = PPO(TransformerPolicy, env, n_steps=4, n_epochs=1, device="cpu", policy_kwargs={"backbone": BACKBONES[0]})
    logged = []

    class Note(BaseCallback):
        def _on_step(self):
            return True

        def _on_rollout_end(self):
            logged.append(self.logger.name_to_value["signals/step"])

    model.learn(3 * 4 * 7, Note())
    assert len(logged) == 7
    assert [steps for steps in logged if steps] == [7.0] * 4  # 28 steps of a row are four games


def test_the_guard_sees_a_wait():
    with FakeTensorMode(), NoWaiting(), pytest.raises(AssertionError, match="multinomial waits"):
        torch.multinomial(torch.ones(3, 4), 1)


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize(
    "sampling", [{"temperature": 0.5}, {"top_k": 2}, {"top_p": 0.5, "epsilon": 0.2}, {"top_k": 3, "temperature": 2.0}]
)
def test_stored_log_probs_are_those_of_the_distribution_sampled_from(backbone, sampling):
    """And the update, with unchanged parameters, sees the same numbers, micro-batched or not."""
    env = TensorVecEnv("Text/Coin-v0", 4, **COIN)
    kwargs = {"backbone": backbone, "sampling": sampling, "max_tokens_per_pass": 50}
    model = PPO(TransformerPolicy, env, n_steps=12, n_epochs=1, seed=0, device="cpu", policy_kwargs=kwargs)
    model.learn(96)
    callback = model._init_callback(None)
    model.collect_rollouts(env, callback, model.rollout_buffer, 12)
    for batch in model.rollout_buffer.get(40):
        values, log_probs, _ = model.policy.evaluate_actions(batch.observations, batch.actions)
        assert torch.allclose(log_probs, batch.old_log_prob, atol=1e-5)
        assert torch.allclose(values.flatten(), batch.old_values, atol=1e-5)
        assert log_probs.min() > -20


def test_sampled_actions_follow_the_stored_log_probs():
    """Frequencies over many equal rows against exp(log-prob), with temperature, top-k and epsilon."""
    env = TensorVecEnv("Tokens/Copy-v0", 4096, length=3, vocab_size=4, levels=[[0, 1, 2]])
    policy = policy_of(env, backbone=BACKBONES[0], sampling={"temperature": 0.8, "top_k": 3, "epsilon": 0.1})
    torch.manual_seed(0)
    with torch.no_grad():
        actions, _, log_probs = policy(env.reset_tensor(seed=0))
    for action in range(7):
        drawn = actions == action
        expected = log_probs[drawn][0].exp() if drawn.any() else torch.tensor(0.0)
        assert abs(drawn.float().mean() - expected) < 0.03


def test_evaluation_is_the_same_with_and_without_the_cache():
    env = TensorVecEnv("Tokens/Copy-v0", 4, length=4)
    model = PPO(TransformerPolicy, env, n_steps=8, seed=0, device="cpu", policy_kwargs={"backbone": BACKBONES[0]})
    cached = evaluate(model, "Tokens/Copy-v0", "test", max_levels=200, length=4, oracle=False)

    def plain(obs):
        with torch.no_grad():
            return model.policy._predict(obs, deterministic=True)

    assert cached.mean_return == evaluate(plain, "Tokens/Copy-v0", "test", max_levels=200, length=4).mean_return


class Steps(cuda_graphs.StepGraphs):
    """Takes steps one by one where a GPU would replay them; all else is as with graphs."""

    def warm_up(self, bucket):
        for _ in range(cuda_graphs.WARM_UP):
            self.act(bucket)

    def capture(self, bucket):
        class Graph:
            def replay(graph):
                for name, value in self.act(bucket)._asdict().items():
                    if isinstance(value, torch.Tensor):
                        getattr(acted, name).copy_(value)
                    elif name == "obs":
                        for field, tensor in value.items():
                            acted.obs[field].copy_(tensor)

        restore = self.save()
        acted = self.act(bucket)
        restore()
        return Graph(), acted


@pytest.mark.parametrize("backbone", BACKBONES)
def test_graphs_of_steps_change_no_number(backbone, monkeypatch):
    """Warm-up steps are undone, and what a replay leaves is stored before the next one."""
    found = []
    for replayed in (False, True):
        if replayed:
            monkeypatch.setattr(cuda_graphs, "supported", lambda *_: True)
            monkeypatch.setattr(cuda_graphs, "StepGraphs", Steps)
        env = TensorVecEnv("Tokens/Copy-v0", 6, seed=0, length=4)
        kwargs = {"backbone": backbone, "optimizer_kwargs": {"eps": 1e-5}}
        options = {"n_steps": 24, "batch_size": 36, "n_epochs": 2, "seed": 0, "device": "cpu"}
        model = PPO(TransformerPolicy, env, policy_kwargs=kwargs, **options)
        model.learn(3 * 6 * 24)
        assert bool(model.collector.graphs) == replayed
        found.append((model.rollout_buffer.tensors["actions"], list(model.policy.parameters())))
    (actions, parameters), (same, equal) = found
    assert torch.equal(actions, same)
    assert max((a - b).abs().max().item() for a, b in zip(parameters, equal, strict=True)) < 1e-5
