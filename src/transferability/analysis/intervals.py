"""Intervals: what a few independent units tell of a mean; interval and p-value are of one rule, Student's.

The rule was chosen by how often its 95 % interval holds the truth, with 2 to 12 units of five shapes
(benchmarks/coverage.py, tests/test_intervals.py): Student's holds it 95 to 98 times in 100 but where units
are one-sidedly skewed, which paired differences are not. A percentile bootstrap of 4 units can give no mean outside
their range, so it holds the truth at most 87.5 times; the studentised bootstrap loses with units of unequal spread and
with outliers. As p is Student's too, it is below .05 exactly where the interval leaves out 0.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri, stdtr, stdtrit

LEVEL = 0.95
"""How often an interval is to hold the truth."""
EQUAL = 1e-12
"""Standard errors up to this are those of rounding."""


@dataclass(frozen=True)
class Estimate:
    """A mean over independent units with its 95 % interval, and the p-value of its being 0.

    Where there is no interval, `low`, `high` and `p` are NaN, `method` is None and `note` says why.
    """

    mean: float
    low: float
    high: float
    p: float
    method: str | None
    note: str | None


def student(mean: float, error: float, freedom: int) -> Estimate:
    """Student's interval and test of a mean, by its standard error and the degrees of freedom that this has.

    With one degree of freedom, which two units have, the note says how wide that makes the interval.
    """
    quantile, error = float(stdtrit(freedom, (1 + LEVEL) / 2)), float(error)
    p = float(2 * stdtr(freedom, -abs(mean) / error))
    note = f"one degree of freedom: t = {quantile:.1f}, so wide an interval says little" if freedom == 1 else None
    return Estimate(mean, mean - quantile * error, mean + quantile * error, p, "Student", note)


def without_interval(mean: float, note: str | None) -> Estimate:
    """A mean without interval and test; `note` says why, if another does not."""
    return Estimate(mean, np.nan, np.nan, np.nan, None, note)


def estimate_mean(units: np.ndarray, image: float = 0.0) -> Estimate:
    """The mean of independent units, float (units,), with interval and the p-value of Student's test against 0.

    `image` is what one image more makes a unit's value differ by. Units that differ by less than half of that have the
    same count of images by chance, and their spread tells nothing of that of others.
    """
    count = len(units)
    if count == 0:
        return without_interval(np.nan, "no independent unit")
    mean = float(np.mean(units))
    if count == 1:
        return without_interval(mean, "one independent unit: no interval")
    error = float(np.std(units, ddof=1)) / np.sqrt(count)
    if error <= EQUAL:
        return without_interval(mean, f"{count} units are equal to the last digit: no interval")
    # Half: what is one image to a unit is a little less to a larger one, and sums are rounded.
    if np.ptp(units) < image / 2:
        return without_interval(mean, f"{count} units differ by less than one image: no interval")
    return student(mean, error, count - 1)


def adjust(p: np.ndarray) -> np.ndarray:
    """Holm's (1979) correction of a family of p-values, float (tests,); NaN is no test and stays NaN."""
    adjusted = np.full(len(p), np.nan)
    order = [index for index in np.argsort(p, kind="stable") if not np.isnan(p[index])]
    least = 0.0
    for rank, index in enumerate(order):
        least = max(least, min(1.0, (len(order) - rank) * p[index]))
        adjusted[index] = least
    return adjusted


def correlate(first: np.ndarray, second: np.ndarray) -> Estimate:
    """Pearson's correlation of two series, float (units,), with Fisher's (1915) interval and test against 0.

    Units must be independent of each other: splits and seeds, with one value each.
    """
    count = len(first)
    if count < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return without_interval(np.nan, "no two different units to correlate")
    r = float(np.corrcoef(first, second)[0, 1])
    if count < 4:
        return without_interval(r, f"{count} independent units: no interval")
    # An exact line has a correlation of 1, whose transform is infinite.
    z, error = np.arctanh(np.clip(r, -1 + 1e-12, 1 - 1e-12)), 1 / np.sqrt(count - 3)
    reach = float(ndtri((1 + LEVEL) / 2)) * error
    p = float(2 * ndtr(-abs(z) / error))
    return Estimate(r, float(np.tanh(z - reach)), float(np.tanh(z + reach)), p, "Fisher", None)
