"""Whole-episode algorithms: what counts, what an episode's advantage is, and the KL term."""

import numpy as np
import pytest
import torch

from agents import GRPO, PPO, REINFORCE, RLOO, TRPO
from agents.objectives.kl import k1, k3
from agents.objectives.losses import clip_fraction, ppo_policy_loss
from llm_envs.adapters.sb3 import TensorVecEnv

SMALL = {"backbone": {"width": 16, "layers": 1, "heads": 2}}
COPY = {"length": 4, "vocab_size": 3}


def model_of(algorithm, rows=12, group_size=4, **options):
    env = TensorVecEnv("Tokens/Copy-v0", rows, group_size=group_size, weights={"exact": 1.0, "match": 0.5}, **COPY)
    return algorithm("TransformerPolicy", env, seed=0, device="cpu", policy_kwargs=SMALL, **options)


def collected(model):
    """Collect one rollout and return the buffer."""
    model._setup_learn(1)
    model.collect_rollouts(model.env, model._init_callback(None), model.rollout_buffer, model.n_steps)
    return model.rollout_buffer


def episodes(buffer):
    """Return each row's first episode by walking through the rollout: rewards, and whether it ended."""
    rewards, dones = (buffer.tensors[name].numpy() for name in ("rewards", "dones"))
    found = []
    for n in range(rewards.shape[1]):
        ends = np.flatnonzero(dones[:, n])
        found.append(rewards[: ends[0] + 1 if len(ends) else len(rewards), n])
    return found


@pytest.mark.parametrize("rollouts", [1, 3])
def test_what_counts_is_the_first_episode_of_every_row(rollouts):
    model = model_of(REINFORCE, baseline="none")
    for _ in range(rollouts):
        buffer = collected(model)
        whole = episodes(buffer)
        used = ~buffer.tensors["unused"].numpy()
        assert used.sum(axis=0).tolist() == [len(rewards) for rewards in whole]
        assert len(set(used.sum(axis=0).tolist())) > 1
        (batch,) = buffer.get(None)
        assert len(batch.actions) == used.sum()
        assert np.allclose([e["r"] for e in list(model.ep_info_buffer)[-12:]], sorted_by_end(whole), atol=1e-6)


def sorted_by_end(whole):
    """Return the episodes' returns in the order in which they ended, rows in order."""
    order = sorted(range(len(whole)), key=lambda n: (len(whole[n]), n))
    return [whole[n].sum() for n in order]


@pytest.mark.parametrize("rollouts", [1, 4])
def test_rows_of_a_group_have_the_same_level_in_every_rollout(rollouts):
    model = model_of(RLOO)
    for _ in range(rollouts):
        tokens = collected(model).observations["tokens"][0].view(3, 4, -1)
        assert (tokens == tokens[:, :1]).all()
    assert not (tokens[0] == tokens[1]).all()


