"""Patches: squares of several sizes that cover an image, what they show, and their pixels.

Sampling and labels as in M. Oquab, L. Bottou, I. Laptev, J. Sivic, Learning and Transferring Mid-Level Image
Representations using Convolutional Neural Networks, CVPR 2014.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from transferability.data.packed import Images

OF_PATCH, OF_BOX = 0.2, 0.6
"""A patch shows an object whose box takes so much of it, if so much of the box is in the patch."""

DROPPED = -1
"""In place of a label: the patch shows neither one object nor none."""


def patch_grid(size: int, scales: Iterable[float], overlap: float) -> np.ndarray:
    """The patches of a square image of `size` pixels, int64 (P, 3) of side, left and top: by scale, line and column.

    Neighbours of a scale overlap by so much of their side at least.
    """
    rows = []
    for scale in scales:
        side = round(size / scale)
        count = math.ceil((size - side) / (side * (1 - overlap))) + 1
        starts = np.linspace(0, size - side, count).round().astype(np.int64)
        rows += [(side, left, top) for top in starts for left in starts]
    return np.array(rows, dtype=np.int64)


def corners(grid: np.ndarray, size: int) -> np.ndarray:
    """Left, top, right and bottom of patches as shares of the image, float64 (P, 4)."""
    sides, left, top = grid.T
    return np.stack([left, top, left + sides, top + sides], axis=1) / size


def intersections(patches: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """The areas that patches (P, 4) and boxes (M, 4) have in common, (P, M)."""
    low = np.maximum(patches[:, None, :2], boxes[None, :, :2])
    high = np.minimum(patches[:, None, 2:], boxes[None, :, 2:])
    return np.clip(high - low, 0, None).prod(axis=2)


def areas(rectangles: np.ndarray) -> np.ndarray:
    """The area of each rectangle (n, 4)."""
    return (rectangles[:, 2:] - rectangles[:, :2]).prod(axis=1)


@dataclass(frozen=True)
class Objects:
    """The objects of an image that are of a task's classes: boxes (M, 4) as shares of it, the index of each one's class
    (M,), and whether it is difficult (M,)."""

    boxes: np.ndarray
    labels: np.ndarray
    difficult: np.ndarray

    @classmethod
    def of(cls, rows: list[list], classes: list[str]) -> "Objects":
        """From the rows of a packed set's index: label, left, top, right, bottom, difficult, truncated."""
        own = [row for row in rows if row[0] in classes]
        boxes = np.array([row[1:5] for row in own], dtype=np.float64).reshape(-1, 4)
        labels = np.array([classes.index(row[0]) for row in own], dtype=np.int64)
        return cls(boxes, labels, np.array([row[5] == 1 for row in own], dtype=bool))

    def boxes_of(self, label: int) -> np.ndarray:
        """The boxes of a class that are not difficult."""
        return self.boxes[(self.labels == label) & ~self.difficult]


def patch_labels(patches: np.ndarray, objects: Objects, background: int, touching: bool = False) -> np.ndarray:
    """The label of each patch (P, 4): a class, `background` or DROPPED, int64 (P,).

    A patch that touches no object is background. It shows an object if OF_PATCH of the patch and OF_BOX of the box are
    common to them. One that shows a single object has its class, if it touches no other or `touching` is allowed; all
    others are dropped.
    """
    if not len(objects.boxes):
        return np.full(len(patches), background)
    common = intersections(patches, objects.boxes)
    touched = (common > 0).sum(axis=1)
    shows = (common >= OF_PATCH * areas(patches)[:, None]) & (common >= OF_BOX * areas(objects.boxes))
    one = shows.argmax(axis=1)
    single = (shows.sum(axis=1) == 1) & (touching | (touched == 1)) & ~objects.difficult[one]
    return np.where(touched == 0, background, np.where(single, objects.labels[one], DROPPED))


def resized(images: Tensor, side: int) -> Tensor:
    """Images uint8 (n, C, H, W) with so many pixels a side."""
    made = functional.interpolate(images.float(), (side, side), mode="bilinear", antialias=True)
    return made.round().clamp(0, 255).to(torch.uint8)


def cut_patches(image: Tensor, grid: np.ndarray, shape: tuple[int, int, int]) -> Tensor:
    """The pixels of patches of an image uint8 (C, H, W), each resized to what a network sees: uint8 (P, C, h, w)."""
    cut = torch.empty((len(grid), *shape), dtype=torch.uint8)
    for side in np.unique(grid[:, 0]):
        members = np.flatnonzero(grid[:, 0] == side)
        crops = torch.stack([image[:, top : top + side, left : left + side] for _, left, top in grid[members].tolist()])
        cut[torch.from_numpy(members)] = resized(crops, shape[1])
    return cut


@dataclass(frozen=True)
class PatchImages:
    """Patches of images as images of their own, of the shape that a network sees, cut as they are asked for.

    `rows` int64 (n, 2) of an image and a patch of the grid each; nothing of them is stored.
    """

    images: Images
    grid: np.ndarray
    rows: np.ndarray
    seen: tuple[int, int, int]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (len(self.rows), *self.seen)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        cut, (owners, places) = np.empty((len(indices), *self.seen), np.uint8), self.rows[indices].T
        for owner in np.unique(owners):
            (image,) = torch.from_numpy(np.asarray(self.images[np.array([owner])]))
            cut[owners == owner] = cut_patches(image, self.grid[places[owners == owner]], self.seen).numpy()
        return cut
