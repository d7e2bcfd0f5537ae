"""Improvement: whether base networks still improved when their training ended.

If they did, a difference from them at equal steps mixes two things: what copied layers are worth, and that these were
trained before. A rate that falls to 0 flattens every curve at its end, so that none is seen to improve does not show
that more steps would gain nothing: a base network with twice the steps does.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from transferability.analysis.intervals import Estimate
from transferability.analysis.read_outs import LEARNING
from transferability.analysis.replication import estimate_replicated
from transferability.networks.notation import SIDES

LAST = 0.25
"""The share of a training's steps, at its end, that is looked at."""
FEWEST = 3
"""Validations that a line through the end of a curve needs."""
BASES = tuple(f"base{side}" for side in SIDES)
"""The networks that differences are from: not those by recipes, which may have other steps."""


@dataclass(frozen=True)
class Improvement:
    """What base networks gained over the last quarter of their steps, in validation accuracy, mean and interval.

    `improving` is True where the whole interval is above 0, False where it is not, and None where there is none.
    """

    gain: Estimate
    networks: int

    @property
    def improving(self) -> bool | None:
        return None if self.gain.method is None else bool(self.gain.low > 0)

    @property
    def sentence(self) -> str:
        """What the test says, for a reader of the study's effects."""
        if self.improving is None:
            return f"Whether base networks were still improving at their end cannot be told: {self.gain.note}."
        points = (100 * value for value in (self.gain.mean, self.gain.low, self.gain.high))
        gained = (
            "In the last quarter of their steps base networks gained {:.1f} points (95 % interval {:.1f} to {:.1f})"
        )
        meaning = (
            "they were still improving, so a difference from them at equal steps mixes what copied layers are worth "
            "with their having been trained before"
            if self.improving
            else "that they were still improving is not shown"
        )
        return f"{gained.format(*points)}: {meaning}; a base network with twice the steps tells."


def late_gain(steps: np.ndarray, accuracy: np.ndarray) -> float:
    """What a curve gains over the last quarter of its steps, by a least-squares line through its validations there.

    At least the last three validations are taken; NaN if there are fewer.
    """
    late = steps > (1 - LAST) * steps.max()
    late[-FEWEST:] = True
    if late.sum() < FEWEST:
        return np.nan
    slope = np.polyfit(steps[late], accuracy[late], 1)[0]
    return float(slope * LAST * steps.max())


def measured(curve: pd.DataFrame) -> np.ndarray:
    """What a network was validated by at each step: accuracy, or, of images of several labels, average precision."""
    return curve[list(LEARNING.values())].bfill(axis=1).iloc[:, 0].to_numpy()


def late_improvement(learning: pd.DataFrame) -> Improvement:
    """The improvement of the base networks of learning.csv, of one data set and architecture.

    A unit is a split and seed, of which the base networks are averaged first, as for effects.
    """
    curves = learning[learning["network"].isin(BASES)].sort_values("step")
    gains = [
        (split, seed, late_gain(curve["step"].to_numpy(), measured(curve)))
        for (split, seed, _), curve in curves.groupby(["split", "seed", "network"])
    ]
    table = pd.DataFrame(gains, columns=["split", "seed", "gain"]).dropna()
    units = table.groupby(["split", "seed"])["gain"].mean().reset_index()
    codes = units["split"].astype("category").cat.codes.to_numpy()
    return Improvement(estimate_replicated(units["gain"].to_numpy(float), codes).verdict, len(table))
