"""Splits: a pair of tasks, A and B, and which image serves each in training, validation and test."""

import argparse
import json
from collections import Counter
from pathlib import Path

import numpy as np

from transferability import files
from transferability.data.distances import task_distance
from transferability.data.duplicates import leaks, refuse, surplus
from transferability.data.groups import groups_of
from transferability.data.packed import PARTS, Packed, open_packed
from transferability.errors import InputError, exit_plainly

SAMPLE = 10_000
"""Images that a split's normalisation is taken from, drawn at random where there are more."""


def random_halves(classes: list[str], seed: int) -> tuple[list[str], list[str]]:
    """Half of the sorted classes at random, and the rest; both in order.

    The draw is the original study's, bit for bit (its seed is the list [seed], which differs from the number).
    """
    drawn = np.random.RandomState([seed]).choice(np.arange(len(classes)), len(classes) // 2, replace=False)
    half = set(drawn.tolist())
    return (
        [name for index, name in enumerate(classes) if index in half],
        [name for index, name in enumerate(classes) if index not in half],
    )


def graded_classes(near: list[str], far: list[str], share: float, seed: int) -> tuple[list[str], list[str]]:
    """Task A from the group `near`; task B as large, a `share` of its classes from the same group, the rest from `far`.

    Of one seed, A is the same for every share, and B changes class by class from far to near.
    """
    draw = np.random.RandomState([seed])
    near, far = ([group[index] for index in draw.permutation(len(group))] for group in (sorted(near), sorted(far)))
    size = min(len(near) // 2, len(far))
    kin = round(share * size)
    return sorted(near[:size]), sorted(near[size : size + kin] + far[: size - kin])


def equal_samples(sides: dict[str, list[str]], size: int, seed: int) -> dict[str, list[str]]:
    """So many classes of each side, drawn by seed, in order; those of a larger size hold those of a smaller."""
    draw, samples = np.random.RandomState([seed]), {}
    for side, names in sides.items():
        if len(names) < size:
            raise InputError(f"{side} has {len(names)} classes, too few to draw {size}; lower splits.*.classes")
        shuffled = draw.permutation(len(names)).tolist()
        samples[side] = sorted(sorted(names)[index] for index in shuffled[:size])
    return samples


def members(names: str | list[str], groups: dict[str, list[str]]) -> list[str]:
    """The classes of one group or of several."""
    names = [names] if isinstance(names, str) else names
    missing = [name for name in names if name not in groups]
    if missing:
        known = ", ".join(groups) or "none"
        raise InputError(f"there is no group {missing[0]!r} (there are: {known}); name it in datasets.*.groups")
    return [name for group in names for name in groups[group]]


def choose_classes(definition: dict, groups: dict[str, list[str]], known: list[str]) -> dict[str, list[str]]:
    """The classes of A and of B that a split's definition names, checked against the classes that there are.

    `whole` has one task, A, of all classes.
    """
    kind = definition["kind"]
    if kind == "random":
        sides = dict(zip("AB", random_halves(known, definition["seed"]), strict=True))
    elif kind == "whole":
        sides = {"A": known}
    elif kind == "classes":
        sides = {side: definition[side] for side in "AB"}
    else:
        sides = {side: members(definition[side], groups) for side in "AB"}

    for side, classes in sides.items():
        unknown = [name for name in classes if name not in known]
        if unknown:
            raise InputError(f"{side} names the unknown class {unknown[0]!r}; the classes are: {', '.join(known)}")
    twice = [name for name, count in Counter(name for side in sides.values() for name in side).items() if count > 1]
    if twice:
        raise InputError(f"the class {twice[0]!r} is named twice; a class belongs to one side, once")
    if kind == "graded":
        pair = graded_classes(sides["A"], sides["B"], definition["share"], definition["seed"])
        sides = dict(zip("AB", pair, strict=True))
    if kind == "groups" and "classes" in definition:
        sides = equal_samples(sides, definition["classes"], definition["seed"])
    for side, classes in sides.items():
        if len(classes) < 2:
            raise InputError(f"{side} has {len(classes)} class{'' if classes else 'es'}; a task needs at least 2")
    return sides


def divide_class(name: str, images: list[int], own: list[str], parts: dict) -> dict[str, list[int]]:
    """Divide the images of one class: {part: sorted indices}.

    `own` is the part of each image in its source. `parts` names for validation and test either an own part, which
    is taken whole, or a share, drawn by its seed from what own parts leave; the rest is for training. The draw
    depends on nothing but the seed and the class, so it is the same in every split.
    """
    taken = {
        part: [index for index, source in zip(images, own, strict=True) if source == parts[part]]
        for part in ("validation", "test")
        if isinstance(parts[part], str)
    }
    rest = sorted(set(images) - {index for indices in taken.values() for index in indices})
    counts = {part: round(parts[part] * len(rest)) for part in ("validation", "test") if part not in taken}
    counts = {"train": len(rest) - sum(counts.values()), **counts}
    shuffled = np.random.RandomState([parts["seed"], *name.encode()]).permutation(rest).tolist()
    for part in counts:
        taken[part], shuffled = sorted(shuffled[: counts[part]]), shuffled[counts[part] :]
    empty = [part for part in ("validation", "test", "train") if not taken[part]]
    if empty:
        raise InputError(
            f"the class {name!r} has {len(images)} images, too few for a {empty[0]} part; "
            "add images or change datasets.*.parts"
        )
    return {part: taken[part] for part in PARTS}


def divide(classes: list[str], own: list[str], wanted: list[str], parts: dict) -> dict[str, dict[str, list[int]]]:
    """Divide the images of the wanted classes: {class: {part: sorted indices}}.

    `classes` and `own` are the class and the own part of every image; an image of the class None is left out.
    """
    for part in ("validation", "test"):
        if isinstance(parts[part], str) and parts[part] not in own:
            known = ", ".join(sorted(set(own) - {""})) or "none"
            raise InputError(f"datasets.*.parts.{part} names {parts[part]!r}, no part of the data set ({known})")
    images: dict[str, list[int]] = {name: [] for name in wanted}
    for index, name in enumerate(classes):
        if name in images:
            images[name].append(index)
    return {name: divide_class(name, images[name], [own[index] for index in images[name]], parts) for name in wanted}


def reduce_volume(name: str, images: list[int], volume: int, seed: int | str) -> list[int]:
    """At most `volume` training images of the class `name`, sorted; those of a larger volume hold them.

    Drawn by seed, or the first in the order of the data set, as in the original, where the seed is "first".
    """
    order = images if seed == "first" else np.random.RandomState([*name.encode(), seed]).permutation(images).tolist()
    return sorted(order[:volume])


def normalisation(packed: Packed, indices: np.ndarray) -> dict[str, list[float]]:
    """Mean and standard deviation of each channel over the given images, in units of 0..1.

    Over a sample of them where there are more than SAMPLE.
    """
    if len(indices) > SAMPLE:
        indices = np.sort(np.random.RandomState([0]).choice(indices, SAMPLE, replace=False))
    _, channels, height, width = packed.images.shape
    total, squares = np.zeros(channels), np.zeros(channels)
    for start in range(0, len(indices), 1000):
        chunk = packed.images[indices[start : start + 1000]].astype(np.float64) / 255
        total += chunk.sum(axis=(0, 2, 3))
        squares += (chunk**2).sum(axis=(0, 2, 3))
    count = len(indices) * height * width
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0)).round(6)
    if not deviation.all():
        raise InputError("a channel has one and the same value in all training images; there is nothing to learn from")
    return {"mean": mean.round(6).tolist(), "std": deviation.tolist()}


