"""Score maps: where in an image a class is, from the scores of overlapping patches, and how often their highest place
lies on an object (the pointing game: J. Zhang et al., Top-down Neural Attention by Excitation Backprop, ECCV 2016)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import t as student

from transferability.data.patches import Objects

CELLS = 28
"""Cells a side of a map."""

CENTRE = (0.5, 0.5)
"""Where who knows nothing would point."""


def cell_centres() -> np.ndarray:
    """The places of a line of cells as shares of the side, (CELLS,)."""
    return (np.arange(CELLS) + 0.5) / CELLS


def coverage(patches: np.ndarray) -> np.ndarray:
    """Which cells each patch (P, 4) lies over, float32 (P, CELLS, CELLS) of 0 and 1, by line and column."""
    at = cell_centres()
    across = (patches[:, None, 0] <= at) & (at < patches[:, None, 2])
    down = (patches[:, None, 1] <= at) & (at < patches[:, None, 3])
    return (down[:, :, None] & across[:, None, :]).astype(np.float32)


def score_map(scores: np.ndarray, covered: np.ndarray) -> np.ndarray:
    """The sum of the scores (P,) of the patches over each cell, (CELLS, CELLS)."""
    return np.tensordot(scores, covered, axes=1)


def highest_place(values: np.ndarray) -> tuple[float, float]:
    """Where a map is highest, across and down, as shares of the image; of several cells the mean."""
    lines, columns = np.nonzero(values >= values.max() - 1e-6 * abs(values.max()))
    at = cell_centres()
    return float(at[columns].mean()), float(at[lines].mean())


def on_a_box(place: tuple[float, float], boxes: np.ndarray) -> bool:
    """Whether a place lies in one of the boxes (M, 4)."""
    across, down = place
    inside = (boxes[:, 0] <= across) & (across < boxes[:, 2]) & (boxes[:, 1] <= down) & (down < boxes[:, 3])
    return bool(inside.any())


@dataclass(frozen=True)
class Pointed:
    """A class that an image shows: its place in the map, and whether that, and the centre, lie on an object of it."""

    image: int
    label: int
    place: tuple[float, float]
    hit: bool
    centre_hit: bool


def point(index: int, scores: np.ndarray, covered: np.ndarray, objects: Objects) -> list[Pointed]:
    """Point at each class of which an image has an object that is not difficult, by scores (P, K)."""
    found = []
    for label in np.unique(objects.labels[~objects.difficult]).tolist():
        place, boxes = highest_place(score_map(scores[:, label], covered)), objects.boxes_of(label)
        found.append(Pointed(index, label, place, on_a_box(place, boxes), on_a_box(CENTRE, boxes)))
    return found


def pointing_scores(pointed: list[Pointed]) -> dict:
    """How often pointing hit, how often the centre would have, and their difference with its 95 % interval.

    Images are the units of the interval, by Student's t: what one of them shows is no two independent trials.
    """
    by_image: dict[int, list[float]] = {}
    for each in pointed:
        by_image.setdefault(each.image, []).append(each.hit - each.centre_hit)
    gains = np.array([np.mean(gains) for gains in by_image.values()])
    scores: dict[str, Any] = {
        "count": len(pointed),
        "images": len(gains),
        "hits": float(np.mean([each.hit for each in pointed])) if pointed else None,
        "centre": float(np.mean([each.centre_hit for each in pointed])) if pointed else None,
        "gain": float(gains.mean()) if len(gains) else None,
        "interval": None,
    }
    if len(gains) > 1:
        half = student.ppf(0.975, len(gains) - 1) * gains.std(ddof=1) / np.sqrt(len(gains))
        scores["interval"] = [float(gains.mean() - half), float(gains.mean() + half)]
    return scores
