"""Families: the tables of the AlexNet family's layers, and what each layer holds and computes, without torch.

Planning a study reads them in milliseconds; `alexnet` builds from them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, floor, prod

from transferability.errors import InputError
from transferability.networks.stages import AlexNet, Stage


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


LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")
"""The stages of every family: a weight layer each, with the normalisation, pooling, ReLU and dropout that follow."""


def family_stages(architecture: AlexNet, shape: tuple[int, int, int], classes: int) -> tuple[Stage, ...]:
    """The eight stages of a network for images of `shape` (C, H, W)."""
    if architecture.family not in FAMILIES:
        raise InputError(
            f"architectures: there is no family {architecture.family!r}; families are {', '.join(FAMILIES)}"
        )
    family = FAMILIES[architecture.family](shape[1])
    # Caffe rounds the pooled size up.
    rounded = ceil if architecture.family == "caffenet" else floor
    batch_norm = architecture.norm == "batch"

    def scaled(width: int, groups: int = 1) -> int:
        return max(groups, round(width * architecture.width / groups) * groups)

    def add_stage(given: tuple[int, ...], weights: int, outputs: int, normed: bool) -> None:
        # Scale and shift in place of a bias; and mean, variance and a count of batches.
        width, name = given[0], LAYERS[len(stages)]
        buffers = 8 * width + 8 if normed else 0
        stages.append(
            Stage(name, given, weights + width * (1 + normed), buffers, weights * (outputs // width), outputs)
        )

    stages: list[Stage] = []
    channels, *sides = shape
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
        add_stage((width, *sides), width * channels // row.groups * row.kernel**2, outputs, batch_norm)
        channels = width
    features = prod(stages[-1].shape)
    for width in (*map(scaled, family.hidden), classes):
        add_stage((width,), features * width, width, batch_norm and len(stages) < len(LAYERS) - 1)
        features = width
    return tuple(stages)
