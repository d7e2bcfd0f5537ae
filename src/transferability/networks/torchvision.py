"""torchvision's models as networks of named stages."""

from difflib import get_close_matches
from pathlib import Path

import torch
import torchvision
from torch import nn
from torchvision.ops import StochasticDepth as TorchvisionDepth

from transferability.errors import InputError
from transferability.networks.dropout import Dropout, StochasticDepth
from transferability.networks.stages import LibraryModel
from transferability.networks.staging import first_line, replace_random, staged_by
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


def check_name(name: str) -> None:
    """Refuse the name of a model that torchvision does not have."""
    if name not in model_names():
        near = get_close_matches(name, model_names(), cutoff=0.5)
        advice = f"; did you mean {in_words(near, 'or')}?" if near else ""
        raise InputError(f"architectures: torchvision has no model {name!r}{advice}")


def weight_names(name: str) -> list[str]:
    """The names of the weights that torchvision has for a model."""
    check_name(name)
    return list(torchvision.models.get_model_weights(name).__members__)


def usual_size(name: str) -> int:
    """The side of the images that a model is usually given."""
    names = weight_names(name)
    return torchvision.models.get_model_weights(name)[names[0]].transforms().crop_size[0] if names else 224


def load(architecture: LibraryModel) -> tuple[nn.Module, list[str], dict, str]:
    """A model with pretrained weights, its classes, what it expects of images, and where the weights are from.

    The library fetches them, or takes them from where it has put them before.
    """
    weights = torchvision.models.get_model_weights(architecture.name)[architecture.weights]
    options = {key: value for key, value in AUXILIARY.get(architecture.name, {}).items() if key == "aux_logits"}
    try:
        model = torchvision.models.get_model(architecture.name, weights=weights, **{**options, **architecture.options})
    except OSError as error:
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        raise InputError(
            f"{weights.url}: could not be fetched ({first_line(error)}); fetch it yourself into {folder}"
        ) from None
    except Exception as error:
        raise InputError(f"architectures: torchvision cannot load {weights} ({first_line(error)})") from None
    seen = weights.transforms()
    preprocessing = {
        "mean": list(seen.mean),
        "std": list(seen.std),
        "size": seen.crop_size[0],
        "crop": seen.crop_size[0] / seen.resize_size[0],
        "interpolation": seen.interpolation.value,
    }
    return model, list(weights.meta["categories"]), preprocessing, f"torchvision {weights}: {weights.url}"


def make(architecture: LibraryModel, shape: tuple[int, int, int], classes: int) -> nn.Module:
    """The library's own model for images of `shape` (C, H, W), its random modules replaced by ours."""
    check_name(architecture.name)
    if shape[0] != 3:
        raise InputError(
            f"architectures: torchvision's {architecture.name} takes images of 3 channels, not {shape[0]}; "
            "set datasets.*.images.channels to 3"
        )
    options = {**AUXILIARY.get(architecture.name, {}), **architecture.options}
    if architecture.name in AUXILIARY and architecture.weights in weight_names(architecture.name):
        # Its weights are those of other images, which the library then changes by itself.
        options = {"transform_input": True, **options}
    try:
        model = torchvision.models.get_model(architecture.name, weights=None, num_classes=classes, **options)
    except Exception as error:
        raise InputError(
            f"architectures: torchvision cannot build {architecture.name} with the options "
            f"{dict(architecture.options)} ({first_line(error)})"
        ) from None
    return replace_random(model, REPLACEMENTS)


build, draw = staged_by(make)
