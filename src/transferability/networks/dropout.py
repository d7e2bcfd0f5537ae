"""Dropout and stochastic depth whose masks can be drawn again."""

from typing import Any

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

    @property
    def p(self) -> float:
        """The probability, as torch's own dropout names it: attention reads it there."""
        return self.probability

    def forward(self, activations: Tensor) -> Tensor:
        if not self.training or self.probability == 0:
            return activations
        kept = torch.empty_like(activations).bernoulli_(1 - self.probability, generator=self.generator)
        return activations * kept / (1 - self.probability)

    def extra_repr(self) -> str:
        return f"{self.probability}"


class StochasticDepth(Dropout):
    """Dropout of whole images' activations (n, ...): what a residual branch adds, it adds to some images only.

    Huang et al. (2016), as torchvision's StochasticDepth by rows and timm's DropPath: what is kept is divided by the
    share that is, unless it is not `scaled`.
    """

    def __init__(self, probability: float, scaled: bool = True) -> None:
        super().__init__(probability)
        self.scaled = scaled

    def forward(self, activations: Tensor) -> Tensor:
        if not self.training or self.probability == 0:
            return activations
        share = 1 - self.probability
        images = activations.new_empty(len(activations), *[1] * (activations.ndim - 1))
        kept = images.bernoulli_(share, generator=self.generator)
        return activations * (kept / share if self.scaled and share > 0 else kept)


def random_modules(network: nn.Module) -> list[tuple[str, Any]]:
    """The modules of a network that draw random numbers in training, with their names in it: each has a generator."""
    return [(name, module) for name, module in network.named_modules() if hasattr(module, "generator")]
