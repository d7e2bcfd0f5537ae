"""Draws: the random numbers of training, each a function of the seed, the target's classes and its purpose."""

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor


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
