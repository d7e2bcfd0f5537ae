"""Annotations: the labels of images that may have several, and the boxes of what they show, whatever file says it."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from transferability.data.entries import SEPARATOR, Entry, Source, note
from transferability.data.folders import check_case, read_entry
from transferability.data.images import open_image, orientation, placement
from transferability.data.listing import LeftOut
from transferability.data.masks import Masks, check_classes
from transferability.data.names import composed, near_miss, shown, taken
from transferability.errors import InputError


@dataclass(frozen=True, slots=True)
class Box:
    """Where an object is, in pixels from the image's upper left corner; `right` and `bottom` are just outside of it.

    `difficult`: too small or hidden to be asked for; `truncated`: not all of it is in the image.
    """

    label: str
    left: float
    top: float
    right: float
    bottom: float
    difficult: bool = False
    truncated: bool = False


@dataclass(frozen=True)
class Annotation:
    """What an image shows: labels that it surely has, labels of which all objects are difficult, and boxes.

    `size` is the width and height that the boxes are of; None where there are no boxes.
    """

    labels: tuple[str, ...]
    difficult: tuple[str, ...] = ()
    boxes: tuple[Box, ...] = ()
    size: tuple[int, int] | None = None

    @classmethod
    def of(cls, boxes: Iterable[Box], size: tuple[int, int]) -> "Annotation":
        """The annotation of an image whose labels are those of its boxes."""
        boxes = tuple(boxes)
        sure = {box.label for box in boxes if not box.difficult}
        return cls(tuple(sorted(sure)), tuple(sorted({box.label for box in boxes} - sure)), boxes, size)

    @property
    def names(self) -> tuple[str, ...]:
        """All labels, the difficult ones last."""
        return self.labels + self.difficult

    def renamed(self, names: Mapping[str, str]) -> "Annotation":
        """The annotation by other names of labels; what has none is taken out."""
        boxes = tuple(replace(box, label=names[box.label]) for box in self.boxes if box.label in names)
        sure = {names[label] for label in self.labels if label in names}
        difficult = {names[label] for label in self.difficult if label in names} - sure
        return Annotation(tuple(sorted(sure)), tuple(sorted(difficult)), boxes, self.size)


@dataclass(frozen=True)
class Item:
    """An image that a source names, before it is read, and what it shows."""

    entry: Entry
    annotation: Annotation


@dataclass(frozen=True)
class Annotated(Source):
    """Image files below a folder that may have several labels."""

    annotations: list[Annotation]
    root: str
    masks: Masks | None = None

    def read(self, index: int) -> tuple[str | None, object, bytes | None]:
        """An entry's labels in one text, its image and its bytes; of a size that its boxes are not of, a ValueError."""
        annotation, data = self.annotations[index], read_entry(self.root, self.entries[index])
        image = open_image(data)
        if annotation.size is not None:
            check_size(image, annotation.size)
        return SEPARATOR.join(annotation.labels), image, data


def check_size(image, size: tuple[int, int]) -> None:
    """Refuse a PIL image that is not what its boxes were drawn on."""
    if image.size != size:
        (width, height), (real_width, real_height) = size, image.size
        raise ValueError(f"its annotation says {width}×{height} pixels, and it has {real_width}×{real_height}")
    if orientation(image) != 1:
        raise ValueError("it is to be turned by its metadata, and its boxes are not")


def merged_names(merge: dict[str, list[str]], classes: list[str], place: str) -> dict[str, str]:
    """The label that each class of the source becomes; classes that `merge` does not name have none.

    Classes that the source lacks are counted; one that misses a class by a slip is an InputError.
    """
    there, names = {composed(name): name for name in classes}, dict[str, str]()
    for label, members in merge.items():
        for name in map(composed, members):
            if names.setdefault(name, label) != label:
                raise InputError(
                    f"datasets.*.images.merge: the class {name!r} is in {names[name]!r} and in {label!r}; a class "
                    "becomes one label"
                )
    missing = [name for name in names if name not in there]
    near = near_miss(missing, [name for name in there if name not in names])
    if near:
        raise InputError(
            f"{place}: has no class {near[0]!r}, which datasets.*.images.merge names (is it {near[1]!r}?); mend it"
        )
    if missing:
        lacking = f"{len(missing)} of the {len(names)} classes that merge names, such as {missing[0]}"
        note(f"{place}: has no image of {lacking}")
    return {there[name]: label for name, label in names.items() if name in there}


