"""Statistics of evaluated episodes: estimates with 95 % intervals, text overlap, diversity, folds of levels.

The unit of resampling is the level: the episodes of several seeds on one level are not independent, and are drawn
together. L levels, S seeds, K quantities.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from llm_envs.validation import check_range

CHUNK = 2**22  # resampled levels held at once
INTERVAL = (2.5, 97.5)  # percent
NORMAL = 1.959964  # the standard normal distribution's 97.5 % quantile


@dataclass(frozen=True)
class Estimate:
    """A mean, or a ratio of means, and its 95 % interval."""

    mean: float
    low: float
    high: float


def bootstrap(totals: np.ndarray, weights: np.ndarray, resamples: int = 2000, seed: int = 0) -> np.ndarray:
    """Return percentile bootstrap intervals of `totals.sum(0) / weights.sum(0)`, (2, K): low and high.

    Efron & Tibshirani (1993), "An introduction to the bootstrap", chapter 13. A column of equal values gets an
    interval of width 0, however few they are.

    Args:
        totals: (L, K), of L independent units and K quantities.
        weights: (L, K), positive; ones for means.
        resamples: how many samples of L units are drawn, with replacement; all K quantities share them.
        seed: of the draws.
    """
    check_range("resamples", resamples, 1, 2**20)
    rng, count = np.random.default_rng(seed), len(totals)
    ratios, at_once = [], max(1, CHUNK // count)
    for start in range(0, resamples, at_once):
        size = min(at_once, resamples - start)
        # One bincount counts how often each unit is drawn in each resample; the offset keeps resamples apart.
        drawn = rng.integers(count, size=(size, count)) + count * np.arange(size)[:, None]
        times = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count).astype(float)  # (size, L)
        ratios.append((times @ totals) / (times @ weights))
    return np.percentile(np.concatenate(ratios), INTERVAL, axis=0)


def overlap(written: Sequence[int], reference: Sequence[int]) -> tuple[float, float, float, float]:
    """Return accuracy, precision, recall and F1 of generated tokens against a reference, each from 0 to 1.

    Accuracy is the share of positions, of the longer text, that hold the same token in both. The others are of the bags
    of tokens, order apart, as in Rajpurkar et al. (2016), "SQuAD", section 6.1. Two empty texts agree; an empty text
    agrees with no other.
    """
    if not len(written) or not len(reference):
        same = float(len(written) == len(reference))
        return same, same, same, same
    matches = sum(a == b for a, b in zip(written, reference, strict=False))
    common = (Counter(written) & Counter(reference)).total()
    precision, recall = common / len(written), common / len(reference)
    f1 = 2 * precision * recall / (precision + recall) if common else 0.0
    return matches / max(len(written), len(reference)), precision, recall, f1


def distinct(texts: Sequence[Sequence[int]], n: int, groups: Sequence[int] | None = None) -> Estimate:
    """Return distinct-n: the number of different n-grams in all texts, over the number of tokens in them.

    Li et al. (2016), "A diversity-promoting objective function for neural conversation models"; 0 of no
    tokens. The interval is the delete-one jackknife's, not the bootstrap's: a resample repeats texts and so has too few
    different n-grams, and its percentiles would lie below the estimate itself. Distinct-n falls with the number of
    texts: compare equal numbers of them.

    Args:
        texts: E token sequences.
        n: length of the n-grams, at least 1.
        groups: (E,), the unit of each text, from 0; each text is its own if not given.
    """
    check_range("n", n, 1, 2**10)
    units = np.arange(len(texts)) if groups is None else np.asarray(groups)
    numbers: dict[tuple, int] = {}
    kinds, owners = [], []
    for text, unit in zip(texts, units.tolist(), strict=True):
        for gram in zip(*(text[k:] for k in range(n)), strict=False):
            kinds.append(numbers.setdefault(gram, len(numbers)))
            owners.append(unit)
    count = int(units.max()) + 1
    tokens = np.bincount(units, [len(text) for text in texts], count)
    value = len(numbers) / max(float(tokens.sum()), 1.0)
    if count == 1:
        return Estimate(value, value, value)
    pairs = np.unique(np.stack([kinds, owners]).astype(np.int64), axis=1)
    alone = np.bincount(pairs[0], minlength=len(numbers))[pairs[0]] == 1  # n-grams of a single unit
    # Leaving out a unit loses the n-grams that no other has.
    without = len(numbers) - np.bincount(pairs[1][alone], minlength=count)
    left = without / np.maximum(tokens.sum() - tokens, 1)
    # Jackknife variance: (count - 1) / count sum_i (x_(i) - mean)^2 (Efron & Tibshirani, 1993, eq. 11.5).
    width = NORMAL * float(np.sqrt((count - 1) * left.var()))
    return Estimate(value, max(value - width, 0.0), min(value + width, 1.0))


def folds(num_levels: int, k: int, seed: int = 0) -> list[np.ndarray]:
    """Return k disjoint arrays of level numbers that together are 0..num_levels-1, their sizes differing by 1 at most.

    The numbers are shuffled first, by `seed`: neighbours in a pool of levels are often alike.
    """
    check_range("k", k, 2, num_levels)
    return [np.sort(fold) for fold in np.array_split(np.random.default_rng(seed).permutation(num_levels), k)]


@dataclass(frozen=True)
class Sample:
    """The measurements of S seeds' episodes of L levels.

    `means` are averaged; `losses` are negative log-likelihoods in nats, (total, number of tokens), shown as perplexity
    exp(sum of totals / sum of tokens); `texts[s][l]` are the generated tokens, in worlds with text.
    """

    means: dict[str, np.ndarray]  # (S, L) each
    losses: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)  # (S, L) each
    texts: list[list[Sequence[int]]] = field(default_factory=list)

    def select(self, seeds: Sequence[int] | np.ndarray, levels: Sequence[int] | np.ndarray) -> "Sample":
        """Return the part of some seeds and levels."""
        place = np.ix_(np.asarray(seeds), np.asarray(levels))
        return Sample(
            {name: value[place] for name, value in self.means.items()},
            {name: (total[place], tokens[place]) for name, (total, tokens) in self.losses.items()},
            [[self.texts[s][level] for level in levels] for s in seeds] if self.texts else [],
        )

    def _ratios(self) -> tuple[np.ndarray, np.ndarray]:
        """Return totals and weights, (L, K), of the means and then the losses, summed over the seeds."""
        pairs = [(value, np.ones_like(value)) for value in self.means.values()] + list(self.losses.values())
        return tuple(np.stack([pair[i].sum(axis=0) for pair in pairs], axis=1) for i in (0, 1))  # type: ignore[return-value]

    def _named(self, ratios: np.ndarray) -> dict[str, np.ndarray]:
        """Return ratios (..., K) by name; those of losses as perplexities."""
        # exp of the mean loss, not the mean of exps: perplexity is a ratio of totals.
        ratios = np.concatenate([ratios[..., : len(self.means)], np.exp(ratios[..., len(self.means) :])], axis=-1)
        return dict(zip([*self.means, *self.losses], np.moveaxis(ratios, -1, 0), strict=True))

    def _distinct(self) -> dict[str, Estimate]:
        texts = [text for of_seed in self.texts for text in of_seed]
        groups = [level for of_seed in self.texts for level in range(len(of_seed))]
        return {f"distinct_{n}": distinct(texts, n, groups) for n in (1, 2)} if texts else {}

    def points(self) -> dict[str, float]:
        """Return every quantity by name, without its interval."""
        totals, weights = self._ratios()
        found = self._named(totals.sum(axis=0) / weights.sum(axis=0))
        return {name: float(value) for name, value in found.items()} | {
            name: estimate.mean for name, estimate in self._distinct().items()
        }

    def estimates(self, resamples: int = 2000) -> dict[str, Estimate]:
        """Return every quantity by name, with its 95 % interval over levels."""
        totals, weights = self._ratios()
        means = totals.sum(axis=0) / weights.sum(axis=0)
        found = self._named(np.vstack([means, bootstrap(totals, weights, resamples)]))
        return {name: Estimate(*value.tolist()) for name, value in found.items()} | self._distinct()
