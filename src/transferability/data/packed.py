"""Packed data sets: the images that packing has stored, and what is known of each."""

import csv
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from transferability import files
from transferability.data.images import decode
from transferability.errors import InputError


class Images(Protocol):
    """Images of one shape, (N, C, H, W), read by a 1-D int64 array of indices as uint8 (n, C, H, W)."""

    @property
    def shape(self) -> tuple[int, int, int, int]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, indices: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class Jpegs:
    """JPEG files end to end, decoded as they are asked for by a pool of threads.

    `data` uint8 (bytes,), memory-mapped; `ends` int64 (N,), the offset just after each file; `shape` (N, C, H, W).
    """

    data: np.ndarray
    ends: np.ndarray
    shape: tuple[int, int, int, int]

    @cached_property
    def pool(self) -> ThreadPoolExecutor:
        """As many threads as this process may use cores; PIL decodes without holding Python's lock."""
        count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return ThreadPoolExecutor(min(count, 16))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        decoded = np.empty((len(indices), *self.shape[1:]), np.uint8)

        def decode_rows(rows: range) -> None:
            for row in rows:
                # A negative index counts from the end, as in an array.
                index = range(len(self))[indices[row]]
                start = self.ends[index - 1] if index else 0
                decoded[row] = decode(self.data[start : self.ends[index]].tobytes())

        # A few rows at a time, so that handing them out costs little and no thread is left with much.
        step = 8
        list(self.pool.map(decode_rows, [range(len(indices))[at : at + step] for at in range(0, len(indices), step)]))
        return decoded


@dataclass(frozen=True)
class Packed:
    """A packed data set.

    `images` uint8 (N, C, H, W), memory-mapped where they are stored as pixels; of each its class, its part ("" where
    the source has none), its file and its hash; the card.
    """

    images: Images
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
        stored = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
        with open(folder / "index.csv", newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        table = dict(zip(header, zip(*rows, strict=True), strict=True))
        columns = [list(table[column]) for column in ("class", "part", "file", "sha256")]
        shape = (card["images"], *card["shape"])
        told = (*shape, card["content"])
        if card["storage"] == "pixels":
            images, found = stored, stored.shape
        else:
            ends = np.array(table["end"], dtype=np.int64)
            images, found = Jpegs(stored, ends, shape), (len(ends), *card["shape"])
            whole = stored.shape == (ends[-1],) and (np.diff(ends, prepend=0) > 0).all()
            found = found if whole else ()
    except (OSError, EOFError, ValueError, KeyError, TypeError, IndexError, csv.Error) as error:
        raise InputError(f"{folder}: not a whole packed data set ({error}); delete the folder and run again") from None
    if told != (*found, files.sha256(folder / "index.csv")) or len(rows) != len(images):
        raise InputError(f"{folder}: its files are of different runs or cut off; delete the folder and run again")
    return Packed(images, *columns, card)


PARTS = ("train", "validation", "test")
