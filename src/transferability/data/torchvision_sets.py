"""torchvision's sets: the classification sets of torchvision.datasets as sources."""

import hashlib
import operator
import os
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from transferability.data.entries import Entry, Source
from transferability.data.names import taken
from transferability.errors import InputError
from transferability.files import expanded


@dataclass(frozen=True)
class Torchvision(Source):
    """The parts of a data set of torchvision.datasets, one after another, each in an order of its own."""

    names: list[list[str] | None]
    parts: list
    orders: list[list[int]]
    starts: list[int]

    def read(self, index: int) -> tuple[str | None, object, bytes | None]:
        number = bisect_right(self.starts, index) - 1
        image, target = self.parts[number][self.orders[number][index - self.starts[number]]]
        names, place = self.names[number], f"{self.place}: the part {self.entries[index].part!r}"
        label = checked_label(target, names, place)
        if not hasattr(image, "convert"):
            raise InputError(f"{place} has no images but {type(image).__name__}")
        name = str(label) if names is None else names[label]
        return (name if not self.wanted or name in self.wanted else None), image, None


def checked_label(target: Any, names: list[str] | None, place: str) -> int:
    """The label of an image, a number that has a name where labels have; any other target is an InputError."""
    try:
        label = operator.index(target)
    except TypeError:
        raise InputError(f"{place} has {target!r} for a class; it is no set for classification") from None
    if label < 0:
        raise InputError(f"{place} has images without a label; leave it out of datasets.*.images.parts")
    if names is not None and label >= len(names):
        raise InputError(f"{place} has the label {label}, beyond its {len(names)} classes")
    return label


def class_names(part: Any) -> list[str] | None:
    """The names by label of a torchvision data set's classes; None for one that has only numbers."""
    for attribute in ("wnids", "classes", "categories", "_characters"):
        names = getattr(part, attribute, None)
        if isinstance(names, list | tuple) and all(isinstance(name, str) for name in names):
            return list(names) if len(set(names)) == len(names) > 0 else None
    return None


def file_names(part: Any) -> list[str] | None:
    """The files of the torchvision data sets whose order would be the disk's; None for those that keep one."""
    if hasattr(part, "_flat_character_images"):
        return [f"{part._characters[label]}/{file}" for file, label in part._flat_character_images]
    if hasattr(part, "_image_files"):
        return [Path(file).relative_to(part.root).as_posix() for file in part._image_files]
    return None


def listing_stamp(root: Path) -> str:
    """The hash of the names, sizes and times of all files below a folder."""
    digest = hashlib.sha256()
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            try:
                status = Path(folder, name).stat()
            except OSError:
                continue
            digest.update(f"{folder}/{name}\0{status.st_size} {status.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def open_parts(options: dict, root: Path) -> dict[str, Any]:
    """The data set of torchvision's class for each part; what the class refuses is an InputError."""
    import torchvision.datasets

    kind: Any = getattr(torchvision.datasets, options["name"], None)
    if not isinstance(kind, type):
        raise InputError(f"datasets: torchvision.datasets has no {options['name']!r}")
    download = {"download": True} if options["download"] else {}
    parts = {}
    for part, arguments in options["parts"].items():
        try:
            parts[part] = kind(root=root, **download, **arguments)
        except Exception as error:
            # Every class fails in a way of its own: RuntimeError, TypeError, pickle's errors and the network's.
            remedy = "" if options["download"] else f"; set download: true, or put its files into {root}"
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InputError(f"datasets: torchvision's {options['name']} with {arguments}: {reason}{remedy}") from None
    return parts


def open_torchvision(options: dict, scratch: Path) -> Torchvision:
    """A classification set of torchvision.datasets, its class called once a part."""
    root = expanded(options["path"])
    parts, place = open_parts(options, root), f"torchvision's {options['name']} in {root}"
    names, wanted = {part: class_names(data) for part, data in parts.items()}, options.get("classes", [])
    if all(names.values()):
        wanted = taken(wanted, sorted({name for of_part in names.values() for name in of_part or ()}), place)
    entries, orders = [], []
    for part, data in parts.items():
        paths = file_names(data)
        order = list(range(len(data))) if paths is None else sorted(range(len(data)), key=paths.__getitem__)
        entries += [Entry(part, f"{options['name']}/{part}/{paths[i] if paths else i}", "") for i in order]
        orders.append(order)
    return Torchvision(
        place=place,
        stamp=listing_stamp(root),
        entries=entries,
        wanted=wanted,
        left_out=[],
        listing={},
        names=list(names.values()),
        parts=list(parts.values()),
        orders=orders,
        starts=[0, *accumulate(map(len, orders))][:-1],
    )
