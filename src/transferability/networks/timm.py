"""timm's models as networks of named stages; timm is an extra of this package."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from torch import nn

from transferability.errors import InputError
from transferability.networks.dropout import Dropout, StochasticDepth
from transferability.networks.stages import LibraryModel
from transferability.networks.staging import first_line, replace_random, staged_by
from transferability.words import in_words

try:
    import timm
    from timm.layers import DropPath
except ImportError:
    raise InputError("architectures: timm is not installed; pip install transferability[timm]") from None

REPLACEMENTS: dict[type, Callable[[Any], nn.Module]] = {
    nn.Dropout: lambda module: Dropout(module.p),
    DropPath: lambda module: StochasticDepth(module.drop_prob or 0.0, module.scale_by_keep),
}


def check_name(name: str) -> None:
    """Refuse the name of a model that timm does not have."""
    if not timm.is_model(name):
        near = get_close_matches(name, timm.list_models(), cutoff=0.5)
        advice = f"; did you mean {in_words(near, 'or')}?" if near else ""
        raise InputError(f"architectures: timm has no model {name!r}{advice}")


def weight_names(name: str) -> list[str]:
    """What names the weights that timm has for a model: those of its tag, or of its usual one."""
    check_name(name)
    return ["timm"] if timm.models.is_model_pretrained(name) else []


def usual_size(name: str) -> int:
    """The side of the images that a model is usually given."""
    return (timm.get_pretrained_cfg_value(name, "input_size") or (3, 224, 224))[1]


def create_model(name: str, options: Mapping[str, Any]) -> Any:
    """A model of timm's, which has attributes of its own beside those of a module."""
    return timm.create_model(name, **options)


def load(architecture: LibraryModel) -> tuple[nn.Module, list[str], dict, str]:
    """A model with pretrained weights, its classes, what it expects of images, and where the weights are from.

    The library fetches them, or takes them from where it has put them before.
    """
    try:
        model = create_model(architecture.name, {"pretrained": True, **architecture.options})
    except Exception as error:
        raise InputError(
            f"architectures: timm cannot load the weights of {architecture.name} ({first_line(error)})"
        ) from None
    seen = timm.data.resolve_model_data_config(model)
    preprocessing = {
        "mean": list(seen["mean"]),
        "std": list(seen["std"]),
        "size": seen["input_size"][1],
        "crop": seen["crop_pct"],
        "interpolation": seen["interpolation"],
    }
    origin = model.pretrained_cfg.get("hf_hub_id") or model.pretrained_cfg.get("url")
    classes = [str(number) for number in range(model.num_classes)]
    return model, classes, preprocessing, f"timm {architecture.name}: {origin}"


def make(architecture: LibraryModel, shape: tuple[int, int, int], classes: int) -> nn.Module:
    """The library's own model for images of `shape` (C, H, W), its random modules replaced by ours.

    A model that is made for one size of images is made for theirs where it can be.
    """
    check_name(architecture.name)
    channels, *size = shape
    options = {"num_classes": classes, "in_chans": channels, **architecture.options}
    sized = {"img_size": tuple(size), **options} if set(size) != {usual_size(architecture.name)} else options
    try:
        try:
            model = create_model(architecture.name, sized)
        except TypeError as error:
            if "img_size" not in str(error) or "img_size" in architecture.options:
                raise
            model = create_model(architecture.name, options)
    except Exception as error:
        raise InputError(
            f"architectures: timm cannot build {architecture.name} with the options {dict(architecture.options)} "
            f"({first_line(error)})"
        ) from None
    return replace_random(model, REPLACEMENTS)


build, draw = staged_by(make)
