"""Stages: the ordered parts of an architecture, between which networks are cut; read in milliseconds, without torch.

The four families of `families` tell their stages from tables. Those of a library's model are what
`data/architectures/{architecture}.json` says, which `networks.description` writes.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import ClassVar

from transferability import files
from transferability.errors import InputError
from transferability.forms.description import Description


@dataclass(frozen=True)
class Stage:
    """One part of a network, and what it takes to pass one image forward through it.

    `shape` is what it gives for one image, such as (C, H, W) or (features,); `parameters` those that learn; `buffers`
    the bytes of what it keeps beside them, such as batch norm's statistics; `multiply_adds` those of convolutions,
    linear layers and attention, which are nearly all; `outputs` the number of values that its layers give on the way.
    """

    name: str
    shape: tuple[int, ...]
    parameters: int
    buffers: int
    multiply_adds: int
    outputs: int


@dataclass(frozen=True)
class AlexNet:
    """A network of the AlexNet family: `family` of FAMILIES, `width` scales every hidden layer, `norm` is "batch",
    "lrn" (after conv1 and conv2) or "none" (caffenet has LRN as its own), `dropout` is that after fc6 and fc7."""

    library: ClassVar[str] = "alexnet"

    family: str
    width: float
    norm: str
    dropout: float


@dataclass(frozen=True)
class LibraryModel:
    """A model of torchvision or timm.

    `name` as the library knows it; `weights` the pretrained weights that its P networks copy from (a torchvision
    weights name, "timm", or the path of a file), None for none; `granularity` of its stages, or the names of coarser
    ones in `stages`; `options` are passed to the library, such as {"dropout": 0.2}; `preprocessing` is what the weights
    of a file expect: any of mean, std, size, crop, interpolation and channels.
    """

    library: str
    name: str
    weights: str | None = None
    granularity: str = "block"
    stages: tuple[str, ...] | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    preprocessing: Mapping[str, object] | None = None


Architecture = AlexNet | LibraryModel


def architecture_of(section: Mapping) -> Architecture:
    """The architecture that a section of `architectures` describes; one that it cannot is an InputError."""
    options = dict(section)
    library = options.pop("library", AlexNet.library)
    try:
        if library == AlexNet.library:
            return AlexNet(**options)
        if options.get("stages") is not None:
            options["stages"] = tuple(options["stages"])
        return LibraryModel(library, **options)
    except TypeError as error:
        raise InputError(f"architectures: {dict(section)} does not describe a network ({error})") from None


def section_of(architecture: Architecture) -> dict:
    """What `architecture_of` reads an architecture from: the keys that differ from their defaults."""
    if isinstance(architecture, AlexNet):
        return asdict(architecture)
    default = LibraryModel(architecture.library, architecture.name)
    section = {key: value for key, value in asdict(architecture).items() if value != getattr(default, key)}
    named = {"library": architecture.library, "name": architecture.name} | section
    return {key: list(value) if isinstance(value, tuple) else value for key, value in named.items()}


def read_stages(path: Path) -> tuple[Stage, ...]:
    """The stages that a description of an architecture lists; a broken one is an InputError."""
    try:
        stages = files.read_json(path, Description)["stages"]
        return tuple(Stage(**{**stage, "shape": tuple(stage["shape"])}) for stage in stages)
    except TypeError:
        raise InputError(f"{path}: does not describe an architecture; delete it and run again") from None
