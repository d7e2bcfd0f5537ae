"""Networks: an AlexNet family as sequences of eight numbered layers, conv1..conv5 and fc6..fc8.

A layer is a weight layer together with what follows it: normalisation, pooling, ReLU, dropout. `network[:n]` is
therefore the first n layers, in the sense in which the paper cuts a network at n.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from transferability.errors import InputError
from transferability.notation import DEPTH


@dataclass(frozen=True)
class Architecture:
    """A network's shape: `family` of FAMILIES, `width` scales every hidden layer, `norm` is "batch" or "none"
    (caffenet has its own, LRN), `dropout` is the probability after fc6 and fc7."""

    family: str
    width: float
    norm: str
    dropout: float


@dataclass(frozen=True)
class Convolution:
    """One row of a family's table; `pool` is (kernel, stride) of the max pooling that follows, if any."""

    channels: int
    kernel: int
    stride: int = 1
    padding: int = 0
    groups: int = 1
    pool: tuple[int, int] | None = None


@dataclass(frozen=True)
class Family:
    """Five convolutions and the widths of fc6 and fc7."""

    convolutions: tuple[Convolution, ...]
    hidden: tuple[int, int]


def tiny(size: int) -> Family:
    """For images of 8 pixels or a little more."""
    return Family(
        (
            Convolution(8, 3, padding=1, pool=(2, 2)),
            Convolution(16, 3, padding=1),
            Convolution(24, 3, padding=1),
            Convolution(24, 3, padding=1),
            Convolution(16, 3, padding=1, pool=(2, 2)),
        ),
        (32, 32),
    )


def small(size: int) -> Family:
    """For images of 32 to 64 pixels; above 40 the first layer steps by 2."""
    return Family(
        (
            Convolution(48, 5, stride=2 if size > 40 else 1, padding=2, pool=(3, 2)),
            Convolution(96, 3, padding=1, pool=(3, 2)),
            Convolution(128, 3, padding=1),
            Convolution(128, 3, padding=1),
            Convolution(96, 3, padding=1, pool=(3, 2)),
        ),
        (512, 512),
    )


def full(size: int) -> Family:
    """For images of 224 or 227 pixels: CaffeNet's widths in one tower."""
    return Family(
        (
            Convolution(96, 11, stride=4, padding=2, pool=(3, 2)),
            Convolution(256, 5, padding=2, pool=(3, 2)),
            Convolution(384, 3, padding=1),
            Convolution(384, 3, padding=1),
            Convolution(256, 3, padding=1, pool=(3, 2)),
        ),
        (4096, 4096),
    )


def caffenet(size: int) -> Family:
    """The original study's network (Jia et al. 2014, after Krizhevsky et al. 2012), for 227 pixels."""
    return Family(
        (
            Convolution(96, 11, stride=4, pool=(3, 2)),
            Convolution(256, 5, padding=2, groups=2, pool=(3, 2)),
            Convolution(384, 3, padding=1),
            Convolution(384, 3, padding=1, groups=2),
            Convolution(256, 3, padding=1, groups=2, pool=(3, 2)),
        ),
        (4096, 4096),
    )


FAMILIES: dict[str, Callable[[int], Family]] = {"tiny": tiny, "small": small, "full": full, "caffenet": caffenet}
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
        # In the activations' own precision whatever products are made in: the sums are of squares.
        with torch.autocast(activations.device.type, enabled=False):
            band = near.to(activations.dtype)[:, :, None, None] * (self.alpha / self.size)
            return activations * (functional.conv2d(activations.square(), band) + self.k).pow(-self.beta)


def normalise(images: Tensor, mean: list[float], std: list[float]) -> Tensor:
    """Images as the networks see them: uint8 (n, C, H, W) → float (n, C, H, W), mean 0 and deviation 1."""
    centre = torch.tensor(mean, device=images.device).view(-1, 1, 1)
    spread = torch.tensor(std, device=images.device).view(-1, 1, 1)
    return (images.float() / 255 - centre) / spread


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
    if architecture.family not in FAMILIES:
        raise InputError(f"architectures: there is no family {architecture.family!r}; known are {', '.join(FAMILIES)}")
    family = FAMILIES[architecture.family](shape[1])
    original = architecture.family == "caffenet"
    batch_norm = architecture.norm == "batch"
    if original and batch_norm:
        raise InputError('architectures: caffenet has its own normalisation (LRN); its norm must be "none"')

    def scaled(width: int, groups: int = 1) -> int:
        return max(groups, round(width * architecture.width / groups) * groups)

    layers: OrderedDict[str, nn.Sequential] = OrderedDict()
    channels = shape[0]
    for n, row in enumerate(family.convolutions, start=1):
        width = scaled(row.channels, 2)
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

    features = flat_size(nn.Sequential(layers), shape, architecture)
    for n, hidden in enumerate(family.hidden, start=6):
        width = scaled(hidden)
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


@torch.no_grad()
def flat_size(convolutions: nn.Sequential, shape: tuple[int, int, int], architecture: Architecture) -> int:
    """The number of values that the convolutions leave of an image of `shape` (C, H, W)."""
    try:
        return convolutions.eval()(torch.zeros(1, *shape)).numel()
    except RuntimeError:
        raise InputError(
            f"architectures: images of {shape[1]}×{shape[2]} are too small for {architecture.family!r}; "
            "take a smaller family or a larger datasets.*.images.size"
        ) from None


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
