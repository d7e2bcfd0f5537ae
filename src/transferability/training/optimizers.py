"""Solvers: how a network's weights follow their gradients, step by step."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd


@dataclass(frozen=True)
class Schedule:
    """SGD with momentum; the rate rises in a line over `warmup` steps, then falls as `decay` says.

    By a "cosine" to 0, or in stairs, {"every": steps, "factor": f}: it is multiplied by f after every so many steps
    since the warm-up. A fixed number of steps, whatever the treatment and the volume of data. The biases of
    convolutions and linear layers learn at `bias_rate` times the rate. Weight decay spares them, and what batch norm
    learns. The networks are validated `validations` times, evenly spaced, the last time at the end. The `precision` of
    a step's products is "fp32" or "bf16"; weights, sums and validations are fp32 in both.
    """

    steps: int
    batch_size: int
    learning_rate: float
    warmup: int
    decay: str | dict[str, float]
    momentum: float
    nesterov: bool
    weight_decay: float
    bias_rate: float
    validations: int
    precision: str

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        if self.decay != "cosine":
            return self.learning_rate * self.decay["factor"] ** ((step - self.warmup) // self.decay["every"])
        progress = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.learning_rate * (1 + math.cos(math.pi * progress)) / 2

    def validation_steps(self) -> list[int]:
        """The numbers of steps after which the networks are validated."""
        return sorted({self.steps * i // self.validations for i in range(1, self.validations + 1)} - {0})


@dataclass(frozen=True)
class Group:
    """Parameters that learn by one rule: float tensors with a velocity each, their weight decay, and the factor on
    the learning rate."""

    parameters: list[nn.Parameter]
    velocities: list[Tensor]
    weight_decay: float
    rate: float


def learning_groups(network: nn.Sequential, schedule: Schedule) -> list[Group]:
    """What of a network is not frozen: weights, which decay; biases, at their own rate; what batch norm learns.

    A bias is one of a convolution or a linear layer. Batch norm's own shift is none: it learns as its scale does.
    """
    weights, biases, norms = [], [], []
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            if not isinstance(module, nn.Conv2d | nn.Linear):
                norms.append(parameter)
            elif name == "bias":
                biases.append(parameter)
            else:
                weights.append(parameter)
    return [
        Group(parameters, [torch.zeros_like(parameter) for parameter in parameters], decay, rate)
        for parameters, decay, rate in (
            (weights, schedule.weight_decay, 1.0),
            (biases, 0.0, schedule.bias_rate),
            (norms, 0.0, 1.0),
        )
        if parameters
    ]


@torch.no_grad()
def descend(groups: list[Group], rate: float, momentum: float, nesterov: bool) -> None:
    """One step of SGD with momentum, in place; spends the gradients."""
    for group in groups:
        # torch.optim.SGD is this function and a second of imports. In the original's solver, Caffe's, the rate is
        # inside the velocity: after a fall to a tenth the old pace lasts some 20 steps longer, of 100,000.
        sgd(
            group.parameters,
            [parameter.grad for parameter in group.parameters],
            group.velocities,
            fused=True,
            weight_decay=group.weight_decay,
            momentum=momentum,
            lr=rate * group.rate,
            dampening=0.0,
            nesterov=nesterov and momentum > 0,
            maximize=False,
        )
        for parameter in group.parameters:
            parameter.grad = None
