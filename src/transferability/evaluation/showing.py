"""Showing: what the units of some cuts answer to in test images, and how far their features move with an image.

Of each cut a few units, of each the nine images that it answers to most, cropped to what the unit sees, with what in
them it answers to; in one file of arrays, shows.npz. And invariance.csv, the distances of changed images.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from transferability import files
from transferability.data.batches import centre
from transferability.devices import fitting
from transferability.errors import InputError, exit_plainly
from transferability.evaluation.cuts import Cuts, Seen, add_cut_options, open_cuts, write_rows
from transferability.evaluation.features import Source, prepared
from transferability.evaluation.fields import Box, Fields, Place
from transferability.evaluation.invariance import distances
from transferability.evaluation.projections import Deconvnet, not_a_chain, occlusion
from transferability.evaluation.strongest import Peaks, peaks

SIDE = 64
"""Pixels a side up to which a crop is kept as it is; a larger one is reduced."""

GREY = 128
"""What lies outside an image, and a projection of 0."""

CHANGED = 50
"""Images of which invariance is measured, evenly of those that are looked at."""

COLUMNS = ("cut", "n", "stage", "change", "amount", "distance", "images")
"""invariance.csv: one row a cut, change and amount."""


def framed(pixels: Tensor, box: Box, size: tuple[int, int]) -> Tensor:
    """Pixels (C, h, w) of a box on a frame of a field's full size (C, height, width), where they would lie in it.

    A field that the image's edge cuts off is grey beyond.
    """
    frame = torch.full((len(pixels), *size), GREY, dtype=torch.uint8)
    y = size[0] - box.height if box.top == 0 else 0
    x = size[1] - box.width if box.left == 0 else 0
    frame[:, y : y + box.height, x : x + box.width] = pixels
    return frame


def reduced(frame: Tensor) -> np.ndarray:
    """A frame of at most SIDE pixels a side, uint8 (h, w, C)."""
    share = SIDE / max(frame.shape[1:])
    if share < 1:
        size = max(1, round(frame.shape[1] * share)), max(1, round(frame.shape[2] * share))
        frame = functional.adaptive_avg_pool2d(frame.float(), size).round().byte()
    return frame.permute(1, 2, 0).numpy()


def as_pixels(values: Tensor, signed: bool) -> Tensor:
    """Values as uint8: from 0 at black, or, of signed ones, around grey; the largest at the end of the scale."""
    largest = values.abs().max() if signed else values.max()
    scaled = values / largest if largest > 0 else torch.zeros_like(values)
    shown = GREY + (255 - GREY) * scaled if signed else 255 * scaled.clamp(min=0)
    return shown.round().clamp(0, 255).byte().cpu()


class Shower:
    """What one cut's units answer to: their fields, and the way back from a unit to an image."""

    def __init__(self, stages: nn.Sequential, source: Source) -> None:
        self.stages, self.source = stages, source
        self.fields = Fields(stages, source.card.shape)
        self.reason = not_a_chain(stages)
        self.deconvnet = Deconvnet(stages) if self.reason is None else None

    def answer(self, image: np.ndarray, place: Place, box: Box) -> Tensor:
        """What in an image (C, H, W) a unit answers to, uint8 (C, h, w) of its field."""
        (seen,) = prepared(image[None], self.source.card, self.source.device)
        if self.deconvnet is not None:
            return as_pixels(box.of(self.deconvnet(seen[0], place)), signed=True)
        fallen = as_pixels(box.of(occlusion(self.stages, seen[0], place, box)), signed=False)
        return fallen.expand(len(image), -1, -1)


@dataclass(frozen=True)
class Shown:
    """What is shown of one cut: `card` says it, `patches` and `answers` are uint8 (units, 9, h, w, C)."""

    card: dict
    patches: np.ndarray
    answers: np.ndarray


