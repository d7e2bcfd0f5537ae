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


SINGLE, MULTI, PATCHES = "single", "multi", "patches"
"""Kinds of tasks: an image has one label, or it may have several; or images are patches, by which larger ones score."""

DIFFICULT = -1
"""In place of 0 or 1: an image is no example of the class, for or against it, and is left out where that is scored."""


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
    same for both sides. Of the `kind` MULTI, where an image may have several labels, these are int8 (n, classes): 1
    where it shows the class, 0 where not, DIFFICULT where all that it shows of the class is not to be asked for. Of
    PATCHES they are as `patched` makes them.
    """

    classes: list[str]
    images: dict[str, Images]
    labels: dict[str, np.ndarray]
    mean: list[float]
    std: list[float]
    kind: str = SINGLE


def select(images: Images, indices: np.ndarray) -> Images:
    """Some of the images: read now where that is quick and they fit into memory, otherwise as they are asked for."""
    selection = Selection(images, indices)
    small = isinstance(images, Pixels) and np.prod(selection.shape, dtype=np.int64) <= IN_MEMORY
    return images[indices] if small else selection


@dataclass(frozen=True)
class Members:
    """The images of a part of a task in their order, int64 (n,), and their labels, as a Task has them."""

    indices: np.ndarray
    labels: np.ndarray

    @classmethod
    def of_one_label(cls, by_class: list[np.ndarray]) -> "Members":
        """Images class by class."""
        return cls(np.concatenate(by_class), np.repeat(np.arange(len(by_class)), [len(each) for each in by_class]))

    @classmethod
    def of_several(cls, by_class: list[np.ndarray], difficult: list[np.ndarray]) -> "Members":
        """Images in the order of the data set, with all their labels."""
        indices = np.unique(np.concatenate(by_class + difficult))
        labels = np.zeros((len(indices), len(by_class)), np.int8)
        for label, (sure, hard) in enumerate(zip(by_class, difficult, strict=True)):
            labels[np.searchsorted(indices, hard), label] = DIFFICULT
            labels[np.searchsorted(indices, sure), label] = 1
        return cls(indices, labels)


def class_indices(classes: dict[str, list[int]], names: list[str], count: float, least: int) -> list[np.ndarray]:
    """The images of each class, int64 (n,), of `count` that there are, at least so many; else a ValueError."""
    by_class = [np.asarray(classes[name], dtype=np.int64) for name in names]
    for indices in by_class:
        if indices.ndim != 1 or len(indices) < least or (indices < 0).any() or (indices >= count).any():
            raise ValueError("it names images that there are none of")
    return by_class


def members_of(split: dict, side: str, part: str, count: float = np.inf) -> Members:
    """The images of a part of a split's task, of `count` images that there are; a broken split is a ValueError."""
    task = split["tasks"][side]
    by_class = class_indices(task[part], task["classes"], count, 1)
    if "difficult" not in task:
        return Members.of_one_label(by_class)
    return Members.of_several(by_class, class_indices(task["difficult"][part], task["classes"], count, 0))


def open_task(split_file: Path, side: str, packed_folder: Path, parts: tuple[str, ...] = PARTS) -> Task:
    """Read the given parts of a split's task; a split made from other images, or a broken one, is an InputError."""
    split = files.read_json(split_file, Split)
    packed = open_packed(packed_folder)
    try:
        content, classes = split["content"], split["tasks"][side]["classes"]
        mean, std = split["normalisation"]["mean"], split["normalisation"]["std"]
        same = content == packed.card["content"]
        members = {part: members_of(split, side, part, len(packed.images)) for part in parts if same}
    except (KeyError, ValueError) as error:
        raise InputError(f"{split_file}: not a whole split ({error}); delete it and run again") from None
    if not same:
        raise InputError(
            f"{split_file}: made from other images than {packed_folder} holds; "
            "make the split anew, or get the images that belong to it"
        )
    images = {part: select(packed.checked, chosen.indices) for part, chosen in members.items()}
    labels = {part: chosen.labels for part, chosen in members.items()}
    return Task(classes, images, labels, mean, std, MULTI if packed.several else SINGLE)
