"""Retrieval: which other images the features of a cut find first, in retrieval.csv (Razavian et al. 2014, section 4).

No label is learnt from: labels only say which images should be found, those of the query's class. Each test image is a
query among all others. Features are brought to length 1, whitened by principal components of other images, and brought
to length 1 again; what is near is what points the same way.
"""

import argparse
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transferability import files
from transferability.devices import fitting
from transferability.errors import InputError, exit_plainly
from transferability.evaluation.cuts import Cuts, Seen, add_cut_options, open_cuts, write_rows
from transferability.evaluation.features import cut_features, prepared
from transferability.evaluation.pooling import Pooling
from transferability.evaluation.views import WHOLE, View

COLUMNS = ("cut", "n", "stage", "way", "map", "first", "chance", "queries", "components", "pooling")
"""retrieval.csv: one row a cut and way of finding; `way` is plain, whitened or spatial."""


def unit(features: np.ndarray) -> np.ndarray:
    """Features (N, D), each image's at length 1; of nothing but zeros as they are."""
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


@dataclass(frozen=True)
class Whitening:
    """Principal components at deviation 1: `mean` (D,) and `directions` (D, R) of features of unit length."""

    mean: np.ndarray
    directions: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray, components: int) -> "Whitening":
        """Fit at most so many components to features (N, D)."""
        mean = features.mean(axis=0)
        _, sizes, axes = np.linalg.svd(features - mean, full_matrices=False)
        kept = min(components, int((sizes > 1e-6 * sizes[0]).sum()))
        return cls(mean, axes[:kept].T * (np.sqrt(len(features) - 1) / sizes[:kept]))

    def __call__(self, features: np.ndarray) -> np.ndarray:
        return unit((features - self.mean) @ self.directions)


def check_apart(fitted: np.ndarray, queries: np.ndarray) -> None:
    """Refuse to whiten by images (n, C, H, W) that are queries too: what is found would have been seen before."""
    hashes = [{hashlib.sha256(image.tobytes()).digest() for image in images} for images in (fitted, queries)]
    if shared := len(hashes[0] & hashes[1]):
        raise InputError(
            f"retrieval: {shared} of the images that whitening is fitted to are queries; fit it to other images "
            "(datasets.*.parts.duplicates: drop leaves out copies)"
        )


def average_precision(relevant: np.ndarray) -> float:
    """Mean precision at each relevant image, of all others in the order in which they are found, bool (N - 1,)."""
    ranks = np.flatnonzero(relevant) + 1
    return float((np.arange(1, len(ranks) + 1) / ranks).mean())


def ranking(similarity: np.ndarray, query: int) -> np.ndarray:
    """All images but the query, the nearest first; of equals in their order."""
    order = np.argsort(-similarity, kind="stable")
    return order[order != query]


def patch_similarity(features: np.ndarray, patches: int, query: int) -> np.ndarray:
    """How near all images (N,) are to a query by their patches: of each of the query's the nearest, on average.

    `features` (patches·N, D) of unit length, those of the first patch of all images first.
    """
    by_patch = features.reshape(patches, -1, features.shape[1])
    similarity = np.einsum("qd,pnd->qpn", by_patch[:, query], by_patch, optimize=True)
    return similarity.max(axis=1).mean(axis=0)


@dataclass(frozen=True)
class Retrieved:
    """How well images were found: mean average precision, the share of queries that find their class first, what an
    order at random would give, and the queries that had another image to find."""

    map: float
    first: float
    chance: float
    queries: int


def retrieve(features: np.ndarray, labels: np.ndarray, patches: int = 1) -> Retrieved:
    """Take each image as a query among all others, by features (patches·N, D) of unit length and labels (N,).

    Images that are alone in their class are found, but are no queries.
    """
    precisions, first, chances = [], [], []
    for query in np.flatnonzero((labels[:, None] == labels).sum(0) > 1).tolist():
        order = ranking(patch_similarity(features, patches, query), query)
        relevant = labels[order] == labels[query]
        precisions.append(average_precision(relevant))
        first.append(relevant[0])
        chances.append(relevant.mean())
    if not precisions:
        raise InputError("retrieval: no class has two test images, so there is nothing to find; raise retrieval.images")
    return Retrieved(float(np.mean(precisions)), float(np.mean(first)), float(np.mean(chances)), len(precisions))


