"""Building: a network of any architecture, whatever its library, as a sequence of named stages.

A library is a module of this room by its name, with `build` and `draw`; a job imports that of its architecture alone.
"""

from collections.abc import Callable
from importlib import import_module
from types import ModuleType

from torch import nn

from transferability.errors import InputError
from transferability.networks.stages import Architecture
from transferability.words import in_words

LIBRARIES = ("alexnet", "torchvision", "timm")


def library_of(architecture: Architecture) -> ModuleType:
    """The module of this room that builds an architecture's networks."""
    if architecture.library not in LIBRARIES:
        raise InputError(
            f"architectures: there is no library {architecture.library!r}; it is {in_words(LIBRARIES, 'or')}"
        )
    return import_module(f"transferability.networks.{architecture.library}")


def build_network(architecture: Architecture, shape: tuple[int, int, int], classes: int) -> nn.Sequential:
    """A network for images of `shape` (C, H, W), in training mode: normalised float (N, C, H, W) → logits (N, classes).

    Its children are the stages, in their order; its weights are to be replaced.
    """
    return library_of(architecture).build(architecture, shape, classes)


def draw_network(
    architecture: Architecture, shape: tuple[int, int, int], classes: int, seed_of: Callable[[int], int]
) -> nn.Sequential:
    """A network as `build_network` gives it, with the weights that a study starts from.

    `seed_of` gives a seed for the weights of stage n, from 1 on: the same seeds give the same weights.
    """
    return library_of(architecture).draw(architecture, shape, classes, seed_of)
