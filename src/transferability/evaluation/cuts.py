"""Cuts: stages 1 to n of a study's networks, looked at on some test images of a task.

A cut is named as a network is: A5B is stages 1 to 5 of baseA, on images of task B.
"""

import argparse
import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transferability import files
from transferability.data.tasks import open_task
from transferability.devices import choose_device
from transferability.errors import InputError
from transferability.evaluation.features import Source
from transferability.evaluation.probing import check_source
from transferability.networks.checkpoints import load_network
from transferability.networks.notation import Network, parse_network


@dataclass(frozen=True)
class Seen:
    """Some images of a task: uint8 (N, C, H, W), their labels (N,), and the names of the task's classes."""

    images: np.ndarray
    labels: np.ndarray
    classes: list[str]

    @classmethod
    def of(cls, split: Path, side: str, packed: Path, most: int, part: str = "test") -> "Seen":
        """At most so many images of a part of a split's task, evenly of all classes."""
        task = open_task(split, side, packed, parts=(part,))
        images, labels = task.images[part], task.labels[part]
        if not len(labels):
            raise InputError(f"{split}: task {side} has no {part} images to look at; change the split")
        chosen = np.unique(np.linspace(0, len(labels) - 1, min(most, len(labels))).astype(np.int64))
        return cls(images[chosen], labels[chosen], task.classes)


@dataclass(frozen=True)
class Cuts:
    """The cuts of one network on the images of one task, the lowest first."""

    identities: list[Network]
    source: Source

    @property
    def target(self) -> str:
        return self.identities[0].target

    @property
    def layers(self) -> list[int]:
        return [identity.n for identity in self.identities]

    def stage(self, n: int) -> str:
        """The name of stage n."""
        return [name for name, _ in self.source.network.named_children()][n - 1]


def add_cut_options(parser: argparse.ArgumentParser) -> None:
    """The options of a command that `open_cuts` reads."""
    parser.add_argument("--split", type=Path, required=True, help="the split's file")
    parser.add_argument("--packed", type=Path, required=True, help="folder of the packed data set")
    parser.add_argument("--cuts", nargs="+", required=True, help="cuts by name: A5B, P3A, R2B, A5B+")
    parser.add_argument("--models", type=Path, nargs="+", required=True, help="of each cut the checkpoint it is of")
    parser.add_argument("--shape", type=int, nargs=3, help="C H W of images as networks see them; their own if missing")
    parser.add_argument("--device", required=True, help="auto, cpu or cuda")
    parser.add_argument("--threads", type=int, required=True)


def open_cuts(arguments: argparse.Namespace) -> Iterator[Cuts]:
    """The cuts that a command's options name, those of one network and target together, loaded one after another."""
    if len(arguments.models) != len(arguments.cuts):
        raise InputError(f"--models: {len(arguments.models)} files for {len(arguments.cuts)} cuts; name one a cut")
    device = choose_device(arguments.device, arguments.threads)
    by_network: dict[tuple[Path, str], list[Network]] = {}
    for name, path in zip(arguments.cuts, arguments.models, strict=True):
        identity = parse_network(name)
        if identity.source is None or identity.option:
            raise InputError(f"{name!r} is no cut; cuts are named like A5B, P3A, R2B or A5B+")
        by_network.setdefault((path, identity.target), []).append(identity)
    for (path, _), identities in by_network.items():
        card, network = load_network(path, arguments.shape and tuple(arguments.shape))
        for identity in identities:
            check_source(identity, path, card)
            if identity.n >= len(network):
                raise InputError(f"{identity.name}: {path} has {len(network)} stages; a cut is 1 to {len(network) - 1}")
        identities.sort(key=lambda identity: identity.n)
        yield Cuts(identities, Source(network.to(device), card, device))


def write_rows(path: Path, columns: Sequence[str], rows: list[dict], order: list[str]) -> None:
    """Write rows, each of a `cut`, as CSV, whole or not at all: those of the first cut in `order` first."""
    ranks, text = {name: rank for rank, name in enumerate(order)}, io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(sorted(rows, key=lambda row: ranks[row["cut"]]))
    files.write_text(path, text.getvalue())
