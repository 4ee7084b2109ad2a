"""Stock DQN on the discrete navigation worlds, through tensors, Gymnasium, flat vectors and pixels."""

import gymnasium as gym
import pytest
import torch
from stable_baselines3 import DQN

import llm_envs  # noqa: F401  # registers the ids
from agents import evaluate
from llm_envs.adapters.sb3 import TensorVecEnv

NEAR = {"levels": [{"start": (0, 0), "goal": (0.3, 0)}], "max_steps": 12}  # two steps to the right


def pixels(env):
    """Return an environment seen as its picture, channels last, as CnnPolicy wants it."""
    return gym.wrappers.AddRenderObservation(env, render_only=True)


DQN_CASES = [
    (world_id, view, policy)
    for world_id in ("PathPlanner-v0", "Nav/PathPlanner-v0", "Nav/FourRooms-v0")
    for view, policy in (("tensors", "MultiInputPolicy"), ("gym", "MultiInputPolicy"), ("flat", "MlpPolicy"))
] + [("Nav/FourRooms-v0", "pixels", "CnnPolicy")]


@pytest.mark.parametrize(("world_id", "view", "policy"), DQN_CASES, ids=["-".join(case) for case in DQN_CASES])
def test_stock_dqn_trains(world_id, view, policy):
    options = {"levels": ["########\n##A>..##\n##..GG##\n########"]} if view == "pixels" else {}
    if view == "tensors":
        env = TensorVecEnv(world_id, 4, seed=0)
    else:
        env = gym.make(world_id, render_mode="rgb_array", **options)
        env = {"gym": lambda e: e, "flat": gym.wrappers.FlattenObservation, "pixels": pixels}[view](env)
    settings = {"learning_starts": 60, "train_freq": (4, "step"), "target_update_interval": 50, "buffer_size": 300}
    model = DQN(policy, env, seed=0, batch_size=16, **settings)
    start = [parameter.clone() for parameter in model.policy.parameters()]
    model.learn(200)
    moved = [(a - b).abs().max() > 0 for a, b in zip(start, model.policy.parameters(), strict=True)]
    assert all(moved)
    assert 200 <= model.num_timesteps <= 208
    obs = model.get_env().reset()
    actions, _ = model.predict(obs, deterministic=True)
    assert all(model.action_space.contains(action) for action in actions)


def test_stock_dqn_learns_a_short_way():
    """Two steps to the right; a random policy seldom finds the goal in less than twice that."""
    env = TensorVecEnv("PathPlanner-v0", 4, seed=0, split="all", **NEAR)
    settings = {"learning_starts": 200, "train_freq": (2, "step"), "target_update_interval": 100, "buffer_size": 4000}
    model = DQN("MultiInputPolicy", env, seed=0, learning_rate=2e-3, gamma=0.9, exploration_fraction=0.5, **settings)
    untrained = evaluate(model, "PathPlanner-v0", "all", max_levels=1, **NEAR)
    model.learn(2500)
    trained = evaluate(model, "PathPlanner-v0", "all", max_levels=1, **NEAR)
    assert (untrained.mean_return, untrained.mean_length) == (0, 12)
    assert (trained.mean_return, trained.mean_length) == (10, 2)
    # Q of the first step: the goal's 10, one step later
    first = {name: value[:1] for name, value in env.reset().items()}
    with torch.no_grad():
        values = model.q_net(model.policy.obs_to_tensor(first)[0])[0]
    assert values[1].item() == pytest.approx(0.9 * 10, abs=0.5)
