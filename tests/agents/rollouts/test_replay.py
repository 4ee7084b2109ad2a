"""Experience replay: V-trace by hand, the memory's bounds, what replay learns, and saving."""

import numpy as np
import pytest
import torch
from stable_baselines3.common.vec_env import VecMonitor

from agents import A2C, evaluate
from agents.algorithms.episodic import WholeEpisodes
from agents.rollouts.replay import Replay, RingBuffer, StoredRows
from llm_envs.adapters.sb3 import TensorVecEnv

# Given as a copy: SB3's A2C writes its optimizer into the caller's policy_kwargs.
SMALL = {"backbone": {"width": 16, "layers": 1, "heads": 2}}
COPY = ("Tokens/Copy-v0", {"length": 3, "vocab_size": 4, "max_steps": 2})
NEAR = {"levels": [{"start": (0, 0), "goal": (0.3, 0)}], "max_steps": 12}  # two steps to the right
CASES = [
    (*COPY, {}),
    ("Tokens/Copy-v0", {"length": 3, "vocab_size": 4}, {"max_tokens_per_pass": 40}),
    ("Text/Coin-v0", {"window": 64, "max_steps": 7}, {"sampling": {"top_k": 3, "epsilon": 0.1}}),
    ("PathPlanner-v0", {"action": "continuous", "max_steps": 5}, {}),
    ("Nav/FourRooms-v0", {"size": 7, "max_steps": 9}, {}),
    (*COPY, {"backbone": {**SMALL["backbone"], "dropout": 0.3}}),
]
IDS = ["truncated prompts", "passes in parts", "masks, top-k, dropped windows", "Gaussian", "grid", "dropout"]


def collected(world_id, config, policy_kwargs=None, rows=4, algorithm=A2C, **options):
    """Return a model with one rollout in its buffer and its memory, and the environment's last observations."""
    env = TensorVecEnv(world_id, rows, seed=0, weights=options.pop("weights", None), **config)
    options = {"n_steps": 16, "seed": 1, "replay": {}, "gamma": 0.9} | options
    model = algorithm("TransformerPolicy", env, policy_kwargs={**SMALL, **(policy_kwargs or {})}, **options)
    _, callback = model._setup_learn(64)
    assert model.collect_rollouts(env, callback, model.rollout_buffer, model.n_steps)
    return model, {name: value.clone() for name, value in env.batch.tensors.obs.items()}


def shaken(model, size=0.3):
    """Move every parameter, so that the policy is no longer the one that acted."""
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in model.policy.parameters():
            parameter += size * torch.randn_like(parameter)


def vtrace_by_hand(ratios, rewards, values, last_values, dones, gamma, rho_bar, c_bar, lambda_):
    """V-trace's targets and advantages as Espeholt et al. (2018) write them, eq. 1 and section 4.2, sum by sum."""
    steps, rows = rewards.shape
    rho, c = np.minimum(rho_bar, ratios), lambda_ * np.minimum(c_bar, ratios)
    after = np.where(dones, 0.0, np.vstack([values[1:], last_values]))
    delta = rho * (rewards + gamma * after - values)
    targets = values.astype(float).copy()
    for n in range(rows):
        for s in range(steps):
            for t in range(s, steps):
                if dones[s:t, n].any():
                    break
                targets[s, n] += gamma ** (t - s) * np.prod(c[s:t, n]) * delta[t, n]
    next_targets = np.where(dones, 0.0, np.vstack([targets[1:], last_values]))
    return targets, rho * (rewards + gamma * next_targets - values)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_with_the_policy_unchanged_a_replayed_batch_is_the_fresh_one(case):
    """With gae_lambda 1 V-trace on-policy is A2C's advantage: discounted rewards and a bootstrap, less the value."""
    model, _ = collected(*case)
    buffer = model.rollout_buffer
    model.policy.set_training_mode(True)
    batch = model.memory.replayed(model.policy, torch.arange(4))
    assert model.policy.training
    for given, name in ((batch.advantages, "advantages"), (batch.returns, "returns"), (batch.old_values, "values")):
        assert torch.allclose(given, buffer.tensors[name].flatten(), atol=2e-5), name
    assert model.memory.importance.item() == pytest.approx(1.0, abs=1e-5)
    assert batch.actions.equal(buffer.tensors["actions"].flatten(0, 1))
    model.policy.set_training_mode(False)
    values, log_probs, _ = model.policy.evaluate_actions(batch.observations, batch.actions)
    assert torch.allclose((log_probs - batch.old_log_prob).exp(), torch.ones(64), atol=1e-4), "importance weights"
    assert torch.allclose(values.flatten(), batch.old_values, atol=1e-5)


