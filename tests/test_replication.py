"""Replication: intervals for new splits and for these, each of which holds what it says, and neither the other's."""

import numpy as np
import pytest
from scipy import stats
from test_intervals import benchmark

from transferability.analysis.replication import (
    NEW,
    THESE,
    estimate_for_new_splits,
    estimate_for_these_splits,
    estimate_replicated,
)

RUNS = 1000
LEAST, MOST = stats.binom.ppf([0.0005, 0.9995], RUNS, 0.95) / RUNS
simulation = benchmark("coverage")


def draw(seeds: tuple[int, ...], seed: int = 0) -> list[np.ndarray]:
    """Units of some splits, float (seeds,) each, with spread between splits."""
    generator = np.random.default_rng(seed)
    return [generator.normal(0.02) + generator.normal(size=count) for count in seeds]


@pytest.mark.parametrize("seeds", [(4, 4, 4), (2, 2, 2), (5, 5), (1, 2, 5), (1, 1, 1, 9)], ids=str)
@pytest.mark.parametrize("between", [0.0, 0.5])
@pytest.mark.parametrize("truth", [NEW, THESE])
def test_each_interval_holds_what_it_is_for_95_times_in_100(seeds, between, truth):
    assert LEAST <= simulation.coverage_of_reading((truth, "as given"), seeds, between, RUNS) <= MOST


def test_one_over_all_units_would_hold_neither():
    held = {
        truth: simulation.coverage_of_reading((truth, "over all units"), (4, 4, 4), 0.5, RUNS) for truth in (NEW, THESE)
    }
    assert held[NEW] == pytest.approx(0.76, abs=0.03)
    assert held[THESE] == pytest.approx(0.98, abs=0.015)


def test_for_new_splits_seeds_are_averaged_and_splits_counted():
    units = draw((4, 2, 3))
    expected = stats.ttest_1samp([values.mean() for values in units], 0)
    estimate = estimate_for_new_splits(units)
    assert (estimate.mean, estimate.p) == pytest.approx((np.mean([each.mean() for each in units]), expected.pvalue))
    assert (estimate.low, estimate.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))


def test_for_these_splits_the_spread_within_splits_is_pooled():
    """As the contrast of a one-way analysis of variance has it."""
    units = draw((4, 2, 3))
    residual = sum(((values - values.mean()) ** 2).sum() for values in units) / 6
    error = np.sqrt(residual * (1 / 4 + 1 / 2 + 1 / 3)) / 3
    estimate = estimate_for_these_splits(units)
    mean = np.mean([values.mean() for values in units])
    assert (estimate.low, estimate.high) == pytest.approx(stats.t.interval(0.95, 6, mean, error))
    assert estimate.p == pytest.approx(2 * stats.t.sf(abs(mean) / error, 6))


def test_of_two_splits_and_equal_seeds_it_is_the_balanced_contrast():
    first, second = draw((5, 5))
    difference = stats.ttest_ind(first, -second)
    estimate = estimate_for_these_splits([first, second])
    assert estimate.p == pytest.approx(difference.pvalue)
    interval = difference.confidence_interval(0.95)
    assert (estimate.low, estimate.high) == pytest.approx((interval.low / 2, interval.high / 2))


def test_every_split_counts_the_same_and_unequal_seeds_are_flagged():
    units, splits = np.array([0.0, 0.01, -0.01, 0.3]), np.array([0, 0, 0, 7])
    replicated = estimate_replicated(units, splits)
    assert replicated.new.mean == replicated.these.mean == pytest.approx(0.15)
    assert (replicated.splits, replicated.fewest, replicated.most) == (2, 1, 3)
    assert replicated.verdict.note == (
        "one degree of freedom: t = 12.7, so wide an interval says little; "
        "splits have 1 to 3 seeds: each split counts the same"
    )


def test_several_splits_conclude_for_new_ones():
    units, splits = np.concatenate(draw((3, 3, 3))), np.repeat([4, 2, 9], 3)
    replicated = estimate_replicated(units, splits)
    assert replicated.verdict == replicated.new
    assert replicated.interval_for == "new splits"
    assert replicated.these.method == "Student"


def test_one_split_concludes_for_itself_and_says_so():
    units = np.array([0.1, 0.3, 0.2])
    replicated = estimate_replicated(units, np.zeros(3, dtype=int))
    expected = stats.ttest_1samp(units, 0)
    assert replicated.interval_for == "these splits"
    assert replicated.verdict.p == pytest.approx(expected.pvalue)
    assert replicated.verdict.note == "one split: the interval is for it, not for new ones"
    assert replicated.new.method is None


@pytest.mark.parametrize(
    ("units", "splits", "note", "these"),
    [
        ([], [], "no independent unit", "no independent unit"),
        ([0.2], [3], "one independent unit: no interval", "one independent unit: no interval"),
        ([0.2, 0.2], [1, 1], "2 units are equal to the last digit: no interval", None),
        ([0.1, 0.2, 0.4], [1, 2, 3], None, "one seed a split: no interval for these splits"),
        ([0.1, 0.1, 0.2, 0.2, 0.4], [1, 1, 2, 2, 3], "", "seeds of a split are equal to the last digit: no interval"),
        (
            [0.1, 0.104, 0.3, 0.304, 0.5],
            [1, 1, 2, 2, 3],
            "",
            "seeds of a split differ by less than one image: no interval",
        ),
    ],
)
def test_where_there_is_no_interval_the_note_says_why(units, splits, note, these):
    replicated = estimate_replicated(np.array(units), np.array(splits, dtype=int), image=0.01)
    if note != "":
        assert replicated.verdict.note == note
    if these is not None:
        assert replicated.these.method is None
        assert replicated.these.note.startswith(these)


def test_means_of_seeds_are_images_by_parts():
    """Split means of two seeds that are half an image apart differ by what images make."""
    image = 0.01
    units, splits = np.array([0.5, 0.51, 0.5, 0.5]), np.array([0, 0, 1, 1])
    assert estimate_replicated(units, splits, image).new.method == "Student"
    assert estimate_replicated(np.array([0.5, 0.501, 0.5, 0.5]), splits, image).new.method is None


def test_interval_and_p_never_disagree():
    for seed in range(300):
        units = draw((2, 3, 2), seed)
        for estimate in (estimate_for_new_splits(units), estimate_for_these_splits(units)):
            assert (estimate.p < 0.05) == (estimate.low > 0 or estimate.high < 0)
