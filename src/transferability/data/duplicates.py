"""Duplicates: images that occur more than once, and would let a test ask for what training has shown."""

from collections.abc import Iterable

from transferability.errors import InputError

SHOWN = 5
"""Duplicates that a message lists; it tells the number of all."""


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
    found = set()
    for group in repeated(hashes, range(len(hashes))):
        alike = len({classes[index] for index in group}) == 1
        found.update(group[1:] if alike else group)
    return found


def leaks(hashes: list[str], tasks: dict[str, dict]) -> list[list[int]]:
    """The identical images that stand in two parts or two tasks of a split: {side: {part: {class: indices}}}."""
    place = {
        index: (side, part)
        for side, parts in tasks.items()
        for part, classes in parts.items()
        for indices in classes.values()
        for index in indices
    }
    return [group for group in repeated(hashes, place) if len({place[index] for index in group}) > 1]


def refuse(found: list[list[int]], names: list[str]) -> None:
    """Raise an InputError that lists leaks, if there are any, by the files' names."""
    if found:
        shown = "; ".join(" = ".join(names[index] for index in group) for group in found[:SHOWN])
        raise InputError(
            f"identical images stand in different parts or tasks: {shown}"
            f"{f'; and {len(found) - SHOWN} more' if len(found) > SHOWN else ''}; mend the data, or let "
            "datasets.*.parts.duplicates say drop (one a class is left) or keep"
        )
