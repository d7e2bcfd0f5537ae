"""Adapting: adaptation layers at some cuts of one network, as one JSON file a cut, in the form of a network's metrics.

Frozen stages read the patches of images; layers on top learn what a patch shows, from boxes; an image is scored, and a
class placed in it, by all its patches. Boxes of test images serve to measure where maps point, and for nothing else.
"""

import base64
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from transferability import files, provenance
from transferability.data.batches import normalise
from transferability.data.packed import Images, open_packed
from transferability.data.tasks import Task, members_of, open_task
from transferability.devices import choose_device, fitting
from transferability.errors import InputError, exit_plainly
from transferability.evaluation.adaptation import Adaptation, Layers, learn_layers
from transferability.evaluation.convolutional import Pyramid, Scorer, read_images
from transferability.evaluation.features import BATCH, Source, check_cuts, stage_features
from transferability.evaluation.metrics import score_labels
from transferability.evaluation.patches import DROPPED, Objects, corners, patch_grid, patch_labels, patches_of, resized
from transferability.evaluation.pooling import Pooling
from transferability.evaluation.probing import (
    PARTS,
    SCORED,
    Read,
    parse_arguments,
    parse_probe,
    reading_metrics,
    section,
)
from transferability.evaluation.score_maps import Pointed, coverage, point, pointing_scores, score_map
from transferability.forms.split import Split
from transferability.networks.notation import Network
from transferability.training.precision import mean_average_precision

SHOWN, THUMBNAIL = 8, 128
"""Images that the metrics show with their maps, at most, and the pixels of their longer side."""


@dataclass(frozen=True)
class PatchedTask:
    """A task, of each part the objects in its images, and the patches that all its images are cut into."""

    task: Task
    objects: dict[str, list[Objects]]
    grid: np.ndarray

    @classmethod
    def open(cls, split: Path, side: str, folder: Path, adaptation: Adaptation) -> "PatchedTask":
        """Read a split's task with its boxes; one that has none is an InputError."""
        task, packed, chosen = open_task(split, side, folder, PARTS), open_packed(folder), files.read_json(split, Split)
        objects = {}
        for part in PARTS:
            indices = members_of(chosen, side, part).indices.tolist() if packed.several else []
            objects[part] = [Objects.of(json.loads(packed.boxes[index]), task.classes) for index in indices]
        if not any(len(each.boxes) for each in objects["train"]):
            raise InputError(
                f"{folder}: no training image has a box of the task's classes, which patches are told by; take images "
                "of voc or coco, or another classifier"
            )
        return cls(task, objects, patch_grid(packed.images.shape[2], adaptation.scales, adaptation.overlap))

    @cached_property
    def corners(self) -> np.ndarray:
        """The patches as shares of an image, (P, 4)."""
        return corners(self.grid, self.task.images["train"].shape[2])

    def lessons(self, adaptation: Adaptation) -> list[tuple[np.ndarray, np.ndarray]]:
        """Of each training image the patches to learn from, and their labels: of background a share is drawn."""
        generator, background, lessons = np.random.default_rng(adaptation.seed), len(self.task.classes), []
        for objects in self.objects["train"]:
            labels = patch_labels(self.corners, objects, background, adaptation.touching)
            drawn = (labels != background) | (generator.random(len(labels)) < adaptation.background)
            rows = np.flatnonzero((labels != DROPPED) & drawn)
            lessons.append((rows, labels[rows]))
        return lessons


@dataclass(frozen=True)
class Reader:
    """A network's stages that read patches, and how what they give is pooled."""

    source: Source
    cuts: list[int]
    pooling: Pooling

    def features(self, patches: Tensor) -> dict[int, np.ndarray]:
        """The features of patches uint8 (P, C, h, w) at each cut, {n: float32 (P, D)}."""
        card, batches = self.source.card, patches.split(BATCH)
        parts = [
            stage_features(
                self.source.network,
                normalise(batch.to(self.source.device), card.mean, card.std, card.channels),
                self.cuts,
                self.pooling,
            )
            for batch in batches
        ]
        return {n: np.concatenate([part[n] for part in parts]) for n in self.cuts}

    def read(self, patched: PatchedTask, part: str, chosen: list[np.ndarray]) -> Iterator[dict[int, np.ndarray]]:
        """The features of the chosen patches of one image after another, of those that have some."""
        shape = self.source.card.shape
        for patches in patches_of(patched.task.images[part], patched.grid, chosen, shape):
            yield self.features(patches)


