"""Batches: a task's images as tensors, from memory, or read while the batch before is being computed.

Images that fit in memory are an array; others are read when they are asked for (`tasks.Images`).
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from transferability.data.packed import Images
from transferability.errors import InputError

CHUNK = 500
"""Images at a time where nothing is learned from them; sums over a set of images depend on it."""


def hold(images: Images, device: torch.device) -> Tensor | Images:
    """Images in memory as a tensor on the device; stored ones stay where they are."""
    return torch.from_numpy(images).to(device) if isinstance(images, np.ndarray) else images


def fetch(images: Tensor | Images, choices: Iterable[Tensor], device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """For each choice, int64 (n,): the choice and its images, uint8 (n, C, H, W), both on the device.

    Stored images are read in a thread, one choice ahead.
    """
    if isinstance(images, Tensor):
        for chosen in choices:
            chosen = chosen.to(device)
            yield chosen, images[chosen]
        return
    with ThreadPoolExecutor(1) as reader:
        ahead = None
        for chosen in choices:
            current, ahead = ahead, (chosen, reader.submit(images.__getitem__, chosen.numpy()))
            if current is not None:
                yield current[0].to(device), torch.from_numpy(current[1].result()).to(device)
        if ahead is not None:
            yield ahead[0].to(device), torch.from_numpy(ahead[1].result()).to(device)


def in_order(images: Tensor | Images, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """All images in their order, CHUNK at a time, as `fetch` gives them."""
    return fetch(images, torch.arange(len(images)).split(CHUNK), device)


def cropped_shape(stored: tuple[int, ...], crop: int | None) -> tuple[int, int, int]:
    """The shape (C, H, W) of images as networks see them, from that of the stored ones and the crop's side, if any."""
    channels, height, width = stored
    if crop is None:
        return channels, height, width
    if crop > min(height, width):
        raise InputError(
            f"datasets.*.augmentation.crop is {crop}, more than the {min(height, width)} pixels of the stored images; "
            "lower it, or raise datasets.*.images.size"
        )
    return channels, crop, crop


def centre(images: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """The central part of images (n, C, H, W) that has the `shape` (C, H, W) which a network sees; a view."""
    top, left = (images.shape[2] - shape[1]) // 2, (images.shape[3] - shape[2]) // 2
    return images[:, :, top : top + shape[1], left : left + shape[2]]


def normalise(images: Tensor, mean: list[float], std: list[float], channels: str = "rgb") -> Tensor:
    """Images as the networks see them: uint8 (n, C, H, W) → float (n, C, H, W), mean 0 and deviation 1, laid out with
    the channels last.

    Stored colours are red, green, blue; with `channels` "bgr" they are turned round first, and `mean` and `std` are
    in the order of the turned ones.
    """
    centre = torch.tensor(mean, device=images.device).view(-1, 1, 1)
    spread = torch.tensor(std, device=images.device).view(-1, 1, 1)
    ordered = images.flip(1) if channels == "bgr" else images
    normalised = (ordered.float() / 255 - centre) / spread
    return normalised.contiguous(memory_format=torch.channels_last)
