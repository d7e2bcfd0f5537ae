"""Intervals: they hold the truth 95 times in 100, and tests find nothing where there is nothing."""

import itertools

import numpy as np
import pytest
from scipy import stats

from transferability.analysis.intervals import STUDENTISED_FROM, adjust, correlate, estimate_mean, studentised_quantiles

RUNS = 2000
# Of 2000 intervals that hold with probability 0.95, outside of these fewer than 1 in 1000 studies would fall.
LEAST, MOST = stats.binom.ppf([0.0005, 0.9995], RUNS, 0.95) / RUNS


def coverage(draws: np.ndarray, truth: float) -> float:
    """How often the interval of a row of draws, float (runs, units), holds the truth."""
    estimates = [estimate_mean(row) for row in draws]
    return float(np.mean([estimate.low <= truth <= estimate.high for estimate in estimates]))


@pytest.mark.parametrize("units", [2, 3, 4, 5, 7])
def test_intervals_of_few_normal_units_hold_the_truth_95_times_in_100(units):
    draws = np.random.default_rng(units).normal(-0.02, 0.01, (RUNS, units))
    assert LEAST <= coverage(draws, -0.02) <= MOST


@pytest.mark.parametrize("units", [8, 10])
def test_so_do_those_of_more_normal_units(units):
    draws = np.random.default_rng(units).normal(-0.02, 0.01, (RUNS, units))
    # The studentised bootstrap is exact only in the limit: one point more is allowed.
    assert LEAST - 0.01 <= coverage(draws, -0.02) <= MOST + 0.01
    assert estimate_mean(draws[0]).method == "studentised bootstrap"


@pytest.mark.parametrize("units", [8, 10])
def test_with_skewed_units_the_studentised_bootstrap_holds_better_than_students_interval(units):
    draws = np.random.default_rng(units).exponential(0.01, (1000, units))
    found = coverage(draws, 0.01)
    half = stats.t.ppf(0.975, units - 1) * stats.sem(draws, axis=1)
    students = np.mean(abs(draws.mean(1) - 0.01) <= half)
    assert found > 0.91
    assert found > students + 0.01


def test_a_percentile_interval_of_few_units_would_not_do():
    """Why the module has another: what its docstring and docs/statistics.md state."""
    generator = np.random.default_rng(0)
    for units, stated in ((3, 0.75), (4, 0.80), (5, 0.84), (10, 0.90)):
        draws = generator.normal(size=(RUNS, units))
        means = draws[:, generator.integers(0, units, (1000, units))].mean(2)
        low, high = np.quantile(means, [0.025, 0.975], axis=1)
        assert np.mean((low <= 0) & (high >= 0)) == pytest.approx(stated, abs=0.02)


def test_nor_would_a_studentised_bootstrap_of_3_units():
    """Why it begins above them: 84 times in 100, as docs/statistics.md states."""
    draws = np.random.default_rng(3).normal(size=(2 * RUNS, 3))
    quantiles = np.array([studentised_quantiles(row) for row in draws])
    ratios = draws.mean(1) / stats.sem(draws, axis=1)
    assert np.mean((quantiles[:, 0] <= ratios) & (ratios <= quantiles[:, 1])) == pytest.approx(0.84, abs=0.015)


@pytest.mark.parametrize("units", [2, 3, 4, 7])
def test_few_units_have_students_interval_and_test(units):
    values = np.random.default_rng(units).normal(0.01, 0.01, units)
    found = estimate_mean(values)
    expected = stats.ttest_1samp(values, 0)
    interval = expected.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.p == pytest.approx(expected.pvalue)
    assert found.mean == pytest.approx(values.mean())
    assert (found.method, found.note) == ("Student", None)


def test_the_studentised_bootstrap_is_that_of_all_resamples():
    """Held against every one of the 8^8 resamples, by the multiset of units drawn."""
    values = np.array([0.1, -0.3, 0.25, 0.9, -0.05, 0.4, 0.33, 1.7])
    count = len(values)
    assert count == STUDENTISED_FROM
    ratios, weights = [], []
    factorials = np.cumprod([1, *range(1, count + 1)])
    for drawn in itertools.combinations_with_replacement(range(count), count):
        times = np.bincount(drawn, minlength=count)
        sample = values[list(drawn)]
        if sample.std() > 0:
            ratios.append((sample.mean() - values.mean()) / (sample.std() / np.sqrt(count - 1)))
            weights.append(factorials[count] / np.prod(factorials[times]))
    order = np.argsort(ratios)
    shares = np.cumsum(np.array(weights)[order]) / np.sum(weights)
    below, above = np.array(ratios)[order][np.searchsorted(shares, [0.025, 0.975])]
    error = stats.sem(values)
    found = estimate_mean(values)
    assert found.low == pytest.approx(values.mean() - above * error, abs=0.1 * error)
    assert found.high == pytest.approx(values.mean() - below * error, abs=0.2 * error)
    assert found == estimate_mean(values.copy())


