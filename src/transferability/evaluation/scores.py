"""Scores: numbers from features and labels, without training, that should predict what transfer gives.

Each is given beside its null, the mean over random permutations of the labels: what features that know nothing of the
classes score. Kept is what held its ground against leave-one-out accuracies of the same cost on pretrained networks:
ridge regression, LogME (You et al. 2021), the nearest neighbour and class means; LEEP (Nguyen et al. 2020) and NCE
(Tran et al. 2019) where the source's own classes are read; and linear CKA (Kornblith et al. 2019), debiased (Nguyen et
al. 2021), to compare two networks.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from transferability.errors import InputError
from transferability.evaluation.labelled import Labelled
from transferability.evaluation.ridge import ROWS, RidgePath, decompose, row_slices


@dataclass(frozen=True)
class Score:
    """A score, and the mean and deviation of what it gives for permuted labels."""

    value: float
    null: float
    null_deviation: float

    @property
    def above(self) -> float:
        """How much of the score is owed to the classes."""
        return self.value - self.null


def permutations(count: int, number: int, seed: int) -> Iterator[np.ndarray]:
    """So many random orders of so many images."""
    generator = np.random.default_rng(seed)
    return (generator.permutation(count) for _ in range(number))


def against_null(score: Callable[[np.ndarray], float], indices: np.ndarray, number: int, seed: int) -> Score:
    """A score of class indices (N,), and of permutations of them."""
    null = [score(indices[order]) for order in permutations(len(indices), number, seed)]
    return Score(score(indices), float(np.mean(null)), float(np.std(null)))


def standardised(features: np.ndarray) -> np.ndarray:
    """Features centred, and scaled by one number to a mean square of 1, in float64."""
    centred = features.astype(np.float64)
    centred -= centred.mean(axis=0)
    centred /= np.sqrt(np.vdot(centred, centred) / centred.size)
    return centred


def squared_lengths(points: np.ndarray) -> np.ndarray:
    """The squared length of each point, (N,)."""
    return np.einsum("nd,nd->n", points, points)


def directions(features: np.ndarray) -> np.ndarray:
    """Centred features of length 1 an image; an image at the centre stays there."""
    centred = standardised(features)
    centred /= np.maximum(np.sqrt(squared_lengths(centred)), 1e-12)[:, None]
    return centred


def ridge_accuracy(data: Labelled, number: int = 10, seed: int = 0) -> Score:
    """The accuracy of ridge regression to the classes on images left out, one at a time, in closed form."""
    path, classes = RidgePath.of_centred(standardised(data.features)), np.eye(len(data.classes))

    def accuracy(indices: np.ndarray) -> float:
        return float((path.best_left_out(classes[indices]).argmax(1) == indices).mean())

    return against_null(accuracy, data.indices, number, seed)


def nearest_neighbours(points: np.ndarray) -> np.ndarray:
    """For each point (N, D) the index of the nearest other one."""
    squares, nearest = squared_lengths(points), []
    for rows in row_slices(len(points)):
        distances = squares - 2 * points[rows] @ points.T
        images = np.arange(len(distances))
        distances[images, rows.start + images] = np.inf
        nearest.append(distances.argmin(1))
    return np.concatenate(nearest)


def neighbour_accuracy(data: Labelled, number: int = 10, seed: int = 0) -> Score:
    """The share of images whose nearest other image, by direction from the centre, is of their class."""
    nearest = nearest_neighbours(directions(data.features))
    return against_null(lambda indices: float((indices[nearest] == indices).mean()), data.indices, number, seed)


def means_left_out(points: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """For each point (N, D) the squared distances, less its own square, to the class means without it: (N, K)."""
    members = np.eye(indices.max() + 1)[indices]
    counts, sums = members.sum(0), members.T @ points
    means = sums / counts[:, None]
    distances = squared_lengths(means) - 2 * points @ means.T
    for rows in row_slices(len(points)):
        own, here = indices[rows], points[rows]
        without = (sums[own] - here) / (counts[own] - 1)[:, None]
        left_out = squared_lengths(without) - 2 * np.einsum("nd,nd->n", here, without)
        distances[rows][np.arange(len(own)), own] = left_out
    return distances


def mean_accuracy(data: Labelled, number: int = 10, seed: int = 0) -> Score:
    """The share of images that are nearest to the mean of their class, which is taken without them."""
    points = directions(data.features)
    return against_null(
        lambda indices: float((means_left_out(points, indices).argmin(1) == indices).mean()), data.indices, number, seed
    )


@dataclass(frozen=True)
class Evidence:
    """The log evidence of Bayesian linear regression for targets: its largest value over both precisions, and these.

    All are (T,), a value a target; `alpha` is the precision of the weights, `beta` that of the noise.
    """

    value: np.ndarray
    alpha: np.ndarray
    beta: np.ndarray


def profile(squares: np.ndarray, projected: np.ndarray, rest: np.ndarray, ratio: np.ndarray, count: int) -> Evidence:
    """The evidence at ratios alpha / beta, with the best beta, which has a closed form.

    `squares` (R,) are squared singular values, `projected` (R, T) squared coordinates of the targets, `rest` (T,) the
    squares outside; `ratio` is (T,) or one for all targets.
    """
    shrink = ratio / (squares[:, None] + ratio)
    beta = count / np.maximum((shrink * projected).sum(0) + rest, np.finfo(np.float64).tiny)
    value = 0.5 * (count * (np.log(beta / (2 * np.pi)) - 1) + np.log(shrink).sum(0))
    return Evidence(value, ratio * beta, beta)


RATIOS = np.logspace(-8, 10, 73)
"""Ratios of precisions that are tried first, as multiples of the mean squared singular value."""

GOLDEN = (np.sqrt(5) - 1) / 2


def best_evidence(left: np.ndarray, squares: np.ndarray, targets: np.ndarray, steps: int = 30) -> Evidence:
    """The largest evidence for each centred target (N, T), by centred features, converged to rounding.

    `left` (N, R) and `squares` (R,) are those of `decompose`.

    A constant is integrated out, so that N − 1 contrasts of the images remain. To centre and still count N would leave
    a direction that has no noise at all, and where D ≥ N an evidence without bound. One dimension is searched, the
    logarithm of alpha / beta: on a grid, then by golden section around its best point.
    """
    contrasts = len(left) - 1
    projected = np.square(left.T @ targets)
    rest = np.maximum(np.square(targets).sum(0) - projected.sum(0), 0)
    if len(squares) == contrasts:
        # Nothing is outside but rounding, which would count as noise.
        rest = np.zeros_like(rest)
    grid = np.log(RATIOS * squares.mean())
    values = np.stack([profile(squares, projected, rest, np.exp(point), contrasts).value for point in grid])
    best = values.argmax(0)
    low, high = grid[np.maximum(best - 1, 0)], grid[np.minimum(best + 1, len(grid) - 1)]
    for _ in range(steps):
        inner, outer = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        below = profile(squares, projected, rest, np.exp(inner), contrasts).value
        rising = below < profile(squares, projected, rest, np.exp(outer), contrasts).value
        low, high = np.where(rising, inner, low), np.where(rising, high, outer)
    return profile(squares, projected, rest, np.exp((low + high) / 2), contrasts)


def logme(data: Labelled, number: int = 10, seed: int = 0) -> Score:
    """The log evidence an image, mean over classes, each against the rest (You et al. 2021), by centred features.

    Right also where values outnumber images. In nats; that of permuted labels is its null.
    """
    left, squares = decompose(standardised(data.features))
    classes = np.eye(len(data.classes)) - data.counts / len(data.labels)

    def evidence(indices: np.ndarray) -> float:
        return float(best_evidence(left, squares, classes[indices]).value.mean() / len(indices))

    return against_null(evidence, data.indices, number, seed)


def check_probabilities(probabilities: np.ndarray, indices: np.ndarray) -> None:
    """Refuse what is no distribution over a source's classes for each image."""
    if probabilities.ndim != 2 or len(probabilities) != len(indices):
        raise InputError(f"scores: probabilities (images, classes) are needed, not {probabilities.shape}")
    if not (np.isfinite(probabilities).all() and np.allclose(probabilities.sum(1), 1, atol=1e-4)):
        raise InputError("scores: the source's probabilities do not add up to 1; give its softmax")


