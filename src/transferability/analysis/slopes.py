"""Slopes: the gain of transfer as a regression on the distance of the tasks times depth, with an intercept and a slope
of its own for each split.

Where every split is cut at the same layers, the fixed effects of this mixed model are those of two steps: a line over
depth for each split, and a line over distance of what these lines have. The second has independent errors, so its
intervals are Student's.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from transferability.analysis.effects import SHARING
from transferability.analysis.intervals import Estimate, student, without_interval

LEAST = 4
"""Splits of different distance below which no line is drawn: two of them go into the line."""
DISTANCES = ("synset_distance", "a_distance")


def line(x: np.ndarray, y: np.ndarray) -> Estimate:
    """The slope of y over x, both float (splits,), with Student's interval."""
    centred = x - x.mean()
    spread = float(centred @ centred)
    slope = float(centred @ y) / spread
    rest = y - y.mean() - slope * centred
    freedom = len(x) - 2
    error = float(np.sqrt(rest @ rest / freedom / spread))
    if error <= 1e-12 * max(1.0, abs(slope)):
        return without_interval(slope, "on a line to the last digit: no interval")
    return student(slope, error, freedom)


def split_lines(items: pd.DataFrame) -> pd.DataFrame:
    """Of each split with every cut its distances, and its line over depth: `level` at the mean cut, and `slope`."""
    means = items.groupby(["split", "n"])["gain"].mean().unstack()
    means = means.dropna()
    depth = means.columns.to_numpy(dtype=float) - means.columns.to_numpy(dtype=float).mean()
    slope = means.to_numpy() @ depth / (depth @ depth)
    lines = pd.DataFrame({"level": means.mean(axis=1), "slope": slope}, index=means.index)
    return lines.join(items.groupby("split")[list(DISTANCES)].first())


def slope_rows(items: pd.DataFrame, saturated: float) -> Iterator[dict]:
    """The rows of criterion.csv that are regressions on a distance: of the level (the drop a unit of distance) and of
    the slope (distance × depth, a unit and a layer), in shares of accuracy; `items` have minus distances."""
    if items["n"].nunique() < 2:
        return
    lines = split_lines(items.assign(**{name: -items[name] for name in DISTANCES}))
    sharing = sorted(set(items["kind"]) & set(SHARING))
    for name in DISTANCES:
        measured = lines[lines[name].notna()]
        if measured[name].nunique() < LEAST or (measured[name] >= saturated).mean() >= 0.5:
            continue
        for predictor, of in ((name, "level"), (f"{name} × depth", "slope")):
            estimate, note = line(measured[name].to_numpy(), measured[of].to_numpy()), None
            if sharing:
                estimate, note = without_interval(estimate.mean, None), f"{sharing[0]} splits share task A: no interval"
            yield {
                "predictor": predictor,
                "over": "cuts and tasks",
                "measure": "regression",
                "mean": estimate.mean,
                "low": estimate.low,
                "high": estimate.high,
                "units": len(measured),
                "items": len(items),
                "groups": 1,
                "note": note or estimate.note,
            }
