"""Losses: what a network minimises, and by what it is validated, on a task of one label an image or of several."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from transferability.data.tasks import DIFFICULT, MULTI, SINGLE
from transferability.training.precision import mean_average_precision


def binary_cross_entropy(logits: Tensor, labels: Tensor, reduction: str = "mean") -> Tensor:
    """The cross-entropy of logits (n, classes) and labels (n, classes) of 1, 0 or DIFFICULT, which costs nothing.

    In nats; summed over classes, so that a logit learns as fast as by softmax, and over images, or their mean.
    """
    each = functional.binary_cross_entropy_with_logits(logits, labels.clamp(min=0).to(logits.dtype), reduction="none")
    by_image = (each * (labels != DIFFICULT)).sum(dim=1)
    return by_image.mean() if reduction == "mean" else by_image.sum()


class Tally(Protocol):
    """Adds up how a network does on the images of a part, chunk by chunk."""

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Take a chunk: logits (n, classes) and labels."""

    def result(self) -> tuple[float, float]:
        """The mean loss of an image, and the share by which networks are validated."""


@dataclass
class Hits:
    """Mean loss and top-1 accuracy, of images of one label each."""

    loss: float = 0.0
    right: int = 0
    count: int = 0

    def add(self, logits: Tensor, labels: Tensor) -> None:
        self.count += len(labels)
        self.loss += functional.cross_entropy(logits, labels, reduction="sum").item()
        self.right += int((logits.argmax(1) == labels).sum())

    def result(self) -> tuple[float, float]:
        return self.loss / self.count, self.right / self.count


@dataclass
class Rankings:
    """Mean loss and mean average precision, of images of several labels."""

    loss: float = 0.0
    logits: list[Tensor] = field(default_factory=list)
    labels: list[Tensor] = field(default_factory=list)

    def add(self, logits: Tensor, labels: Tensor) -> None:
        self.loss += binary_cross_entropy(logits, labels, reduction="sum").item()
        self.logits.append(logits.float().cpu())
        self.labels.append(labels.cpu())

    def result(self) -> tuple[float, float]:
        labels = torch.cat(self.labels).numpy()
        scores = torch.cat(self.logits).double().numpy()
        return self.loss / len(labels), mean_average_precision(scores, labels)


@dataclass(frozen=True)
class Objective:
    """What training is for: the loss of a batch of logits and labels, and what tells on validation how far it is."""

    loss: Callable[[Tensor, Tensor], Tensor]
    tally: Callable[[], Tally]


OBJECTIVES = {
    SINGLE: Objective(functional.cross_entropy, Hits),
    MULTI: Objective(binary_cross_entropy, Rankings),
}
"""The objective of each kind of task."""