def log_expected_prediction(probabilities: np.ndarray, indices: np.ndarray) -> float:
    """LEEP: the mean log probability of the classes (N,), if the source's classes (N, Z) are drawn and translated."""
    joint = np.eye(indices.max() + 1)[indices].T @ probabilities / len(indices)
    given = joint / np.maximum(joint.sum(0), np.finfo(np.float64).tiny)
    expected = np.einsum("nz,nz->n", probabilities, given[indices])
    return float(np.log(expected).mean())


def leep(probabilities: np.ndarray, data: Labelled, number: int = 10, seed: int = 0) -> Score:
    """LEEP (Nguyen et al. 2020) from the source's probabilities (N, Z), in nats."""
    check_probabilities(probabilities, data.indices)
    wide = probabilities.astype(np.float64)
    return against_null(lambda indices: log_expected_prediction(wide, indices), data.indices, number, seed)


def negative_conditional_entropy(predicted: np.ndarray, indices: np.ndarray) -> float:
    """Minus the entropy, in nats, of classes (N,) given the source's predictions (N,)."""
    _, columns = np.unique(predicted, return_inverse=True)
    joint = np.zeros((indices.max() + 1, columns.max() + 1))
    np.add.at(joint, (indices, columns), 1 / len(indices))
    given = joint / joint.sum(0)
    return float((joint[joint > 0] * np.log(given[joint > 0])).sum())


