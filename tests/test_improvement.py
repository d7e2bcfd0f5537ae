"""Improvement: base networks that still gained at their end are told from those that had levelled off."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from transferability.analysis.improvement import late_gain, late_improvement
from transferability.analysis.tables import LEARNING_COLUMNS, shape_table

STEPS = np.arange(10, 201, 10)


def learn(curve, splits: int = 4, seeds: int = 1, noise: float = 0.002) -> pd.DataFrame:
    """A learning table of base networks and one selffer, whose accuracy is `curve` of the step, with noise."""
    generator = np.random.default_rng(0)
    rows = [
        {
            "dataset": "digits",
            "architecture": "tiny",
            "split": f"random{split}",
            "seed": seed,
            "network": network,
            "step": int(step),
            "train_loss": 1.0,
            "validation_loss": 1.0,
            "validation_top1": (step / 200 if network == "B3B" else curve(step)) + generator.normal(0, noise),
        }
        for split in range(splits)
        for seed in range(seeds)
        for network in ("baseA", "baseB", "B3B")
        for step in STEPS
    ]
    return shape_table(rows, LEARNING_COLUMNS)


def test_a_rising_curve_gains_its_slope_times_the_last_quarter():
    assert late_gain(STEPS, 0.3 + 0.001 * STEPS) == pytest.approx(0.05)
    # The first three quarters do not count.
    assert late_gain(STEPS, np.minimum(STEPS, 140) / 200) == pytest.approx(0, abs=1e-9)


def test_few_validations_are_looked_at_three_at_a_time():
    steps = np.array([50, 100, 150, 200])
    assert late_gain(steps, np.array([0.9, 0.1, 0.2, 0.3])) == pytest.approx(0.1)
    assert np.isnan(late_gain(steps[:2], np.array([0.1, 0.2])))


def test_networks_that_still_rise_are_improving_by_what_they_gain():
    improvement = late_improvement(learn(lambda step: 0.3 + 0.0004 * step))
    assert improvement.improving is True
    assert improvement.networks == 8
    assert improvement.gain.low < 0.02 < improvement.gain.high
    assert improvement.sentence.startswith("In the last quarter of their steps base networks gained 2.")
    assert "they were still improving" in improvement.sentence


def test_networks_that_have_levelled_off_are_not_shown_to_improve():
    improvement = late_improvement(learn(lambda step: 0.9 - 0.5 * np.exp(-step / 20)))
    assert improvement.improving is False
    assert "is not shown" in improvement.sentence


def test_only_five_in_a_hundred_flat_studies_are_called_rising_or_falling():
    generator = np.random.default_rng(1)
    called = []
    for _ in range(300):
        table = learn(lambda step: 0.5, noise=0)
        noise = generator.normal(0, 0.01, len(table))
        gain = late_improvement(table.assign(validation_top1=table["validation_top1"] + noise)).gain
        called.append(gain.p < 0.05)
    assert np.mean(called) <= stats.binom.ppf(0.999, 300, 0.05) / 300


def test_seeds_of_a_split_are_averaged():
    one, several = (late_improvement(learn(lambda step: 0.5, seeds=seeds)).gain for seeds in (1, 5))
    assert several.high - several.low < one.high - one.low


def test_one_network_cannot_tell():
    improvement = late_improvement(learn(lambda step: 0.3 + 0.0004 * step, splits=1))
    assert improvement.improving is None
    assert improvement.sentence.endswith("cannot be told: one independent unit: no interval.")


def test_without_base_networks_nothing_is_told():
    table = learn(lambda step: 0.5)
    assert late_improvement(table[table["network"] == "B3B"]).improving is None
