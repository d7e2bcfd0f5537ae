"""Average precision: how far up in a ranking the images of a class stand, by the rules of VOC and of retrieval."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from transferability.data.tasks import DIFFICULT


@dataclass(frozen=True)
class Ranking:
    """How many of a class's images are among the first ones of a ranking, at each place where scores fall, int64 (k,).

    Images of equal scores have no order, so they come together.
    """

    right: np.ndarray
    taken: np.ndarray

    @classmethod
    def of(cls, scores: np.ndarray, labels: np.ndarray) -> "Ranking":
        """The ranking by scores (n,) of images whose labels (n,) are 1 or 0; DIFFICULT ones are not in it."""
        ranking = labels != DIFFICULT
        order = np.argsort(-scores[ranking], kind="stable")
        ranked, right = scores[ranking][order], np.cumsum(labels[ranking][order] == 1)
        ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
        return cls(right[ends], ends + 1)

    @property
    def positives(self) -> int:
        """All images of the class."""
        return int(self.right[-1])

    @property
    def precision(self) -> np.ndarray:
        """The share of the class among the first images, float64 (k,)."""
        return self.right / self.taken

    @property
    def highest(self) -> np.ndarray:
        """The highest precision from each place on, float64 (k,): what VOC takes for the precision at a recall."""
        return np.maximum.accumulate(self.precision[::-1])[::-1]

    def mean_at_positives(self, values: np.ndarray) -> float:
        """The mean of values (k,) of places over the class's images, each at its place; of ones it is exactly 1."""
        return float(np.diff(self.right, prepend=0) @ values / self.positives)


def all_points(ranking: Ranking) -> float:
    """The area under the highest precisions, as VOC2010 and later measure it."""
    return ranking.mean_at_positives(ranking.highest)


def eleven_points(ranking: Ranking) -> float:
    """The mean of the highest precisions at recalls 0, 0.1, ... 1, as VOC2007 measures it."""
    found = [ranking.highest[10 * ranking.right >= tenth * ranking.positives] for tenth in range(11)]
    return float(np.mean([highest[0] for highest in found]))


def not_interpolated(ranking: Ranking) -> float:
    """The mean precision at the images of the class, as retrieval and scikit-learn measure it."""
    return ranking.mean_at_positives(ranking.precision)


RULES: dict[str, Callable[[Ranking], float]] = {
    "ap": all_points,
    "ap11": eleven_points,
    "ap_plain": not_interpolated,
}
"""The ways to measure average precision, by the names that metrics give them. They are three different numbers."""


def average_precision(scores: np.ndarray, labels: np.ndarray, rule: str = "ap") -> float:
    """The average precision of scores (n,) for labels (n,) of 1, 0 or DIFFICULT; without a 1 it is a ValueError."""
    if not (labels == 1).any():
        raise ValueError("no image shows the class, so there is no precision to average")
    return RULES[rule](Ranking.of(scores, labels))


def mean_average_precision(scores: np.ndarray, labels: np.ndarray, rule: str = "ap") -> float:
    """The mean over classes of the average precision of scores (n, classes) for labels (n, classes)."""
    return float(np.mean([average_precision(*pair, rule) for pair in zip(scores.T, labels.T, strict=True)]))
