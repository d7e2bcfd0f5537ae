"""Fields: the part of an image that a unit of a stage can see, its receptive field.

It is found by a gradient, whatever the network: where the unit's value moves with a pixel, the unit sees it. The
network is copied for that with positive weights and means in place of maxima, so that nothing hides what is seen.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

SCALE = 0.1
"""What a layer of the copy gives, as a share of what it gets: small, so that no activation is at its limit."""

Place = tuple[int, ...]
"""Where a unit stands in what a stage gives for an image: (channel, row, column), (token, value) or (value,)."""


@dataclass(frozen=True)
class Box:
    """A rectangle of an image in pixels, without the row `bottom` and the column `right`."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    def of(self, images: Tensor) -> Tensor:
        """The rectangle of images (..., H, W), a view."""
        return images[..., self.top : self.bottom, self.left : self.right]


def mean_pooling(pool: nn.MaxPool2d) -> nn.AvgPool2d:
    """Pooling over the same places that hides none of them."""
    return nn.AvgPool2d(pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode)


def replace_modules(network: nn.Module, kind: type, replacement: Callable[[Any], nn.Module]) -> None:
    """Put something else in the place of all modules of a kind, in place."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, kind):
                setattr(parent, name, replacement(child))


def transparent(stages: nn.Sequential) -> nn.Sequential:
    """A copy of stages, float64 on the CPU, in which every value moves with all that it can see."""
    copied = copy.deepcopy(stages).cpu().double().eval()
    replace_modules(copied, nn.MaxPool2d, mean_pooling)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in copied.named_parameters():
            if parameter.dim() > 1:
                drawn = torch.rand(parameter.shape, generator=generator, dtype=torch.float64)
                parameter.copy_(SCALE * (0.5 + drawn) / parameter[0].numel())
            else:
                parameter.fill_(0 if name.endswith("bias") else 1)
        for name, buffer in copied.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                buffer.fill_(float(name.endswith("running_var")))
    return copied


class Fields:
    """The receptive fields of the units of some stages, for images of `shape` (C, H, W); computed when asked for."""

    def __init__(self, stages: nn.Sequential, shape: tuple[int, int, int]) -> None:
        drawn = torch.rand(1, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        self.images = drawn.requires_grad_()
        self.values = transparent(stages)(self.images)[0]
        self.boxes: dict[Place, Box] = {}

    def __call__(self, place: Place) -> Box:
        """The smallest rectangle that holds all pixels which a unit sees."""
        if place not in self.boxes:
            (moved,) = torch.autograd.grad(self.values[place], self.images, retain_graph=True)
            seen = moved[0].ne(0).any(0)
            rows, columns = (seen.any(axis).nonzero().flatten().tolist() for axis in (1, 0))
            self.boxes[place] = Box(rows[0], columns[0], rows[-1] + 1, columns[-1] + 1)
        return self.boxes[place]
