"""Networks: an AlexNet family as sequences of eight numbered layers, conv1..conv5 and fc6..fc8.

A layer is a weight layer together with what follows it: normalisation, pooling, ReLU, dropout. `network[:n]` is
therefore the first n layers, in the sense in which the paper cuts a network at n.
"""

from collections import OrderedDict
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional

from transferability.errors import InputError
from transferability.networks.families import FAMILIES, Architecture, layer_sizes
from transferability.networks.notation import DEPTH

CAFFENET_BIAS = {"conv2": 1, "conv4": 1, "conv5": 1, "fc6": 1, "fc7": 1}
CAFFENET_STD = {"fc6": 0.005, "fc7": 0.005}


class Dropout(nn.Module):
    """Dropout whose masks come from a generator that its user sets, so that they can be drawn again.

    Without a generator torch's default one is used.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability
        self.generator: torch.Generator | None = None

    def forward(self, activations: Tensor) -> Tensor:
        if not self.training or self.probability == 0:
            return activations
        kept = torch.empty_like(activations).bernoulli_(1 - self.probability, generator=self.generator)
        return activations * kept / (1 - self.probability)

    def extra_repr(self) -> str:
        return f"{self.probability}"


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


def input_std(architecture: Architecture, std: list[float]) -> list[float]:
    """The deviation by which a network's images are divided, in units of 0..1: that of the data, but for caffenet.

    caffenet's weights are drawn for images of 0..255 with the mean subtracted and not divided by anything.
    """
    return [1 / 255] * len(std) if architecture.family == "caffenet" else std


def layer_name(n: int) -> str:
    """conv1..conv5, fc6..fc8 for n = 1..8."""
    return f"{'conv' if n <= 5 else 'fc'}{n}"


def build_network(architecture: Architecture, shape: tuple[int, int, int], classes: int) -> nn.Sequential:
    """A network for images of `shape` (C, H, W): normalised float (N, C, H, W) → logits (N, classes).

    Its weights are torch's default ones; `initialise` sets those that a study starts from.
    """
    sizes = layer_sizes(architecture, shape, classes)
    original = architecture.family == "caffenet"
    batch_norm = architecture.norm == "batch"
    if original and batch_norm:
        raise InputError('architectures: caffenet has its own normalisation (LRN); its norm must be "none"')

    layers: OrderedDict[str, nn.Sequential] = OrderedDict()
    channels = shape[0]
    for n, row in enumerate(FAMILIES[architecture.family](shape[1]).convolutions, start=1):
        width = sizes[n - 1].shape[0]
        parts = OrderedDict(
            conv=nn.Conv2d(channels, width, row.kernel, row.stride, row.padding, groups=row.groups, bias=not batch_norm)
        )
        if batch_norm:
            parts["norm"] = nn.BatchNorm2d(width)
        if row.pool:
            # Before the ReLU, which then has fewer values to go through and gives the same. Caffe rounds the size up.
            parts["pool"] = nn.MaxPool2d(*row.pool, ceil_mode=original)
        parts["relu"] = nn.ReLU(inplace=True)
        if original and n <= 2:
            parts["norm"] = LocalResponseNorm(5, alpha=1e-4, beta=0.75)
        layers[layer_name(n)] = nn.Sequential(parts)
        channels = width

    features = prod(sizes[4].shape)
    for n in (6, 7):
        (width,) = sizes[n - 1].shape
        parts = OrderedDict(flatten=nn.Flatten()) if n == 6 else OrderedDict()
        parts["linear"] = nn.Linear(features, width, bias=not batch_norm)
        if batch_norm:
            parts["norm"] = nn.BatchNorm1d(width)
        parts["relu"] = nn.ReLU(inplace=True)
        parts["dropout"] = Dropout(architecture.dropout)
        layers[layer_name(n)] = nn.Sequential(parts)
        features = width
    layers[layer_name(DEPTH)] = nn.Sequential(OrderedDict(linear=nn.Linear(features, classes)))
    return nn.Sequential(layers).train()


def initialise(network: nn.Sequential, architecture: Architecture, seeds: list[int]) -> None:
    """Draw new weights for every layer of a freshly built network; `seeds` gives one seed a layer, so that layers
    are independent draws.

    He et al. (2015) normal weights and biases of 0; for caffenet its own Gaussian ones and biases of 0 or 1.
    With torch's default weights activations shrink more than tenfold over five convolutions, and small Gaussian
    ones cannot train above random frozen layers.
    """
    for (name, layer), seed in zip(network.named_children(), seeds, strict=True):
        generator = torch.Generator().manual_seed(seed)
        weights = next(module for module in layer if isinstance(module, nn.Conv2d | nn.Linear))
        with torch.no_grad():
            if architecture.family == "caffenet":
                weights.weight.normal_(0, CAFFENET_STD.get(name, 0.01), generator=generator)
            else:
                nn.init.kaiming_normal_(weights.weight, nonlinearity="relu", generator=generator)
            if weights.bias is not None:
                weights.bias.fill_(CAFFENET_BIAS.get(name, 0) if architecture.family == "caffenet" else 0)
