"""KL estimators against torch.distributions, by expectation, by hand and by samples; the coefficients by hand."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from agents.objectives import kl


def assert_close(ours, theirs, tolerance=1e-12):
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=tolerance, atol=tolerance)


def two_policies(actions=6):
    generator = torch.Generator().manual_seed(1)
    logits, reference = torch.randn(2, 3, actions, dtype=torch.float64, generator=generator)
    illegal = torch.zeros(3, actions, dtype=torch.bool)
    illegal[0, 2] = illegal[1, 4:] = True
    return logits.masked_fill(illegal, -1e8).requires_grad_(), reference.masked_fill(illegal, -1e8), illegal


def divergence(logits, reference):
    """KL by torch.distributions."""
    categorical = torch.distributions.Categorical
    return torch.distributions.kl_divergence(categorical(logits=logits), categorical(logits=reference))


def test_full_kl_and_its_gradient():
    logits, reference, illegal = two_policies()
    ours = kl.full(logits, reference)
    assert_close(ours.detach(), divergence(logits, reference).detach())
    (gradient,) = torch.autograd.grad(ours.sum(), logits)
    assert torch.isfinite(gradient).all()
    assert (gradient[illegal] == 0).all()
    assert_close(gradient, torch.autograd.grad(divergence(logits, reference).sum(), logits)[0])
    few = logits[0, ~illegal[0]], reference[0, ~illegal[0]]  # as if the illegal action did not exist
    assert_close(ours[0].item(), divergence(*few).item())


def test_kl_estimators_expected_value_and_gradient():
    """The expectation over actions drawn from the policy, summed over all of them, is what the module's table says."""
    logits, reference, _ = two_policies()
    log_probs, reference = logits.log_softmax(-1), reference.log_softmax(-1)
    probs = log_probs.detach().exp()  # a sample's probability is not differentiated
    forward, backward = divergence(logits, reference), divergence(reference, logits)
    gradient = lambda of: torch.autograd.grad(of.sum(), logits, retain_graph=True)[0]  # noqa: E731
    expected = {name: (probs * kl.estimator(name)(log_probs, reference)).sum(-1) for name in ("k1", "k2", "k3")}
    assert_close(expected["k1"].detach(), forward.detach())
    assert_close(expected["k3"].detach(), forward.detach())
    assert (expected["k2"] - forward).abs().min() > 1e-3, "k2 is biased as a value"
    assert_close(gradient(expected["k1"]), torch.zeros_like(logits))
    assert_close(gradient(expected["k2"]), gradient(forward))
    assert_close(gradient(expected["k3"]), gradient(backward))
    assert (gradient(forward) - gradient(backward)).abs().max() > 1e-2


def test_kl_estimators_by_hand_and_by_samples():
    log_p, log_q = torch.tensor([0.5]).log(), torch.tensor([0.25]).log()
    assert_close(kl.k1(log_p, log_q), np.log([2.0]), 1e-6)
    assert_close(kl.k2(log_p, log_q), np.log([2.0]) ** 2 / 2, 1e-6)
    assert_close(kl.k3(log_p, log_q), 0.5 - 1 + np.log([2.0]), 1e-6)
    logits, reference = (torch.from_numpy(np.random.default_rng(i).normal(size=5)) * 0.5 for i in (1, 2))
    actions = torch.multinomial(logits.softmax(-1), 400_000, True, generator=torch.Generator().manual_seed(0))
    log_probs, reference_log_probs = logits.log_softmax(-1)[actions], reference.log_softmax(-1)[actions]
    full = kl.full(logits[None], reference[None]).item()
    for name in ("k1", "k3"):
        samples = kl.estimator(name)(log_probs, reference_log_probs)
        assert abs(samples.mean() - full) < 4 * samples.std() / 400_000**0.5
    assert (kl.k2(log_probs, reference_log_probs).mean() - full).abs() < 0.3 * full
    assert kl.k3(log_probs, reference_log_probs).var() < kl.k1(log_probs, reference_log_probs).var()


def test_there_are_four_estimators():
    with pytest.raises(ValueError, match="'k1', 'k2', 'k3', 'full'"):
        kl.estimator("k4")


def test_adaptive_coefficient():
    coefficient = kl.AdaptiveCoefficient(0.1, target=6.0, horizon=10_000)
    coefficient.update(12.0, 1_000)  # the error, 1, is cut to 0.2
    assert coefficient.value == pytest.approx(0.1 * (1 + 0.2 * 0.1))
    again = pickle.loads(pickle.dumps(coefficient))
    again.update(5.4, 1_000)  # the error is -0.1
    assert again.value == pytest.approx(0.102 * (1 - 0.1 * 0.1))
    again.update(0.0, 1_000)
    assert again.value == pytest.approx(0.102 * 0.99 * 0.98)
    steady = copy.copy(again)
    steady.update(6.0, 1_000)
    assert steady == again
    fixed = kl.FixedCoefficient(0.3)
    fixed.update(50.0, 1_000)
    assert fixed.value == 0.3


def test_coefficients_refuse_bad_numbers():
    for options in ({"value": 0.0}, {"target": -1.0}, {"horizon": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(options))} is"):
            kl.AdaptiveCoefficient(**{"value": 0.1, "target": 6.0, **options})
    with pytest.raises(ValueError, match="not negative"):
        kl.FixedCoefficient(-0.1)
    coefficient = kl.AdaptiveCoefficient(0.1, target=6.0, horizon=100)
    with pytest.raises(ValueError, match="horizon above 100"):
        coefficient.update(1.0, 500)
    with pytest.raises(ValueError, match="not finite"):
        coefficient.update(float("nan"), 1)


def test_nothing_reads_the_host():
    """Under FakeTensorMode tensors have no values: whatever wants one raises."""
    with FakeTensorMode():
        rows, logits = torch.rand(4), torch.rand(4, 9)
        assert kl.full(logits, logits).shape == kl.k3(rows, torch.zeros(())).shape == (4,)
