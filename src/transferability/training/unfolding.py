"""Unfolding: batch norm that was folded into the convolutions before it, as norms again that can be trained."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from transferability.networks.norms import folded_norms


@dataclass
class Moments:
    """The sums of the values that a norm gets, and of their squares, by channel."""

    count: int = 0
    total: Tensor | float = 0.0
    squares: Tensor | float = 0.0

    def __call__(self, norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Take in what a norm gets, as a hook before it."""
        values = inputs[0].double().transpose(0, 1).flatten(1)
        self.count += values.shape[1]
        self.total = self.total + values.sum(1)
        self.squares = self.squares + values.square().sum(1)

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and variance, by channel."""
        mean = torch.as_tensor(self.total / self.count)
        return mean, (self.squares / self.count - mean.square()).clamp(min=0)


@torch.no_grad()
def unfold(network: nn.Sequential, stages: Iterable[nn.Module], batches: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Let the folded norms of some stages of a network normalise, in place, without changing what the network gives.

    Each gets the mean and variance of what it is given for some `batches` of normalised images (n, C, H, W), whose
    labels are not looked at, and the scale and shift that undo them: in evaluation its values are the same to
    rounding, and the statistics of a batch in training are near them.
    """
    norms = [norm for stage in stages for norm in folded_norms(stage)]
    if not norms:
        return
    moments = {norm: Moments() for norm in norms}
    with watched(network, moments):
        for images, _ in batches:
            network(images.clone())
    for norm, seen in moments.items():
        set_statistics(norm, *seen.statistics())


@contextmanager
def watched(network: nn.Module, moments: dict[_BatchNorm, Moments]) -> Iterator[None]:
    """While the block runs a network evaluates, and what some norms get is summed; then modes are what they were."""
    modes = {module: module.training for module in network.modules()}
    hooks = [norm.register_forward_pre_hook(seen) for norm, seen in moments.items()]
    network.eval()
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes.items():
            module.training = mode


def set_statistics(norm: _BatchNorm, mean: Tensor, variance: Tensor) -> None:
    """Give a folded norm a mean and a variance, and the scale and shift with which it gives what it gave."""
    before, after = (1 + norm.eps) ** 0.5, (variance + norm.eps).sqrt()
    scale = norm.weight.double()
    norm.bias.copy_(norm.bias.double() + scale * mean / before)
    norm.weight.copy_(scale * after / before)
    norm.get_buffer("running_mean").copy_(mean)
    norm.get_buffer("running_var").copy_(variance)
