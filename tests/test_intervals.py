"""Intervals: they hold the truth 95 times in 100, and tests find nothing where there is nothing."""

import importlib.util
import itertools
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy import stats

from transferability.analysis.intervals import adjust, correlate, estimate_mean

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


def benchmark(name: str) -> ModuleType:
    """A script of benchmarks/ as a module."""
    path = Path(__file__).parent.parent / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"benchmark_of_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


simulation = benchmark("coverage")


@pytest.mark.parametrize("shape", ["normal", "t3", "unequal spread", "outliers"])
@pytest.mark.parametrize("units", [2, 3, 5, 8, 12])
def test_the_rule_holds_the_truth_of_symmetric_units_of_every_shape(shape, units):
    held = simulation.coverage_of_rule("Student", shape, units, 1000)
    assert LEAST - 0.01 <= held <= 0.985


@pytest.mark.parametrize("shape", ["t3", "unequal spread", "outliers"])
def test_the_studentised_bootstrap_would_hold_it_less_often(shape):
    held = {rule: simulation.coverage_of_rule(rule, shape, 8, 1000) for rule in ("Student", "studentised bootstrap")}
    assert held["studentised bootstrap"] < held["Student"] - 0.01


def test_it_wins_with_one_sided_skew_alone_which_paired_differences_lack():
    held = {rule: simulation.coverage_of_rule(rule, "lognormal", 8, 1000) for rule in simulation.RULES}
    assert held["Student"] == pytest.approx(0.82, abs=0.03)
    assert held["studentised bootstrap"] == pytest.approx(0.90, abs=0.03)
    assert held["percentile bootstrap"] < held["Student"]


@pytest.mark.parametrize(("units", "stated"), [(3, 0.84), (4, 0.95), (8, 0.95)])
def test_with_normal_units_it_needs_four(units, stated):
    assert simulation.coverage_of_rule("studentised bootstrap", "normal", units, 1000) == pytest.approx(
        stated, abs=0.02
    )


@pytest.mark.parametrize(("units", "stated"), [(3, 0.75), (4, 0.80), (5, 0.84), (10, 0.90)])
def test_a_percentile_interval_of_few_units_would_not_do(units, stated):
    assert simulation.coverage_of_rule("percentile bootstrap", "normal", units, 2000) == pytest.approx(stated, abs=0.02)


def test_interval_and_p_never_disagree():
    """Borderline means: the interval leaves out 0 exactly where p is below .05."""
    generator = np.random.default_rng(5)
    for units in range(2, 13):
        draws = generator.normal(size=(300, units))
        reach = stats.t.ppf(0.975, units - 1) * stats.sem(draws, axis=1)
        borderline = draws - draws.mean(1, keepdims=True) + (reach * generator.uniform(0.8, 1.2, 300))[:, None]
        estimates = [estimate_mean(row) for row in borderline]
        outside = np.array([estimate.low > 0 or estimate.high < 0 for estimate in estimates])
        assert 100 < outside.sum() < 200
        assert outside.tolist() == [estimate.p < 0.05 for estimate in estimates]


def test_nor_do_those_of_a_correlation():
    generator = np.random.default_rng(6)
    pairs = generator.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], (500, 10))
    estimates = [correlate(pair[:, 0], pair[:, 1]) for pair in pairs]
    outside = [estimate.low > 0 or estimate.high < 0 for estimate in estimates]
    assert 100 < sum(outside) < 400
    assert outside == [estimate.p < 0.05 for estimate in estimates]


@pytest.mark.parametrize("units", [2, 3, 4, 7, 8, 12])
def test_all_numbers_of_units_have_students_interval_and_test(units):
    values = np.random.default_rng(units).normal(0.01, 0.01, units)
    found = estimate_mean(values)
    expected = stats.ttest_1samp(values, 0)
    interval = expected.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.p == pytest.approx(expected.pvalue)
    assert found.mean == pytest.approx(values.mean())
    assert found.method == "Student"
    wide = "one degree of freedom: t = 12.7, so wide an interval says little"
    assert found.note == (wide if units == 2 else None)


def test_the_studentised_bootstrap_is_that_of_all_resamples(monkeypatch):
    """What the rule was chosen against is held against every one of the 8^8 resamples, by the multiset of units."""
    monkeypatch.setattr(simulation, "RESAMPLES", 9999)
    values = np.array([0.1, -0.3, 0.25, 0.9, -0.05, 0.4, 0.33, 1.7])
    count = len(values)
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
    drawn = simulation.studentised_quantiles(values[None], np.random.default_rng(0))[:, 0]
    assert drawn == pytest.approx([below, above], abs=0.2)


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
    assert found.mean == pytest.approx(expected.statistic)
    assert found.p == pytest.approx(expected.pvalue, abs=0.02)
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
