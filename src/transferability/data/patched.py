"""Patched tasks: a task whose images are read patch by patch, and what their boxes teach of each patch."""

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from transferability import files
from transferability.data.packed import PARTS, Images, open_packed
from transferability.data.patches import DROPPED, Objects, PatchImages, corners, patch_grid, patch_labels
from transferability.data.patching import Patching
from transferability.data.tasks import PATCHES, Task, members_of, open_task
from transferability.errors import InputError
from transferability.forms.split import Split

BACKGROUND = "background"
"""The name of what a patch shows that touches no object; it comes last."""


@dataclass(frozen=True)
class PatchedTask:
    """A task, of each part the objects in its images, and the patches that all its images are cut into."""

    task: Task
    objects: dict[str, list[Objects]]
    patching: Patching
    grid: np.ndarray

    @classmethod
    def open(cls, split: Path, side: str, folder: Path, patching: Patching) -> "PatchedTask":
        """Read a split's task with its boxes; one that has none is an InputError."""
        task, packed, chosen = open_task(split, side, folder, PARTS), open_packed(folder), files.read_json(split, Split)
        objects = {}
        for part in PARTS:
            indices = members_of(chosen, side, part).indices.tolist() if packed.several else []
            objects[part] = [Objects.of(json.loads(packed.boxes[index]), task.classes) for index in indices]
        if not any(len(each.boxes) for each in objects["train"]):
            raise InputError(
                f"{folder}: no training image has a box of the task's classes, which patches are told by; take images "
                "of voc or coco, or no patches"
            )
        return cls(task, objects, patching, patch_grid(packed.images.shape[2], patching.scales, patching.overlap))

    @property
    def names(self) -> list[str]:
        """What a patch may show: a class, or background."""
        return [*self.task.classes, BACKGROUND]

    @cached_property
    def corners(self) -> np.ndarray:
        """The patches as shares of an image, (P, 4)."""
        return corners(self.grid, self.task.images["train"].shape[2])

    def lessons(self, part: str) -> list[tuple[np.ndarray, np.ndarray]]:
        """Of each image of a part the patches to learn from, and their labels: of background a share is drawn."""
        generator, background, lessons = np.random.default_rng(self.patching.seed), len(self.task.classes), []
        for objects in self.objects[part]:
            labels = patch_labels(self.corners, objects, background, self.patching.touching)
            drawn = (labels != background) | (generator.random(len(labels)) < self.patching.background)
            rows = np.flatnonzero((labels != DROPPED) & drawn)
            lessons.append((rows, labels[rows]))
        return lessons

    def shown(self, part: str) -> dict[str, int]:
        """How many of the patches to learn from show each class and background."""
        labels = np.concatenate([own for _, own in self.lessons(part)])
        return {name: int((labels == label).sum()) for label, name in enumerate(self.names)}

    def check_lessons(self) -> None:
        """Refuse a task of which no training patch shows some class alone, or background."""
        if missing := [name for name, count in self.shown("train").items() if not count]:
            raise InputError(
                f"patches: no patch of a training image shows {missing[0]!r} alone; allow touching, or take more "
                "scales or overlap"
            )

    def every(self, part: str) -> np.ndarray:
        """All patches of all images of a part: image and patch of each, int64 (images · P, 2)."""
        count = len(self.task.labels[part])
        return np.stack(
            [np.repeat(np.arange(count), len(self.grid)), np.tile(np.arange(len(self.grid)), count)], axis=1
        )

    def images_of(self, part: str, rows: np.ndarray, seen: tuple[int, int, int]) -> PatchImages:
        """Some patches of a part's images, rows of image and patch, as images of the shape that a network sees."""
        return PatchImages(self.task.images[part], self.grid, rows, seen)

    def to_learn(self, seen: tuple[int, int, int]) -> Task:
        """The task of telling what patches show, of the kind PATCHES; `seen` is the shape that a network sees."""
        self.check_lessons()
        lessons = self.lessons("train")
        owners = np.repeat(np.arange(len(lessons)), [len(rows) for rows, _ in lessons])
        rows = {"train": np.stack([owners, np.concatenate([rows for rows, _ in lessons])], axis=1)}
        labels = {"train": np.concatenate([own for _, own in lessons])}
        for part in ("validation", "test"):
            rows[part], labels[part] = self.every(part), self.labels_of_all(part)
        images: dict[str, Images] = {part: self.images_of(part, own, seen) for part, own in rows.items()}
        return replace(self.task, classes=self.names, images=images, labels=labels, kind=PATCHES)

    def labels_of_all(self, part: str) -> np.ndarray:
        """Of all patches of a part what each shows or DROPPED, the number of its image, and that one's labels, int32
        (images · P, 2 + classes)."""
        lessons = np.full((len(self.task.labels[part]), len(self.grid)), DROPPED, np.int32)
        for image, (rows, own) in enumerate(self.lessons(part)):
            lessons[image, rows] = own
        owners, labels = self.every(part)[:, 0], self.task.labels[part].astype(np.int32)
        return np.column_stack([lessons.reshape(-1), owners.astype(np.int32), labels[owners]])
