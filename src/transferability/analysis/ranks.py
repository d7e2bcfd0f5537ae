"""Ranks: how well one quantity ranks what another ranks, with what chance reaches and an interval over units."""

from collections.abc import Callable
from functools import cache

import numpy as np

from transferability.analysis.intervals import Estimate, without_interval


def concordance(first: np.ndarray, second: np.ndarray, weights: np.ndarray | float) -> float:
    """The share of pairs of items that two quantities (items,) put in one order, less that of the others, each pair as
    often as its weight (items, items); pairs that one of the quantities ties count half, as in Kendall's τ-b."""
    one, other = (np.sign(values[:, None] - values) for values in (first, second))
    ties = np.sum(weights * one * one) * np.sum(weights * other * other)
    return float(np.sum(weights * one * other) / np.sqrt(ties))


def kendall(first: np.ndarray, second: np.ndarray) -> float:
    """Kendall's τ-b."""
    return concordance(first, second, 1.0)


def weighted_tau(first: np.ndarray, second: np.ndarray) -> float:
    """Kendall's τ in which a pair counts by the ranks of both its items, the largest first (Vigna 2015): the mean of
    the τ with ranks by the first quantity and that with ranks by the second."""
    values = []
    for keys in ((second, first), (first, second)):
        share = np.empty(len(first))
        share[np.lexsort(keys)[::-1]] = 1 / np.arange(1, len(first) + 1)
        values.append(concordance(first, second, share[:, None] + share))
    return float(np.mean(values))


def spearman(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's ρ; how many items are below one less how many are above it is its rank, in other units."""
    ranks = [np.sign(values[:, None] - values).sum(axis=1) for values in (first, second)]
    return float(np.corrcoef(ranks)[0, 1])


# As scipy's; resampled thousands of times, they need a tenth of its time.
MEASURES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "weighted_tau": weighted_tau,
    "kendall": kendall,
    "spearman": spearman,
}
"""Rank correlations, 1 for the same order."""

ORDERS, DRAWS = 2000, 400
LEAST_ITEMS, LEAST_UNITS = 3, 4
"""Fewer items have no order to speak of; of fewer units no bootstrap holds what it says."""


def rank_correlation(measure: str, predicted: np.ndarray, true: np.ndarray) -> float:
    """How alike two quantities (items,) rank items; NaN where one of them tells none apart, or there are too few."""
    if len(true) < LEAST_ITEMS or np.ptp(predicted) == 0 or np.ptp(true) == 0:
        return np.nan
    return MEASURES[measure](predicted, true)


@cache
def chance_size(measure: str, items: int) -> float:
    """The size that so many items in random order exceed 5 times in 100."""
    generator, order = np.random.default_rng(0), np.arange(items)
    sizes = [abs(MEASURES[measure](generator.permutation(items), order)) for _ in range(ORDERS)]
    return float(np.quantile(sizes, 0.95))


def bootstrap(statistic: Callable[[np.ndarray], float], units: int, mean: float) -> Estimate:
    """A statistic of units, as it is, with the 95 % percentile interval of resampling them.

    `statistic` is given the numbers of some units, each as often as it was drawn. With few units the interval is too
    narrow: docs/statistics.md has how much.
    """
    if units < LEAST_UNITS:
        return without_interval(mean, f"{units} independent unit{'s' * (units != 1)}: no interval")
    generator = np.random.default_rng(0)
    values = [statistic(generator.integers(0, units, units)) for _ in range(DRAWS)]
    low, high = np.nanquantile(values, [0.025, 0.975])
    return Estimate(mean, float(low), float(high), np.nan, "bootstrap", None)
