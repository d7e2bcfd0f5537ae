"""Labelled features: what probes and scores read, checked once."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from transferability.errors import InputError
from transferability.words import in_words

MEMORY = Path("/proc/meminfo")


def free_memory() -> int | None:
    """The bytes of memory that a process may still take, where the system tells."""
    try:
        lines = MEMORY.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), None)


def check_memory(features: np.ndarray) -> None:
    """Refuse features that do not fit in memory: they are read as float64, with two arrays of their size beside."""
    needed, free = 24 * features.size, free_memory()
    if free is not None and needed > free:
        raise InputError(
            f"features: {features.shape[0]:,} images of {features.shape[1]:,} values take {needed / 2**30:,.1f} GiB of "
            f"memory, and {free / 2**30:,.1f} GiB are free; pool them (gap), or take fewer images"
        )


@dataclass(frozen=True)
class Labelled:
    """Features (N, D) and labels (N,) of at least two classes, two images each; anything else is an InputError.

    Labels may be any integers: `classes` are those that occur, and `indices` count them from 0. Of images in several
    `views` the features are (views·N, D): those of all images in the first view, then in the second, ...
    """

    features: np.ndarray
    labels: np.ndarray
    views: int = 1

    def __post_init__(self) -> None:
        if self.features.ndim != 2 or self.features.shape[0] != self.views * self.labels.size or self.labels.ndim != 1:
            raise InputError(
                f"features: an array (images, values) with a label an image is needed, not {self.features.shape} with "
                f"labels {self.labels.shape}"
            )
        check_memory(self.features)
        self.check_classes()
        self.check_values()

    def rows(self, images: np.ndarray) -> np.ndarray:
        """The rows of the features that some images (n,) have, those of the first view first: int64 (views·n,)."""
        return (np.arange(self.views)[:, None] * len(self.labels) + images).ravel()

    def check_classes(self) -> None:
        """Refuse labels that no classifier can be learnt from."""
        if len(self.classes) < 2:
            raise InputError(f"labels: {len(self.classes)} class; at least two are needed to tell apart")
        if len(self.classes) >= len(self.labels):
            raise InputError(f"labels: {len(self.classes)} classes of {len(self.labels)} images; add images")
        if single := self.classes[self.counts == 1].tolist():
            raise InputError(
                f"labels: class {in_words(single[:5])} has one image, so nothing is left of it when it is held out; "
                "add images, or leave the class out"
            )

    def check_values(self) -> None:
        """Refuse features that say nothing, or are no numbers."""
        finite = np.isfinite(self.features).all(axis=1)
        if not finite.all():
            raise InputError(
                f"features: those of {(~finite).sum()} of {len(finite)} images are NaN or infinite, first of image "
                f"{np.argmin(finite) % len(self.labels)}; check the network's weights and normalisation"
            )
        if (np.ptp(self.features, axis=0) == 0).all():
            raise InputError("features: the same for every image; the network below the cut tells nothing apart")

    @cached_property
    def classes(self) -> np.ndarray:
        return np.unique(self.labels)

    @cached_property
    def indices(self) -> np.ndarray:
        return np.searchsorted(self.classes, self.labels)

    @cached_property
    def counts(self) -> np.ndarray:
        """The images of each class."""
        return np.bincount(self.indices)

    @cached_property
    def one_hot(self) -> np.ndarray:
        """float64 (N, K), 1 in the column of an image's class."""
        return np.eye(len(self.classes))[self.indices]
