"""Parts: which images of a class serve training, validation and test."""

from collections.abc import Sequence

import numpy as np

from transferability.data.names import listed
from transferability.data.packed import PARTS
from transferability.errors import InputError
from transferability.words import counted


def divide_class(name: str, images: list[int], sources: list[str], parts: dict) -> dict[str, list[int]]:
    """Divide the images of one class: {part: sorted indices}, of which some may be empty.

    `sources` is the part of each image in its source. `parts` names for validation and test either such a part, which
    is taken whole, or a share, drawn by its seed from what those leave; the rest is for training. The draw
    depends on nothing but the seed and the class, so it is the same in every split.
    """
    taken = {
        part: [index for index, source in zip(images, sources, strict=True) if source == parts[part]]
        for part in ("validation", "test")
        if isinstance(parts[part], str)
    }
    rest = sorted(set(images) - {index for indices in taken.values() for index in indices})
    counts = {part: round(parts[part] * len(rest)) for part in ("validation", "test") if part not in taken}
    counts = {"train": len(rest) - sum(counts.values()), **counts}
    shuffled = np.random.RandomState([parts["seed"], *name.encode()]).permutation(rest).tolist()
    for part in counts:
        taken[part], shuffled = sorted(shuffled[: counts[part]]), shuffled[counts[part] :]
    return {part: taken[part] for part in PARTS}


def check_parts(sources: list[str], parts: dict) -> None:
    """Refuse parts that the data set lacks, and one part for both validation and test."""
    for part in ("validation", "test"):
        if isinstance(parts[part], str) and parts[part] not in sources:
            there_are = ", ".join(sorted(set(sources) - {""})) or "none"
            raise InputError(f"datasets.*.parts.{part} names {parts[part]!r}, no part of the data set ({there_are})")
    if isinstance(parts["test"], str) and parts["validation"] == parts["test"]:
        raise InputError(
            f"datasets.*.parts names {parts['test']!r} for both validation and test: validation picks and test "
            "reports, so no image may serve both; name two parts, or let one be a share such as 0.1"
        )


def refuse_small_classes(divided: dict[str, dict[str, list[int]]], totals: dict[str, int]) -> None:
    """Name all classes that have too few images for some part in one InputError."""
    lacking = {}
    for name, parts in divided.items():
        empty = [part for part in ("validation", "test", "train") if not parts[part]]
        if empty:
            lacking[name] = empty[0]
    if len(lacking) == 1:
        ((name, part),) = lacking.items()
        raise InputError(
            f"the class {name!r} has {counted(totals[name], 'image')}, too few for a {part} part; "
            "add images or change datasets.*.parts"
        )
    if lacking:
        each = [f"{name!r} ({counted(totals[name], 'image')}, none for {part})" for name, part in lacking.items()]
        raise InputError(
            f"{len(lacking)} classes have too few images for a part of each: {listed(each)}; add images, change "
            "datasets.*.parts, or leave these classes out"
        )


def divide(
    classes: Sequence[str | None], sources: list[str], wanted: list[str], parts: dict
) -> dict[str, dict[str, list[int]]]:
    """Divide the images of the wanted classes: {class: {part: sorted indices}}.

    `classes` and `sources` are the class of every image and its part in its source; an image of the class None is left
    out.
    """
    check_parts(sources, parts)
    images: dict[str, list[int]] = {name: [] for name in wanted}
    for index, name in enumerate(classes):
        if name is not None and name in images:
            images[name].append(index)
    divided = {
        name: divide_class(name, indices, [sources[index] for index in indices], parts)
        for name, indices in images.items()
    }
    refuse_small_classes(divided, {name: len(indices) for name, indices in images.items()})
    return divided


def reduce_volume(name: str, images: list[int], volume: int, seed: int | str) -> list[int]:
    """At most `volume` training images of the class `name`, sorted; those of a larger volume hold them.

    Drawn by seed, or the first in the order of the data set, as in the original, where the seed is "first".
    """
    order = images if seed == "first" else np.random.RandomState([*name.encode(), seed]).permutation(images).tolist()
    return sorted(order[:volume])