def test_an_update_on_the_replayed_rollout_is_the_update_on_the_fresh_one():
    ends = []
    for replays in (False, True):
        model, _ = collected(*COPY)
        before = torch.nn.utils.parameters_to_vector(model.policy.parameters()).detach().clone()
        buffer = model.rollout_buffer
        batches = [model.memory.replayed(model.policy, torch.arange(4))] if replays else list(buffer.get())
        model.minibatches = lambda batch_size, given=batches: iter(given)
        model.train()
        ends.append(torch.nn.utils.parameters_to_vector(model.policy.parameters()) - before)
    assert ends[0].abs().max() > 1e-3
    assert torch.allclose(*ends, atol=1e-5)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_off_policy_batches_are_vtrace_by_hand(case):
    """Values, log-probs and bootstraps are taken state by state from the rollout, none of them from packed texts."""
    replay = {"rho_bar": 1.2, "c_bar": 0.8}
    model, last_obs = collected(*case, replay=replay, gae_lambda=0.95)
    buffer, policy = model.rollout_buffer, model.policy
    env_rewards = model.memory.rows.held.steps["rewards"][:, :4].clone()
    shaken(model)
    held, texts = buffer.tensors, buffer.observations
    with torch.no_grad():
        flat = {name: value.flatten(0, 1) for name, value in texts.items()}
        values, log_probs, _ = policy.evaluate_actions(flat, held["actions"].flatten(0, 1))
        last_values = policy.predict_values(last_obs).flatten().numpy()
        rewards = env_rewards.numpy().astype(float)
        for t, n in held["timeouts"].nonzero().tolist():
            final = {name: buffer.final_observations[name][t, n][None] for name in last_obs}
            rewards[t, n] += 0.9 * policy.predict_values(final).item()
    ratios = (log_probs.view(16, 4) - held["log_probs"]).exp().numpy()
    assert (np.abs(np.log(ratios)) > 0.05).mean() > 0.2, "the policies are too alike for a test"
    dones = held["dones"].numpy()
    expected = vtrace_by_hand(ratios, rewards, values.view(16, 4).numpy(), last_values, dones, 0.9, 1.2, 0.8, 0.95)
    chosen = torch.tensor([2, 0, 3])
    batch = model.memory.replayed(policy, chosen)
    for given, numbers in zip((batch.returns, batch.advantages), expected, strict=True):
        assert np.allclose(given.view(16, 3), numbers[:, chosen], atol=1e-4)
    assert model.memory.importance.item() == pytest.approx(np.minimum(ratios, 1.2)[:, chosen].mean(), rel=1e-4)


def test_a_time_limit_is_bootstrapped_with_the_present_value():
    """The rollout adds gamma V to its rewards; the stored ones are the environment's, without any value."""
    model, _ = collected(*COPY, weights={"exact": 1.0})
    buffer = model.rollout_buffer
    timeouts = buffer.tensors["timeouts"]
    kept = model.memory.rows.held.steps["rewards"][:, :4]
    assert timeouts.any()
    assert ((kept == 0) | (kept == 1)).all()
    assert not torch.equal(kept[timeouts], buffer.total_rewards()[timeouts])
    with torch.no_grad():
        model.policy.value_net[-1].weight.zero_()
        model.policy.value_net[-1].bias.fill_(10.0)
    batch = model.memory.replayed(model.policy, torch.arange(4))
    where = timeouts.flatten()
    weights = (batch.advantages[where] / (kept[timeouts] + 0.9 * 10 - 10)).numpy()
    assert np.allclose(weights, 1.0, atol=1e-5)