def nce(predicted: np.ndarray, data: Labelled, number: int = 10, seed: int = 0) -> Score:
    """NCE (Tran et al. 2019) from the class that the source predicts for each image (N,), in nats."""
    return against_null(lambda indices: negative_conditional_entropy(predicted, indices), data.indices, number, seed)


def debiased_hsic(one: np.ndarray, other: np.ndarray) -> float:
    """The unbiased estimate of HSIC with linear kernels (Song et al. 2012) of centred features (N, D) and (N, E).

    Memory grows with N·D and D·E, no Gram matrix of images is made where there are more of them than values.
    """
    count = len(one)
    diagonals = squared_lengths(one), squared_lengths(other)
    # Centred features sum to 0, so a Gram matrix without its diagonal has row sums of minus that.
    sums = [-diagonal.sum() for diagonal in diagonals]
    if min(one.shape[1], other.shape[1]) < count:
        product = sum(np.square(one[:, at : at + ROWS].T @ other).sum() for at in range(0, one.shape[1], ROWS))
    else:
        product = sum(((one[rows] @ one.T) * (other[rows] @ other.T)).sum() for rows in row_slices(count))
    both = diagonals[0] @ diagonals[1]
    inner = product - both
    total = inner + sums[0] * sums[1] / ((count - 1) * (count - 2)) - 2 * both / (count - 2)
    return float(total / (count * (count - 3)))


def cka(one: np.ndarray, other: np.ndarray) -> float:
    """Linear CKA, debiased, of two sets of features of the same images, (N, D) and (N, E): 1 is the same up to rotation
    and scale, about 0 is unrelated, whatever N, D and E."""
    if len(one) != len(other) or len(one) < 4:
        raise InputError(
            f"scores: CKA compares features of the same images, at least 4, not {len(one)} and {len(other)}"
        )
    for features in (one, other):
        if not np.isfinite(features).all() or (np.ptp(features, axis=0) == 0).all():
            raise InputError("scores: CKA of features that are NaN, infinite or the same for every image has no value")
    one, other = standardised(one), standardised(other)
    squares = debiased_hsic(one, one) * debiased_hsic(other, other)
    if squares <= 0:
        raise InputError("scores: too few images for a debiased CKA of these features; take more")
    return float(debiased_hsic(one, other) / np.sqrt(squares))


SCORES: dict[str, Callable[[Labelled, int, int], Score]] = {
    "ridge": ridge_accuracy,
    "logme": logme,
    "neighbour": neighbour_accuracy,
    "means": mean_accuracy,
}
"""The scores of features and labels, by the names that tables give them."""

LEFT_OUT = ("ridge", "neighbour", "means")
"""Those that are accuracies on images left out: no other score is kept that one of them beats at its cost."""


def nce_of_head(probabilities: np.ndarray, data: Labelled, number: int = 10, seed: int = 0) -> Score:
    """NCE from the source's probabilities (N, Z): its prediction is the likeliest class."""
    check_probabilities(probabilities, data.indices)
    return nce(probabilities.argmax(1), data, number, seed)


HEAD_SCORES: dict[str, Callable[[np.ndarray, Labelled, int, int], Score]] = {"leep": leep, "nce": nce_of_head}
"""The scores of what a source says of its own classes, and labels."""


def score_features(data: Labelled, number: int = 10, seed: int = 0) -> dict[str, Score]:
    """All scores of a cut's features, each with its null of so many permutations."""
    return {name: score(data, number, seed) for name, score in SCORES.items()}
