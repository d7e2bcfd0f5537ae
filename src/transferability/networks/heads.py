"""Heads: a network's classifier, and fully connected layers between its features and that."""

from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch
from torch import nn

from transferability.errors import InputError
from transferability.networks.dropout import Dropout

CLASSIFIER_STD = 0.01
"""The deviation of a new classifier's weights in a library's network: that of the original study's fc8."""


def classifier_of(network: nn.Sequential) -> tuple[str, nn.Linear]:
    """The linear layer that gives a network's logits, the last of its head, and its name in the head."""
    linear = [(name, module) for name, module in network[-1].named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise InputError("recipes: the head ends in no linear layer, so nothing can be put below it; leave out hidden")
    return linear[-1]


def draw_classifiers(network: nn.Sequential, classes: int, seed: int) -> None:
    """Draw the layers that give a network's logits anew, in place: Gaussian weights, CLASSIFIER_STD, and biases of 0.

    Some libraries draw them by their number of classes: EfficientNets of few classes start with logits of ten and more,
    and fine-tuning spoils the copied stages before the classifier has learnt.
    """
    generator = torch.Generator().manual_seed(seed)
    for module in network[-1].modules():
        if isinstance(module, nn.Linear | nn.Conv2d) and len(module.weight) == classes:
            draw_classifier(module, generator)


@torch.no_grad()
def draw_classifier(layer: nn.Linear | nn.Conv2d, generator: torch.Generator) -> None:
    """Draw a classifier's weights and set its biases to 0, in place."""
    layer.weight.normal_(0, CLASSIFIER_STD, generator=generator)
    if layer.bias is not None:
        layer.bias.zero_()


def add_hidden_layers(network: nn.Sequential, widths: Sequence[int], dropout: float = 0.0) -> list[nn.Linear]:
    """Put fully connected layers of some widths below a network's classifier, in place, each with a ReLU and dropout.

    They are part of the last stage. Gives the new linear layers from the lowest on, the new classifier last; no widths
    change nothing and give none.
    """
    if not widths:
        return []
    name, classifier = classifier_of(network)
    parts, features, layers = OrderedDict[str, nn.Module](), classifier.in_features, list[nn.Linear]()
    for number, width in enumerate(widths, start=1):
        layers.append(nn.Linear(features, width))
        parts |= {f"hidden{number}": layers[-1], f"relu{number}": nn.ReLU(inplace=True)}
        parts[f"dropout{number}"] = Dropout(dropout)
        features = width
    layers.append(nn.Linear(features, classifier.out_features))
    parts["classifier"] = layers[-1]
    if name:
        parent, _, last = name.rpartition(".")
        setattr(network[-1].get_submodule(parent), last, nn.Sequential(parts))
    else:
        network[-1] = nn.Sequential(parts)
    return layers


def draw_hidden_layers(
    network: nn.Sequential, widths: Sequence[int], dropout: float, seed_of: Callable[[int], int], library: str
) -> None:
    """Put hidden layers below a network's classifier, in place, with weights that are drawn after He et al. (2015).

    `seed_of` gives the seed of each layer, from 1 on; the classifier above them is drawn anew too, as the last, in the
    way of the network's library: AlexNets have all their layers after He et al.
    """
    for number, layer in enumerate(layers := add_hidden_layers(network, widths, dropout), start=1):
        generator = torch.Generator().manual_seed(seed_of(number))
        if layer is layers[-1] and library != "alexnet":
            draw_classifier(layer, generator)
        else:
            with torch.no_grad():
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
                layer.bias.zero_()
