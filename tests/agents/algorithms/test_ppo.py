"""On-device rollouts: the numbers are Stable-Baselines3's own, only where they live differs."""

import numpy as np
import pytest
import torch
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback, StopTrainingOnMaxEpisodes
from stable_baselines3.common.vec_env import VecMonitor

from agents import PPO, TransformerPolicy, evaluate, warm_start
from agents.objectives.advantages import generalized_advantage, returns_to_go
from agents.objectives.optimize import warmup_cosine
from agents.supervised.warm_start import demonstrations
from llm_envs import make_batch
from llm_envs.adapters.sb3 import TensorVecEnv

SMALL = {"backbone": {"width": 16, "layers": 1, "heads": 2}}
ADDITION = {"digits": 1}


def test_gae_is_sb3s():
    rng = np.random.default_rng(0)
    shape = (12, 3)
    rewards, values = rng.normal(size=shape).astype(np.float32), rng.normal(size=shape).astype(np.float32)
    dones = rng.random(shape) < 0.3
    last = rng.normal(size=3).astype(np.float32)
    buffer = RolloutBuffer(12, *spaces_of_one_float(), gamma=0.9, gae_lambda=0.8, n_envs=3)
    buffer.rewards, buffer.values = rewards, values
    buffer.episode_starts[1:] = dones[:-1]
    buffer.compute_returns_and_advantage(torch.as_tensor(last), dones[-1])
    ours = generalized_advantage(
        torch.as_tensor(rewards), torch.as_tensor(values), torch.as_tensor(last), torch.as_tensor(dones), 0.9, 0.8
    )
    assert np.array_equal(ours.numpy(), buffer.advantages)


def spaces_of_one_float():
    from gymnasium import spaces

    return spaces.Box(0, 1, (1,)), spaces.Discrete(2)


def test_gae_by_hand():
    """Two steps, gamma 0.5, lambda 1: the second ends the episode, so nothing after it counts."""
    one = generalized_advantage(
        torch.tensor([[1.0], [2.0]]),
        torch.tensor([[3.0], [4.0]]),
        torch.tensor([100.0]),
        torch.tensor([[False], [True]]),
        0.5,
        1.0,
    )
    assert one.tolist() == [[1 + 0.5 * 4 - 3 + 0.5 * (2 - 4)], [2 - 4]]


def test_signals_are_logged_and_callbacks_see_sb3s_locals():
    env = TensorVecEnv("Tokens/Addition-v0", 8, **ADDITION)
    model = PPO(TransformerPolicy, env, n_steps=32, policy_kwargs=SMALL)
    seen = []

    class Look(BaseCallback):
        def _on_step(self):
            seen.append((np.sum(self.locals["dones"]), self.locals["rewards"][0], len(self.locals["infos"])))
            return True

        def _on_rollout_end(self):
            self.exact = self.logger.name_to_value["signals/exact"]

    look = Look()
    model.learn(256, callback=[look, StopTrainingOnMaxEpisodes(10_000)])
    assert len(seen) == 32
    assert sum(done for done, _, _ in seen) > 0
    assert 0.0 <= look.exact <= 1.0
    model.learn(10_000, callback=StopTrainingOnMaxEpisodes(3))
    assert model.num_timesteps < 10_000


def test_wrapped_environments_fall_back_and_say_so():
    env = VecMonitor(TensorVecEnv("Tokens/Addition-v0", 4, **ADDITION))
    with pytest.warns(UserWarning, match="VecMonitor, not a bare TensorVecEnv"):
        model = PPO("TransformerPolicy", env, n_steps=8, policy_kwargs=SMALL)
    model.learn(64)
    assert model.num_timesteps == 64


def test_demonstrations_are_the_solutions():
    obs, actions, rewards, inside = demonstrations("Tokens/Addition-v0", 5, digits=2)
    batch = make_batch("Tokens/Addition-v0", 5, split="train", order="sweep", digits=2)
    batch.reset(seed=0)
    for i in range(5):
        assert actions[inside[:, i], i].tolist() == batch.world.solution(batch.row(i))
    assert obs["tokens"].shape == (*inside.shape, 16)
    assert (rewards * inside).sum(dim=0).tolist() == [1.0] * 5


def test_demonstrations_end_with_the_time_limit():
    config = {"length": 3, "vocab_size": 3, "pool": 100, "max_steps": 2}
    with pytest.warns(UserWarning, match=r"the time limit cuts \d+ of 20 solutions of Tokens/Copy-v0; raise max_steps"):
        inside = demonstrations("Tokens/Copy-v0", 20, **config)[3]
    assert inside.shape[0] > 2
    assert inside.sum(dim=0).tolist() == [2] * 20


