"""Draws: the random numbers of training, each a function of the seed, the target's classes and its purpose."""

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Draws:
    """The random numbers of all networks of one target and seed, each a function of its purpose."""

    seed: int
    classes: tuple[str, ...]

    def key(self, *purpose: str | int) -> int:
        """A seed for torch's generators from what it is for: 63 bits, of which those on the CPU use the last 32."""
        text = json.dumps([self.seed, self.classes, purpose])
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1

    def generator(self, *purpose: str | int) -> torch.Generator:
        """A generator on the CPU, seeded for one purpose."""
        return torch.Generator().manual_seed(self.key(*purpose))

    @lru_cache(maxsize=4)  # noqa: B019 (a handful of these exist, for the length of a job)
    def epoch(self, number: int, images: int) -> Tensor:
        """The order of an epoch: a permutation of the training images, int64 (images,)."""
        return torch.randperm(images, generator=self.generator("epoch", number))

    def batch(self, step: int, size: int, images: int) -> Tensor:
        """The training images of a step, int64 (size,): a window on epochs laid end to end."""
        start = step * size
        epochs = range(start // images, (start + size - 1) // images + 1)
        return torch.cat(
            [
                self.epoch(number, images)[max(0, start - number * images) : start + size - number * images]
                for number in epochs
            ]
        )


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
