"""Unfolding: batch norm that was folded into the convolutions before it, as norms again that can be trained."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from transferability.networks.norms import folded_norms

LENGTH = 2**0.5
"""The least length of a filter: that with which He et al. (2015) draw one for a ReLU, whatever its size."""
DEAD = 1e-3
"""The length up to which a filter is left as it is."""

Layer = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear


@dataclass
class Moments:
    """The sums of the values that a norm gets, and of their squares, by channel; and the layer that gives them."""

    count: int = 0
    total: Tensor | float = 0.0
    squares: Tensor | float = 0.0
    layer: Layer | None = None

    def add(self, values: Tensor, layer: Layer | None) -> None:
        """Take in what a norm gets from a layer, (N, C, ...)."""
        channels = values.double().transpose(0, 1).flatten(1)
        self.count += channels.shape[1]
        self.total = self.total + channels.sum(1)
        self.squares = self.squares + channels.square().sum(1)
        self.layer = layer

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and variance, by channel."""
        mean = torch.as_tensor(self.total / self.count)
        return mean, (self.squares / self.count - mean.square()).clamp(min=0)


@torch.no_grad()
def unfold(network: nn.Sequential, stages: Iterable[nn.Module], batches: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Let the folded norms of some stages of a network normalise, in place, without changing what the network gives.

    Each gets the mean and variance of what it is given for some `batches` of normalised images (n, C, H, W), whose
    labels are not looked at, and the scale and shift that undo them: in evaluation its values are the same to
    rounding, and the statistics of a batch in training are near them. The filters that give it its values, which took
    over its scale, get the length that they are drawn with: the shorter a filter below a norm, the larger is a step.
    """
    learning = list(stages)
    norms = [norm for stage in learning for norm in folded_norms(stage)]
    if not norms:
        return
    moments = {norm: Moments() for norm in norms}
    with watched(network, moments):
        for images, _ in batches:
            network(images.clone())
    within = {module for stage in learning for module in stage.modules()}
    fed = Counter(seen.layer for seen in moments.values())
    for norm, seen in moments.items():
        mean, variance = seen.statistics()
        if seen.layer in within and fed[seen.layer] == 1:
            factor = lengthen(seen.layer)
            set_statistics(norm, mean * factor, variance * factor.square(), factor)
        else:
            set_statistics(norm, mean, variance, torch.ones_like(mean))


@contextmanager
def watched(network: nn.Module, moments: dict[_BatchNorm, Moments]) -> Iterator[None]:
    """While the block runs a network evaluates, and what some norms get is summed; then modes are what they were."""
    modes = {module: module.training for module in network.modules()}
    latest: list[tuple[Layer, Tensor]] = []

    def gave(layer: Layer, _: object, output: Tensor) -> None:
        latest[:] = [(layer, output)]

    def gets(norm: _BatchNorm, inputs: tuple[Tensor, ...]) -> None:
        moments[norm].add(inputs[0], next((layer for layer, output in latest if output is inputs[0]), None))

    hooks = [module.register_forward_hook(gave) for module in modes if isinstance(module, Layer)]
    hooks += [norm.register_forward_pre_hook(gets) for norm in moments]
    network.eval()
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes.items():
            module.training = mode


def lengthen(layer: Layer) -> Tensor:
    """Lengthen a layer's filters to LENGTH, in place; gives the factor of each channel, 1 or more, float64 (C,)."""
    lengths = layer.weight.double().flatten(1).norm(dim=1)
    factor = torch.where(lengths > DEAD, (LENGTH / lengths).clamp(min=1), 1.0)
    layer.weight.mul_(factor.view(-1, *[1] * (layer.weight.ndim - 1)))
    if layer.bias is not None:
        layer.bias.mul_(factor)
    return factor


def set_statistics(norm: _BatchNorm, mean: Tensor, variance: Tensor, factor: Tensor) -> None:
    """Give a folded norm a mean and a variance, and the scale and shift with which it gives what it gave.

    What it is given has been multiplied by `factor` since, by channel.
    """
    before, after = (1 + norm.eps) ** 0.5, (variance + norm.eps).sqrt()
    scale = norm.weight.double() / factor
    norm.bias.copy_(norm.bias.double() + scale * mean / before)
    norm.weight.copy_(scale * after / before)
    norm.get_buffer("running_mean").copy_(mean)
    norm.get_buffer("running_var").copy_(variance)
