"""Splits: a pair of tasks, A and B, and which image serves each in training, validation and test."""

import argparse
from collections import Counter
from pathlib import Path

import numpy as np

from transferability import files
from transferability.data.distances import task_distance
from transferability.data.duplicates import leaks, like_images, refuse, surplus
from transferability.data.entries import note
from transferability.data.groups import groups_of, unmatched_rows
from transferability.data.names import composed, listed, meant
from transferability.data.packed import PARTS, Images, Packed, open_packed
from transferability.data.parts import divide, reduce_volume
from transferability.data.several import Division, divide_labelled
from transferability.errors import InputError, exit_plainly
from transferability.words import counted

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
        there_are = ", ".join(groups) or "none"
        raise InputError(f"there is no group {missing[0]!r} (there are: {there_are}); name it in datasets.*.groups")
    return [name for group in names for name in groups[group]]


def named_sides(definition: dict, groups: dict[str, list[str]], classes: list[str]) -> dict[str, list[str]]:
    """The classes that a split's definition names for A and B, before any are drawn from them."""
    kind = definition["kind"]
    if kind == "random":
        return dict(zip("AB", random_halves(classes, definition["seed"]), strict=True))
    if kind == "whole":
        return {"A": classes}
    if kind == "classes":
        return {side: definition[side] for side in "AB"}
    return {side: members(definition[side], groups) for side in "AB"}


def as_written(side: str, names: list[str], classes: list[str]) -> list[str]:
    """The names of classes as the data set writes them; one that it lacks is an InputError."""
    by_name = {composed(name): name for name in classes}
    unknown = [name for name in names if composed(name) not in by_name]
    if unknown:
        raise InputError(
            f"{side} names the unknown class {unknown[0]!r}{meant(unknown[0], classes)}; the classes are: "
            f"{listed(classes)}"
        )
    return [by_name[composed(name)] for name in names]


REMEDIES = {
    "random": "random halves need 4; datasets.*.images.path must name the folder of the classes' folders, or let the "
    "split be kind: whole",
    "whole": "datasets.*.images.path must name the folder of the classes' folders",
    "classes": "name more of them in the split",
    "groups": "name more groups, or add classes to them",
    "graded": "name larger groups, of which A takes half",
}
"""What to do, by the kind of split, about a task of less than two classes."""


def check_sizes(kind: str, sides: dict[str, list[str]], classes: list[str]) -> None:
    """Refuse a task of less than two classes, and say how many there are to choose from."""
    for side, names in sides.items():
        if len(names) < 2:
            few = f" ({listed(classes)})" if 0 < len(classes) <= 10 else ""
            raise InputError(
                f"{side} has {classes_counted(len(names))}; a task needs at least 2, and the data set has "
                f"{len(classes):,}{few}: {REMEDIES[kind]}"
            )


def choose_classes(definition: dict, groups: dict[str, list[str]], classes: list[str]) -> dict[str, list[str]]:
    """The classes of A and of B that a split's definition names, checked against the classes that there are.

    `whole` has one task, A, of all classes.
    """
    sides = named_sides(definition, groups, classes)
    sides = {side: as_written(side, names, classes) for side, names in sides.items()}
    twice = [name for name, count in Counter(name for side in sides.values() for name in side).items() if count > 1]
    if twice:
        raise InputError(f"the class {twice[0]!r} is named twice; a class belongs to one side, once")
    if definition["kind"] == "graded":
        pair = graded_classes(sides["A"], sides["B"], definition["share"], definition["seed"])
        sides = dict(zip("AB", pair, strict=True))
    if definition["kind"] == "groups" and "classes" in definition:
        sides = equal_samples(sides, definition["classes"], definition["seed"])
    check_sizes(definition["kind"], sides, classes)
    return sides


def classes_counted(number: int) -> str:
    """A number of classes in words."""
    return f"{number:,} class{'' if number == 1 else 'es'}"


def normalisation(images: Images, indices: np.ndarray) -> dict[str, list[float]]:
    """Mean and standard deviation of each channel over the given images, in units of 0..1.

    Over a sample of them where there are more than SAMPLE.
    """
    if len(indices) > SAMPLE:
        indices = np.sort(np.random.RandomState([0]).choice(indices, SAMPLE, replace=False))
    _, channels, height, width = images.shape
    total, squares = np.zeros(channels), np.zeros(channels)
    for start in range(0, len(indices), 1000):
        chunk = images[indices[start : start + 1000]].astype(np.float64) / 255
        total += chunk.sum(axis=(0, 2, 3))
        squares += (chunk**2).sum(axis=(0, 2, 3))
    count = len(indices) * height * width
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0)).round(6)
    if not deviation.all():
        raise InputError("a channel has one and the same value in all training images; there is nothing to learn from")
    return {"mean": mean.round(6).tolist(), "std": deviation.tolist()}


