"""Sections: the parts of a study's params that jobs get, each as text that is the same for the same meaning."""

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from transferability import files
from transferability.data.groups import read_groups
from transferability.errors import InputError
from transferability.networks.notation import SIDES

GROUPED = ("groups", "graded")
"""Kinds of splits whose tasks are made of groups of classes."""


def canonical(section: object) -> str:
    """A section as JSON that is the same for the same meaning: keys sorted, 1.0 written as 1.

    Snakemake compares a rule's params as text; two ways to write one value must not train networks anew.
    """

    def plain(value: object) -> object:
        if isinstance(value, dict):
            return {key: plain(entry) for key, entry in value.items()}
        if isinstance(value, list):
            return [plain(entry) for entry in value]
        return int(value) if isinstance(value, float) and value.is_integer() else value

    return json.dumps(plain(section), sort_keys=True)


def described(images: dict, packed: dict | None = None) -> dict:
    """What images are, without where they lie on this machine: `datasets.*.images` without paths and downloads.

    A list of the classes of a part's files counts by its content; one that is not on this machine by what it was when
    the images were packed, as `packed` describes them, if they are.
    """
    packed = packed or {}
    below: dict[str, Callable[[Any, Any], object]] = {"sets": described, "lists": list_content}
    return {
        key: {name: below[key](entry, packed.get(key, {}).get(name)) for name, entry in value.items()}
        if key in below
        else value
        for key, value in images.items()
        if key not in ("path", "download")
    }


def list_content(path: str, packed: str | None) -> str:
    """What names a list of a part's files: its hash, or the word for one that comes with the package."""
    try:
        return path if path == "ilsvrc2012" else files.sha256(files.expanded(path))
    except (OSError, InputError):
        # Who needs the list, packing, says that it is not there.
        return packed or path


def staged_section(architecture: dict) -> dict:
    """What of an architecture decides its stages."""
    return {key: value for key, value in architecture.items() if key not in ("weights", "preprocessing")}


def weights_content(architecture: dict, record: Path) -> dict:
    """An architecture as its networks depend on it: a file of pretrained weights by its hash, wherever it lies.

    A file that is not on this machine is the one that `record`, the run.json of weights made before, names.
    """
    weights = architecture.get("weights", "")
    if not is_file(weights):
        return architecture
    path = files.expanded(weights)
    if path.exists():
        return architecture | {"weights": files.sha256(path)}
    return architecture | {"weights": files.read_json(record).get("sha256", weights) if record.exists() else weights}


def is_file(weights: str) -> bool:
    """Whether weights are a file, not a name that a library knows."""
    return "/" in weights or Path(weights).suffix in (".safetensors", ".pth", ".pt", ".bin")


def named(names: Iterable[str]) -> str:
    """A wildcard's constraint: one of these names."""
    return "|".join(re.escape(name) for name in names)


def listed(names: str | list[str]) -> list[str]:
    """One name or a list of them, as a list."""
    return [names] if isinstance(names, str) else names


def named_groups(dataset: dict) -> dict[str, list[str]]:
    """A data set's groups of classes by name: those that its params list, or those of the table that they name."""
    groups = dataset.get("groups", {})
    return read_groups(groups) if isinstance(groups, str) else groups


def used_groups(dataset: dict, split: dict) -> dict[str, list[str]]:
    """The data set's groups that a split names, so that an edit of another group reruns nothing."""
    if split["kind"] not in GROUPED:
        return {}
    used = [name for side in SIDES for name in listed(split[side])]
    return {name: classes for name, classes in named_groups(dataset).items() if name in used}


def schedule_of(params: dict, split: str, kind: str) -> dict:
    """The schedule of a split's base or transferred networks; that of reduced volumes where there is one."""
    reduced = params["training"].get("reduced") if "volume" in params["splits"][split] else None
    return reduced or params["training"][kind]


def task_names(params: dict) -> dict[str, dict[str, str]]:
    """The names of the tasks of the study's splits by groups, {split: {"A": name, "B": name}}."""
    definitions = {split: params["splits"][split] for split in params["study"]["split"]}
    return {
        split: {side: " + ".join(listed(definition[side])) for side in SIDES}
        for split, definition in definitions.items()
        if definition["kind"] == "groups"
    }
