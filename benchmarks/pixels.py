"""A linear probe of pixels on real photographs with masks: what stages of a network are worth where the task is dense.

    python benchmarks/pixels.py MATERIAL [--sources imagenet birds untrained] [--cuts 2 4 6 8 9]

MATERIAL has coco128-voc/VOCdevkit, 254 photographs of which 200 have a mask (80 classes as 12 groups, and background),
and networks/ with the MobileNetV2s of timm. A layer learns from the masks of the part train, but for the images that
validate, and those of val are the test. Prints of each source and cut the mean intersection over union, with its 95 %
interval over 1,000 draws of test images, that of calling every pixel background, and the mean average precision of
photographs by their highest places.
"""

import argparse
import csv
import tempfile
from pathlib import Path

import numpy as np
import torch
from labels import SHARES, SOURCES, groups_of, source_of

from transferability import files
from transferability.data.packed import open_packed
from transferability.data.packing import pack
from transferability.data.splits import make_split
from transferability.evaluation.pixels import MapReader, MaskedTask, PixelProbe, PixelReading, learn, read_part

PIXELS, DRAWS = 224, 1000
UNUSED = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
"""COCO's numbers of classes, 1 to 90, that its 80 classes leave out."""


def levels_of(material: Path) -> dict[str, int]:
    """The level of each class in masks: COCO's number, in the order of its classes."""
    with open(material / "coco128-voc/classes.csv", newline="") as file:
        names = [row["class"] for row in csv.DictReader(file)]
    return dict(zip(names, [level for level in range(1, 91) if level not in UNUSED], strict=True))


def open_task(material: Path, folder: Path) -> MaskedTask:
    """The photographs with their masks, packed, and divided: part val is the test."""
    options = {"source": "voc", "path": str(material / "coco128-voc/VOCdevkit"), "merge": groups_of(material)}
    masks = {"classes": levels_of(material), "void": [0]}
    pack({**options, "size": PIXELS, "channels": 3, "masks": masks}, folder / "packed")
    files.write_json(folder / "all.json", make_split(open_packed(folder / "packed"), {"kind": "whole"}, {}, SHARES))
    return MaskedTask.open(folder / "all.json", "A", folder / "packed")


def interval_of(reading: PixelReading) -> tuple[float, float]:
    """95 % of the mean intersections over union of DRAWS draws of test images, with replacement."""
    generator, count = np.random.default_rng(0), len(reading.confusions)
    drawn = [reading.miou(generator.integers(0, count, count)) for _ in range(DRAWS)]
    return tuple(np.quantile(drawn, [0.025, 0.975]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("material", type=Path)
    parser.add_argument("--sources", nargs="+", default=SOURCES, choices=SOURCES)
    parser.add_argument("--cuts", type=int, nargs="+", default=[2, 4, 6, 8, 9])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=PixelProbe.learning_rate)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    probe = PixelProbe(steps=arguments.steps, learning_rate=arguments.rate)
    with tempfile.TemporaryDirectory() as name:
        masked = open_task(arguments.material, Path(name))
        for source in arguments.sources:
            reader = MapReader(source_of(source, arguments.material, Path(name), PIXELS), arguments.cuts)
            readings = read_part(reader, learn(reader, masked, probe), masked, "test")
            for n, reading in readings.items():
                scores, (low, high) = reading.scores(masked.task, "test"), interval_of(reading)
                print(
                    f"{source}, cut at {n}: mIoU {scores['miou']:.3f} ({low:.3f} to {high:.3f}), all background "
                    f"{scores['miou_of_background']:.3f}; pixels {scores['pixel_accuracy']:.3f}, mAP "
                    f"{scores['map']:.3f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