def divide_tasks(packed: Packed, sides: dict[str, list[str]], parts: dict, volume: dict) -> Division:
    """Give every image of a split's classes to one part of one task."""
    copies = surplus(packed.hashes, packed.classes) if parts.get("duplicates") == "drop" else set()
    if packed.several:
        return divide_labelled(packed, sides, parts, volume, copies)
    classes = [None if index in copies else name for index, name in enumerate(packed.classes)]
    wanted = [name for names in sides.values() for name in names]
    divided = divide(classes, packed.parts, wanted, parts)
    for side in volume.keys() & sides.keys():
        for name in sides[side]:
            divided[name]["train"] = reduce_volume(name, divided[name]["train"], volume[side], volume["seed"])
    tasks = {
        side: {part: {name: divided[name][part] for name in names} for part in PARTS} for side, names in sides.items()
    }
    return Division(tasks, [index for index in sorted(copies) if packed.classes[index] in wanted])


def duplicates_of(packed: Packed, division: Division, policy: str) -> dict:
    """What a split says of images that it has twice: those left out, those that are identical, those that look alike.

    Identical images in two parts or tasks are an InputError unless `policy` is keep; those that look alike are counted.
    """
    members = division.members()
    shared = leaks(packed.hashes, members)
    if policy != "keep":
        refuse(shared, packed.files)
    repeats = {
        "left out": [packed.files[index] for index in division.left_out],
        "shared": [[packed.files[index] for index in group] for group in shared],
    }
    alike = like_images(packed, members)
    return repeats if alike is None else {**repeats, "alike": alike}


def make_split(packed: Packed, definition: dict, groups: dict[str, list[str]], parts: dict) -> dict:
    """The content of a split's file: its classes, the images of every part by class, and what they have in common.

    Mean and deviation are those of both tasks' training images, one pair for the whole split, so that a layer
    sees its input in the same units wherever it is carried.
    """
    sides = choose_classes(definition, {**packed.card.get("sets", {}), **groups}, sorted(packed.card["classes"]))
    volume = definition.get("volume", {})
    division = divide_tasks(packed, sides, parts, volume)
    duplicates = duplicates_of(packed, division, parts.get("duplicates", "fail"))
    training = division.training()
    return {
        "kind": definition["kind"],
        "definition": definition,
        "volume": volume,
        "parts": parts,
        "source": packed.card["source"],
        "content": packed.card["content"],
        "normalisation": normalisation(packed.checked, np.unique(np.concatenate(list(training.values())))),
        "distance": task_distance(sides, packed.checked, training, seed=0) if len(sides) == 2 else None,
        "duplicates": duplicates,
        **({"shared": division.shared} if division.shared else {}),
        "tasks": {
            side: {"classes": sides[side], **task, **division.difficult_of(side)}
            for side, task in division.tasks.items()
        },
    }


def tell_shared(split: dict) -> None:
    """Tell how many images show classes of both tasks, and where they went."""
    shared = split.get("shared", {})
    if shared.get("images"):
        where = "both tasks" if shared["to"] == "both" else "neither task"
        note(f"{counted(shared['images'], 'image')} show classes of A and of B, and are in {where} (parts.shared)")


def tell_likeness(split: dict) -> None:
    """Tell how many images of different parts or tasks look alike, if any do."""
    alike = split["duplicates"].get("alike", {})
    if alike.get("pairs"):
        examples = "; ".join(" and ".join(pair) for pair in alike["such as"])
        note(
            f"{counted(alike['pairs'], 'pair')} of images in different parts or tasks look nearly the same, such as "
            f"{examples}; look at them, as a test that asks for what training has shown is too easy"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="Make a split: tasks A and B, each with its parts.")
    parser.add_argument("--packed", type=Path, required=True, help="folder of the packed data set")
    parser.add_argument("--definition", type=Path, required=True, help="JSON file of splits.* of the params")
    parser.add_argument("--groups", type=Path, required=True, help="JSON file of groups of classes by name")
    parser.add_argument(
        "--partial", action="store_true", help="groups come from a table: leave out classes that the set lacks"
    )
    parser.add_argument(
        "--parts", type=files.json_argument, required=True, help="datasets.*.parts of the params, as JSON"
    )
    parser.add_argument("--into", type=Path, required=True, help="the split's file")
    arguments = parser.parse_args()
    try:
        packed = open_packed(arguments.packed)
        groups = files.read_json(arguments.groups)
        if arguments.partial:
            classes = sorted(packed.card["classes"])
            if sentence := unmatched_rows(groups, classes):
                note(sentence)
            groups = groups_of(groups, classes)
        split = make_split(packed, files.read_json(arguments.definition), groups, arguments.parts)
    except InputError as error:
        raise InputError(f"{arguments.into}: {error}") from None
    tell_shared(split)
    tell_likeness(split)
    files.write_json(arguments.into, split)


if __name__ == "__main__":
    exit_plainly(main)
