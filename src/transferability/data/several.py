"""Several labels: images that show more than one class, divided among the tasks and parts of a split.

An image belongs to every task of which it shows a class, difficult objects counted, and to one part whatever the task.
"""

from dataclasses import dataclass, field

import numpy as np

from transferability.data.entries import labels_of
from transferability.data.packed import PARTS, Packed
from transferability.data.parts import check_parts, divide_class, reduce_volume, refuse_small_classes

Classes = dict[str, list[int]]
"""The images of each class, sorted."""


@dataclass(frozen=True)
class Division:
    """The images of a split: {side: {part: {class: sorted indices}}}, and those that are left out as copies.

    Of images of several labels also those in which all objects of a class are `difficult`, likewise; and what became of
    images that show classes of both tasks.
    """

    tasks: dict[str, dict[str, Classes]]
    left_out: list[int]
    difficult: dict[str, dict[str, Classes]] = field(default_factory=dict)
    shared: dict = field(default_factory=dict)

    def members(self) -> dict[str, dict[str, Classes]]:
        """The images of each side and part by class, difficult ones too."""
        if not self.difficult:
            return self.tasks
        return {
            side: {
                part: {name: indices + self.difficult[side][part][name] for name, indices in classes.items()}
                for part, classes in task.items()
            }
            for side, task in self.tasks.items()
        }

    def difficult_of(self, side: str) -> dict:
        """What the split's file says of a side's difficult images; nothing where images have one label."""
        return {"difficult": self.difficult[side]} if self.difficult else {}

    def training(self) -> dict[str, np.ndarray]:
        """The training images of each side, sorted."""
        return {
            side: np.unique(np.concatenate([np.asarray(indices, np.int64) for indices in task["train"].values()]))
            for side, task in self.members().items()
        }


def parts_of_images(packed: Packed, labels: list[tuple[str, ...]], parts: dict) -> dict[int, str]:
    """The part of each image that has labels: classes are divided one after another, that of the fewest images first.

    So rare classes are in all parts, and the draw depends on nothing but the data set and the seed.
    """
    check_parts(packed.parts, parts)
    members: Classes = {}
    for index, names in enumerate(labels):
        for name in names:
            members.setdefault(name, []).append(index)
    assigned: dict[int, str] = {}
    for name in sorted(members, key=lambda name: (len(members[name]), name)):
        free = [index for index in members[name] if index not in assigned]
        for part, indices in divide_class(name, free, [packed.parts[index] for index in free], parts).items():
            assigned.update(dict.fromkeys(indices, part))
    return assigned


def shared_images(labels: list[tuple[str, ...]], sides: dict[str, list[str]]) -> set[int]:
    """The images that show classes of more than one side."""
    side_of = {name: side for side, names in sides.items() for name in names}
    found = [{side_of[name] for name in names if name in side_of} for names in labels]
    return {index for index, own in enumerate(found) if len(own) > 1}


def kept_of_volume(positives: Classes, volume: int, seed: int | str) -> set[int]:
    """Training images of which each class has as many drawn as a volume allows; what else they show comes with them."""
    return {index for name, images in positives.items() for index in reduce_volume(name, images, volume, seed)}


def by_part(names: list[str], labels: list[tuple[str, ...]], part_of: dict[int, str]) -> dict[str, Classes]:
    """The images of each part and class, {part: {class: sorted indices}}, of those that have a part."""
    found: dict[str, Classes] = {part: {name: [] for name in names} for part in PARTS}
    for index, part in sorted(part_of.items()):
        for name in labels[index]:
            if name in found[part]:
                found[part][name].append(index)
    return found


def divide_labelled(
    packed: Packed, sides: dict[str, list[str]], parts: dict, volume: dict, copies: set[int]
) -> Division:
    """Give every image to one part, and to the tasks whose classes it shows.

    Those that show classes of both go to neither, or to both where `parts` says so. A class that a part lacks is an
    InputError.
    """
    sure = [() if index in copies else labels_of(text) for index, text in enumerate(packed.classes)]
    difficult = [() if index in copies else labels_of(text) for index, text in enumerate(packed.difficult)]
    shown = [one + other for one, other in zip(sure, difficult, strict=True)]
    shared, to = shared_images(shown, sides), parts.get("shared", "neither")
    part_of = parts_of_images(packed, shown, parts)
    if to == "neither":
        part_of = {index: part for index, part in part_of.items() if index not in shared}
    tasks, hard = {}, {}
    for side, names in sides.items():
        tasks[side], own = by_part(names, sure, part_of), part_of
        if side in volume:
            kept = kept_of_volume(tasks[side]["train"], volume[side], volume["seed"])
            own = {index: part for index, part in part_of.items() if part != "train" or index in kept}
            tasks[side] = by_part(names, sure, own)
        hard[side] = by_part(names, difficult, own)
        divided = {name: {part: tasks[side][part][name] for part in PARTS} for name in names}
        refuse_small_classes(divided, {name: sum(map(len, each.values())) for name, each in divided.items()})
    both = {"images": len(shared), "to": to} if len(sides) > 1 else {}
    wanted = {name for names in sides.values() for name in names}
    left_out = [index for index in sorted(copies) if wanted & {*labels_of(packed.classes[index])}]
    return Division(tasks, left_out, hard, both)
