"""AlexNet: networks of its family as sequences of eight named stages, conv1..conv5 and fc6..fc8.

A stage is a weight layer together with what follows it: normalisation, pooling, ReLU, dropout. `network[:n]` is
therefore the first n stages, in the sense in which the paper cuts a network at n.
"""

from collections import OrderedDict
from collections.abc import Callable
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional

from transferability.errors import InputError
from transferability.networks.dropout import Dropout
from transferability.networks.families import FAMILIES, LAYERS, Convolution, family_stages
from transferability.networks.stages import AlexNet

CAFFENET_BIAS = {"conv2": 1, "conv4": 1, "conv5": 1, "fc6": 1, "fc7": 1}
CAFFENET_STD = {"fc6": 0.005, "fc7": 0.005}


class LocalResponseNorm(nn.LocalResponseNorm):
    """torch's, with the sums over neighbouring channels as a product with a band matrix: on a CPU twice as fast."""

    def forward(self, activations: Tensor) -> Tensor:
        channels = torch.arange(activations.shape[1], device=activations.device)
        near = (channels[:, None] - channels).abs() <= self.size // 2
        # At least in fp32 whatever products are made in: the sums are of squares.
        wide = activations.to(torch.promote_types(activations.dtype, torch.float32))
        with torch.autocast(activations.device.type, enabled=False):
            band = near.to(wide.dtype)[:, :, None, None] * (self.alpha / self.size)
            normed = wide * (functional.conv2d(wide.square(), band) + self.k).pow(-self.beta)
            return normed.to(activations.dtype)


def input_std(architecture: AlexNet, std: list[float]) -> list[float]:
    """The deviation by which a network's images are divided, in units of 0..1: that of the data, but for caffenet.

    caffenet's weights are drawn for images of 0..255 with the mean subtracted and not divided by anything.
    """
    return [1 / 255] * len(std) if architecture.family == "caffenet" else std


def convolution(architecture: AlexNet, row: Convolution, channels: int, width: int, responses: bool) -> nn.Sequential:
    """A stage conv1..conv5; with local normalisation of its `responses` at the end where the network has it."""
    batch_norm, original = architecture.norm == "batch", architecture.family == "caffenet"
    parts: OrderedDict[str, nn.Module] = OrderedDict(
        conv=nn.Conv2d(channels, width, row.kernel, row.stride, row.padding, groups=row.groups, bias=not batch_norm)
    )
    if batch_norm:
        parts["norm"] = nn.BatchNorm2d(width)
    if row.pool:
        # Before the ReLU, which then has fewer values to go through and gives the same. Caffe rounds the size up.
        parts["pool"] = nn.MaxPool2d(*row.pool, ceil_mode=original)
    parts["relu"] = nn.ReLU(inplace=True)
    if (original or architecture.norm == "lrn") and responses:
        parts["norm"] = LocalResponseNorm(5, alpha=1e-4, beta=0.75)
    return nn.Sequential(parts)


def fully_connected(architecture: AlexNet, features: int, width: int, flatten: bool) -> nn.Sequential:
    """A stage fc6 or fc7; the first flattens what the convolutions give."""
    batch_norm = architecture.norm == "batch"
    parts: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten()) if flatten else OrderedDict()
    parts["linear"] = nn.Linear(features, width, bias=not batch_norm)
    if batch_norm:
        parts["norm"] = nn.BatchNorm1d(width)
    parts["relu"] = nn.ReLU(inplace=True)
    parts["dropout"] = Dropout(architecture.dropout)
    return nn.Sequential(parts)


def build(architecture: AlexNet, shape: tuple[int, int, int], classes: int) -> nn.Sequential:
    """A network for images of `shape` (C, H, W): normalised float (N, C, H, W) → logits (N, classes).

    Its weights are torch's default ones; `initialise` sets those that a study starts from.
    """
    if architecture.family == "caffenet" and architecture.norm != "none":
        raise InputError('architectures: caffenet has its own normalisation (LRN); its norm must be "none"')
    sizes = family_stages(architecture, shape, classes)
    stages: list[nn.Sequential] = []
    channels = shape[0]
    for number, row in enumerate(FAMILIES[architecture.family](shape[1]).convolutions):
        width = sizes[number].shape[0]
        stages.append(convolution(architecture, row, channels, width, responses=number < 2))
        channels = width
    convolutions = len(stages)
    features = prod(sizes[convolutions - 1].shape)
    for number in range(convolutions, len(sizes) - 1):
        (width,) = sizes[number].shape
        stages.append(fully_connected(architecture, features, width, flatten=number == convolutions))
        features = width
    stages.append(nn.Sequential(OrderedDict(linear=nn.Linear(features, classes))))
    return nn.Sequential(OrderedDict(zip(LAYERS, stages, strict=True))).train()


def initialise(network: nn.Sequential, architecture: AlexNet, seed_of: Callable[[int], int]) -> None:
    """Draw new weights for every stage of a freshly built network, in place.

    `seed_of` gives the seed of stage n, 1 to 8, so that stages are independent draws. He et al. (2015) normal weights
    and biases of 0; for caffenet its own Gaussian ones and biases of 0 or 1. With torch's default weights activations
    shrink more than tenfold over five convolutions, and small Gaussian ones cannot train above random frozen layers.
    """
    original = architecture.family == "caffenet"
    for number, (name, stage) in enumerate(network.named_children(), start=1):
        generator = torch.Generator().manual_seed(seed_of(number))
        weights = next(module for module in stage.children() if isinstance(module, nn.Conv2d | nn.Linear))
        with torch.no_grad():
            if original:
                weights.weight.normal_(0, CAFFENET_STD.get(name, 0.01), generator=generator)
            else:
                nn.init.kaiming_normal_(weights.weight, nonlinearity="relu", generator=generator)
            if weights.bias is not None:
                weights.bias.fill_(CAFFENET_BIAS.get(name, 0) if original else 0)


def draw(
    architecture: AlexNet, shape: tuple[int, int, int], classes: int, seed_of: Callable[[int], int]
) -> nn.Sequential:
    """A network as `build` gives it, with the weights that a study starts from."""
    network = build(architecture, shape, classes)
    initialise(network, architecture, seed_of)
    return network
