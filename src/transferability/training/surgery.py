"""Surgical fine-tuning: which of the copied stages is to learn, by how large its gradient is beside its weights."""

from itertools import islice

import torch
from torch import nn

from transferability.training.setup import Setup

BATCHES = 10
"""The gradient is that of the mean loss over the first batches of training, at most so many."""


def relative_gradients(network: nn.Sequential, copied: int, setup: Setup) -> list[float]:
    """The norm of the gradient of each of a network's first stages as a share of that of its weights, 0 without any.

    Of the loss on the first batches, with the network as it is in evaluation: batch norm keeps its statistics. The
    relative gradient norm by which Lee et al. (2023) choose what to tune. The network stays as it was.
    """
    learnt = [parameter.requires_grad for parameter in network.parameters()]
    modes = {module: module.training for module in network.modules()}
    network.eval().requires_grad_(True)
    for images, labels in islice(setup.training_batches(0), BATCHES):
        setup.objective.loss(network(images.clone()), labels).backward()
    shares = [relative_gradient(stage) for stage in network[:copied]]
    network.zero_grad(set_to_none=True)
    for parameter, learns in zip(network.parameters(), learnt, strict=True):
        parameter.requires_grad_(learns)
    for module, mode in modes.items():
        module.training = mode
    return shares


def relative_gradient(stage: nn.Module) -> float:
    """The norm of a stage's gradient divided by that of its weights; 0 where it has no weights."""
    weights = list(stage.parameters())
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    if not gradients:
        return 0.0
    return float(torch.nn.utils.get_total_norm(gradients) / torch.nn.utils.get_total_norm(weights).detach())


def steepest_stage(network: nn.Sequential, copied: int, setup: Setup) -> str:
    """The name of the copied stage whose gradient is largest beside its weights; of equal ones the lowest."""
    network.to(setup.device)
    shares = relative_gradients(network, copied, setup)
    names = [name for name, _ in network.named_children()]
    return names[max(range(copied), key=lambda number: shares[number])]
