"""Tasks: the images and labels of one side of a split, read for training, evaluation and export."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transferability import files
from transferability.data.packed import PARTS, Images, Pixels, open_packed
from transferability.errors import InputError
from transferability.forms.split import Split

# A part that takes more bytes as pixels stays on the disk and is read as it is asked for.
IN_MEMORY = 2 * 2**30


@dataclass(frozen=True)
class Selection:
    """Some of the images, in an order of its own, read from the others only as they are asked for."""

    images: Images
    indices: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (len(self.indices), *self.images.shape[1:])

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        return self.images[self.indices[indices]]


@dataclass(frozen=True)
class Task:
    """One side of a split.

    `classes` in the order of their labels; for each part the images, (n, C, H, W), an array where they are stored as
    pixels and fit into IN_MEMORY bytes, and labels, int64 (n,); `mean` and `std` of a channel in units of 0..1, the
    same for both sides.
    """

    classes: list[str]
    images: dict[str, Images]
    labels: dict[str, np.ndarray]
    mean: list[float]
    std: list[float]


def select(images: Images, indices: np.ndarray) -> Images:
    """Some of the images: read now where that is quick and they fit into memory, otherwise as they are asked for."""
    selection = Selection(images, indices)
    small = isinstance(images, Pixels) and np.prod(selection.shape, dtype=np.int64) <= IN_MEMORY
    return images[indices] if small else selection


def part_indices(split: dict, side: str, part: str, count: int) -> list[np.ndarray]:
    """The images of a part of a split's task, one int64 array a class, of `count` images that there are."""
    task = split["tasks"][side]
    by_class = [np.asarray(task[part][name], dtype=np.int64) for name in task["classes"]]
    for indices in by_class:
        if indices.ndim != 1 or not len(indices) or indices.min() < 0 or indices.max() >= count:
            raise ValueError(f"its part {part} names images that there are none of")
    return by_class


def open_task(split_file: Path, side: str, packed_folder: Path, parts: tuple[str, ...] = PARTS) -> Task:
    """Read the given parts of a split's task; a split made from other images, or a broken one, is an InputError."""
    split = files.read_json(split_file, Split)
    packed = open_packed(packed_folder)
    try:
        content, classes = split["content"], split["tasks"][side]["classes"]
        mean, std = split["normalisation"]["mean"], split["normalisation"]["std"]
        same = content == packed.card["content"]
        indices = {part: part_indices(split, side, part, len(packed.images)) for part in parts if same}
    except (KeyError, ValueError) as error:
        raise InputError(f"{split_file}: not a whole split ({error}); delete it and run again") from None
    if not same:
        raise InputError(
            f"{split_file}: made from other images than {packed_folder} holds; "
            "make the split anew, or get the images that belong to it"
        )
    images, labels = {}, {}
    for part, by_class in indices.items():
        images[part] = select(packed.checked, np.concatenate(by_class))
        labels[part] = np.repeat(np.arange(len(by_class)), [len(each) for each in by_class])
    return Task(classes, images, labels, mean, std)