def learn(reader: Reader, patched: PatchedTask, adaptation: Adaptation) -> tuple[dict[int, Layers], dict[str, int]]:
    """Layers at each cut, learnt from the patches of training images; and how many of these show what."""
    lessons = patched.lessons(adaptation)
    labels = np.concatenate([own for _, own in lessons])
    names = [*patched.task.classes, "background"]
    counts = {name: int((labels == label).sum()) for label, name in enumerate(names)}
    if missing := [name for name, count in counts.items() if not count]:
        raise InputError(
            f"probes: no patch of a training image shows {missing[0]!r} alone; allow touching, or take more scales "
            "or overlap"
        )
    read = list(reader.read(patched, "train", [rows for rows, _ in lessons]))
    layers = {}
    for n in reader.cuts:
        layers[n] = learn_layers(adaptation, np.concatenate([each[n] for each in read]), labels, len(names))
    return layers, counts


def patch_scores(reader: Reader, layers: dict[int, Layers], patched: PatchedTask, part: str) -> dict[int, np.ndarray]:
    """What the layers at each cut give for all patches of a part, {n: float32 (images, P, K)}, without background."""
    every = [np.arange(len(patched.grid))] * len(patched.task.labels[part])
    scores: dict[int, list[np.ndarray]] = {n: [] for n in reader.cuts}
    for features in reader.read(patched, part, every):
        for n, values in features.items():
            scores[n].append(layers[n](values)[:, :-1])
    return {n: np.stack(each) for n, each in scores.items()}


def first_image(images: Images) -> np.ndarray:
    """The first of some images, uint8 (C, H, W)."""
    return np.asarray(images[np.array([0])])[0]


def difference_from_patches(reader: Reader, layers: Layers, scorer: Scorer, image: np.ndarray, side: int) -> dict:
    """The largest difference, and the mean, between what a scorer gives for an image (C, H, W) of so many pixels a
    side, and what stages and layers give for the same patches one by one."""
    (n,), pyramid = reader.cuts, Pyramid(scorer.patch, scorer.stride, (side,))
    seen = resized(torch.from_numpy(image)[None], side)
    rows = (pyramid.corners * side).round().astype(np.int64)
    cut = torch.cat([seen[:, :, top:bottom, left:right] for left, top, right, bottom in rows.tolist()])
    one_by_one = layers(reader.features(cut)[n])[:, :-1]
    together = read_images(scorer, image[None], pyramid, reader.source.device)[0]
    differences = np.abs(together - one_by_one)
    return {"largest": float(differences.max()), "mean": float(differences.mean()), "patches": len(rows)}


def image_scores(scores: np.ndarray, power: float) -> np.ndarray:
    """An image's value for each class, (images, K): the mean of its patches' scores (images, P, K) to a power."""
    return (scores.astype(np.float64) ** power).mean(axis=1)


def best_power(scores: np.ndarray, labels: np.ndarray, powers: tuple[float, ...]) -> float:
    """The power with the highest mean average precision, of equals the highest, by which maps are sharper."""
    return max(
        sorted(powers, reverse=True), key=lambda power: mean_average_precision(image_scores(scores, power), labels)
    )


def thumbnail(pixels: np.ndarray) -> str:
    """An image uint8 (C, H, W) as a small JPEG in base64."""
    image, data = Image.fromarray(pixels.transpose(1, 2, 0).squeeze()), io.BytesIO()
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    image.save(data, "JPEG", quality=85)
    return base64.b64encode(data.getvalue()).decode()


def shown_maps(
    patched: PatchedTask, pointed: list[Pointed], scores: np.ndarray, covered: np.ndarray, seed: int
) -> list[dict]:
    """Some images with the maps of a class that they show: one a class, drawn, of no more than SHOWN classes."""
    generator, rows = np.random.default_rng(seed), []
    labels = sorted({each.label for each in pointed})
    for label in labels[:SHOWN]:
        members = [one for one in pointed if one.label == label]
        each = members[generator.choice(len(members))]
        (pixels,) = np.asarray(patched.task.images["test"][np.array([each.image])])
        rows.append(
            {
                "class": patched.task.classes[label],
                "image": thumbnail(pixels),
                "map": score_map(scores[each.image, :, label], covered).astype(float).round(5).tolist(),
                "boxes": patched.objects["test"][each.image].boxes_of(label).tolist(),
                "place": each.place,
                "hit": each.hit,
            }
        )
    return rows


