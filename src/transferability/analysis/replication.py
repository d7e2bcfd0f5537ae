"""Replication: what several splits and seeds tell of a mean, for new splits and for these.

Splits are drawn from all that might be drawn, and seeds, each with random numbers of its own, lie within splits. The
mean is that of the splits' means, each split counting the same however many seeds it has. How sure it is depends on
what it is to hold for. *For new splits*: seeds are averaged within a split and Student's interval is taken over splits,
with as many degrees of freedom as there are splits less one, also where splits have unequal numbers of seeds. *For
these splits*: the error is what seeds differ by within a split, pooled over splits.
"""

from dataclasses import dataclass, replace

import numpy as np

from transferability.analysis.intervals import EQUAL, Estimate, estimate_mean, student, without_interval

NEW, THESE = "new splits", "these splits"
"""What an interval is for."""


@dataclass(frozen=True)
class Replicated:
    """A mean over splits and seeds with its interval for new splits and for these.

    `fewest` and `most` are the numbers of seeds that a split has.
    """

    splits: int
    fewest: int
    most: int
    new: Estimate
    these: Estimate

    @property
    def verdict(self) -> Estimate:
        """What is concluded from: the interval for new splits where there are several, else that for the one split.

        The note says so where it is for the one, or where splits have unequal numbers of seeds.
        """
        if self.splits > 1:
            unequal = f"splits have {self.fewest} to {self.most} seeds: each split counts the same"
            return annotated(self.new, unequal if self.fewest < self.most else None)
        alone = "one split: the interval is for it, not for new ones"
        return annotated(self.these, alone if self.these.method else None)

    @property
    def interval_for(self) -> str | None:
        """What the interval of the verdict is for; None where there is none."""
        if self.verdict.method is None:
            return None
        return NEW if self.splits > 1 else THESE

    @property
    def columns(self) -> dict:
        """The columns of effects.csv that it gives, but for the note."""
        verdict = self.verdict
        return {
            "mean": verdict.mean,
            "low": verdict.low,
            "high": verdict.high,
            "p": verdict.p,
            "interval": verdict.method,
            "interval_for": self.interval_for,
            "low_these": self.these.low,
            "high_these": self.these.high,
            "p_these": self.these.p,
            "splits": self.splits,
            "seeds": self.fewest,
        }

    def refused(self, note: str) -> "Replicated":
        """The same without the intervals that there are: the note says why they do not hold."""
        new, these = (
            without_interval(estimate.mean, note) if estimate.method else estimate
            for estimate in (self.new, self.these)
        )
        return replace(self, new=new, these=these)


def annotated(estimate: Estimate, note: str | None) -> Estimate:
    """An estimate with one more note."""
    return replace(estimate, note="; ".join(filter(None, (estimate.note, note))) or None)


def estimate_for_new_splits(units: list[np.ndarray], image: float = 0.0) -> Estimate:
    """The mean of the splits' means, with Student's interval and test over splits.

    `units` are float (seeds,) of each split. `image` is what one image more makes a unit's value differ by.
    """
    most = max(map(len, units), default=1)
    return estimate_mean(np.array([values.mean() for values in units]), image / most)


def estimate_for_these_splits(units: list[np.ndarray], image: float = 0.0) -> Estimate:
    """The mean of the splits' means, with the interval that the pooled spread of seeds within a split gives it.

    `units` are float (seeds,) of each split, with seeds less one degrees of freedom from each. `image` is what one
    image more makes a unit's value differ by.
    """
    if len(units) < 2:
        return estimate_mean(np.concatenate([*units, []]), image)
    mean = float(np.mean([values.mean() for values in units]))
    freedom = sum(len(values) - 1 for values in units)
    if freedom == 0:
        return without_interval(mean, "one seed a split: no interval for these splits")
    squares = sum(float(((values - values.mean()) ** 2).sum()) for values in units)
    error = np.sqrt(squares / freedom * sum(1 / len(values) for values in units)) / len(units)
    if error <= EQUAL:
        return without_interval(mean, "seeds of a split are equal to the last digit: no interval for these splits")
    if max(np.ptp(values) for values in units) < image / 2:
        return without_interval(mean, "seeds of a split differ by less than one image: no interval for these splits")
    return student(mean, float(error), freedom)


def estimate_replicated(units: np.ndarray, splits: np.ndarray, image: float = 0.0) -> Replicated:
    """What units, float (units,), one a split and seed, tell for new splits and for these; see `Replicated`.

    `splits` is each unit's split, int (units,); `image` what one image more makes a unit's value differ by.
    """
    by_split = [units[splits == split] for split in np.unique(splits)]
    seeds = [len(values) for values in by_split]
    return Replicated(
        splits=len(by_split),
        fewest=min(seeds, default=0),
        most=max(seeds, default=0),
        new=estimate_for_new_splits(by_split, image),
        these=estimate_for_these_splits(by_split, image),
    )
