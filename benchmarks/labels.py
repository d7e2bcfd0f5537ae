"""Adaptation layers on real photographs of several labels: networks that have seen ImageNet, birds, or nothing.

    python benchmarks/labels.py MATERIAL [--sources imagenet birds untrained] [--keep FOLDER] [--dense]
                                         [--size 256] [--patch 96] [--scales 1 1.6 2.4] [--steps 1000]

MATERIAL has coco128-voc/VOCdevkit, 254 photographs with boxes (80 classes as 12 groups, in classes.csv), and networks/
with mobilenet_v2_imagenet and mobilenet_v2_birds of timm's mobilenetv2_100. Patches are read by all stages below the
classifier; layers learn from those of 107 training photographs, and 128 others are the test. Prints for each source the
mean average precision, what pointing by the maps hits and what the centre would, and the difference from no
pretraining with its 95 % interval over 1,000 draws of test images, with replacement and the same for both. What sources
have scored is kept in FOLDER, so that they may be run one by one.
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
from transferability.data.patched import PatchedTask
from transferability.data.patches import OF_PATCH, areas
from transferability.data.splits import make_split
from transferability.evaluation.adaptation import Adaptation
from transferability.evaluation.adapting import Reader, adapt
from transferability.evaluation.features import Source
from transferability.evaluation.patch_scores import PatchScores
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


def open_task(material: Path, folder: Path, adaptation: Adaptation, size: int = 256) -> PatchedTask:
    """The photographs, packed, and divided: part val is the test."""
    options = {"source": "voc", "path": str(material / "coco128-voc/VOCdevkit"), "merge": groups_of(material)}
    pack({**options, "size": size, "channels": 3}, folder / "packed")
    files.write_json(folder / "all.json", make_split(open_packed(folder / "packed"), {"kind": "whole"}, {}, SHARES))
    return PatchedTask.open(folder / "all.json", "A", folder / "packed", adaptation)


def source_of(name: str, material: Path, folder: Path, patch: int) -> Source:
    """A network that has seen what its name says, for patches of so many pixels."""
    weights = None if name == "untrained" else material / f"networks/mobilenet_v2_{name}.safetensors"
    described, half = architecture(name, weights), [0.5, 0.5, 0.5]
    card = Card("pretrained", described, (3, patch, patch), [], half, half)
    return Source(build(name, weights, folder), card, torch.device("cpu"))


def too_small(patched: PatchedTask) -> float:
    """The share of training objects that cover less than any patch asks for, and so are never learnt from."""
    boxes = np.concatenate([each.boxes for each in patched.objects["train"]])
    return float((areas(boxes) < OF_PATCH / max(patched.patching.scales) ** 2).mean())


def adapted_by(name: str, patched: PatchedTask, adaptation: Adaptation, kept: Path, source: Source) -> PatchScores:
    """What the layers on a source's stages give, from the folder of what is kept, or learnt."""
    path = kept / f"{name}.npz"
    if not path.exists():
        adapted = adapt(Reader(source, [CUT], Pooling("gap")), patched, adaptation)
        print(f"{name}: patches learnt from {patched.shown('train')}; {adapted[CUT].convolved or 'patch by patch'}")
        np.savez(path, corners=adapted[CUT].corners, power=adapted[CUT].power, **adapted[CUT].scores)
    stored = dict(np.load(path))
    corners, power = stored.pop("corners"), float(stored.pop("power"))
    return PatchScores(stored, corners, power)


def resampled(adapted: PatchScores, labels: np.ndarray) -> np.ndarray:
    """Mean average precision on DRAWS draws of test images, the same in every call."""
    values, generator, precisions = adapted.image_scores("test"), np.random.default_rng(0), []
    while len(precisions) < DRAWS:
        rows = generator.integers(0, len(labels), len(labels))
        if (labels[rows] == 1).any(axis=0).all():
            precisions.append(mean_average_precision(values[rows], labels[rows]))
    return np.array(precisions)


def sentence_of(adapted: PatchScores, patched: PatchedTask) -> str:
    """What adaptation layers score, and where their maps point."""
    pointing, precision = adapted.block(patched)["pointing"], adapted.part_scores(patched.task, "test")
    low, high = pointing["interval"]
    return (
        f"{len(adapted.corners)} patches an image; mAP {precision['map']:.3f}, at eleven points "
        f"{precision['map11']:.3f}, power {adapted.power:g}; pointing {pointing['hits']:.3f}, centre "
        f"{pointing['centre']:.3f}, gain {pointing['gain']:+.3f} ({low:+.3f} to {high:+.3f}) by image"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("material", type=Path)
    parser.add_argument("--patch", type=int, default=96, help="pixels of a patch as networks see it")
    parser.add_argument("--size", type=int, default=256, help="pixels a side of a photograph as it is stored")
    parser.add_argument("--scales", type=float, nargs="+", default=[1, 1.6, 2.4])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--sources", nargs="+", default=SOURCES, choices=SOURCES)
    parser.add_argument("--dense", action="store_true", help="read images fully convolutionally")
    parser.add_argument("--keep", type=Path, help="folder of what sources have scored by the same other options")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    adaptation = Adaptation(
        scales=tuple(arguments.scales), steps=arguments.steps, hidden=(512,), touching=True, dense=arguments.dense
    )
    with tempfile.TemporaryDirectory() as name:
        folder, kept = Path(name), arguments.keep or Path(name)
        kept.mkdir(parents=True, exist_ok=True)
        patched, told = open_task(arguments.material, folder, adaptation, arguments.size), {}
        labels = patched.task.labels["test"]
        small = too_small(patched)
        print(f"chance {(labels == 1).mean():.3f}; {small:.1%} of objects are too small for any patch")
        for source in arguments.sources:
            network = source_of(source, arguments.material, folder, arguments.patch)
            adapted = adapted_by(source, patched, adaptation, kept, network)
            told[source] = resampled(adapted, labels)
            print(f"{source}: {sentence_of(adapted, patched)}", flush=True)
        for source in set(arguments.sources) - {"untrained"}:
            if "untrained" in told:
                gains = told[source] - told["untrained"]
                low, high = np.quantile(gains, [0.025, 0.975])
                print(f"{source} over untrained: {gains.mean():+.3f} ({low:+.3f} to {high:+.3f})")


if __name__ == "__main__":
    main()
