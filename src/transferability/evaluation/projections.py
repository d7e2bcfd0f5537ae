"""Projections: what in an image a unit answers to.

Through chains of convolution, ReLU and max pooling by a deconvnet (Zeiler and Fergus 2013): the unit's value goes back
through the filters transposed, to where the maxima were, and is rectified where the way up was. Through any other
network by occlusion: how far the unit's value falls where a grey square covers the image.
"""

import copy

import torch
from torch import Tensor, nn

from transferability.evaluation.fields import Box, Place, replace_modules
from transferability.networks.dropout import Dropout

CHAIN = (nn.Conv2d, nn.ReLU, nn.MaxPool2d, nn.BatchNorm2d, nn.BatchNorm1d, nn.Flatten, nn.Linear, Dropout, nn.Identity)
"""What a deconvnet goes back through. A norm in evaluation mode is part of the convolution before it, and a linear
layer is a convolution over the whole map."""

SHARE, STEPS = 4, 2
"""A square's side is a quarter of the field's, and it moves by half of its side."""

BATCH = 64


def not_a_chain(stages: nn.Sequential) -> str | None:
    """Why there is no deconvnet through some stages: the first module that it cannot go through; None if there is."""
    for name, stage in stages.named_children():
        for module in stage.modules():
            inner = isinstance(module, nn.Sequential)
            if not inner and type(module) not in CHAIN:
                return f"{name} has a {type(module).__name__}, which a deconvnet cannot go back through"
    return None


class Rectified(torch.autograd.Function):
    """ReLU, whose way back is a ReLU too, whatever the way up was."""

    @staticmethod
    def forward(context, activations: Tensor) -> Tensor:
        return activations.clamp(min=0)

    @staticmethod
    def backward(context, signal: Tensor) -> Tensor:
        return signal.clamp(min=0)


class DeconvReLU(nn.Module):
    def forward(self, activations: Tensor) -> Tensor:
        return Rectified.apply(activations)


class Deconvnet:
    """Ways back from the units of some stages to an image; a max pooling's gradient is its unpooling by switches."""

    def __init__(self, stages: nn.Sequential) -> None:
        self.stages = copy.deepcopy(stages).eval().requires_grad_(False)
        replace_modules(self.stages, nn.ReLU, lambda _: DeconvReLU())

    def __call__(self, image: Tensor, place: Place) -> Tensor:
        """What of a normalised image (C, H, W) a unit answers to, of the image's shape, in its units."""
        seen = image[None].clone().requires_grad_()
        value = self.stages(seen)[0][place]
        (back,) = torch.autograd.grad(value, seen, grad_outputs=value.detach())
        return back[0]


def starts(low: int, high: int, side: int) -> list[int]:
    """Where squares of a side start between two bounds, the last at the end."""
    return sorted({*range(low, high - side + 1, max(1, side // STEPS)), high - side})


@torch.no_grad()
def occlusion(stages: nn.Sequential, image: Tensor, place: Place, box: Box) -> Tensor:
    """How far a unit's value falls, as a share of it, where grey squares cover its field in a normalised image
    (C, H, W): float (H, W), the mean over the squares that cover a pixel; 0 outside the field.

    Grey is 0, the mean of the data's pixels.
    """
    side = max(1, round(min(box.height, box.width) / SHARE))
    corners = [(y, x) for y in starts(box.top, box.bottom, side) for x in starts(box.left, box.right, side)]
    whole = stages(image[None])[0][place]
    falls, covers = (torch.zeros(image.shape[1:], device=image.device) for _ in range(2))
    for start in range(0, len(corners), BATCH):
        chunk = corners[start : start + BATCH]
        covered = image.repeat(len(chunk), 1, 1, 1)
        for copied, (y, x) in zip(covered, chunk, strict=True):
            copied[:, y : y + side, x : x + side] = 0
        values = stages(covered.contiguous(memory_format=torch.channels_last))
        for answer, (y, x) in zip(values, chunk, strict=True):
            falls[y : y + side, x : x + side] += (whole - answer[place]) / whole.abs().clamp(min=1e-12)
            covers[y : y + side, x : x + side] += 1
    return falls / covers.clamp(min=1)