class Constant(WholeEpisodes, A2C):
    """Whole episodes against the baseline 0.25, as an algorithm without a critic would use the memory."""

    def episode_advantages(self, returns, values, used):
        self.rollout_buffer.tensors["baselines"] = torch.full_like(returns, 0.25)
        return returns - 0.25


@pytest.mark.parametrize(("limit", "n_steps"), [(2, 6), (0, 6), (0, 3)], ids=["truncated", "ended", "cut"])
def test_whole_episodes_replay_against_their_own_baseline(limit, n_steps):
    """Steps after an episode's end stay out, the critic has no say, and token weights are those of the batch."""
    config = {"length": 3, "vocab_size": 4, "max_steps": limit}
    model, _ = collected(COPY[0], config, weights={"match": 1.0}, algorithm=Constant, n_steps=n_steps, rows=6)
    buffer = model.rollout_buffer
    assert model.collect_rollouts(model.env, model._init_callback(None), buffer, n_steps)
    used = ~buffer.tensors["unused"]
    assert 0 < used.sum() < used.numel()
    assert (buffer.tensors["dones"] & used).any(0).all() == (n_steps == 6)
    batch = model.memory.replayed(model.policy, torch.arange(6, 12))
    assert torch.allclose(batch.advantages, buffer.tensors["advantages"][used], atol=1e-5)
    assert torch.allclose(batch.returns, buffer.tensors["returns"][used], atol=1e-5)
    assert len(batch.observations) == len(batch.actions) == used.sum()
    model.learn(36)
    assert len(model.memory.rows) > 12


def test_the_newest_rows_are_kept_and_the_oldest_leave_first():
    memory = RingBuffer(5)

    def write(*numbers):
        row = torch.tensor([numbers, numbers])
        memory.write(StoredRows({"tokens": torch.cat((row, row[:1]))}, {}, {"rewards": row}))

    write(1, 2)
    assert len(memory) == 2
    write(3, 4)
    write(5, 6)
    assert len(memory) == 5
    assert sorted(memory[torch.arange(5)].steps["rewards"][0].tolist()) == [2, 3, 4, 5, 6]
    write(7, 8)
    assert sorted(memory.held.observations["tokens"][2].tolist()) == [4, 5, 6, 7, 8]
    write(*range(10, 18))  # more than there is room for
    assert sorted(memory.held.steps["rewards"][1].tolist()) == [13, 14, 15, 16, 17]
    assert memory.held.observations["tokens"].shape == (3, 5)


def test_capacity_counts_transitions():
    model, _ = collected(*COPY, n_steps=8, rows=2, replay={"capacity": 45})
    seen = [model.rollout_buffer.tensors["log_probs"].clone()]
    for _ in range(3):
        model.learn(16, reset_num_timesteps=False)
        seen.append(model.rollout_buffer.tensors["log_probs"].clone())
    memory = model.memory.rows
    assert len(memory) == 5
    for part in memory.held:
        assert all(value.shape[1] == 5 for value in part.values())
    newest = torch.cat(seen, dim=1)[:, -5:]
    order = [memory.held.steps["log_probs"][0].tolist().index(first) for first in newest[0].tolist()]
    assert memory.held.steps["log_probs"][:, order].equal(newest)
    assert Replay().capacity == 10_000
    default, _ = collected(*COPY)
    assert default.memory.rows.capacity == 10_000 // 16


def test_rows_are_drawn_uniformly_and_once():
    model, _ = collected(*COPY, n_steps=8, rows=2, replay={"capacity": 40, "batches": 400, "rows": 3})
    buffer, drawn = model.rollout_buffer, []
    for _ in range(2):
        model.collect_rollouts(model.env, model._init_callback(None), buffer, 8)
    model.memory.replayed = lambda policy, chosen: drawn.append(chosen)
    torch.manual_seed(0)
    assert len(list(model.minibatches(None))) == 401
    assert all(len(set(rows.tolist())) == 3 for rows in drawn)
    counts = torch.cat(drawn).bincount(minlength=5)
    assert len(counts) == 5
    assert (counts - 240).abs().max() < 5 * np.sqrt(400 * 0.6 * 0.4)


