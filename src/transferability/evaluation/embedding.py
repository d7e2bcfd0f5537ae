"""Embedding: the features of some cuts laid out on a plane by t-SNE, as DeCAF showed its layers, in tsne.csv.

t-SNE (van der Maaten and Hinton 2008) keeps near what is near; distances between clusters and their sizes mean
nothing. It starts from the first two principal components, so the same features give the same plane.
"""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from transferability import files
from transferability.data.groups import groups_of
from transferability.devices import fitting
from transferability.errors import InputError, exit_plainly
from transferability.evaluation.cuts import Cuts, Seen, add_cut_options, open_cuts, write_rows
from transferability.evaluation.features import cut_features, prepared
from transferability.evaluation.pooling import Pooling

COLUMNS = ("cut", "n", "stage", "class", "group", "x", "y", "images", "perplexity", "pooling")
"""tsne.csv: one row a cut and image; the last three are the same in all rows."""

COMPONENTS = 50
"""The principal components that t-SNE reads, as is usual: what is left is mostly noise, and time."""


@dataclass(frozen=True)
class Layout:
    """How features are laid out: how they are pooled; the perplexity, about how many images count as near; at most so
    many test images; and groups of classes, whose names stand beside the classes'."""

    pooling: Pooling
    perplexity: float = 30
    images: int = 500
    groups: Mapping[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, options: Mapping) -> "Layout":
        """The layout that `tsne` of the params describes."""
        return cls(**{**options, "pooling": Pooling(**options["pooling"])})

    def group_of(self, classes: list[str]) -> dict[str, str]:
        """The group of each class that is in one."""
        return {name: group for group, names in groups_of(self.groups, classes).items() for name in names}


def embed(features: np.ndarray, perplexity: float) -> np.ndarray:
    """Features (N, D) on a plane, (N, 2); fewer images than three times the perplexity are an InputError."""
    if len(features) <= 3 * perplexity:
        raise InputError(
            f"tsne: {len(features)} images are too few for a perplexity of {perplexity:g}, which needs more than "
            f"{3 * perplexity:g}; lower tsne.perplexity, or raise tsne.images"
        )
    wide = features.astype(np.float64)
    if min(wide.shape) > COMPONENTS:
        wide = PCA(COMPONENTS, svd_solver="full").fit_transform(wide)
    return TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(wide)


def rows_of(cuts: Cuts, seen: Seen, layout: Layout) -> Iterator[dict]:
    """The rows of COLUMNS of the cuts of one network."""
    source = cuts.source
    batches = prepared(seen.images, source.card, source.device)
    features = cut_features(source.network, batches, cuts.layers, layout.pooling)
    groups = layout.group_of(seen.classes)
    for identity in cuts.identities:
        plane = embed(features[identity.n], layout.perplexity)
        for label, (x, y) in zip(seen.labels, plane, strict=True):
            name = seen.classes[label]
            yield {
                "cut": identity.name,
                "n": identity.n,
                "stage": cuts.stage(identity.n),
                "class": name,
                "group": groups.get(name, ""),
                "x": f"{x:.4f}",
                "y": f"{y:.4f}",
                "images": len(plane),
                "perplexity": f"{layout.perplexity:g}",
                "pooling": layout.pooling.name,
            }


def main() -> None:
    parser = argparse.ArgumentParser(description="Lay the features of some cuts out on a plane.")
    add_cut_options(parser)
    parser.add_argument(
        "--options",
        type=files.json_argument,
        required=True,
        help='JSON: perplexity, pooling, images, and groups of classes, such as {"pooling": {"kind": "gap"}}',
    )
    parser.add_argument("--into", type=Path, required=True, help="tsne.csv to write")
    arguments = parser.parse_args()
    layout = Layout.of(arguments.options)
    with fitting("t-SNE: the network and its images", "let fewer jobs share a GPU, or set device to cpu"):
        rows: list[dict] = []
        for cuts in open_cuts(arguments):
            seen = Seen.of(arguments.split, cuts.target, arguments.packed, layout.images)
            rows += rows_of(cuts, seen, layout)
    write_rows(arguments.into, COLUMNS, rows, arguments.cuts)


if __name__ == "__main__":
    exit_plainly(main)