def make_split(packed: Packed, definition: dict, groups: dict[str, list[str]], parts: dict) -> dict:
    """The content of a split's file: its classes, the images of every part by class, and what they have in common.

    Mean and deviation are those of both tasks' training images, one pair for the whole split, so that a layer
    sees its input in the same units wherever it is carried.
    """
    groups = {**packed.card.get("sets", {}), **groups}
    sides = choose_classes(definition, groups, sorted(packed.card["classes"]))
    duplicates = parts.get("duplicates", "fail")
    left_out = surplus(packed.hashes, packed.classes) if duplicates == "drop" else set()
    classes = [None if index in left_out else name for index, name in enumerate(packed.classes)]
    wanted = [name for names in sides.values() for name in names]
    divided = divide(classes, packed.parts, wanted, parts)
    volume = definition.get("volume", {})
    for side, names in sides.items():
        for name in names if side in volume else ():
            divided[name]["train"] = reduce_volume(name, divided[name]["train"], volume[side], volume["seed"])

    tasks = {
        side: {part: {name: divided[name][part] for name in names} for part in PARTS} for side, names in sides.items()
    }
    shared = leaks(packed.hashes, tasks)
    if duplicates != "keep":
        refuse(shared, packed.files)
    training = {
        side: np.sort(np.concatenate([np.asarray(indices, dtype=np.int64) for indices in task["train"].values()]))
        for side, task in tasks.items()
    }
    return {
        "kind": definition["kind"],
        "definition": definition,
        "volume": volume,
        "parts": parts,
        "source": packed.card["source"],
        "content": packed.card["content"],
        "normalisation": normalisation(packed, np.sort(np.concatenate(list(training.values())))),
        "distance": task_distance(sides, packed.images, training, seed=0) if len(sides) == 2 else None,
        "duplicates": {
            "left out": [packed.files[index] for index in sorted(left_out) if packed.classes[index] in wanted],
            "shared": [[packed.files[index] for index in group] for group in shared],
        },
        "tasks": {side: {"classes": sides[side], **task} for side, task in tasks.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Make a split: tasks A and B, each with its parts.")
    parser.add_argument("--packed", type=Path, required=True, help="folder of the packed data set")
    parser.add_argument("--definition", type=Path, required=True, help="JSON file of splits.* of the params")
    parser.add_argument("--groups", type=Path, required=True, help="JSON file of groups of classes by name")
    parser.add_argument(
        "--partial", action="store_true", help="groups come from a table: leave out classes that the set lacks"
    )
    parser.add_argument("--parts", type=json.loads, required=True, help="datasets.*.parts of the params, as JSON")
    parser.add_argument("--into", type=Path, required=True, help="the split's file")
    arguments = parser.parse_args()
    try:
        packed = open_packed(arguments.packed)
        groups = files.read_json(arguments.groups)
        if arguments.partial:
            groups = groups_of(groups, sorted(packed.card["classes"]))
        split = make_split(packed, files.read_json(arguments.definition), groups, arguments.parts)
    except InputError as error:
        raise InputError(f"{arguments.into}: {error}") from None
    files.write_json(arguments.into, split)


if __name__ == "__main__":
    exit_plainly(main)
