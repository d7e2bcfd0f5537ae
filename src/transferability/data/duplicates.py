"""Duplicates: images that occur more than once, and would let a test ask for what training has shown."""

from collections.abc import Iterable

import numpy as np

from transferability.data.likeness import LEAST_SIDE, like_pairs, looks_of
from transferability.data.names import shown
from transferability.data.packed import Packed
from transferability.errors import InputError

SHOWN = 5
"""Duplicates that a message lists; it tells the number of all."""

COMPARED = 50_000
"""Images of a split that are held against each other for looking alike, drawn at random where there are more."""


def repeated(hashes: list[str], indices: Iterable[int]) -> list[list[int]]:
    """The images among `indices` that are identical to another one of them, together with it; sorted."""
    copies: dict[str, list[int]] = {}
    for index in sorted(indices):
        copies.setdefault(hashes[index], []).append(index)
    return [group for group in copies.values() if len(group) > 1]


def surplus(hashes: list[str], classes: list[str]) -> set[int]:
    """The images to leave out so that none is left twice: of one class all copies but the first, of several
    classes all copies, since at most one of their labels can be right.
    """
    copies = set()
    for group in repeated(hashes, range(len(hashes))):
        alike = len({classes[index] for index in group}) == 1
        copies.update(group[1:] if alike else group)
    return copies


def places_of(tasks: dict[str, dict]) -> dict[int, tuple[str, str]]:
    """The task and the part that each image of a split serves: {side: {part: {class: indices}}} the other way round."""
    return {
        index: (side, part)
        for side, parts in tasks.items()
        for part, classes in parts.items()
        for indices in classes.values()
        for index in indices
    }


def leaks(hashes: list[str], tasks: dict[str, dict]) -> list[list[int]]:
    """The identical images that stand in two parts or two tasks of a split."""
    places = places_of(tasks)
    return [group for group in repeated(hashes, places) if len({places[index] for index in group}) > 1]


def like_images(packed: Packed, tasks: dict[str, dict]) -> dict | None:
    """How many pairs of images in different parts or tasks look nearly the same but are not identical, and a few.

    None where images are too small to tell.
    """
    if min(packed.images.shape[2:]) < LEAST_SIDE:
        return None
    places = places_of(tasks)
    indices = np.array(sorted(places), dtype=np.int64)
    if len(indices) > COMPARED:
        indices = np.sort(np.random.RandomState([0]).choice(indices, COMPARED, replace=False))
    pairs = indices[like_pairs(looks_of(packed.checked, indices))].tolist()
    apart = [pair for pair in pairs if places[pair[0]] != places[pair[1]]]
    alike = [pair for pair in apart if packed.hashes[pair[0]] != packed.hashes[pair[1]]]
    return {
        "compared": len(indices),
        "pairs": len(alike),
        "such as": [[packed.files[index] for index in pair] for pair in alike[:SHOWN]],
    }


def refuse(groups: list[list[int]], names: list[str]) -> None:
    """Raise an InputError that lists leaks, if there are any, by the files' names."""
    if groups:
        examples = "; ".join(" = ".join(shown(names[index]) for index in group) for group in groups[:SHOWN])
        raise InputError(
            f"identical images stand in different parts or tasks: {examples}"
            f"{f'; and {len(groups) - SHOWN} more' if len(groups) > SHOWN else ''}; mend the data, or let "
            "datasets.*.parts.duplicates say drop (one a class is left) or keep"
        )
