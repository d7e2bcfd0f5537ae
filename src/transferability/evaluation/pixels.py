"""Pixels: a linear probe of the maps at some cuts of one network, a 1×1 convolution that tells each place's class.

It learns from masks, and is read as one JSON file a cut, in the form of a network's metrics, with the mean intersection
over union of classes on test masks: a first measure of what features are worth where the task is dense.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from transferability import files, provenance
from transferability.data.batches import centre, normalise
from transferability.data.masks import BACKGROUND, VOID, decoded_mask
from transferability.data.packed import PARTS, Images, open_packed
from transferability.data.tasks import Task, members_of, open_task
from transferability.devices import choose_device, fitting
from transferability.errors import InputError, exit_plainly
from transferability.evaluation.adaptation import Layers, learn_layers
from transferability.evaluation.features import BATCH, Source, check_cuts, stage_features
from transferability.evaluation.metrics import SCORED, score_labels
from transferability.evaluation.pooling import Pooling
from transferability.evaluation.probing import Read, parse_arguments, parse_probe, reading_metrics, section
from transferability.forms.split import Split
from transferability.networks.notation import Network

CELLS = 28
"""Places a side at most: a finer map is averaged to so many, as a larger one takes memory that it does not repay."""
SURE = 0.5
"""The share of a place's pixels that must count, for it to be learnt from."""


@dataclass(frozen=True)
class PixelProbe:
    """How a pixel probe learns: so many `steps`, each of `batch_size` places, at a `learning_rate` that falls to 0."""

    classifier: str = "pixels"
    steps: int = 1000
    batch_size: int = 1024
    learning_rate: float = 0.003
    seed: int = 0
    hidden: tuple[int, ...] = ()


@dataclass(frozen=True)
class MaskedTask:
    """A task, and of each part's images their masks, as text, "" for one that has none; `table` gives for each level
    of a mask the index of the task's class, of background, which comes last, or VOID."""

    task: Task
    masks: dict[str, list[str]]
    table: np.ndarray

    @classmethod
    def open(cls, split: Path, side: str, folder: Path) -> "MaskedTask":
        """Read a split's task with its masks; a part that has none is an InputError."""
        task, packed, chosen = open_task(split, side, folder, PARTS), open_packed(folder), files.read_json(split, Split)
        if not packed.masks:
            raise InputError(f"{folder}: has no masks, which a pixel probe learns from; set datasets.*.images.masks")
        masks = {
            part: [packed.masks[index] for index in members_of(chosen, side, part).indices.tolist()] for part in PARTS
        }
        for part in ("train", "test"):
            if not any(masks[part]):
                raise InputError(f"{split}: no {part} image of task {side} has a mask; change the split's parts")
        return cls(task, masks, level_table(packed.card["masks"]["labels"], task.classes))

    @property
    def outputs(self) -> int:
        """The classes, and background."""
        return len(self.task.classes) + 1

    def mask(self, part: str, index: int) -> np.ndarray | None:
        """The mask of an image, int64 (H, W) of the table's values; None for one without a mask."""
        text = self.masks[part][index]
        return self.table[decoded_mask(text)] if text else None

    def train_mask(self, index: int) -> np.ndarray:
        """The mask of a training image that has one, as `mask` gives it."""
        return self.table[decoded_mask(self.masks["train"][index])]


def level_table(labels: list[str], classes: list[str]) -> np.ndarray:
    """What each level of stored masks is to a task, int64 (256,): labels of no class of the task are background."""
    table = np.full(256, VOID, np.int64)
    table[BACKGROUND] = len(classes)
    for place, label in enumerate(labels, start=1):
        table[place] = classes.index(label) if label in classes else len(classes)
    return table


