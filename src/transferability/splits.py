"""Splits: a pair of tasks, A and B, and which image serves each in training, validation and test."""

import argparse
import json
from collections import Counter
from pathlib import Path

import numpy as np

from transferability import files
from transferability.errors import InputError, exit_plainly
from transferability.tasks import PARTS, Packed, open_packed


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


def choose_classes(definition: dict, groups: dict[str, list[str]], known: list[str]) -> dict[str, list[str]]:
    """The classes of A and of B that a split's definition names, checked against the classes that there are."""
    if definition["kind"] == "random":
        sides = dict(zip("AB", random_halves(known, definition["seed"]), strict=True))
    elif definition["kind"] == "groups":
        missing = [definition[side] for side in "AB" if definition[side] not in groups]
        if missing:
            raise InputError(f"there is no group {missing[0]!r}; name it in datasets.*.groups of the params")
        sides = {side: groups[definition[side]] for side in "AB"}
    else:
        sides = {side: definition[side] for side in "AB"}

    for side, classes in sides.items():
        unknown = [name for name in classes if name not in known]
        if unknown:
            raise InputError(f"{side} names the unknown class {unknown[0]!r}; the classes are: {', '.join(known)}")
        if len(classes) < 2:
            raise InputError(f"{side} has {len(classes)} class; a task needs at least 2")
    twice = [name for name, count in Counter(sides["A"] + sides["B"]).items() if count > 1]
    if twice:
        raise InputError(f"the class {twice[0]!r} is named twice; a class belongs to one side, once")
    return sides


def divide(classes: list[str], parts: dict) -> dict[str, dict[str, list[int]]]:
    """Divide each class's images at random into parts: {class: {part: sorted indices}}.

    `classes` is the class of every image; `parts` gives the shares for validation and test, and the seed. The
    division of a class depends on nothing but the seed and its own images, so it is the same in every split.
    """
    images: dict[str, list[int]] = {}
    for index, name in enumerate(classes):
        images.setdefault(name, []).append(index)
    divided = {}
    for name, indices in images.items():
        counts = {part: round(parts[part] * len(indices)) for part in ("validation", "test")}
        counts["train"] = len(indices) - sum(counts.values())
        empty = [part for part in PARTS if counts[part] < 1]
        if empty:
            raise InputError(
                f"the class {name!r} has {len(indices)} images, too few for a {empty[0]} part; "
                "add images or change the shares in datasets.*.parts"
            )
        key = [parts["seed"], *name.encode()]
        shuffled = np.random.RandomState(key).permutation(indices)
        bounds = np.cumsum([counts[part] for part in PARTS])[:-1]
        pieces = np.split(shuffled, bounds)
        divided[name] = {part: sorted(piece.tolist()) for part, piece in zip(PARTS, pieces, strict=True)}
    return divided


def normalisation(images: np.ndarray, indices: np.ndarray) -> dict[str, list[float]]:
    """Mean and standard deviation of each channel over the given images, in units of 0..1."""
    total = np.zeros(images.shape[1])
    squares = np.zeros(images.shape[1])
    for start in range(0, len(indices), 1000):
        chunk = images[indices[start : start + 1000]].astype(np.float64) / 255
        total += chunk.sum(axis=(0, 2, 3))
        squares += (chunk**2).sum(axis=(0, 2, 3))
    count = len(indices) * images.shape[2] * images.shape[3]
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0)).round(6)
    if not deviation.all():
        raise InputError("a channel has one and the same value in all training images; there is nothing to learn from")
    return {"mean": mean.round(6).tolist(), "std": deviation.tolist()}


def make_split(packed: Packed, definition: dict, groups: dict, parts: dict) -> dict:
    """The content of a split's file: its classes, the images of every part by class, and the normalisation.

    Mean and deviation are those of both tasks' training images, one pair for the whole split, so that a layer
    sees its input in the same units wherever it is carried.
    """
    known = sorted(packed.card["classes"])
    sides = choose_classes(definition, groups, known)
    divided = divide(packed.classes, parts)
    training = np.array([index for side in "AB" for name in sides[side] for index in divided[name]["train"]])
    return {
        "kind": definition["kind"],
        "definition": definition,
        "parts": parts,
        "content": packed.card["content"],
        "normalisation": normalisation(packed.images, np.sort(training)),
        "tasks": {
            side: {
                "classes": classes,
                **{part: {name: divided[name][part] for name in classes} for part in PARTS},
            }
            for side, classes in sides.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Make a split: tasks A and B, each with its parts.")
    parser.add_argument("--packed", type=Path, required=True, help="folder of the packed data set")
    parser.add_argument("--definition", type=json.loads, required=True, help="splits.* of the params, as JSON")
    parser.add_argument("--groups", type=json.loads, required=True, help="named groups of classes, as JSON")
    parser.add_argument("--parts", type=json.loads, required=True, help="datasets.*.parts of the params, as JSON")
    parser.add_argument("--into", type=Path, required=True, help="the split's file")
    arguments = parser.parse_args()
    try:
        split = make_split(open_packed(arguments.packed), arguments.definition, arguments.groups, arguments.parts)
    except InputError as error:
        raise InputError(f"{arguments.into}: {error}") from None
    files.write_json(arguments.into, split)


if __name__ == "__main__":
    exit_plainly(main)
