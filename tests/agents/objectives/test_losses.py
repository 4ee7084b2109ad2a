"""Losses by hand, number by number, and a mean's share of several ranks."""

import math

import pytest
import torch

from agents.objectives.losses import (
    approximate_kl,
    clip_fraction,
    entropy_loss,
    kl_loss,
    policy_gradient_loss,
    ppo_policy_loss,
    standardized,
    surrogate,
    value_loss,
    weighted_mean,
)

LOG = math.log
RATIOS = torch.tensor([0.5, 0.9, 1.1, 1.5, 4.0], dtype=torch.float64)
NEW, OLD = RATIOS.log() - 1.0, torch.full((5,), -1.0, dtype=torch.float64)  # log-probs whose ratios these are


def one(x):
    return torch.tensor([x], dtype=torch.float64)


@pytest.mark.parametrize(
    ("ratio", "advantage", "options", "expected"),
    [
        (1.5, 2.0, {"low": 0.2, "high": 0.2}, 2.4),  # clipped above
        (1.5, 2.0, {"low": 0.2, "high": 0.28}, 2.56),  # clip-higher
        (0.5, 2.0, {"low": 0.2, "high": 0.2}, 1.0),  # a good action that became unlikely: not clipped
        (0.5, -2.0, {"low": 0.2, "high": 0.2}, -1.6),  # clipped below
        (4.0, -2.0, {"low": 0.2, "high": 0.2}, -8.0),  # a bad action that became likely: not clipped
        (4.0, -2.0, {"low": 0.2, "high": 0.2, "dual": 3.0}, -6.0),  # but by the dual clip
        (4.0, 2.0, {"low": 0.2, "high": 0.2, "dual": 3.0}, 2.4),
        (0.5, -2.0, {"low": 0.2, "high": 0.2, "dual": 3.0}, -1.6),
    ],
)
def test_ppos_surrogate(ratio, advantage, options, expected):
    assert ppo_policy_loss(one(LOG(ratio)), one(0.0), one(advantage), **options).item() == pytest.approx(-expected)


def test_the_dual_clip_stops_the_gradient_of_a_bad_action_whose_ratio_is_large():
    log_prob = torch.tensor([LOG(4.0), LOG(2.0)], requires_grad=True)
    ppo_policy_loss(log_prob, torch.zeros(2), -torch.ones(2), 0.2, 0.2, dual=3.0).backward()
    assert log_prob.grad.tolist() == pytest.approx([0.0, 1.0])  # d/dx of e^x / 2 at log 2


def test_values_by_hand():
    values, returns, old = one(3.0), one(1.0), one(2.5)
    assert value_loss(values, returns).item() == 4.0
    assert value_loss(values, returns, old, 0.2).item() == pytest.approx(1.7**2)  # 3.0 is clipped to 2.7
    assert value_loss(one(2.6), returns, old, 0.2).item() == pytest.approx(1.6**2)


def test_the_others_by_hand():
    advantages = torch.arange(5.0, dtype=torch.float64) - 1
    assert surrogate(NEW, OLD, advantages).item() == pytest.approx((RATIOS * advantages).mean().item())
    assert policy_gradient_loss(NEW, advantages).item() == pytest.approx(-(NEW * advantages).mean().item())
    assert entropy_loss(RATIOS).item() == pytest.approx(-RATIOS.mean().item())
    assert kl_loss(RATIOS).item() == pytest.approx(RATIOS.mean().item())
    assert approximate_kl(NEW, OLD).item() == pytest.approx(sum(r - 1 - LOG(r) for r in RATIOS.tolist()) / 5)
    assert clip_fraction(NEW, OLD, 0.2, 0.2).item() == pytest.approx(3 / 5)
    assert clip_fraction(NEW, OLD, 0.2, 0.6).item() == pytest.approx(2 / 5)
    scaled = standardized(advantages)
    assert (scaled.mean().item(), scaled.std().item()) == pytest.approx((0.0, 1.0), abs=1e-6)
    assert standardized(advantages, advantages * 2).tolist() == pytest.approx(
        ((advantages - 2.0) / (2 * advantages.std())).tolist()
    )


def test_weights_multiply_terms_and_do_not_change_what_they_are_divided_by():
    weights = torch.tensor([0.0, 1.0, 2.0, 1.0, 1.0], dtype=torch.float64)
    assert weighted_mean(RATIOS, weights).item() == pytest.approx((0.9 + 2.2 + 1.5 + 4.0) / 5)
    ones = torch.ones(5, dtype=torch.float64)
    whole = ppo_policy_loss(NEW, OLD, ones, 0.2, 0.2, weights=weights)
    parts = [w * ppo_policy_loss(NEW[i : i + 1], OLD[:1], ones[:1], 0.2, 0.2) for i, w in enumerate(weights)]
    assert whole.item() == pytest.approx(sum(parts).item() / 5)


@pytest.mark.parametrize(
    "loss",
    [
        lambda x, total: ppo_policy_loss(x, OLD[: len(x)], x.detach() + 1, 0.2, 0.2, total=total),
        lambda x, total: policy_gradient_loss(x, x.detach() + 1, total=total),
        lambda x, total: value_loss(x, x.detach() + 1, total=total),
        lambda x, total: entropy_loss(x, total=total),
    ],
)
def test_shares_and_gradients_of_ranks_add_up(loss):
    """Of unequal parts, one of them empty: a rank without states has one that counts for nothing."""
    x = NEW.clone().requires_grad_()
    whole = loss(x, None)
    (gradient,) = torch.autograd.grad(whole, x)
    shares = [loss(x[:2], 5), loss(x[2:], 5), loss(x[:1], math.inf)]
    assert sum(shares).item() == pytest.approx(whole.item())
    assert torch.allclose(torch.autograd.grad(sum(shares), x)[0], gradient)