def test_each_replayed_batch_is_one_more_optimizer_step():
    for replay, steps in ((None, 3), ({"batches": 4}, 15), (Replay(batches=2, rows=1), 9)):
        env = TensorVecEnv("PathPlanner-v0", 4, seed=0)
        model = A2C("TransformerPolicy", env, n_steps=8, seed=0, replay=replay, policy_kwargs=dict(SMALL))
        model.learn(3 * 32)
        state = model.policy.optimizer.state[next(model.policy.parameters())]
        assert int(state["step"]) == steps
        assert ("train/replay_importance" in model.logger.name_to_value) == (replay is not None)
        assert (model.memory is None) == (replay is None)


def test_replay_learns_more_from_the_same_transitions():
    """960 transitions of a level two steps to the right: ten updates hardly move a policy, ninety find the way."""
    right = []
    for replay in (None, {"batches": 8}):
        env = TensorVecEnv("PathPlanner-v0", 8, seed=0, split="all", **NEAR)
        options = {"n_steps": 12, "learning_rate": 3e-3, "use_rms_prop": False, "ent_coef": 0.01, "gamma": 0.9}
        model = A2C("TransformerPolicy", env, replay=replay, seed=0, policy_kwargs=dict(SMALL), **options)
        model.learn(10 * 96)
        env.reset()
        with torch.no_grad():
            right.append(model.policy.get_distribution(env.batch.tensors.obs).distribution.probs[0, 1].item())
    assert right[0] < 0.5
    assert right[1] > 0.8
    assert evaluate(model, "PathPlanner-v0", "all", max_levels=1, **NEAR).mean_length == 2


def test_a_saved_model_goes_on_with_an_empty_memory(tmp_path):
    model, _ = collected(*COPY, replay={"capacity": 200, "batches": 2, "rho_bar": 2.0})
    model.learn(64)
    model.save(tmp_path / "model")
    assert (tmp_path / "model.zip").stat().st_size < 400_000
    env = TensorVecEnv(COPY[0], 6, seed=3, **COPY[1])
    loaded = A2C.load(tmp_path / "model", env=env)
    assert loaded.replay == Replay(capacity=200, batches=2, rho_bar=2.0)
    assert len(loaded.memory.rows) == 0
    loaded.learn(96)
    assert len(loaded.memory.rows) == 6
    assert int(loaded.policy.optimizer.state[next(loaded.policy.parameters())]["step"]) == 6
    without = A2C.load(tmp_path / "model")
    action, _ = without.predict(env.reset())
    assert action.shape == (6,)
    assert A2C.load(tmp_path / "model", env=env, replay={"capacity": 32}).replay == Replay(capacity=32)
    plain = A2C.load(tmp_path / "model", env=env, replay=None)
    plain.learn(96)
    assert plain.memory is None
    with pytest.raises(ValueError, match="replay needs a bare TensorVecEnv; the environment is VecMonitor"):
        A2C.load(tmp_path / "model", env=VecMonitor(env))
    with pytest.warns(UserWarning, match="go through NumPy"):
        A2C.load(tmp_path / "model", env=VecMonitor(env), replay=None).learn(96)


@pytest.mark.parametrize(
    ("replay", "message"),
    [
        ({"capacity": 0}, "capacity is 0; it must be a whole number from 1"),
        ({"batches": 1.5}, "batches is 1.5"),
        ({"rows": 0}, "rows is 0"),
        ({"rho_bar": 0.5}, "rho_bar is 0.5 and c_bar 1.0"),
        ({"size": 10}, "replay has no size; it has capacity, batches, rows, rho_bar, c_bar"),
        (100, "replay is 100; it must be None, a Replay or a dict"),
        ({"capacity": 7}, "capacity is 7; it must hold a row of n_steps=8"),
    ],
)
def test_bad_options_are_named(replay, message):
    env = TensorVecEnv("PathPlanner-v0", 2)
    with pytest.raises(ValueError, match=message):
        A2C("TransformerPolicy", env, n_steps=8, replay=replay, policy_kwargs=dict(SMALL))
