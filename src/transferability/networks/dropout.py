"""Dropout and stochastic depth whose masks can be drawn again.

A module that draws random numbers in training has an attribute `generator`, which its user sets; where it is None,
torch's default generator is used.
"""

import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """Zeroes each value with a probability in training, and scales the others so that the mean stays."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability
        self.generator: torch.Generator | None = None

    def mask(self, activations: Tensor) -> Tensor:
        """An empty tensor for the mask, which is broadcast over the activations."""
        return torch.empty_like(activations)

    def forward(self, activations: Tensor) -> Tensor:
        if not self.training or self.probability == 0:
            return activations
        kept = self.mask(activations).bernoulli_(1 - self.probability, generator=self.generator)
        return activations * kept / (1 - self.probability)

    def extra_repr(self) -> str:
        return f"{self.probability}"


class StochasticDepth(Dropout):
    """Zeroes a residual branch as a whole (Huang et al. 2016): each image's by its own draw, or in the mode "batch"
    those of all images by one."""

    def __init__(self, probability: float, mode: str = "row") -> None:
        super().__init__(probability)
        self.mode = mode

    def mask(self, activations: Tensor) -> Tensor:
        images = len(activations) if self.mode == "row" else 1
        return activations.new_empty(images, *[1] * (activations.dim() - 1))

    def extra_repr(self) -> str:
        return f"{self.probability}, {self.mode}"


def random_modules(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """The modules of a network that draw random numbers in training, with their names in it."""
    return [(name, module) for name, module in network.named_modules() if hasattr(module, "generator")]
