"""Tasks: the images and labels of one side of a split, read for training, evaluation and export."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transferability import files
from transferability.errors import InputError

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Packed:
    """A packed data set: images uint8 (N, C, H, W), memory-mapped; the class of each; the card."""

    images: np.ndarray
    classes: list[str]
    parts: list[str]
    files: list[str]
    hashes: list[str]
    card: dict


def open_packed(folder: Path) -> Packed:
    """Open a packed data set; one that is missing, cut off or mixed from two runs is an InputError."""
    for name in ("card.json", "index.csv", "images.npy"):
        if not (folder / name).exists():
            raise InputError(
                f"{folder / name}: there is no such file; get the packed images with `dvc pull data/packed`, or, where "
                f"they are not shared, make them with `snakemake --cores 1 {folder / 'images.npy'}`"
            )
    card = files.read_json(folder / "card.json")
    try:
        images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
        with open(folder / "index.csv", newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        classes, files_, hashes = ([row[name] for row in rows] for name in ("class", "file", "sha256"))
        told = (card["images"], *card["shape"], card["content"])
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder}: not a whole packed data set ({error}); delete the folder and run again") from None
    if told != (*images.shape, files.sha256(folder / "index.csv")) or len(classes) != len(images):
        raise InputError(f"{folder}: its files are of different runs or cut off; delete the folder and run again")
    return Packed(images, classes, [row.get("part", "") for row in rows], files_, hashes, card)


@dataclass(frozen=True)
class Task:
    """One side of a split.

    `classes` in the order of their labels; for each part the images, uint8 (n, C, H, W), and labels, int64 (n,);
    `mean` and `std` of a channel in units of 0..1, the same for both sides.
    """

    classes: list[str]
    images: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]
    mean: list[float]
    std: list[float]


def open_task(split_file: Path, side: str, packed_folder: Path, parts: tuple[str, ...] = PARTS) -> Task:
    """Read the given parts of a split's task; a split made from other images is an InputError."""
    split = files.read_json(split_file)
    packed = open_packed(packed_folder)
    if split["content"] != packed.card["content"]:
        raise InputError(
            f"{split_file}: made from other images than {packed_folder} holds; "
            "make the split anew, or get the images that belong to it"
        )
    task = split["tasks"][side]
    images, labels = {}, {}
    for part in parts:
        by_class = [task[part][name] for name in task["classes"]]
        images[part] = packed.images[np.concatenate([np.asarray(indices, dtype=np.int64) for indices in by_class])]
        labels[part] = np.repeat(np.arange(len(by_class)), [len(indices) for indices in by_class])
    return Task(task["classes"], images, labels, split["normalisation"]["mean"], split["normalisation"]["std"])
