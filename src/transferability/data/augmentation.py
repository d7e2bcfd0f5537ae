"""Augmentation: what is done to training images, each time anew."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Augmentation:
    """Shift by up to `padding` pixels (zeros come in from outside), and mirror half of the images if `flip`.

    With a `crop`, networks see a square of that side, anywhere in the padded image; otherwise the whole image.
    """

    padding: int
    flip: bool
    crop: int | None = None


def augment(images: Tensor, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
    """Shift, crop and mirror a batch, uint8 (n, C, H, W), each image by its own draw from a generator on the CPU.

    Images that are cropped are squares.
    """
    count, _, height, width = images.shape
    crop, padding = augmentation.crop, augmentation.padding
    places = 2 * padding + 1 + (height - crop if crop else 0)
    rows, columns = torch.randint(0, places, (2, count), generator=generator).to(images.device)
    mirrored = (torch.rand(count, generator=generator) < 0.5).to(images.device)
    padded = functional.pad(images, [padding] * 4) if padding else images
    windows = padded.unfold(2, crop or height, 1).unfold(3, crop or width, 1)
    seen = windows[torch.arange(count, device=images.device), :, rows, columns]
    return torch.where(mirrored[:, None, None, None], seen.flip(3), seen) if augmentation.flip else seen
