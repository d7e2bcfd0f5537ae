"""Adaptation layers: fully connected layers on the features of patches, which tell a task's classes and background."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from transferability.data.patching import Patching

WEIGHT_DECAY = 0.01


@dataclass(frozen=True)
class Adaptation(Patching):
    """Adaptation layers, and the patches that they learn from and are read on.

    `hidden` units of each layer below the last. They learn for so many `steps`, each of `batch_size` patches, at a
    `learning_rate` that falls to 0.
    """

    classifier: str = "patches"
    hidden: tuple[int, ...] = (2048,)
    steps: int = 1000
    batch_size: int = 128
    learning_rate: float = 0.001


@dataclass(frozen=True)
class Layers:
    """What has learnt: how features are brought to mean 0 and deviation 1, and the layers on them."""

    mean: Tensor
    deviation: Tensor
    stack: nn.Sequential

    @torch.no_grad()
    def logits(self, features: np.ndarray) -> Tensor:
        """What the last layer gives, float32 (P, K + 1), of features (P, D)."""
        return self.stack((torch.from_numpy(features) - self.mean) / self.deviation)

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """The probability of each class and, last, of background, float32 (P, K + 1), of features (P, D)."""
        return self.logits(features).softmax(dim=1).numpy()


def draw_layers(widths: list[int], generator: torch.Generator) -> nn.Sequential:
    """Layers of the given widths with ReLU between, their weights drawn as He et al. (2015) do."""
    stack = []
    for inputs, outputs in pairwise(widths):
        layer = nn.Linear(inputs, outputs)
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
        nn.init.zeros_(layer.bias)
        stack += [layer, nn.ReLU()]
    return nn.Sequential(*stack[:-1])


class Teaching(Protocol):
    """How layers learn: what `Adaptation` says of it."""

    @property
    def hidden(self) -> tuple[int, ...]: ...

    @property
    def steps(self) -> int: ...

    @property
    def batch_size(self) -> int: ...

    @property
    def learning_rate(self) -> float: ...

    @property
    def seed(self) -> int: ...


def learn_layers(adaptation: Teaching, features: np.ndarray, labels: np.ndarray, outputs: int) -> Layers:
    """Fit layers to features (P, D) of patches and their labels: classes (P,) below `outputs`, or shares (P, outputs)
    of each."""
    generator = torch.Generator().manual_seed(adaptation.seed)
    values, truth = torch.from_numpy(np.asarray(features, np.float32)), torch.from_numpy(labels)
    mean, deviation = values.mean(dim=0), values.std(dim=0).clamp(min=1e-6)
    values = (values - mean) / deviation
    stack = draw_layers([values.shape[1], *adaptation.hidden, outputs], generator)
    optimizer = torch.optim.AdamW(stack.parameters(), lr=adaptation.learning_rate, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, adaptation.steps)
    for _ in range(adaptation.steps):
        chosen = torch.randint(len(values), (adaptation.batch_size,), generator=generator)
        loss = functional.cross_entropy(stack(values[chosen]), truth[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return Layers(mean, deviation, stack)