def test_returns_are_discounted_within_an_episode():
    rewards, inside = torch.tensor([[1.0, 0.0], [0.0, 2.0], [4.0, 9.0]]), torch.tensor([[1, 1], [1, 1], [1, 0]]).bool()
    dones = torch.tensor([[0, 0], [0, 1], [1, 0]]).bool()
    assert (returns_to_go(rewards, dones, 0.5) * inside).tolist() == [[2.0, 1.0], [2.0, 2.0], [4.0, 0.0]]


def test_imitation_fits_the_values_too():
    """The prompt's value is the discounted reward of writing its solution; without the coefficient it stays near 0."""
    config, values = {"length": 2, "vocab_size": 3, "pool": 500}, []
    for coefficient in (0.0, 0.5):
        env = TensorVecEnv("Tokens/Copy-v0", 8, **config)
        kwargs = {"backbone": {"width": 32, "layers": 1, "heads": 2}}
        model = PPO("TransformerPolicy", env, gamma=0.9, seed=0, device="cpu", policy_kwargs=kwargs)
        warm_start(model, "Tokens/Copy-v0", 64, 40, 16, value_coef=coefficient, **config)
        values.append(model.policy.predict_values(env.reset_tensor(0)).mean().item())
    steps = len(env.batch.world.solution(env.batch.row(0)))
    assert abs(values[0]) < 0.3
    assert values[1] == pytest.approx(0.9 ** (steps - 1), abs=0.1)


def test_imitation_reads_the_observations_of_long_episodes_too():
    """Where a window has dropped its oldest half, the rest of an episode is another text."""
    config, seen = {"level": 12, "window": 64, "pool": 100}, []
    model = PPO("TransformerPolicy", TensorVecEnv("Text/Coin-v0", 4, **config), device="cpu", policy_kwargs=SMALL)

    def look(states, actions):
        starts = zip(states.texts["tokens"][states.sequence].tolist(), (states.position + 1).tolist(), strict=True)
        seen.extend((text[:length], action) for (text, length), action in zip(starts, actions.tolist(), strict=True))
        return type(model.policy).evaluate_actions(model.policy, states, actions)

    model.policy.evaluate_actions = look
    warm_start(model, "Text/Coin-v0", 8, 1, **config)
    obs, actions, _, inside = demonstrations("Text/Coin-v0", 8, **config)
    lengths = obs["length"][..., 0]
    assert (lengths[1:] < lengths[:-1])[inside[1:]].any()
    texts = zip(obs["tokens"][inside].tolist(), lengths[inside].tolist(), strict=True)
    made = [(text[:length], action) for (text, length), action in zip(texts, actions[inside].tolist(), strict=True)]
    assert sorted(seen) == sorted(made)


def test_warmup_cosine():
    assert warmup_cosine(0, 1000) == pytest.approx(1 / 50)
    assert warmup_cosine(500, 1000) == pytest.approx(0.5)
    assert warmup_cosine(1000, 1000) == pytest.approx(0.0)


def test_imitation_and_ppo_learn_a_small_task():
    """One-digit copying: imitation brings it half of the way, and PPO further."""
    config = {"length": 2, "vocab_size": 3, "pool": 2000}
    model = PPO(
        "TransformerPolicy",
        TensorVecEnv("Tokens/Copy-v0", 64, **config),
        n_steps=12,
        batch_size=768,
        n_epochs=4,
        learning_rate=2e-3,
        gamma=1.0,
        seed=0,
        policy_kwargs={"backbone": {"width": 32, "layers": 1, "heads": 2}},
    )
    untrained = evaluate(model, "Tokens/Copy-v0", "all", max_levels=500, **config)
    warm_start(model, "Tokens/Copy-v0", 256, 12, 64, **config)
    warm = evaluate(model, "Tokens/Copy-v0", "all", max_levels=500, **config)
    model.learn(64 * 12 * 6)
    after = evaluate(model, "Tokens/Copy-v0", "all", max_levels=500, **config)
    assert untrained.signals["exact"] < 0.2 < warm.signals["exact"]
    assert after.signals["exact"] > warm.signals["exact"] + 0.05


def test_evaluation_by_sweep_plays_each_level_once():
    played = []
    batch_levels = make_batch("PathPlanner-v0", 1, split="test", pool=300).num_levels

    def act(obs):
        played.append(len(obs["state"]))
        return torch.zeros(len(obs["state"]), dtype=torch.long)

    result = evaluate(act, "PathPlanner-v0", split="test", levels_at_once=7, pool=300, max_steps=3)
    assert result.episodes == batch_levels
    assert result.mean_length <= 3
    assert set(played) == {7}


def test_random_and_oracle_evaluations_differ():
    random = evaluate("random", "Text/Coin-v0", split="test", max_levels=64, pool=1000)
    assert 0.0 < random.mean_return < 1.0
    assert len(random.transcripts) == 10