def show_cut(shower: Shower, peaked: Peaks, seen: Seen, count: int) -> Shown:
    """The strongest answers of some units of a cut, each cropped to its field."""
    units = peaked.units(count)
    strongest = {unit: [(image, peaked.place(image, unit)) for image in peaked.images(unit)] for unit in units}
    boxes = {place: shower.fields(place) for rows in strongest.values() for _, place in rows}
    size = max((box.height for box in boxes.values()), default=1), max((box.width for box in boxes.values()), default=1)
    patches, answers = [], []
    for image, place in (row for rows in strongest.values() for row in rows):
        box, stored = boxes[place], seen.images[image]
        pixels = box.of(centre(torch.from_numpy(stored[None]), shower.source.card.shape)[0])
        patches.append(reduced(framed(pixels, box, size)))
        answers.append(reduced(framed(shower.answer(stored, place, box), box, size)))
    card = {
        "units": units,
        "images": [[image for image, _ in rows] for rows in strongest.values()],
        "values": [[float(peaked.values[image, unit]) for image, _ in rows] for unit, rows in strongest.items()],
        "field": list(size),
        "method": "occlusion" if shower.reason else "deconvnet",
        "reason": shower.reason,
        "count": len(seen.labels),
        "of": peaked.values.shape[1],
    }
    # A study of fewer test images than nine shows as many.
    shape = (len(units), -1, *patches[0].shape) if patches else (0, 0, 1, 1, 1)
    return Shown(card, np.reshape(patches, shape).astype(np.uint8), np.reshape(answers, shape).astype(np.uint8))


@dataclass
class Looks:
    """All that is shown, by cut, and the rows of COLUMNS."""

    shown: dict[str, Shown] = field(default_factory=dict)
    rows: list[dict] = field(default_factory=list)

    def add(self, cuts: Cuts, seen: Seen, count: int) -> None:
        """Look at the cuts of one network."""
        source = cuts.source
        peaks_of = peaks(source.network, prepared(seen.images, source.card, source.device), cuts.layers)
        for identity in cuts.identities:
            shower = Shower(source.network[: identity.n], source)
            shown = show_cut(shower, peaks_of[identity.n], seen, count)
            shown.card.update(cut=identity.name, n=identity.n, stage=cuts.stage(identity.n))
            self.shown[identity.name] = shown
        self.rows += invariance_rows(cuts, seen)

    def write(self, into: Path, table: Path, order: list[str]) -> None:
        """Write both files, cuts in the order in which they were asked for."""
        shown = [self.shown[name] for name in order]
        arrays: dict[str, Any] = {f"patches{at}": each.patches for at, each in enumerate(shown)}
        arrays |= {f"answers{at}": each.answers for at, each in enumerate(shown)}
        with files.replacing(into) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, card=np.array(json.dumps([each.card for each in shown])), **arrays)
        write_rows(table, COLUMNS, self.rows, order)


def invariance_rows(cuts: Cuts, seen: Seen) -> Iterator[dict]:
    """How far the features of each cut move, as COLUMNS has it."""
    chosen = np.unique(np.linspace(0, len(seen.labels) - 1, min(CHANGED, len(seen.labels))).astype(np.int64))
    if len(chosen) < 2:
        raise InputError("shows: one test image is none to compare with another; add images, or raise shows.images")
    source = cuts.source
    images = torch.cat(list(prepared(seen.images[chosen], source.card, source.device)))
    names = {identity.n: identity.name for identity in cuts.identities}
    for n, change, amount, distance in distances(source.network, images, cuts.layers):
        numbers = {"change": change, "amount": f"{amount:g}", "distance": f"{distance:.5f}", "images": len(chosen)}
        yield {"cut": names[n], "n": n, "stage": cuts.stage(n), **numbers}


def main() -> None:
    parser = argparse.ArgumentParser(description="Show what the units of some cuts answer to.")
    add_cut_options(parser)
    parser.add_argument("--units", type=int, required=True, help="units of each cut")
    parser.add_argument("--images", type=int, required=True, help="at most so many test images")
    parser.add_argument("--shows", type=Path, required=True, help="shows.npz to write")
    parser.add_argument("--invariance", type=Path, required=True, help="invariance.csv to write")
    arguments = parser.parse_args()
    looks = Looks()
    with fitting("looking: the network and its images", "let fewer jobs share a GPU, or set device to cpu"):
        for cuts in open_cuts(arguments):
            seen = Seen.of(arguments.split, cuts.target, arguments.packed, arguments.images)
            looks.add(cuts, seen, arguments.units)
    looks.write(arguments.shows, arguments.invariance, arguments.cuts)


if __name__ == "__main__":
    exit_plainly(main)
