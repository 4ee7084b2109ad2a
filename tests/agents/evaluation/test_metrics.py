"""Intervals against the plain loop and known distributions; text overlap, diversity and folds by hand."""

import math

import numpy as np
import pytest

from agents.evaluation import metrics


def test_bootstrap_is_the_plain_loop():
    rng = np.random.default_rng(5)
    totals, weights = rng.normal(size=(30, 2)), rng.uniform(1, 2, (30, 2))
    draws, ratios = np.random.default_rng(0), []
    for _ in range(100):
        chosen = draws.integers(30, size=30)
        ratios.append(totals[chosen].sum(0) / weights[chosen].sum(0))
    found = metrics.bootstrap(totals, weights, 100)
    assert np.allclose(found, np.percentile(ratios, [2.5, 97.5], axis=0))


def test_bootstrap_in_parts_is_the_bootstrap(monkeypatch):
    totals = np.random.default_rng(5).normal(size=(30, 2))
    whole = metrics.bootstrap(totals, np.ones_like(totals), 100)
    monkeypatch.setattr(metrics, "CHUNK", 7 * 30)
    assert np.allclose(metrics.bootstrap(totals, np.ones_like(totals), 100), whole)


def test_intervals_of_a_bernoulli_are_binomial_and_cover_as_often_as_they_say():
    """Resampling k ones among n draws Binomial(n, k / n), whose quantiles are known. 5 % are to miss the true mean."""
    p, trials, n = 0.3, 1000, 80
    tosses = (np.random.default_rng(1).random((n, trials)) < p).astype(float)
    found = metrics.bootstrap(tosses, np.ones_like(tosses), 2000)
    for k in range(15, 35):
        share = k / n
        chances = [math.comb(n, j) * share**j * (1 - share) ** (n - j) for j in range(n + 1)]
        quantiles = np.searchsorted(np.cumsum(chances), [0.025, 0.975]) / n
        same = tosses.sum(axis=0) == k
        assert same.any()
        assert np.abs(found[:, same] - quantiles[:, None]).max() <= 1 / n + 1e-9
    assert 0.93 < np.mean((found[0] <= p) & (p <= found[1])) < 0.98


def test_overlap_by_hand():
    assert metrics.overlap([5, 6, 6, 7], [6, 6, 5]) == pytest.approx((1 / 4, 3 / 4, 1.0, 6 / 7))
    assert metrics.overlap([1], [2]) == (0.0, 0.0, 0.0, 0.0)
    assert metrics.overlap([], []) == (1.0, 1.0, 1.0, 1.0)
    assert metrics.overlap([], [2]) == metrics.overlap([2], []) == (0.0, 0.0, 0.0, 0.0)


def test_distinct_by_hand():
    texts = [[1, 2, 1], [2, 1], [3]]
    assert metrics.distinct(texts, 1).mean == 3 / 6
    assert metrics.distinct(texts, 2).mean == 2 / 6  # (1, 2) and twice (2, 1); Li et al. divide by tokens
    assert metrics.distinct([[], []], 1) == metrics.Estimate(0.0, 0.0, 0.0)
    assert metrics.distinct([[4, 4]], 1) == metrics.Estimate(0.5, 0.5, 0.5)


@pytest.mark.parametrize("n", [1, 2])
def test_distinct_intervals_are_the_jackknife_over_groups(n):
    rng = np.random.default_rng(2)
    texts = [rng.zipf(1.5, rng.integers(0, 6)).tolist() for _ in range(40)]
    groups = [i % 20 for i in range(40)]

    def plain(kept):
        grams = {tuple(text[i : i + n]) for text in kept for i in range(len(text) - n + 1)}
        return len(grams) / sum(map(len, kept))

    left = np.array([plain([t for t, g in zip(texts, groups, strict=True) if g != out]) for out in range(20)])
    error = np.sqrt(19 / 20 * np.sum((left - left.mean()) ** 2))
    found = metrics.distinct(texts, n, groups)
    assert found.mean == pytest.approx(plain(texts))
    assert (found.high - found.mean) == pytest.approx(min(1.96 * error, 1 - found.mean), rel=1e-4)
    assert (found.mean - found.low) == pytest.approx(1.96 * error, rel=1e-4)


def test_distinct_intervals_have_the_spread_of_new_corpora():
    rng = np.random.default_rng(3)
    found = [metrics.distinct(np.minimum(rng.zipf(1.4, (60, 5)), 10**6).tolist(), 1) for _ in range(300)]
    widths = np.mean([(estimate.high - estimate.low) / (2 * 1.96) for estimate in found])
    assert widths == pytest.approx(np.std([estimate.mean for estimate in found]), rel=0.25)


def test_folds_are_disjoint_and_cover_all_levels():
    parts = metrics.folds(23, 5)
    assert sorted(np.concatenate(parts).tolist()) == list(range(23))
    assert sorted(map(len, parts)) == [4, 4, 5, 5, 5]
    assert [part.tolist() for part in metrics.folds(23, 5)] == [part.tolist() for part in parts]
    for k in (1, 24):
        with pytest.raises(ValueError, match="k is"):
            metrics.folds(23, k)
