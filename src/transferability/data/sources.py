"""Sources: where a data set's images come from, each a list of entries and a way to read any one of them."""

import hashlib
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path

import numpy as np

from transferability.data.annotations import Annotated, Annotation
from transferability.data.coco import open_coco
from transferability.data.entries import SEPARATOR, Entry, Source, labels_of
from transferability.data.folders import open_folder
from transferability.data.label_table import open_table
from transferability.data.names import taken
from transferability.data.torchvision_sets import open_torchvision
from transferability.data.voc import open_voc
from transferability.errors import InputError


@dataclass(frozen=True)
class Digits(Source):
    """scikit-learn's handwritten digits: 1,797 grey images of 8×8 pixels in 17 levels, spread here over 0..255.

    Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998.
    """

    classes: list[str]
    pixels: np.ndarray

    def read(self, index: int) -> tuple[str | None, object, bytes | None]:
        from PIL import Image

        return self.classes[index], Image.fromarray(self.pixels[index]), None


def open_digits(options: dict, scratch: Path) -> Digits:
    """The digits, or some classes of them."""
    from sklearn.datasets import load_digits

    if "size" in options and (options["size"], options["channels"]) != (8, 1):
        raise InputError("datasets: digits are stored as they are: give them size 8 and channels 1")
    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    classes = [str(target) for target in digits.target]
    wanted = options.get("classes", [])
    wanted = taken(wanted, sorted(set(classes)), "digits")
    chosen = [index for index, name in enumerate(classes) if not wanted or name in wanted]
    return Digits(
        place="digits",
        stamp=hashlib.sha256(pixels).hexdigest(),
        entries=[Entry("", f"digits/{index}", "") for index in chosen],
        wanted=wanted,
        left_out=[],
        listing={},
        classes=[classes[index] for index in chosen],
        pixels=pixels[chosen],
    )


@dataclass(frozen=True)
class Sets(Source):
    """Several sources as one: the classes and places of each are named by the set, "SET/CLASS"."""

    names: list[str]
    members: list[Source]
    starts: list[int]

    def read(self, index: int) -> tuple[str | None, object, bytes | None]:
        number = bisect_right(self.starts, index) - 1
        name, image, data = self.members[number].read(index - self.starts[number])
        return (None if name is None else f"{self.names[number]}/{name}"), image, data


@dataclass(frozen=True)
class LabelledSets(Annotated):
    """Several sources as one of which some have images of several labels; an image of another has its class's."""

    sets: dict[str, Source] = field(default_factory=dict)
    starts: list[int] = field(default_factory=list)

    def read(self, index: int) -> tuple[str | None, object, bytes | None]:
        number = bisect_right(self.starts, index) - 1
        (name, member) = list(self.sets.items())[number]
        text, image, data = member.read(index - self.starts[number])
        if text is None:
            return None, image, data
        labels = labels_of(text) if isinstance(member, Annotated) else (text,)
        if any(SEPARATOR in label for label in labels):
            raise InputError(f"{member.place}: the class {text!r} has a {SEPARATOR!r} in it; rename it")
        return SEPARATOR.join(f"{name}/{label}" for label in labels), image, data


def annotations_of(name: str, member: Source) -> list[Annotation]:
    """What is known of the images of a set before they are read, by the names that labels have in several sets."""
    if not isinstance(member, Annotated):
        return [Annotation(())] * len(member.entries)
    return [each.renamed({label: f"{name}/{label}" for label in each.names}) for each in member.annotations]


def labelled_sets(whole: Sets) -> LabelledSets:
    """Several sets of which some have images of several labels."""
    sets = dict(zip(whole.names, whole.members, strict=True))
    return LabelledSets(
        place=whole.place,
        stamp=whole.stamp,
        entries=whole.entries,
        wanted=whole.wanted,
        left_out=whole.left_out,
        listing=whole.listing,
        annotations=[each for name, member in sets.items() for each in annotations_of(name, member)],
        root="",
        sets=sets,
        starts=whole.starts,
    )


def open_sets(options: dict, scratch: Path) -> Sets | LabelledSets:
    """Several sets, one after another."""
    members = {name: open_source(member, scratch) for name, member in options["sets"].items()}
    whole = Sets(
        place=", ".join(member.place for member in members.values()),
        stamp=" ".join(member.stamp for member in members.values()),
        entries=[
            replace(entry, file=f"{name}/{entry.file}") for name, member in members.items() for entry in member.entries
        ],
        wanted=[f"{name}/{wanted}" for name, member in members.items() for wanted in member.wanted],
        left_out=[
            {**entry, "such as": [f"{name}/{file}" for file in entry["such as"]]}
            for name, member in members.items()
            for entry in member.left_out
        ],
        listing={name: member.listing for name, member in members.items()},
        names=list(members),
        members=list(members.values()),
        starts=[0, *accumulate(len(member.entries) for member in members.values())][:-1],
    )
    return labelled_sets(whole) if any(isinstance(member, Annotated) for member in whole.members) else whole


OPENERS: dict[str, Callable[[dict, Path], Source]] = {
    "digits": open_digits,
    "folder": open_folder,
    "torchvision": open_torchvision,
    "voc": open_voc,
    "coco": open_coco,
    "table": open_table,
    "sets": open_sets,
}


def open_source(options: dict, scratch: Path) -> Source:
    """The source that `options` (datasets.*.images of the params) describe; archives are unpacked into `scratch`."""
    source = OPENERS[options["source"]](options, scratch)
    if not source.entries:
        raise InputError(f"{source.place}: holds no images; the source {options['source']!r} needs some")
    return source
