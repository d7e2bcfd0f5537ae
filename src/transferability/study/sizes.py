"""Sizes: what is known of a study's tasks before they are made, from the packed data set or else from the params."""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from transferability import files
from transferability.data.groups import groups_of, read_groups
from transferability.forms.packed import PackedCard
from transferability.networks.notation import SIDES
from transferability.study.sections import listed

ASSUMED_CLASSES = 100
"""Classes of a data set of which neither packed images nor params tell the number."""


@dataclass(frozen=True)
class Size:
    """A task as far as it is known before it is made: classes, and images of each part, None where not known.

    `pixels` is the number of bytes of an image in memory, 0 where images are decoded as they are asked for.
    """

    classes: int
    train: int | None
    validation: int | None
    test: int | None
    pixels: int


# A study's plan asks for the same table for every job.
table_groups = cache(read_groups)


@cache
def packed_card(dataset: str) -> dict | None:
    """The card of a packed data set; None before it is packed."""
    path = Path("data/packed") / dataset / "card.json"
    return files.read_json(path, PackedCard) if path.exists() else None


@cache
def folder_classes(path: Path) -> int | None:
    """The number of classes in a folder of images, None if it is no folder."""
    folder = path / "train" if (path / "train").is_dir() else path
    return sum(entry.is_dir() for entry in os.scandir(folder)) if folder.is_dir() else None


def all_classes(dataset: dict, card: dict | None) -> int:
    """The number of classes of a data set, as far as card, params, a table of groups or a folder tell it."""
    images = dataset["images"]
    if card is not None:
        return len(card["classes"])
    if "classes" in images:
        return len(images["classes"])
    if images["source"] == "digits":
        return 10
    if images["source"] == "folder" and (count := folder_classes(files.expanded(images["path"]))):
        return count
    if isinstance(dataset.get("groups"), str):
        return sum(map(len, table_groups(dataset["groups"]).values()))
    return ASSUMED_CLASSES


def task_classes(params: dict, dataset: str, split: str) -> dict[str, int]:
    """The number of classes of A and of B of a split."""
    description, definition, card = params["datasets"][dataset], params["splits"][split], packed_card(dataset)
    total = all_classes(description, card)
    if definition["kind"] == "random":
        return {"A": total // 2, "B": total - total // 2}
    if definition["kind"] == "whole":
        return {"A": total}
    if definition["kind"] == "classes":
        return {side: len(definition[side]) for side in SIDES}
    groups = description.get("groups", {})
    if isinstance(groups, str):
        groups = groups_of(table_groups(groups), list(card["classes"])) if card else table_groups(groups)
    groups = {**(card or {}).get("sets", {}), **groups}
    # A group that only the packed set can tell, one of several sets, is assumed to be half of it.
    counts = {
        side: sum(len(groups[name]) if name in groups else total // 2 for name in listed(definition[side]))
        for side in SIDES
    }
    if definition["kind"] == "graded":
        return dict.fromkeys(SIDES, min(counts["A"] // 2, counts["B"]))
    return counts


def task_size(params: dict, dataset: str, split: str, side: str) -> Size:
    """What is known of a task before it is made; parts are counted as if all classes were alike."""
    description, card = params["datasets"][dataset], packed_card(dataset)
    images = description["images"]
    pixels = 0 if images.get("storage") == "jpeg" else images["channels"] * images["size"] ** 2
    classes = max(2, task_classes(params, dataset, split)[side])
    volume = params["splits"][split].get("volume", {}).get(side)
    # The only set whose number of images is known beforehand.
    total = card["images"] if card else 1797 if images["source"] == "digits" and "classes" not in images else None
    own = {part: description["parts"][part] for part in ("validation", "test")}
    if total is None or (card is None and any(isinstance(name, str) for name in own.values())):
        return Size(classes, volume and volume * classes, None, None, pixels)
    share = min(1, classes / all_classes(description, card))
    counts = {part: card["parts"].get(name, 0) for part, name in own.items() if isinstance(name, str)} if card else {}
    rest = total - sum(counts.values())
    counts |= {part: round(rest * portion) for part, portion in own.items() if part not in counts}
    counts = {part: round(share * count) for part, count in counts.items()}
    train = round(share * total) - sum(counts.values())
    return Size(classes, min(train, volume * classes) if volume else train, **counts, pixels=pixels)