def patches_of(levels: int) -> list[View]:
    """The patches of an image for spatial search: of level i, i × i squares that overlap by half; the first is all."""
    views = []
    for level in range(1, levels + 1):
        side = 2 / (level + 1)
        places = np.linspace(side - 1, 1 - side, level) if level > 1 else [0.0]
        views += [View(f"{level}-{x:.2f}-{y:.2f}", side, (float(x), float(y))) for y in places for x in places]
    return [WHOLE, *views[1:]]


@dataclass(frozen=True)
class Search:
    """How images are found: how features are pooled, the principal components kept, the levels of patches, and at most
    so many queries, and images that whitening is fitted to."""

    pooling: Pooling
    components: int = 128
    levels: int = 1
    images: int = 500

    @classmethod
    def of(cls, options: Mapping) -> "Search":
        """The search that `retrieval` of the params describes."""
        return cls(**{**options, "pooling": Pooling(**options["pooling"])})


def patch_features(cuts: Cuts, images: np.ndarray, search: Search, views: list[View]) -> dict[int, np.ndarray]:
    """The features of the views of images at each cut, at length 1: {n: float64 (views·N, D)}."""
    source, parts = cuts.source, []
    for view in views:
        seen = map(view, prepared(images, source.card, source.device))
        parts.append(cut_features(source.network, seen, cuts.layers, search.pooling))
    return {n: unit(np.concatenate([part[n] for part in parts]).astype(np.float64)) for n in cuts.layers}


def rows_of(cuts: Cuts, seen: Seen, others: Seen, search: Search) -> Iterator[dict]:
    """The rows of COLUMNS of the cuts of one network: queries `seen`, whitened by `others`."""
    check_apart(others.images, seen.images)
    views = patches_of(search.levels)
    queries, fitted = (
        patch_features(cuts, seen.images, search, views),
        patch_features(cuts, others.images, search, [WHOLE]),
    )
    count = len(seen.labels)
    for identity in cuts.identities:
        features, whiten = queries[identity.n], Whitening.of(fitted[identity.n], search.components)
        ways = {"plain": (features[:count], 1), "whitened": (whiten(features[:count]), 1)}
        if len(views) > 1:
            ways["spatial"] = whiten(features), len(views)
        for way, (values, patches) in ways.items():
            retrieved = retrieve(values, seen.labels, patches)
            yield {
                "cut": identity.name,
                "n": identity.n,
                "stage": cuts.stage(identity.n),
                "way": way,
                **{name: f"{getattr(retrieved, name):.5f}" for name in ("map", "first", "chance")},
                "queries": retrieved.queries,
                "components": whiten.directions.shape[1] if way != "plain" else features.shape[1],
                "pooling": search.pooling.name,
            }


def main() -> None:
    parser = argparse.ArgumentParser(description="Find test images of the same class by the features of some cuts.")
    add_cut_options(parser)
    parser.add_argument(
        "--options",
        type=files.json_argument,
        required=True,
        help='JSON: pooling, components, levels and images, such as {"pooling": {"kind": "gap"}, "components": 64}',
    )
    parser.add_argument("--into", type=Path, required=True, help="retrieval.csv to write")
    arguments = parser.parse_args()
    search = Search.of(arguments.options)
    rows: list[dict] = []
    with fitting("retrieval: the network and its images", "let fewer jobs share a GPU, or set device to cpu"):
        for cuts in open_cuts(arguments):
            place = arguments.split, cuts.target, arguments.packed, search.images
            rows += rows_of(cuts, Seen.of(*place), Seen.of(*place, part="train"), search)
    write_rows(arguments.into, COLUMNS, rows, arguments.cuts)


if __name__ == "__main__":
    exit_plainly(main)
