"""Distances: how far apart the two tasks of a split are, by their classes' meaning and by their images' looks."""

import csv
from functools import cache

import numpy as np

from transferability.data.groups import name_in_set
from transferability.data.packed import Images
from transferability.facts import FACTS

ROOT = "n00001740"  # entity
SAMPLE = 1000  # images a side
GRID = 8  # cells a side of the pooled image
PENALTY = 0.1  # on the weights, where a feature's variance is 1


@cache
def hypernyms() -> dict[str, list[str]]:
    """WordNet's hypernyms of ILSVRC2012's synsets up to the root, which has none: {synset: parents}."""
    with open(FACTS / "wordnet.csv", newline="", encoding="utf-8") as file:
        edges = [(row["child"], row["parent"]) for row in csv.DictReader(file)]
    parents: dict[str, list[str]] = {synset: [] for edge in edges for synset in edge}
    for child, parent in edges:
        parents[child].append(parent)
    return parents


def ancestors(synset: str) -> dict[str, int]:
    """The synset itself and all above it, with the length of the shortest path up to each, in edges."""
    parents, steps, level = hypernyms(), dict[str, int](), [synset]
    while level:
        steps.update(dict.fromkeys(level, max(steps.values(), default=-1) + 1))
        level = [parent for parent in {parent for name in level for parent in parents[name]} if parent not in steps]
    return steps


def similarities(a: list[str], b: list[str]) -> np.ndarray:
    """Wu and Palmer's similarity of every synset of a with every one of b, float64 (len(a), len(b)), in (0, 1].

    2 N3 / (N1 + N2 + 2 N3): N3 nodes from the root to a common ancestor, both counted, and N1 and N2 edges from
    there to the two synsets. Where a synset has several parents all paths are by the shortest, and the common
    ancestor is the one that gives the most.

    Z. Wu, M. Palmer, Verb Semantics and Lexical Selection, ACL 1994.
    """
    above = [[ancestors(synset) for synset in side] for side in (a, b)]
    best = np.zeros((len(a), len(b)))
    for common in set().union(*above[0]) & set().union(*above[1]):
        depth = 1 + ancestors(common)[ROOT]
        rows, columns = ([index for index, steps in enumerate(side) if common in steps] for side in above)
        down = np.add.outer([above[0][row][common] for row in rows], [above[1][column][common] for column in columns])
        block = np.ix_(rows, columns)
        best[block] = np.maximum(best[block], 2 * depth / (down + 2 * depth))
    return best


def synset_distance(a: list[str], b: list[str]) -> float | None:
    """The distance of two sets of classes in WordNet, in [0, 1); None unless every class is a synset known here.

    Each class's distance from the other side is 1 minus its similarity with the nearest class there; the mean
    over a's classes and the mean over b's are averaged. Symmetric; 0 for the same classes.
    """
    sides = [[name_in_set(name) for name in side] for side in (a, b)]
    if not all(name in hypernyms() for side in sides for name in side):
        return None
    similar = similarities(*sides)
    return round(1 - float(similar.max(axis=1).mean() + similar.max(axis=0).mean()) / 2, 3)


def features(images: Images, indices: np.ndarray) -> np.ndarray:
    """Simple features of the images at n indices, of uint8 (N, C, H, W), as float64 (n, F).

    For each channel: the image averaged in a grid of at most 8 × 8 cells, the mean and the standard deviation of
    its pixels, and the mean squares of the differences of neighbours down and across.
    """
    height, width = images.shape[2:]
    rows, columns = (np.linspace(0, side, min(GRID, side) + 1).astype(int) for side in (height, width))
    values = []
    for start in range(0, len(indices), 100):
        pixels = images[indices[start : start + 100]].astype(np.float32) / 255
        cells = np.add.reduceat(np.add.reduceat(pixels, rows[:-1], axis=2), columns[:-1], axis=3)
        cells /= np.outer(np.diff(rows), np.diff(columns))
        simple = [pixels.mean(axis=(2, 3)), pixels.std(axis=(2, 3))]
        simple += [(np.diff(pixels, axis=axis) ** 2).mean(axis=(2, 3)) for axis in (2, 3)]
        values.append(np.concatenate([cells.reshape(len(cells), -1), *simple], axis=1))
    return np.concatenate(values).astype(np.float64)


def domain_error(train: np.ndarray, train_sides: np.ndarray, test: np.ndarray, test_sides: np.ndarray) -> float:
    """The share of test images that a linear classifier fitted to the training images gives to the wrong side.

    Features are float (n, F); sides are 1 or -1, as many of each. The classifier is a ridge regression of the side
    on the standardised features, which for two sides of one size is Fisher's linear discriminant with a shrunken
    covariance. Its closed form spares every split the import of a library that takes seconds. An image on the
    border is half wrong.
    """
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    train, test = ((part - mean) / np.where(deviation > 0, deviation, 1) for part in (train, test))
    covariance = train.T @ train / len(train)
    weights = np.linalg.solve(covariance + PENALTY * np.eye(len(covariance)), train.T @ train_sides)
    return float(np.mean(1 - np.sign(test @ weights) * test_sides)) / 2


def proxy_a_distance(images: Images, a: np.ndarray, b: np.ndarray, seed: int) -> float:
    """The proxy A-distance of two sets of images: 0 where a domain classifier guesses, 2 where it never errs.

    `images` is uint8 (N, C, H, W), memory-mapped or not; a and b are the indices of the two sets, at least two
    each. 2 (1 - 2 ε) with ε the classifier's test error, at most 1/2: as many images of either set, up to SAMPLE,
    are drawn by the seed and halved; each half is judged by the classifier fitted to the other half. Two samples
    of one distribution are up to about 0.15 apart by chance at 1,000 images each, and farther with fewer. Sets of
    few classes are easier to tell apart than sets of many: distances compare between splits with like numbers.

    S. Ben-David, J. Blitzer, K. Crammer, F. Pereira, Analysis of Representations for Domain Adaptation, NIPS 2006;
    S. Ben-David et al., A Theory of Learning from Different Domains, Machine Learning 79, 2010.
    """
    random = np.random.RandomState([seed])
    count = min(len(a), len(b), SAMPLE)
    drawn = [random.permutation(np.asarray(side))[:count] for side in (a, b)]
    halves = [np.concatenate([side[part::2] for side in drawn]) for part in (0, 1)]
    sides = [np.repeat([1, -1], len(half) // 2) for half in halves]
    described = [features(images, half) for half in halves]
    error = np.mean([domain_error(described[i], sides[i], described[1 - i], sides[1 - i]) for i in (0, 1)])
    return round(2 * (1 - 2 * min(float(error), 0.5)), 3)


def task_distance(
    classes: dict[str, list[str]], images: Images, indices: dict[str, np.ndarray], seed: int
) -> dict[str, float | None]:
    """The distance of tasks A and B as a split's file tells it.

    `classes` are the names and `indices` the images of either side, by "A" and "B"; `images` is the packed set's
    array, of which at most SAMPLE a side are read.
    """
    return {
        "synset": synset_distance(classes["A"], classes["B"]),
        "a_distance": proxy_a_distance(images, indices["A"], indices["B"], seed),
    }
