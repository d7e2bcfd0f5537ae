"""Adaptation layers on real photographs of several labels: networks that have seen ImageNet, birds, or nothing.

    python benchmarks/labels.py MATERIAL [--patch 96] [--scales 1 1.6 2.4] [--steps 1000]

MATERIAL has coco128-voc/VOCdevkit, 254 photographs with boxes (80 classes as 12 groups, in classes.csv), and networks/
with mobilenet_v2_imagenet and mobilenet_v2_birds of timm's mobilenetv2_100. Patches are read by all stages below the
classifier; layers learn from those of 107 training photographs, and 128 others are the test. Prints for each source the
mean average precision, what pointing by the maps hits and what the centre would, and the difference from no
pretraining with its 95 % interval over 1,000 draws of test images, with replacement and the same for both.
"""

import argparse
import csv
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from caltech import architecture, build

from transferability import files
from transferability.data.packed import open_packed
from transferability.data.packing import pack
from transferability.data.splits import make_split
from transferability.evaluation.adaptation import Adaptation
from transferability.evaluation.adapting import Adapted, PatchedTask, Reader, adapt, image_scores
from transferability.evaluation.features import Source
from transferability.evaluation.pooling import Pooling
from transferability.networks.checkpoints import Card
from transferability.training.precision import mean_average_precision

SOURCES = ("imagenet", "birds", "untrained")
CUT = 9
"""After the last convolution, below the classifier."""
DRAWS = 1000
SHARES = {"validation": 0.15, "test": "val", "seed": 0}


def groups_of(material: Path) -> dict[str, list[str]]:
    """The 12 groups of classes that stand for labels."""
    groups = defaultdict(list)
    with open(material / "coco128-voc/classes.csv", newline="") as file:
        for row in csv.DictReader(file):
            groups[row["supercategory"]].append(row["class"])
    return dict(groups)


def open_task(material: Path, folder: Path, adaptation: Adaptation) -> PatchedTask:
    """The photographs, packed, and divided: part val is the test."""
    options = {"source": "voc", "path": str(material / "coco128-voc/VOCdevkit"), "merge": groups_of(material)}
    pack({**options, "size": 256, "channels": 3}, folder / "packed")
    files.write_json(folder / "all.json", make_split(open_packed(folder / "packed"), {"kind": "whole"}, {}, SHARES))
    return PatchedTask.open(folder / "all.json", "A", folder / "packed", adaptation)


def source_of(name: str, material: Path, folder: Path, patch: int) -> Source:
    """A network that has seen what its name says, for patches of so many pixels."""
    weights = None if name == "untrained" else material / f"networks/mobilenet_v2_{name}.safetensors"
    described, half = architecture(name, weights), [0.5, 0.5, 0.5]
    card = Card("pretrained", described, (3, patch, patch), [], half, half)
    return Source(build(name, weights, folder), card, torch.device("cpu"))


def resampled(adapted: Adapted, labels: np.ndarray) -> np.ndarray:
    """Mean average precision on DRAWS draws of test images, the same in every call."""
    values, generator, precisions = image_scores(adapted.scores["test"], adapted.power), np.random.default_rng(0), []
    while len(precisions) < DRAWS:
        rows = generator.integers(0, len(labels), len(labels))
        if (labels[rows] == 1).any(axis=0).all():
            precisions.append(mean_average_precision(values[rows], labels[rows]))
    return np.array(precisions)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("material", type=Path)
    parser.add_argument("--patch", type=int, default=96, help="pixels of a patch as networks see it")
    parser.add_argument("--scales", type=float, nargs="+", default=[1, 1.6, 2.4])
    parser.add_argument("--steps", type=int, default=1000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    adaptation = Adaptation(scales=tuple(arguments.scales), steps=arguments.steps, hidden=(512,), touching=True)
    with tempfile.TemporaryDirectory() as name:
        patched, told = open_task(arguments.material, Path(name), adaptation), {}
        labels = patched.task.labels["test"]
        print(f"{len(patched.grid)} patches an image, chance {(labels == 1).mean():.3f}")
        for source in SOURCES:
            reader = Reader(source_of(source, arguments.material, Path(name), arguments.patch), [CUT], Pooling("gap"))
            adapted, counts = adapt(reader, patched, adaptation)
            pointing = adapted[CUT].block(patched, adaptation)["pointing"]
            precision = adapted[CUT].part_scores(patched.task, "test")
            told[source] = resampled(adapted[CUT], labels)
            low, high = pointing["interval"]
            print(
                f"{source}: mAP {precision['map']:.3f} (eleven points {precision['map11']:.3f}), power "
                f"{adapted[CUT].power:g}; pointing {pointing['hits']:.3f}, centre {pointing['centre']:.3f}, gain "
                f"{pointing['gain']:+.3f} ({low:+.3f} to {high:+.3f}) by image",
                flush=True,
            )
        print(f"patches learnt from: {counts}")
        for source in SOURCES[:-1]:
            low, high = np.quantile(told[source] - told["untrained"], [0.025, 0.975])
            print(
                f"{source} over untrained: {np.mean(told[source] - told['untrained']):+.3f} ({low:+.3f} to {high:+.3f})"
            )


if __name__ == "__main__":
    main()
