"""Setup: what all networks of a training job have in common."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from transferability.data.augmentation import Augmentation, augment
from transferability.data.batches import centre, cropped_shape, fetch, hold, in_order, normalise
from transferability.data.packed import Images
from transferability.data.tasks import Task
from transferability.training.losses import OBJECTIVES, Objective
from transferability.training.optimizers import Schedule
from transferability.training.randomness import Draws


@dataclass(frozen=True)
class Setup:
    """The task with its images, how they are changed and shown, and how networks are trained on them.

    `task` has the mean and deviation by which images are normalised, and `channels` is the order of their colours:
    those of pretrained weights, where the architecture has some.
    """

    task: Task
    schedule: Schedule
    augmentation: Augmentation
    draws: Draws
    device: torch.device
    channels: str = "rgb"

    @property
    def objective(self) -> Objective:
        """What the networks minimise, and by what they are validated."""
        return OBJECTIVES[self.task.kind]

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape (C, H, W) of images as the networks see them."""
        return cropped_shape(next(iter(self.task.images.values())).shape[1:], self.augmentation.crop)

    @cached_property
    def images(self) -> dict[str, Tensor | Images]:
        """The images of each part, uint8 (n, C, H, W), on the device where they are in memory."""
        return {part: hold(stored, self.device) for part, stored in self.task.images.items()}

    @cached_property
    def labels(self) -> dict[str, Tensor]:
        """The labels of each part, as the task has them, on the device."""
        return {part: torch.from_numpy(labels).to(self.device) for part, labels in self.task.labels.items()}

    def lower_precision(self) -> AbstractContextManager:
        """The context in which the products of a step are of the schedule's precision."""
        lower = self.schedule.precision == "bf16"
        return torch.autocast(self.device.type, torch.bfloat16) if lower else nullcontext()

    def training_batches(self, first: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The batch of each step from `first` on: images (n, C, H, W), drawn and augmented, normalised; and labels."""
        schedule, labels = self.schedule, self.labels["train"]
        choices = (self.draws.batch(step, schedule.batch_size, len(labels)) for step in range(first, schedule.steps))
        for step, (chosen, stored) in enumerate(fetch(self.images["train"], choices, self.device), start=first):
            augmented = augment(stored, self.augmentation, self.draws.generator("augmentation", step))
            yield self.normalised(augmented), labels[chosen]

    def batches_of(self, part: str) -> Iterable[tuple[Tensor, Tensor]]:
        """All images of a part in order, a chunk at a time, as the networks see them, with their labels."""
        for indices, chunk in in_order(self.images[part], self.device):
            yield self.normalised(centre(chunk, self.shape)), self.labels[part][indices]

    def normalised(self, images: Tensor) -> Tensor:
        """uint8 (n, C, H, W) → float (n, C, H, W), as the networks see them."""
        return normalise(images, self.task.mean, self.task.std, self.channels)
