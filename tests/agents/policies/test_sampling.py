"""Temperature, top-k, top-p and epsilon against their definitions, one row at a time in NumPy."""

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from agents.policies.sampling import Sampling, adjusted_log_probs, top_k_top_p_mask


def assert_close(ours, theirs, tolerance=1e-12):
    np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=tolerance, atol=tolerance)


def left(logits, top_k, top_p):
    """The definition, one row at a time: sort, keep k, renormalise, keep the fewest that reach p."""
    legal = [a for a in range(len(logits)) if logits[a] > -1e7] or list(range(len(logits)))
    ranked = sorted(legal, key=lambda a: (-logits[a], a))[: top_k or None]
    weights = np.exp([logits[a] - logits[ranked[0]] for a in ranked])
    mass = np.cumsum(weights) / weights.sum()
    count = len(ranked) if top_p == 1.0 else int(np.argmax(mass >= top_p)) + 1
    return [a in ranked[:count] for a in range(len(logits))]


def masked_logits(seed, actions=9):
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(8, actions))
    logits[rng.random(logits.shape) < 0.3] = -1e8
    logits[0, 1:], logits[0, 0] = -1e8, 0.3  # one legal action
    logits[1] = -1e8  # none
    return torch.from_numpy(logits)


@pytest.mark.parametrize(("top_k", "top_p"), [(0, 1.0), (1, 1.0), (3, 1.0), (50, 1.0), (0, 0.6), (4, 0.9), (0, 1e-6)])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_support_and_distribution(top_k, top_p, temperature):
    logits, sampling = masked_logits(top_k), Sampling(temperature, top_k, top_p, epsilon=0.1)
    kept = top_k_top_p_mask(logits, sampling)
    heated = torch.where(logits > -1e7, logits / temperature, logits).numpy()
    assert kept.tolist() == [left(row, top_k, top_p) for row in heated]
    legal = (logits > -1e7) | (torch.arange(8) == 1)[:, None]
    assert not (kept & ~legal).any()
    weights = np.exp(heated - heated.max(1, keepdims=True)) * kept.numpy()
    probs = weights / weights.sum(1, keepdims=True)
    without = Sampling(temperature, top_k, top_p)
    assert_close(adjusted_log_probs(logits, kept, without).softmax(-1), probs)
    mixed = 0.9 * probs + 0.1 * legal.numpy() / legal.sum(1, keepdim=True).numpy()
    log_probs = adjusted_log_probs(logits, kept, sampling)
    assert_close(log_probs.exp(), mixed)
    assert_close(log_probs.logsumexp(-1), np.zeros(8))


def test_support_of_ties_and_edges():
    four = torch.zeros(1, 4)
    assert top_k_top_p_mask(four, Sampling(top_k=2)).tolist() == [[True, True, False, False]]
    assert top_k_top_p_mask(four, Sampling(top_p=0.5)).tolist() == [[True, True, False, False]], "1/4 + 1/4 reach 1/2"
    assert top_k_top_p_mask(four, Sampling(top_p=0.51)).tolist() == [[True, True, True, False]]
    three = torch.tensor([[0.2, 0.5, 0.3]]).log()
    assert top_k_top_p_mask(three, Sampling(top_p=0.4)).tolist() == [[False, True, False]]
    both = Sampling(top_k=2, top_p=0.62)
    assert top_k_top_p_mask(three, both).tolist() == [[False, True, False]], "0.5 of 0.8 is 0.625"
    assert top_k_top_p_mask(three, Sampling(top_p=0.62)).tolist() == [[False, True, True]]
    cold = adjusted_log_probs(three, None, Sampling(temperature=1e-30))
    assert cold.exp().tolist() == [[0, 1, 0]]
    assert cold.min() == -1e8, "log-probs stay where sums and products of them are finite"
    assert adjusted_log_probs(three, None, Sampling()) is three


@pytest.mark.parametrize("epsilon", [0.0, 0.2, 1.0])
def test_shaped_has_finite_gradients(epsilon):
    """Of a taken action's log-prob and of the entropy, with illegal and left-out actions about."""
    logits, sampling = masked_logits(5).requires_grad_(), Sampling(0.7, 3, 0.9, epsilon)
    kept = top_k_top_p_mask(logits, sampling)
    log_probs = adjusted_log_probs(logits, kept, sampling)
    taken = kept.to(torch.int8).argmax(-1)
    entropy = -(log_probs.exp() * log_probs).sum(-1)
    (gradient,) = torch.autograd.grad((log_probs.gather(-1, taken[:, None])[:, 0] + entropy).sum(), logits)
    assert torch.isfinite(gradient).all()
    assert (gradient[~kept] == 0).all()
    assert bool(gradient.abs().max() > 1e-3) == (epsilon < 1.0)


def test_sampling_refuses():
    for options in (
        {"temperature": 0.0},
        {"top_k": -1},
        {"top_k": 1.5},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"epsilon": 2},
    ):
        with pytest.raises(ValueError, match=f"{next(iter(options))} is"):
            Sampling(**options)
    with pytest.raises(ValueError, match="kept"):
        adjusted_log_probs(torch.zeros(1, 3), None, Sampling(top_k=2))


def test_nothing_reads_the_host():
    """Under FakeTensorMode tensors have no values: whatever wants one raises."""
    with FakeTensorMode():
        logits, sampling = torch.rand(4, 9), Sampling(0.7, 3, 0.9, 0.1)
        assert adjusted_log_probs(logits, top_k_top_p_mask(logits, sampling), sampling).shape == (4, 9)
