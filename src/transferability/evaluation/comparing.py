"""Comparing: how alike the features of any two of some cuts are, by linear CKA, debiased, in cka.csv.

Base A against base B, a network before against after it was fine-tuned, stage against stage, or each against the
pretrained network: whatever cuts are named, each is compared with all others on the same test images.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np

from transferability import files
from transferability.devices import fitting
from transferability.errors import InputError, exit_plainly
from transferability.evaluation.cuts import Cuts, Seen, add_cut_options, open_cuts, write_rows
from transferability.evaluation.features import cut_features, prepared
from transferability.evaluation.pooling import Pooling
from transferability.evaluation.scores import cka
from transferability.networks.notation import Network

COLUMNS = ("cut", "n", "stage", "other", "other_n", "other_stage", "cka", "images", "pooling", "reason")
"""cka.csv: one row a pair of cuts, each cut with itself too; `reason` is why there is no value."""


@dataclass(frozen=True)
class Cut:
    """A cut, the name of its stage, and its features (N, D)."""

    identity: Network
    stage: str
    features: np.ndarray


def read_cuts(cuts: Cuts, seen: Seen, pooling: Pooling) -> list[Cut]:
    """The cuts of one network with their features."""
    source = cuts.source
    features = cut_features(source.network, prepared(seen.images, source.card, source.device), cuts.layers, pooling)
    return [Cut(identity, cuts.stage(identity.n), features[identity.n]) for identity in cuts.identities]


def compared(one: Cut, other: Cut) -> dict:
    """How alike two cuts are, or why that has no value."""
    try:
        return {"cka": f"{cka(one.features, other.features):.5f}", "reason": ""}
    except InputError as error:
        return {"cka": "", "reason": str(error)}


def rows_of(cuts: list[Cut], pooling: Pooling) -> Iterator[dict]:
    """The rows of COLUMNS of cuts on the same images, in their order."""
    for one, other in combinations_with_replacement(cuts, 2):
        yield {
            "cut": one.identity.name,
            "n": one.identity.n,
            "stage": one.stage,
            "other": other.identity.name,
            "other_n": other.identity.n,
            "other_stage": other.stage,
            "images": len(one.features),
            "pooling": pooling.name,
            **compared(one, other),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the features of some cuts, each with all others.")
    add_cut_options(parser)
    parser.add_argument(
        "--options", type=files.json_argument, required=True, help='JSON, such as {"pooling": {"kind": "gap"}}'
    )
    parser.add_argument("--into", type=Path, required=True, help="cka.csv to write")
    arguments = parser.parse_args()
    pooling, most = Pooling(**arguments.options["pooling"]), arguments.options.get("images", 500)
    read: dict[str, Cut] = {}
    with fitting("CKA: the networks and their images", "let fewer jobs share a GPU, or set device to cpu"):
        for cuts in open_cuts(arguments):
            seen = Seen.of(arguments.split, cuts.target, arguments.packed, most)
            read |= {cut.identity.name: cut for cut in read_cuts(cuts, seen, pooling)}
    ordered = [read[name] for name in arguments.cuts]
    if len({cut.identity.target for cut in ordered}) > 1:
        raise InputError("--cuts: cuts of one target at a time; they are compared on the same images")
    write_rows(arguments.into, COLUMNS, list(rows_of(ordered, pooling)), arguments.cuts)


if __name__ == "__main__":
    exit_plainly(main)
