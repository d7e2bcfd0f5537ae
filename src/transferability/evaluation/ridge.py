"""Ridge regression to classes in closed form: every penalty, and every image left out, from one decomposition."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

ROWS = 256
"""Images at a time, where what is computed of them would take as much memory again as their features."""

PENALTIES = np.logspace(-4, 4, 17)
"""Penalties that are tried, as multiples of the mean squared singular value of the centred features."""


def row_slices(count: int) -> Iterator[slice]:
    """So many images, some at a time."""
    return (slice(start, start + ROWS) for start in range(0, count, ROWS))


def decompose(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Left singular vectors (N, R) and squared singular values (R,) of features (N, D), from the smaller Gram matrix.

    Directions whose squared value is below the rounding of the largest are left out: R is the numerical rank.
    """
    rows, columns = features.shape
    if rows <= columns:
        values, vectors = np.linalg.eigh(features @ features.T)
    else:
        values, vectors = np.linalg.eigh(features.T @ features)
    kept = values > max(rows, columns) * np.finfo(np.float64).eps * values[-1]
    values, vectors = values[kept], vectors[:, kept]
    if rows <= columns:
        return vectors, values
    left = features @ vectors
    left /= np.sqrt(values)
    return left, values


@dataclass(frozen=True)
class RidgePath:
    """Ridge regression with an unpenalised intercept, on features (N, D) float64, for all penalties.

    `left` and `squares` are those of `decompose` on centred features; `known` keeps what `leverages` has given.
    """

    left: np.ndarray
    squares: np.ndarray
    known: dict[float, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    @classmethod
    def of(cls, features: np.ndarray) -> "RidgePath":
        return cls(*decompose(features - features.mean(axis=0)))

    @classmethod
    def of_centred(cls, features: np.ndarray) -> "RidgePath":
        """The same, of features that are centred, without a copy of them."""
        return cls(*decompose(features))

    def penalty(self, multiple: float) -> float:
        """A penalty in the features' own unit, from one of PENALTIES."""
        return multiple * float(self.squares.mean())

    def leverages(self, multiple: float) -> tuple[np.ndarray, np.ndarray]:
        """What a penalty keeps of each direction (R,), and the weight (N,) of each image's own target in its value."""
        if multiple not in self.known:
            kept = self.squares / (self.squares + self.penalty(multiple))
            leverages = [np.square(self.left[rows]) @ kept for rows in row_slices(len(self.left))]
            self.known[multiple] = kept, np.concatenate(leverages) + 1 / len(self.left)
        return self.known[multiple]

    def left_out(self, targets: np.ndarray, multiple: float, inner: np.ndarray | None = None) -> np.ndarray:
        """What is predicted for each image by the regression on all others: (N, K), for targets (N, K); `inner`, of
        several penalties the same, are the targets' coordinates (R, K) in `left`."""
        centred = targets - targets.mean(axis=0)
        inner = self.left.T @ centred if inner is None else inner
        kept, leverage = self.leverages(multiple)
        residuals = centred - self.left @ (kept[:, None] * inner)
        return targets - residuals / (1 - leverage)[:, None]

    def squared_error(self, targets: np.ndarray, multiple: float) -> float:
        """The mean squared error on images left out."""
        return float(np.square(targets - self.left_out(targets, multiple)).mean())

    def best_left_out(self, targets: np.ndarray) -> np.ndarray:
        """The predictions for images left out with that of PENALTIES whose squared error is smallest."""
        inner = self.left.T @ (targets - targets.mean(axis=0))
        predicted = (self.left_out(targets, multiple, inner) for multiple in PENALTIES)
        return min(predicted, key=lambda values: np.square(targets - values).sum())

    def weights(self, centred: np.ndarray, targets: np.ndarray, multiple: float) -> np.ndarray:
        """The regression's weights (K, D), from the centred features (N, D) that the path is of."""
        inner = self.left.T @ (targets - targets.mean(axis=0))
        return (centred.T @ (self.left / (self.squares + self.penalty(multiple)) @ inner)).T
