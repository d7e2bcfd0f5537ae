"""Packed data sets: the images that packing has stored, and what is known of each.

Every image is held against its hash when it is first read: images that have changed since are refused.
"""

import csv
import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from transferability import files
from transferability.data.images import decode
from transferability.data.names import shown
from transferability.errors import InputError
from transferability.forms.fields import SEVERAL
from transferability.forms.packed import PackedCard

MASK_LIMIT = 2**24
"""Characters that a field of index.csv may have."""


class Images(Protocol):
    """Images of one shape, (N, C, H, W), read by a 1-D int64 array of indices as uint8 (n, C, H, W)."""

    @property
    def shape(self) -> tuple[int, int, int, int]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, indices: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class Index:
    """What index.csv says of each image: the hash of what is stored; and which of them have been held against it."""

    path: Path
    files: list[str]
    hashes: list[str]
    checked: np.ndarray

    def check(self, index: int, stored: bytes | memoryview) -> None:
        """Refuse an image whose stored bytes are not those that were packed; each is looked at once."""
        if not self.checked[index]:
            if hashlib.sha256(stored).hexdigest() != self.hashes[index]:
                folder = self.path.parent
                raise InputError(
                    f"{folder / 'images.npy'}: image {index}, {shown(self.files[index])}, is not the one that was "
                    f"packed: the file was changed or is damaged; delete {folder} and run again"
                )
            self.checked[index] = True


@dataclass(frozen=True)
class Pixels:
    """Images stored as pixels, each checked when it is first read.

    `data` uint8 (N, C, H, W), memory-mapped.
    """

    data: np.ndarray
    index: Index

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return self.data.shape

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        images = self.data[indices]
        for row in np.flatnonzero(~self.index.checked[indices]):
            self.index.check(indices[row], np.ascontiguousarray(images[row]).data)
        return images


@dataclass(frozen=True)
class Jpegs:
    """JPEG files end to end, checked when they are first read, and decoded each time by a pool of threads.

    `data` uint8 (bytes,), memory-mapped; `ends` int64 (N,), the offset just after each file; `shape` (N, C, H, W).
    """

    data: np.ndarray
    ends: np.ndarray
    shape: tuple[int, int, int, int]
    index: Index

    @cached_property
    def pool(self) -> ThreadPoolExecutor:
        """As many threads as this process may use cores; PIL decodes without holding Python's lock."""
        count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return ThreadPoolExecutor(min(count, 16))

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, index: int) -> np.ndarray:
        """The pixels of one image, (C, H, W); a negative index counts from the end, as in an array."""
        index = range(len(self))[index]
        stored = self.data[self.ends[index - 1] if index else 0 : self.ends[index]].tobytes()
        self.index.check(index, stored)
        return decode(stored)

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        decoded = np.empty((len(indices), *self.shape[1:]), np.uint8)

        def decode_rows(rows: range) -> None:
            for row in rows:
                decoded[row] = self.read(indices[row])

        # A few rows at a time, so that handing them out costs little and no thread is left with much.
        step = 8
        list(self.pool.map(decode_rows, [range(len(indices))[at : at + step] for at in range(0, len(indices), step)]))
        return decoded


@dataclass(frozen=True)
class Packed:
    """A packed data set.

    `images` uint8 (N, C, H, W), memory-mapped where they are stored as pixels, and `folder` where they lie; of each its
    class, its part ("" where the source has none), its file and its hash; the card. Where images may have several
    labels, `classes` has them as the index has, and of each image there are its labels that are all `difficult`, its
    `boxes` and, where there are some, its mask, all as the index has them.
    """

    images: Images
    classes: list[str]
    parts: list[str]
    files: list[str]
    hashes: list[str]
    card: dict
    folder: Path = Path()
    difficult: list[str] = field(default_factory=list)
    boxes: list[str] = field(default_factory=list)
    masks: list[str] = field(default_factory=list)

    @property
    def several(self) -> bool:
        """Whether images may have several labels."""
        return self.card.get("labels") == SEVERAL

    @cached_property
    def checked(self) -> Images:
        """The images, of which one that is not what was packed is an InputError when it is first read."""
        if isinstance(self.images, np.ndarray):
            return Pixels(self.images, index_of(self.folder, self.files, self.hashes))
        return self.images


def index_of(folder: Path, names: list[str], hashes: list[str]) -> Index:
    """The index of a packed set of which no image has been read yet."""
    return Index(folder / "index.csv", names, hashes, np.zeros(len(hashes), bool))


def check_files(folder: Path) -> None:
    """Refuse a folder that lacks a file of a packed set, and name the command that makes it."""
    for name in ("card.json", "index.csv", "images.npy"):
        if not (folder / name).exists():
            raise InputError(
                f"{folder / name}: there is no such file; get the packed images with `dvc pull data/packed`, or, where "
                f"they are not shared, make them with `snakemake --cores 1 {folder / name}`"
            )


def read_index(path: Path) -> dict[str, list[str]]:
    """The columns of index.csv."""
    # A mask is one field.
    csv.field_size_limit(MASK_LIMIT)
    with open(path, newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    return {name: list(column) for name, column in zip(header, zip(*rows, strict=True), strict=True)}


def stored_images(folder: Path, card: dict, table: dict[str, list[str]]) -> Images:
    """The images of a packed set as they are stored; a ValueError where their file does not fit the table."""
    stored = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
    if card["storage"] == "pixels":
        return stored
    ends = np.array(table["end"], dtype=np.int64)
    if stored.shape != (ends[-1],) or not (np.diff(ends, prepend=0) > 0).all():
        raise ValueError("the images do not end where index.csv says")
    return Jpegs(stored, ends, (len(ends), *card["shape"]), index_of(folder, table["file"], table["sha256"]))


def open_packed(folder: Path) -> Packed:
    """Open a packed data set; one that is missing, cut off or mixed from two runs is an InputError."""
    check_files(folder)
    card = files.read_json(folder / "card.json", PackedCard)
    try:
        table = read_index(folder / "index.csv")
        images = stored_images(folder, card, table)
        classes, parts, names, hashes = (table[column] for column in ("class", "part", "file", "sha256"))
        several = card.get("labels") == SEVERAL
        difficult, boxes = (table[column] if several else [] for column in ("difficult", "boxes"))
        masks = table["mask"] if "masks" in card else []
        expected, content = (card["images"], *card["shape"]), card["content"]
    except (OSError, EOFError, ValueError, KeyError, TypeError, IndexError, csv.Error) as error:
        raise InputError(f"{folder}: not a whole packed data set ({error}); delete the folder and run again") from None
    whole = images.shape == expected and len(classes) == len(images)
    if not whole or content != files.sha256(folder / "index.csv"):
        raise InputError(f"{folder}: its files are of different runs or cut off; delete the folder and run again")
    return Packed(images, classes, parts, names, hashes, card, folder, difficult, boxes, masks)


PARTS = ("train", "validation", "test")
