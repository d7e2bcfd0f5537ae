"""Outlines: masks drawn from the objects of images, polygons or run lengths, as COCO's JSON has them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from transferability.data.masks import BACKGROUND, VOID, Masks
from transferability.data.names import shown
from transferability.errors import InputError

MOST = 254
"""The labels that stored masks have room for."""

Outline = list | dict
"""A `segmentation` of COCO: polygons [x, y, x, y ...], or {"size": [height, width], "counts": run lengths}."""


def polygon_region(corners: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The pixels of an image of a width and height whose centres lie in a polygon (k, 2) of x and y, bool (H, W)."""
    region, ends = np.zeros(size[::-1], bool), np.roll(corners, -1, axis=0)
    lines = np.arange(max(0, int(corners[:, 1].min())), min(size[1], int(np.ceil(corners[:, 1].max()))))
    centres = np.arange(size[0]) + 0.5
    for line in lines:
        crossed = (corners[:, 1] <= line + 0.5) != (ends[:, 1] <= line + 0.5)
        (x, y), (far_x, far_y) = corners[crossed].T, ends[crossed].T
        at = np.sort(x + (line + 0.5 - y) / (far_y - y) * (far_x - x))
        region[line] = np.searchsorted(at, centres, side="right") % 2 == 1
    return region


def unpacked_counts(text: str) -> list[int]:
    """Run lengths from COCO's compressed text: 5 bits a character, least first; from the third on as differences."""
    counts: list[int] = []
    value, shift = 0, 0
    for character in text.encode("ascii"):
        bits = character - 48
        value, shift = value | (bits & 31) << shift, shift + 5
        if not bits & 32:
            value -= (1 << shift) if bits & 16 else 0
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value, shift = 0, 0
    return counts


def runs_region(outline: dict, size: tuple[int, int]) -> np.ndarray:
    """The pixels of run lengths, column by column, by turns out and in, bool (H, W)."""
    height, width = outline["size"]
    counts = outline["counts"]
    runs = np.array(unpacked_counts(counts) if isinstance(counts, str) else counts, dtype=np.int64)
    if (width, height) != size or (runs < 0).any() or runs.sum() != width * height:
        raise ValueError(f"its run lengths are not those of {size[0]}×{size[1]} pixels")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T


def region_of(outline: Outline, size: tuple[int, int]) -> np.ndarray:
    """The pixels of an object in an image of a width and height, bool (H, W); one that is none is a ValueError."""
    if isinstance(outline, dict):
        return runs_region(outline, size)
    region = np.zeros(size[::-1], bool)
    for polygon in outline:
        corners = np.array(polygon, dtype=np.float64).reshape(-1, 2)
        if len(corners) < 3 or not np.isfinite(corners).all():
            raise ValueError("a polygon has three corners at least, of numbers")
        region |= polygon_region(corners, size)
    return region


@dataclass(frozen=True)
class Drawn(Masks):
    """Masks that are drawn: of each image by its file the level and outline of all its objects.

    Where objects of two labels overlap the pixels do not count. An image with an object without outline has no mask.
    """

    objects: Mapping[str, list[tuple[int, Outline]]] = field(default_factory=dict)

    @classmethod
    def by(cls, root: Path, categories: list[str], objects: Mapping[str, list[tuple[str, Outline]]]) -> "Drawn":
        """The masks of the objects, by category, of images below a folder."""
        if len(categories) > MOST:
            raise InputError(
                f"{shown(str(root))}: masks have room for {MOST} classes, and these are {len(categories)}; leave "
                "datasets.*.images.masks out"
            )
        levels = {name: level for level, name in enumerate(categories, start=1)}
        by_level = {file: [(levels[name], outline) for name, outline in own] for file, own in objects.items()}
        return cls(root, {level: name for name, level in levels.items()}, (), objects=by_level)

    def read(self, file: str, size: tuple[int, int]) -> np.ndarray | None:
        """The mask of an image of a width and height, as it is stored, uint8 (H, W); None for one without a mask."""
        objects = self.objects.get(file, [])
        if not objects or not all(outline for _, outline in objects):
            return None
        mask = np.full(size[::-1], BACKGROUND, np.uint8)
        for level, outline in objects:
            label = self.table[level]
            if label != BACKGROUND:
                region = self.region(file, outline, size)
                mask[region] = np.where(np.isin(mask[region], (BACKGROUND, label)), label, VOID)
        return mask

    def region(self, file: str, outline: Outline, size: tuple[int, int]) -> np.ndarray:
        """The pixels of an object of an image; an outline that is none is an InputError."""
        try:
            return region_of(outline, size)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{shown(str(self.folder))}: an object of {shown(file)} has an outline that is none ({error}); mend it"
            ) from None