@pytest.mark.parametrize(
    ("values", "note"),
    [
        ([], "no independent unit"),
        ([0.25], "one independent unit: no interval"),
        ([0.25, 0.25, 0.25], "3 units are equal to the last digit: no interval"),
        ([0.0] * 9, "9 units are equal to the last digit: no interval"),
    ],
)
def test_where_there_is_no_interval_the_note_says_why(values, note):
    found = estimate_mean(np.array(values))
    assert np.isnan([found.low, found.high, found.p]).all()
    assert found.method is None
    assert found.note == note
    assert not values or found.mean == values[0]


def test_units_that_differ_by_less_than_an_image_have_no_interval():
    units = np.array([-0.009266, -0.009308, -0.009245])
    assert estimate_mean(units).method == "Student"
    assert estimate_mean(units, image=1 / 540).note == "3 units differ by less than one image: no interval"
    assert estimate_mean(np.array([-0.009266, -0.009308, -0.007245]), image=1 / 540).method == "Student"


def test_units_that_are_one_image_apart_have_an_interval_however_their_sums_are_rounded():
    for images in range(100, 400):
        first = 37 / images - 41 / images
        units = np.array([first, 36 / images - 41 / images, first])
        assert estimate_mean(units, image=1 / images).method == "Student"
        same = np.array([first, 40 / (images - 1) - 44 / (images - 1), 22 / images - 26 / images])
        assert estimate_mean(same, image=1 / images).method is None


def test_the_correction_is_holms():
    # The example of Holm's step-down: 0.01 × 4, 0.013 × 3 raised to it, 0.03 × 2, and 0.04 raised to that.
    assert adjust(np.array([0.04, 0.01, 0.03, 0.013])) == pytest.approx([0.06, 0.04, 0.06, 0.04])
    assert adjust(np.array([0.5, 0.9])) == pytest.approx([1.0, 1.0])
    assert adjust(np.array([])).shape == (0,)


def test_what_is_no_test_is_not_counted_in_the_correction():
    found = adjust(np.array([np.nan, 0.01, np.nan, 0.5]))
    assert found[[1, 3]] == pytest.approx([0.02, 0.5])
    assert np.isnan(found[[0, 2]]).all()


@pytest.mark.parametrize("units", [5, 10])
def test_intervals_of_a_correlation_hold_it_95_times_in_100(units):
    truth = -0.7
    pairs = np.random.default_rng(units).multivariate_normal([0, 0], [[1, truth], [truth, 1]], (RUNS, units))
    estimates = [correlate(pair[:, 0], pair[:, 1]) for pair in pairs]
    held = np.mean([estimate.low <= truth <= estimate.high for estimate in estimates])
    assert LEAST - 0.01 <= held <= MOST + 0.01


def test_a_correlation_is_scipys():
    first, second = np.random.default_rng(1).normal(size=(2, 12))
    found, expected = correlate(first, second), stats.pearsonr(first, second)
    interval = expected.confidence_interval(0.95)
    assert (found.mean, found.p) == pytest.approx((expected.statistic, expected.pvalue))
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


@pytest.mark.parametrize(
    ("first", "second", "mean", "note"),
    [
        ([1.0], [2.0], None, "no two different units to correlate"),
        ([1.0, 1.0, 1.0, 1.0], [1.0, 2.0, 3.0, 4.0], None, "no two different units to correlate"),
        ([1.0, 2.0, 4.0], [3.0, 2.0, 0.0], -1.0, "3 independent units: no interval"),
    ],
)
def test_a_correlation_that_cannot_be_had_says_why(first, second, mean, note):
    found = correlate(np.array(first), np.array(second))
    assert np.isnan(found.mean) if mean is None else found.mean == pytest.approx(mean)
    assert np.isnan([found.low, found.high, found.p]).all()
    assert found.note == note
