"""torchvision's models as networks of named stages."""

from collections.abc import Callable
from difflib import get_close_matches

import torchvision
from torch import nn
from torchvision.ops import StochasticDepth as TorchvisionDepth

from transferability.errors import InputError
from transferability.networks.dropout import Dropout, StochasticDepth
from transferability.networks.stages import LibraryModel
from transferability.networks.staging import Staged, first_line, replace_random, seeded, stage
from transferability.words import in_words

AUXILIARY = {
    "googlenet": {"aux_logits": False, "init_weights": True},
    "inception_v3": {"aux_logits": False, "init_weights": True},
}
"""Models that would have further heads in training, and the options without which they have them."""

REPLACEMENTS = {
    nn.Dropout: lambda module: Dropout(module.p),
    TorchvisionDepth: lambda module: StochasticDepth(module.p),
}


def model_names() -> list[str]:
    """The names of torchvision's models that classify images."""
    return torchvision.models.list_models(module=torchvision.models)


def make(architecture: LibraryModel, shape: tuple[int, int, int], classes: int) -> nn.Module:
    """The library's own model for images of `shape` (C, H, W), its random modules replaced by ours."""
    if architecture.name not in model_names():
        near = get_close_matches(architecture.name, model_names(), cutoff=0.5)
        advice = f"; did you mean {in_words(near, 'or')}?" if near else ""
        raise InputError(f"architectures: torchvision has no model {architecture.name!r}{advice}")
    if shape[0] != 3:
        raise InputError(
            f"architectures: torchvision's {architecture.name} takes images of 3 channels, not {shape[0]}; "
            "set datasets.*.images.channels to 3"
        )
    options = {**AUXILIARY.get(architecture.name, {}), **architecture.options}
    try:
        model = torchvision.models.get_model(architecture.name, weights=None, num_classes=classes, **options)
    except Exception as error:
        raise InputError(
            f"architectures: torchvision cannot build {architecture.name} with the options "
            f"{dict(architecture.options)} ({first_line(error)})"
        ) from None
    return replace_random(model, REPLACEMENTS)


def build(architecture: LibraryModel, shape: tuple[int, int, int], classes: int) -> Staged:
    """A network for images of `shape` (C, H, W), in training mode: normalised float (N, C, H, W) → logits (N, classes)."""
    with seeded(0):
        return stage(make(architecture, shape, classes), architecture, shape)


def draw(
    architecture: LibraryModel, shape: tuple[int, int, int], classes: int, seed_of: Callable[[int], int]
) -> Staged:
    """A network with the weights that the library draws for a new one, after seeding by `seed_of(1)`."""
    with seeded(seed_of(1)):
        return stage(make(architecture, shape, classes), architecture, shape)