@dataclass(frozen=True)
class Adapted:
    """What adaptation layers at a cut give: the scores of patches of each part, where these lie, as shares of an image
    (P, 4), and the power chosen on validation. `convolved` tells how convolutions read them, if they did."""

    scores: dict[str, np.ndarray]
    corners: np.ndarray
    power: float
    convolved: dict | None = None

    def block(self, patched: PatchedTask, adaptation: Adaptation) -> dict:
        """What is known beside average precision: where maps point, and some maps."""
        raised, covered = self.scores["test"] ** self.power, coverage(self.corners)
        pointed = [
            each
            for index, objects in enumerate(patched.objects["test"])
            for each in point(index, raised[index], covered, objects)
        ]
        return {
            "power": self.power,
            **({} if self.convolved is None else {"convolved": self.convolved}),
            "pointing": pointing_scores(pointed),
            "maps": shown_maps(patched, pointed, raised, covered, adaptation.seed),
        }

    def part_scores(self, task: Task, part: str) -> dict:
        """The part's scores; values of images are no logits, and so have no loss."""
        values = torch.from_numpy(image_scores(self.scores[part], self.power))
        return score_labels(values, torch.from_numpy(task.labels[part]), task.classes) | {"loss": None}


def read_patches(
    reader: Reader, layers: dict[int, Layers], patched: PatchedTask, adaptation: Adaptation
) -> dict[int, Adapted]:
    """Validation and test images, patch by patch."""
    scores = {part: patch_scores(reader, layers, patched, part) for part in SCORED}
    labels, adapted = patched.task.labels["validation"], {}
    for n in reader.cuts:
        power = best_power(scores["validation"][n], labels, adaptation.powers)
        adapted[n] = Adapted({part: each[n] for part, each in scores.items()}, patched.corners, power)
    return adapted


def read_convolved(
    reader: Reader, layers: dict[int, Layers], patched: PatchedTask, adaptation: Adaptation
) -> dict[int, Adapted]:
    """Validation and test images, each size of patches in one pass."""
    images, labels, adapted = patched.task.images, patched.task.labels["validation"], {}
    for n in reader.cuts:
        scorer = Scorer.of(reader.source, n, reader.pooling, layers[n])
        pyramid = Pyramid.of(scorer, adaptation.scales)
        scores = {part: read_images(scorer, images[part], pyramid, reader.source.device) for part in SCORED}
        told = {
            "stride": pyramid.stride,
            "sides": list(pyramid.sides),
            "difference": difference_from_patches(
                replace(reader, cuts=[n]), layers[n], scorer, first_image(images["test"]), pyramid.sides[:2][-1]
            ),
        }
        power = best_power(scores["validation"], labels, adaptation.powers)
        adapted[n] = Adapted(scores, pyramid.corners, power, told)
    return adapted


def adapt(reader: Reader, patched: PatchedTask, adaptation: Adaptation) -> tuple[dict[int, Adapted], dict[str, int]]:
    """Adaptation layers at each cut, read on validation and test images; and the patches learnt from."""
    check_cuts(reader.source.network, reader.cuts)
    layers, counts = learn(reader, patched, adaptation)
    read = read_convolved if adaptation.dense else read_patches
    return read(reader, layers, patched, adaptation), counts


def adapted_metrics(identity: Network, checkpoint: Path, source: Source, task: Task, block: dict) -> dict:
    """The metrics of adaptation layers but for their scores, in the form of a network's."""
    return {
        **reading_metrics(identity, checkpoint, source, task),
        "images_seen": len(task.labels["train"]),
        "probe": block,
        "code": provenance.fingerprint("evaluation.adapting", f"networks.{source.card.architecture.library}"),
    }


def main() -> None:
    arguments = parse_arguments()
    adaptation = section(arguments.probe, Adaptation, "--probe")
    pooling = section(arguments.pooling, Pooling, "--pooling")
    device = choose_device(arguments.device, arguments.threads)
    named = [parse_probe(path.stem) for path in arguments.metrics]
    card, network, identities, target, cuts = Read.of(arguments.model, arguments.shape, named)
    patched = PatchedTask.open(arguments.split, target, arguments.packed, adaptation)
    with fitting("adapting: the network and its patches", "let fewer jobs share a GPU, or set device to cpu"):
        source = Source(network.to(device), card, device)
        adapted, counts = adapt(Reader(source, cuts, pooling), patched, adaptation)
    for identity, path in zip(identities, arguments.metrics, strict=True):
        own = adapted[identity.n]
        block = {
            "name": identity.option,
            **asdict(adaptation),
            "pooling": asdict(pooling),
            "patches": {"per_image": len(own.corners), "learnt": counts},
            **own.block(patched, adaptation),
        }
        scores = {part: own.part_scores(patched.task, part) for part in SCORED}
        files.write_json(path, adapted_metrics(identity, arguments.model, source, patched.task, block) | scores)


if __name__ == "__main__":
    exit_plainly(main)
