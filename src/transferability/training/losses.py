"""Losses: what a network minimises, and by what it is validated, on a task of one label an image, of several, or of
patches."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from transferability.data.patches import DROPPED
from transferability.data.tasks import DIFFICULT, MULTI, PATCHES, SINGLE
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


@dataclass
class PatchRankings:
    """Mean loss of the patches that show one thing or nothing, and mean average precision of the images that all
    patches are of: an image's value for a class is here the mean of its patches' probabilities."""

    loss: float = 0.0
    count: int = 0
    shares: list[Tensor] = field(default_factory=list)
    labels: list[Tensor] = field(default_factory=list)

    def add(self, logits: Tensor, labels: Tensor) -> None:
        shown = labels[:, 0].long()
        sure = shown != DROPPED
        self.count += int(sure.sum())
        self.loss += functional.cross_entropy(logits[sure], shown[sure], reduction="sum").item()
        self.shares.append(logits.float().softmax(dim=1)[:, :-1].cpu())
        self.labels.append(labels[:, 1:].cpu())

    def result(self) -> tuple[float, float]:
        labels = torch.cat(self.labels)
        images = len(labels[:, 0].unique())
        scores = torch.cat(self.shares).double().unflatten(0, (images, -1)).mean(dim=1)
        truth = labels[:: len(labels) // images, 1:]
        return self.loss / max(self.count, 1), mean_average_precision(scores.numpy(), truth.numpy())


@dataclass(frozen=True)
class Objective:
    """What training is for: the loss of a batch of logits and labels, and what tells on validation how far it is."""

    loss: Callable[[Tensor, Tensor], Tensor]
    tally: Callable[[], Tally]


OBJECTIVES = {
    SINGLE: Objective(functional.cross_entropy, Hits),
    MULTI: Objective(binary_cross_entropy, Rankings),
    PATCHES: Objective(functional.cross_entropy, PatchRankings),
}
"""The objective of each kind of task."""
