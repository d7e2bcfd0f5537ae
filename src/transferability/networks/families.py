"""Families: the tables of the AlexNet family's layers, and what each layer holds and computes, without torch.

Planning a study reads them in milliseconds; `networks` builds from them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, floor, prod

from transferability.errors import InputError


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


@dataclass(frozen=True)
class Layer:
    """What a weight layer holds, and what it takes to pass one image forward through it.

    `shape` is what it gives, (C, H, W) after pooling, or (features,); `parameters` those that learn; `buffers` the
    bytes of what batch norm keeps beside them; `multiply_adds` those of the convolution or the linear layer, which are
    nearly all; `outputs` the number of values that this one gives, before pooling.
    """

    shape: tuple[int, ...]
    parameters: int
    buffers: int
    multiply_adds: int
    outputs: int


def layer_sizes(architecture: Architecture, shape: tuple[int, int, int], classes: int) -> tuple[Layer, ...]:
    """The eight layers of a network for images of `shape` (C, H, W)."""
    if architecture.family not in FAMILIES:
        raise InputError(f"architectures: there is no family {architecture.family!r}; known are {', '.join(FAMILIES)}")
    family = FAMILIES[architecture.family](shape[1])
    # Caffe rounds the pooled size up.
    rounded = ceil if architecture.family == "caffenet" else floor
    batch_norm = architecture.norm == "batch"

    def scaled(width: int, groups: int = 1) -> int:
        return max(groups, round(width * architecture.width / groups) * groups)

    def sized(given: tuple[int, ...], weights: int, outputs: int, normed: bool) -> Layer:
        # Scale and shift in place of a bias; and mean, variance and a count of batches.
        width = given[0]
        buffers = 8 * width + 8 if normed else 0
        return Layer(given, weights + width * (1 + normed), buffers, weights * (outputs // width), outputs)

    layers, (channels, *sides) = [], shape
    for row in family.convolutions:
        width = scaled(row.channels, 2)
        sides = [(side + 2 * row.padding - row.kernel) // row.stride + 1 for side in sides]
        outputs = width * prod(sides)
        if row.pool:
            kernel, stride = row.pool
            sides = [rounded((side - kernel) / stride) + 1 if side > 0 else 0 for side in sides]
        if min(sides) < 1:
            raise InputError(
                f"architectures: images of {shape[1]}×{shape[2]} are too small for {architecture.family!r}; "
                "take a smaller family or a larger datasets.*.images.size"
            )
        weights = width * channels // row.groups * row.kernel**2
        layers.append(sized((width, *sides), weights, outputs, batch_norm))
        channels = width
    features = prod(layers[-1].shape)
    for width in (*map(scaled, family.hidden), classes):
        normed = batch_norm and len(layers) < 7
        layers.append(sized((width,), features * width, width, normed))
        features = width
    return tuple(layers)
