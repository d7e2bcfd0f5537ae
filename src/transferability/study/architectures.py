"""Architectures: how many stages those of a study have, and what these hold, without torch.

The AlexNet family's tables tell at once. A model of a library is described once by a process of its own that builds it
without memory, into data/architectures/; until then the plan does not know its stages.
"""

import json
import subprocess
import sys
from dataclasses import replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from transferability import files
from transferability.errors import InputError
from transferability.networks.families import LAYERS, family_stages
from transferability.networks.stages import AlexNet, Stage, architecture_of, read_stages
from transferability.study.sections import canonical, staged_section

DESCRIBED_CLASSES = 1000
"""The classes of the head in a description."""


def image_shape(dataset: dict) -> tuple[int, int, int]:
    """The shape (C, H, W) of a data set's images as networks see them."""
    side = dataset["augmentation"].get("crop", dataset["images"]["size"])
    return dataset["images"]["channels"], side, side


def description_file(architecture: str, shape: tuple[int, int, int]) -> Path:
    """Where the description of a library's model for images of a shape is."""
    return Path("data/architectures") / architecture / f"{'x'.join(map(str, shape))}.json"


def is_current(path: Path, section: dict) -> bool:
    """Whether a description is there, and is of this section and of the installed version of its library."""
    if not path.exists():
        return False
    content = files.read_json(path)
    library = section["library"]
    try:
        installed = version(library)
    except PackageNotFoundError:
        installed = None
    definition = canonical(staged_section(content.get("definition", {})))
    return definition == canonical(staged_section(section)) and content["versions"].get(library) == installed


def describe_architectures(params: dict) -> None:
    """Describe the library models of a study of which no current description is there; an InputError says why not."""
    study = params["study"]
    for name in study["architecture"]:
        section = params["architectures"][name]
        for dataset in study["dataset"] if "library" in section else ():
            shape = image_shape(params["datasets"][dataset])
            path = description_file(name, shape)
            if not is_current(path, section):
                describe(name, section, shape, path)
                described_stages.cache_clear()


def describe(name: str, section: dict, shape: tuple[int, int, int], path: Path) -> None:
    """Write one description, in a process of its own: it needs torch."""
    print(f"{name}: finding its stages (once)", file=sys.stderr)
    options = ["--architecture", json.dumps(section), "--shape", *map(str, shape), "--into", str(path)]
    command = [sys.executable, "-m", "transferability.networks.description", *options]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines()[-1].removeprefix("error: ") if done.stderr.strip() else "it was ended"
        raise InputError(f"architectures.{name}: {reason.removeprefix('architectures: ')}")


@cache
def described_stages(path: Path) -> tuple[Stage, ...] | None:
    """The stages of a description; None before it is made."""
    return read_stages(path) if path.exists() else None


def stages_of(params: dict, architecture: str, dataset: str, classes: int) -> tuple[Stage, ...] | None:
    """The stages of an architecture for a data set's images and so many classes; None where they are not known yet."""
    section, shape = params["architectures"][architecture], image_shape(params["datasets"][dataset])
    described = architecture_of(section)
    if isinstance(described, AlexNet):
        return family_stages(described, shape, classes)
    stages = described_stages(description_file(architecture, shape))
    return stages and (*stages[:-1], scaled(stages[-1], classes))


def scaled(head: Stage, classes: int) -> Stage:
    """A described head for another number of classes, to which nearly all of it is proportional."""
    share = classes / DESCRIBED_CLASSES
    return replace(
        head,
        shape=(classes,),
        parameters=round(share * head.parameters),
        multiply_adds=round(share * head.multiply_adds),
    )


def depth_of(params: dict, architecture: str) -> int | None:
    """The number of stages of an architecture; None where it is not known yet."""
    if "library" not in params["architectures"][architecture]:
        return len(LAYERS)
    stages = stages_of(params, architecture, params["study"]["dataset"][0], 2)
    return None if stages is None else len(stages)