def check_labels(classes: list[str], place: str) -> None:
    """Refuse names of labels that the index cannot hold or that are one on other systems."""
    for name in classes:
        if SEPARATOR in name or not name.strip():
            raise InputError(f"{place}: the label {name!r} is empty or has a {SEPARATOR!r} in it; rename it")
    check_case(classes, place)


def check_files(items: list[Item], place: str) -> None:
    """Refuse one file that is named twice: it would have two sets of labels, or serve two parts."""
    seen: dict[str, str] = {}
    for item in items:
        part = item.entry.part
        if item.entry.file in seen:
            where = f"in the parts {seen[item.entry.file]!r} and {part!r}" if part != seen[item.entry.file] else "twice"
            raise InputError(
                f"{place}: {shown(item.entry.file)} is named {where}; an image has one set of labels and one part"
            )
        seen[item.entry.file] = part


def inside(annotation: Annotation, file: str, left_out: LeftOut) -> Annotation:
    """An annotation with its boxes cut to the image; those that have no area in it are counted as left out."""
    if annotation.size is None:
        return annotation
    (width, height), kept = annotation.size, []
    for box in annotation.boxes:
        left, right = max(0, box.left), min(width, box.right)
        top, bottom = max(0, box.top), min(height, box.bottom)
        if left < right and top < bottom:
            kept.append(replace(box, left=left, top=top, right=right, bottom=bottom))
        else:
            left_out.add("box without area inside its image; the label stays", file)
    return replace(annotation, boxes=tuple(kept))


def annotated(
    items: list[Item],
    root: str,
    options: dict,
    place: str,
    classes: Iterable[str] = (),
    masks: Masks | None = None,
) -> Annotated:
    """A source of the images that are named, with the labels that the options ask for; `classes` has all that may be.

    An image without any of these labels is left out, and counted.
    """
    check_files(items, place)
    classes = sorted({*classes, *(name for item in items for name in item.annotation.names)})
    check_labels(classes, place)
    if masks is not None:
        check_classes(masks, classes)
    merge = options.get("merge")
    names = dict(zip(classes, classes, strict=True)) if merge is None else merged_names(merge, classes, place)
    wanted = taken(options.get("classes", []), sorted(set(names.values())), place)
    names = {name: label for name, label in names.items() if not wanted or label in wanted}
    left_out, entries, annotations = LeftOut(), [], []
    for item in items:
        annotation = item.annotation.renamed(names)
        if annotation.names:
            entries.append(item.entry)
            annotations.append(inside(annotation, item.entry.file, left_out))
        else:
            left_out.add("image without any of the labels", item.entry.file)
    return Annotated(
        place=place,
        stamp=hashlib.sha256(repr(annotations).encode()).hexdigest(),
        entries=entries,
        wanted=wanted,
        left_out=left_out.as_json(),
        listing={},
        annotations=annotations,
        root=root,
        masks=masks and masks.renamed(names),
    )


def stored_boxes(annotation: Annotation, size: int, warp: bool) -> list[list]:
    """The boxes of a stored image as rows of label, left, top, right, bottom, difficult, truncated.

    Places are shares of the stored image's sides. What the square cut out of an image lacks is cut off; a box that
    lies outside of it is left out.
    """
    if not annotation.boxes or annotation.size is None:
        return []
    across, down = annotation.size
    width, height, left, top = (size, size, 0, 0) if warp else placement(across, down, size)
    rows = []
    for box in annotation.boxes:
        columns = [min(1.0, max(0.0, (x * width / across - left) / size)) for x in (box.left, box.right)]
        lines = [min(1.0, max(0.0, (y * height / down - top) / size)) for y in (box.top, box.bottom)]
        if columns[0] < columns[1] and lines[0] < lines[1]:
            corners = [round(value, 5) for value in (columns[0], lines[0], columns[1], lines[1])]
            rows.append([box.label, *corners, int(box.difficult), int(box.truncated)])
    return rows