@pytest.mark.parametrize(
    ("algorithm", "options"),
    [
        (REINFORCE, {"baseline": "none", "gamma": 0.9}),
        (REINFORCE, {"baseline": "learned"}),
        (REINFORCE, {"baseline": "leave_one_out"}),
        (RLOO, {}),
        (GRPO, {}),
        (GRPO, {"scale": False, "weighting": "episode"}),
    ],
)
def test_advantages_by_hand(algorithm, options):
    model = model_of(algorithm, **options)
    buffer = collected(model)
    whole, values = episodes(buffer), buffer.tensors["values"].numpy()
    lengths, gamma = [len(rewards) for rewards in whole], model.gamma
    totals = np.array([sum(gamma**t * r for t, r in enumerate(rewards)) for rewards in whole])
    groups = totals.reshape(3, 4)
    others = ((groups.sum(1, keepdims=True) - groups) / 3).reshape(-1)
    for n, rewards in enumerate(whole):
        for t in range(len(rewards)):
            to_go = sum(gamma**k * r for k, r in enumerate(rewards[t:]))
            weight = sum(lengths) / len(lengths)
            if algorithm is RLOO:
                expected = totals[n] - others[n]
            elif algorithm is GRPO:
                expected = totals[n] - groups[n // 4].mean()
                if model.scale:
                    expected /= groups[n // 4].std(ddof=1) + 1e-4
                    weight /= lengths[n]
            else:
                expected = to_go - {"none": 0.0, "learned": values[t, n], "leave_one_out": others[n]}[model.baseline]
            assert buffer.tensors["advantages"][t, n].item() == pytest.approx(expected, abs=1e-5)
            assert buffer.tensors["weights"][t, n].item() == pytest.approx(weight)


def test_moving_average_judges_by_earlier_rollouts_alone():
    model = model_of(REINFORCE)
    first = collected(model)
    means = [np.mean([rewards.sum() for rewards in episodes(first)])]
    assert torch.allclose(first.tensors["advantages"][0], first.tensors["returns"][0])
    second = collected(model)
    assert torch.allclose(second.tensors["advantages"][0], second.tensors["returns"][0] - means[0], atol=1e-5)


def test_bad_settings_are_refused():
    for algorithm, rows, options, message in (
        (GRPO, 1, {}, "several rows a level"),
        (RLOO, 1, {}, "several rows a level"),
        (RLOO, 4, {"replay": {}}, "fresh episodes"),
        (REINFORCE, 4, {"baseline": "mean"}, "baseline is 'mean'"),
        (GRPO, 4, {"weighting": "row"}, "weighting is 'row'"),
        (PPO, 4, {"kl": {"place": "loss", "estimator": "k1"}}, "gradient as a loss is zero"),
        (PPO, 4, {"kl": {"place": "value"}}, "place is 'value'"),
        (PPO, 4, {"clip_range_high": -1.0}, "clip_range_high"),
    ):
        with pytest.raises(ValueError, match=message):
            model_of(algorithm, group_size=rows, **options)


def test_a_world_without_a_limit_needs_n_steps():
    env = TensorVecEnv("PathPlanner-v0", 4, max_steps=0)
    with pytest.raises(ValueError, match="n_steps"):
        REINFORCE("TransformerPolicy", env, policy_kwargs=SMALL)


# ---------------------------------------------------------------------- KL


def moved(model, by=0.3):
    """Freeze the reference, then move the policy away from it."""
    model._setup_learn(1)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.policy.parameters():
            parameter += by * parameter.abs().mean() * torch.randn(parameter.shape, generator=generator)
    return model


@pytest.mark.parametrize(("name", "formula"), [("k1", k1), ("k3", k3)])
def test_kl_comes_off_the_rewards(name, formula):
    with_kl = collected(moved(model_of(PPO, n_steps=16, kl={"coefficient": 0.3, "estimator": name, "place": "reward"})))
    without = collected(moved(model_of(PPO, n_steps=16, kl={"coefficient": 0.0, "estimator": name, "place": "reward"})))
    assert torch.equal(with_kl.tensors["actions"], without.tensors["actions"])
    reference = model_of(PPO, n_steps=16).policy
    batch = with_kl.samples(with_kl.valid_indices(), with_kl.runs())
    with torch.no_grad():
        theirs = reference.evaluate_actions(batch.observations, batch.actions)[1]
    assert torch.equal(with_kl.tensors["rewards"], without.tensors["rewards"])
    fine = (without.total_rewards() - with_kl.total_rewards()).T.flatten()
    assert torch.allclose(fine, 0.3 * formula(batch.old_log_prob, theirs), atol=1e-5)
    assert fine.abs().max() > 1e-3


@pytest.mark.parametrize("estimator", ["k2", "k3", "full"])
def test_kl_in_the_loss_is_a_term_of_the_gradient(estimator):
    """A step of PPO's `train()` moves parameters by the written-out loss: policy + value - c_H H + beta KL."""
    options = {"n_steps": 8, "batch_size": 96, "n_epochs": 1, "ent_coef": 0.02, "max_grad_norm": 1e9}
    sgd = {**SMALL, "optimizer_class": torch.optim.SGD, "optimizer_kwargs": {"momentum": 0.0}}
    env = TensorVecEnv("Tokens/Copy-v0", 12, **COPY)
    kl = {"coefficient": 0.5, "estimator": estimator}
    model = moved(PPO("TransformerPolicy", env, seed=0, learning_rate=0.1, kl=kl, policy_kwargs=sgd, **options))
    buffer = collected(model)
    batch = buffer.samples(buffer.valid_indices(), buffer.runs())
    before = [parameter.detach().clone() for parameter in model.policy.parameters()]
    values, log_probs, entropy = model.policy.evaluate_actions(batch.observations, batch.actions)
    mine = model.policy.get_distribution(batch.observations).distribution
    with torch.no_grad():
        theirs = model.reference.policy.get_distribution(batch.observations).distribution
    ratio = theirs.log_prob(batch.actions) - log_probs
    terms = {
        "k2": 0.5 * ratio**2,
        "k3": ratio.exp() - 1 - ratio,
        "full": (mine.probs * (mine.logits - theirs.logits)).sum(1),
    }
    advantages = (batch.advantages - batch.advantages.mean()) / (batch.advantages.std() + 1e-8)
    loss = -(advantages * (log_probs - batch.old_log_prob).exp()).mean() - 0.02 * entropy.mean()
    loss = loss + 0.5 * ((batch.returns - values.flatten()) ** 2).mean() + 0.5 * terms[estimator].mean()
    gradients = torch.autograd.grad(loss, list(model.policy.parameters()))
    model.train()
    for start, gradient, now in zip(before, gradients, model.policy.parameters(), strict=True):
        assert torch.allclose(start - 0.1 * gradient, now, atol=1e-6)
    assert model.logger.name_to_value["train/entropy_loss"] == pytest.approx(-entropy.mean().item(), abs=1e-5)
    assert model.logger.name_to_value["kl/per_token"] == pytest.approx(terms[estimator].mean().item(), abs=1e-5)


def test_the_kl_of_grpo_is_inside_the_mean_over_each_episode():
    """Without a reward the gradient of a step is that of beta / E sum_i 1/len_i sum_t KL_t."""
    env = TensorVecEnv("Tokens/Copy-v0", 12, group_size=4, weights={"exact": 0.0}, **COPY)
    sgd = {**SMALL, "optimizer_class": torch.optim.SGD, "optimizer_kwargs": {"momentum": 0.0}}
    options = {"batch_size": 10_000, "max_grad_norm": 1e9, "learning_rate": 0.1, "policy_kwargs": sgd}
    model = moved(GRPO("TransformerPolicy", env, seed=0, kl={"coefficient": 0.5}, **options))
    buffer = collected(model)
    batch = buffer.samples(buffer.valid_indices(), buffer.runs())
    before = [parameter.detach().clone() for parameter in model.policy.parameters()]
    log_probs = model.policy.evaluate_actions(batch.observations, batch.actions)[1]
    with torch.no_grad():
        theirs = model.reference.policy.evaluate_actions(batch.observations, batch.actions)[1]
    lengths = (~buffer.tensors["unused"]).sum(dim=0)[batch.flat // buffer.buffer_size]
    loss = 0.5 * (k3(log_probs, theirs) / lengths).sum() / 12
    gradients = torch.autograd.grad(loss, list(model.policy.parameters()), allow_unused=True)
    model.train()
    for start, gradient, now in zip(before, gradients, model.policy.parameters(), strict=True):
        assert torch.allclose(now, start if gradient is None else start - 0.1 * gradient, atol=1e-6)


@pytest.mark.parametrize("algorithm", [PPO, GRPO, TRPO])
def test_the_reference_stays_and_is_saved(algorithm, tmp_path):
    options = {} if algorithm is GRPO else {"n_steps": 16}
    place = "reward" if algorithm is TRPO else "loss"
    model = model_of(algorithm, kl={"coefficient": 0.1, "place": place, "target": 0.01}, **options)
    start = [parameter.detach().clone() for parameter in model.policy.parameters()]
    model.learn(600)
    frozen = list(model.reference.policy.parameters())
    assert all(torch.equal(a, b) for a, b in zip(start, frozen, strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(start, model.policy.parameters(), strict=True))
    model.save(tmp_path / "model")
    loaded = algorithm.load(tmp_path / "model", env=model.env, device="cpu")
    assert all(torch.equal(a, b) for a, b in zip(loaded.reference.policy.parameters(), frozen, strict=True))
    assert loaded.kl_control.value == model.kl_control.value != 0.1
    loaded.learn(200, reset_num_timesteps=False)


def test_clip_higher_lets_ratios_rise_further():
    log_ratios = torch.tensor([0.5, 1.4, 1.8]).log()
    for k, clipped in enumerate([0.5, 1.4, 1.5]):  # a ratio below the range still counts: it is to rise again
        good = ppo_policy_loss(log_ratios[k : k + 1], torch.zeros(1), torch.ones(1), 0.2, 0.5)
        assert good.item() == pytest.approx(-clipped)
    assert clip_fraction(log_ratios, torch.zeros(3), 0.2, 0.5).item() == pytest.approx(2 / 3)
    one, other = (
        model_of(PPO, n_steps=16, n_epochs=8, learning_rate=0.01, clip_range_high=high) for high in (0.2, 0.9)
    )
    plain = model_of(PPO, n_steps=16, n_epochs=8, learning_rate=0.01)
    for model in (one, other, plain):
        model.set_random_seed(0)
        model.learn(192 * 2)
    same, changed = (
        max((a - b).abs().max().item() for a, b in zip(x.policy.parameters(), plain.policy.parameters(), strict=True))
        for x in (one, other)
    )
    assert same == 0.0
    assert changed > 1e-4