def shares_of_classes(mask: np.ndarray, outputs: int, places: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The share of each class among the pixels of each place that count, (lines·columns, outputs), and the share of
    pixels that do, (lines·columns,)."""
    one_hot = torch.from_numpy(np.eye(VOID + 1, dtype=np.float32)[mask][..., :outputs]).permute(2, 0, 1)
    shares = functional.adaptive_avg_pool2d(one_hot, places).flatten(1).T.numpy()
    counted = shares.sum(axis=1)
    return shares / np.maximum(counted, 1e-6)[:, None], counted


@dataclass(frozen=True)
class MapReader:
    """A network's stages whose maps are read at some cuts."""

    source: Source
    cuts: list[int]

    def shapes(self) -> dict[int, tuple[int, int, int]]:
        """The shape (C, h, w) of the map at each cut; a cut that gives none is an InputError."""
        given, shapes = torch.zeros(1, *self.source.card.shape, device=self.source.device), {}
        with torch.no_grad():
            for n, (name, stage) in enumerate(self.source.network.named_children(), start=1):
                given = stage(given)
                if n in self.cuts and given.dim() != 4:
                    raise InputError(
                        f"probes: stage {n} ({name}) gives no map, so it has no pixels to tell; cut below it"
                    )
                if n in self.cuts:
                    shapes[n] = tuple(given.shape[1:])
        return shapes

    def maps(self, images: Images) -> Iterator[dict[int, Tensor]]:
        """The maps of images (N, C, H, W) at each cut, {n: float32 (n, C, h, w)}, BATCH images at a time."""
        card, shapes = self.source.card, self.shapes()
        for rows in torch.arange(len(images)).split(BATCH):
            pixels = torch.from_numpy(np.asarray(images[rows.numpy()])).to(self.source.device)
            seen = normalise(centre(pixels, card.shape), card.mean, card.std, card.channels)
            read = stage_features(self.source.network, seen, self.cuts, Pooling("full"))
            yield {n: at_most(torch.from_numpy(read[n]).view(-1, *shapes[n])) for n in self.cuts}


def at_most(maps: Tensor) -> Tensor:
    """Maps (n, C, h, w) of no more than CELLS places a side."""
    return functional.adaptive_avg_pool2d(maps, (min(CELLS, maps.shape[2]), min(CELLS, maps.shape[3])))


def as_places(maps: Tensor) -> np.ndarray:
    """The features of each place of maps (n, C, h, w), by image, line and column: (n·h·w, C)."""
    return maps.permute(0, 2, 3, 1).flatten(0, 2).contiguous().numpy()


def seen_mask(mask: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """The part of a mask (H, W) that the network sees of its image."""
    return centre(torch.from_numpy(mask)[None, None], shape)[0, 0].numpy()


def learn(reader: MapReader, masked: MaskedTask, probe: PixelProbe) -> dict[int, Layers]:
    """The linear layer of each cut, from the places of training images that have masks."""
    rows = np.array([index for index, text in enumerate(masked.masks["train"]) if text])
    features: dict[int, list[np.ndarray]] = {n: [] for n in reader.cuts}
    lessons: dict[int, list[np.ndarray]] = {n: [] for n in reader.cuts}
    at, shape = 0, reader.source.card.shape
    for maps in reader.maps(masked.task.images["train"][rows]):
        count = len(maps[reader.cuts[0]])
        masks = [seen_mask(mask, shape) for mask in map(masked.train_mask, rows[at : at + count])]
        at += count
        for n, own in maps.items():
            told = [shares_of_classes(mask, masked.outputs, (own.shape[2], own.shape[3])) for mask in masks]
            kept = np.concatenate([counted for _, counted in told]) >= SURE
            features[n].append(as_places(own)[kept])
            lessons[n].append(np.concatenate([shares for shares, _ in told])[kept])
    return {
        n: learn_layers(probe, np.concatenate(features[n]), np.concatenate(lessons[n]), masked.outputs)
        for n in reader.cuts
    }


def confusion_of(logits: Tensor, mask: np.ndarray) -> np.ndarray:
    """How many pixels of each class (rows) are called which (columns), of logits (K, h, w) of an image and its mask.

    Logits between places are interpolated.
    """
    outputs = len(logits)
    called = functional.interpolate(logits[None], mask.shape, mode="bilinear", align_corners=False)[0].argmax(0).numpy()
    known = mask != VOID
    return np.bincount(outputs * mask[known] + called[known], minlength=outputs**2).reshape(outputs, outputs)


def intersections_over_unions(confusion: np.ndarray) -> np.ndarray:
    """Of each class the pixels that are rightly called it by all that are it or are called it; NaN without any."""
    right = np.diag(confusion)
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - right
    return np.where(confusion.sum(axis=1) > 0, right / np.maximum(union, 1), np.nan)


@dataclass(frozen=True)
class PixelReading:
    """What a layer gives for a part: of each image that has a mask the confusion of its pixels (M, K + 1, K + 1), and
    of each image and class the highest probability of a place (N, K)."""

    confusions: np.ndarray
    values: np.ndarray

    def miou(self, images: np.ndarray | slice = slice(None)) -> float:
        """The mean intersection over union of the classes that some of the masks show."""
        return float(np.nanmean(intersections_over_unions(self.confusions[images].sum(axis=0))))

    def scores(self, task: Task, part: str) -> dict:
        """The part's scores: those of images by their highest places, and those of pixels.

        Classes that no mask of the part shows have no intersection over union. `miou_of_background` is what calling
        every pixel background scores.
        """
        scores = score_labels(torch.from_numpy(self.values), torch.from_numpy(task.labels[part]), task.classes)
        scores["loss"] = None
        confusion = self.confusions.sum(axis=0)
        pixels = int(confusion.sum())
        if not pixels:
            return scores
        each, counts = intersections_over_unions(confusion), confusion.sum(axis=1)
        names = [*task.classes, "background"]
        return scores | {
            "miou": self.miou(),
            "miou_of_background": float(counts[-1] / pixels / (counts > 0).sum()),
            "pixel_accuracy": float(np.diag(confusion).sum() / pixels),
            "iou": {name: None if np.isnan(value) else float(value) for name, value in zip(names, each, strict=True)},
        }


def stacked(confusions: list[np.ndarray], outputs: int) -> np.ndarray:
    """Confusions of images as one array (M, outputs, outputs), also of none."""
    return np.array(confusions, np.int64).reshape(-1, outputs, outputs)


def read_part(reader: MapReader, layers: dict[int, Layers], masked: MaskedTask, part: str) -> dict[int, PixelReading]:
    """What the layers at each cut give for a part's images, and for the pixels of those that have masks."""
    confusions: dict[int, list[np.ndarray]] = {n: [] for n in reader.cuts}
    values: dict[int, list[np.ndarray]] = {n: [] for n in reader.cuts}
    index, shape = 0, reader.source.card.shape
    for maps in reader.maps(masked.task.images[part]):
        for n, own in maps.items():
            logits = layers[n].logits(as_places(own)).view(len(own), *own.shape[2:], -1).permute(0, 3, 1, 2)
            values[n].append(logits.softmax(dim=1)[:, :-1].amax(dim=(2, 3)).double().numpy())
            for place, each in enumerate(logits, start=index):
                if (mask := masked.mask(part, place)) is not None:
                    confusions[n].append(confusion_of(each, seen_mask(mask, shape)))
        index += len(own)
    return {n: PixelReading(stacked(confusions[n], masked.outputs), np.concatenate(values[n])) for n in reader.cuts}


def probe_block(identity: Network, probe: PixelProbe, masked: MaskedTask, places: list[int]) -> dict:
    """What is known of a pixel probe beside its scores."""
    settings = {name: value for name, value in asdict(probe).items() if name != "hidden"}
    images = {part: sum(map(bool, masked.masks[part])) for part in PARTS}
    return {"name": identity.option, **settings, "pooling": {"kind": "places"}, "places": places, "masks": images}


def main() -> None:
    arguments = parse_arguments()
    probe = section(arguments.probe, PixelProbe, "--probe")
    device = choose_device(arguments.device, arguments.threads)
    named = [parse_probe(path.stem) for path in arguments.metrics]
    card, network, identities, target, cuts = Read.of(arguments.model, arguments.shape, named)
    masked = MaskedTask.open(arguments.split, target, arguments.packed)
    with fitting("pixels: the network and its images", "let fewer jobs share a GPU, or set device to cpu"):
        reader = MapReader(Source(network.to(device), card, device), cuts)
        check_cuts(network, cuts)
        shapes, layers = reader.shapes(), learn(reader, masked, probe)
        read = {part: read_part(reader, layers, masked, part) for part in SCORED}
    for identity, path in zip(identities, arguments.metrics, strict=True):
        places = [min(CELLS, side) for side in shapes[identity.n][1:]]
        files.write_json(
            path,
            {
                **reading_metrics(identity, arguments.model, reader.source, masked.task),
                "images_seen": sum(map(bool, masked.masks["train"])),
                "probe": probe_block(identity, probe, masked, places),
                "code": provenance.fingerprint("evaluation.pixels", f"networks.{card.architecture.library}"),
                **{part: read[part][identity.n].scores(masked.task, part) for part in SCORED},
            },
        )


if __name__ == "__main__":
    exit_plainly(main)
