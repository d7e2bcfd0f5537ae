"""How often 95 % intervals hold the truth: the tables by which the rules of docs/statistics.md were chosen.

    python benchmarks/coverage.py [--runs 5000]

Simulates studies of a known truth. First a mean of 2 to 12 independent units of five shapes, by three rules: Student's,
the studentised bootstrap and the percentile bootstrap (999 resamples). Then a mean over splits and seeds, of which half
of a unit's variance lies between splits, or another share, by four readings: for new splits and for these splits, as
effects.csv has them; and both by Student's interval over all units, which is neither. Counts are in 100 intervals: of
5000 runs, one of 95 is within 0.6 of the truth; the second table takes a fifth of the runs, and is within 1.4.
"""

import argparse
from collections.abc import Callable
from itertools import product

import numpy as np
from scipy import stats

from transferability.analysis.intervals import estimate_mean
from transferability.analysis.replication import estimate_for_new_splits, estimate_for_these_splits

UNITS = (2, 3, 4, 5, 6, 7, 8, 10, 12)
RESAMPLES = 999
SKEWED = np.exp(0.5)
"""The mean of the lognormal distribution, which is taken off so that all shapes have the mean 0."""


def unequal(generator: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Normal units, every second of three times the spread of the others."""
    return generator.normal(size=size) * np.where(np.arange(size[1]) % 2, 3, 1)


def outlying(generator: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Normal units, one in ten of five times the spread."""
    return generator.normal(size=size) * np.where(generator.random(size) < 0.1, 5, 1)


SHAPES: dict[str, Callable[[np.random.Generator, tuple[int, int]], np.ndarray]] = {
    "normal": lambda generator, size: generator.normal(size=size),
    "t3": lambda generator, size: generator.standard_t(3, size),
    "unequal spread": unequal,
    "outliers": outlying,
    "lognormal": lambda generator, size: generator.lognormal(size=size) - SKEWED,
}


def student(draws: np.ndarray, _: np.random.Generator) -> np.ndarray:
    """Whether the interval of effects.csv holds 0, for each row of draws, float (runs, units)."""
    estimates = map(estimate_mean, draws)
    return np.array([estimate.low <= 0 <= estimate.high for estimate in estimates])


def studentised_quantiles(draws: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The 2.5th and 97.5th percentile of the studentised bootstrap (Efron 1981) of each row's mean, in standard errors.

    float (2, runs) of draws, float (runs, units).
    """
    units = draws.shape[1]
    times = generator.multinomial(units, [1 / units] * units, RESAMPLES).astype(float)
    centred = draws - draws.mean(1, keepdims=True)
    means = centred @ times.T / units
    errors = np.sqrt(np.maximum(centred**2 @ times.T / units - means**2, 0) / (units - 1))
    # A resample of equal units has no error to measure its mean by.
    varied = errors > 1e-9 * draws.std(1, keepdims=True)
    ratios = np.divide(means, errors, out=np.full_like(means, np.nan), where=varied)
    return np.nanquantile(ratios, [0.025, 0.975], axis=1)


def studentised(draws: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Whether the studentised bootstrap of each row holds 0."""
    below, above = studentised_quantiles(draws, generator)
    ratio = draws.mean(1) / stats.sem(draws, axis=1)
    return (below <= ratio) & (ratio <= above)


def percentile(draws: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Whether the percentile bootstrap of each row holds 0."""
    units = draws.shape[1]
    means = draws @ generator.multinomial(units, [1 / units] * units, RESAMPLES).T / units
    low, high = np.quantile(means, [0.025, 0.975], axis=1)
    return (low <= 0) & (high >= 0)


RULES = {"Student": student, "studentised bootstrap": studentised, "percentile bootstrap": percentile}


def coverage_of_rule(rule: str, shape: str, units: int, runs: int) -> float:
    """How often a rule's interval of so many units of a shape holds the truth, of so many runs; the same every time."""
    generator = np.random.default_rng([units, list(SHAPES).index(shape)])
    chunks = [SHAPES[shape](generator, (size, units)) for size in [1000] * (runs // 1000) + [runs % 1000] if size]
    return float(np.concatenate([RULES[rule](draws, generator) for draws in chunks]).mean())


SEEDS = ((4, 4, 4), (5, 5, 5), (2, 2, 2), (5, 5), (1, 2, 5), (1, 1, 1, 9), (3, 3, 3, 3, 3))
"""Numbers of seeds that the splits of a study have."""


def all_units(by_split: list[np.ndarray]):
    """Student's interval over all units, as if seeds were splits."""
    return estimate_mean(np.concatenate(by_split))


READINGS = {
    ("new splits", "as given"): estimate_for_new_splits,
    ("new splits", "over all units"): all_units,
    ("these splits", "as given"): estimate_for_these_splits,
    ("these splits", "over all units"): all_units,
}
"""What an interval should hold, and the interval."""


def coverage_of_reading(reading: tuple[str, str], seeds: tuple[int, ...], between: float, runs: int) -> float:
    """How often the interval of a reading holds its truth, of so many runs; the same every time.

    `seeds` are the numbers of seeds of the splits, `between` the share of a unit's variance that lies between splits.
    The truth is 0 for new splits, and the mean of the splits' means for these.
    """
    generator = np.random.default_rng([*seeds, round(100 * between)])
    held = 0
    for _ in range(runs):
        means = np.sqrt(between) * generator.normal(size=len(seeds))
        by_split = [
            mean + np.sqrt(1 - between) * generator.normal(size=count) for mean, count in zip(means, seeds, strict=True)
        ]
        estimate = READINGS[reading](by_split)
        truth = 0 if reading[0] == "new splits" else means.mean()
        held += estimate.low <= truth <= estimate.high
    return held / runs


def main() -> None:
    parser = argparse.ArgumentParser(description="How often 95 %% intervals hold the truth.")
    parser.add_argument("--runs", type=int, default=5000)
    runs = parser.parse_args().runs
    print(f"{'units':32}" + "".join(f"{units:>5}" for units in UNITS))
    for shape, rule in product(SHAPES, RULES):
        row = (coverage_of_rule(rule, shape, units, runs) for units in UNITS)
        print(f"{shape + ', ' + rule:37}" + "".join(f"{100 * held:5.0f}" for held in row), flush=True)
    shares = (0.0, 0.2, 0.5, 0.8)
    print(f"\n{'seeds of the splits; share of variance between':49}" + "".join(f"{share:>6}" for share in shares))
    for seeds, reading in product(SEEDS, READINGS):
        row = (coverage_of_reading(reading, seeds, between, runs // 5) for between in shares)
        name = f"{', '.join(map(str, seeds))}: {reading[0]}, {reading[1]}"
        print(f"{name:49}" + "".join(f"{100 * held:6.0f}" for held in row), flush=True)


if __name__ == "__main__":
    main()
