"""Dropout whose masks can be drawn again."""

import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """Dropout whose masks come from a generator that its user sets, so that they can be drawn again.

    Without a generator torch's default one is used.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability
        self.generator: torch.Generator | None = None

    def forward(self, activations: Tensor) -> Tensor:
        if not self.training or self.probability == 0:
            return activations
        kept = torch.empty_like(activations).bernoulli_(1 - self.probability, generator=self.generator)
        return activations * kept / (1 - self.probability)

    def extra_repr(self) -> str:
        return f"{self.probability}"
