"""Treatments: how a freshly drawn network becomes the start of a base, selffer, transfer, random or preserved one."""

import torch
from torch import Tensor, nn

from transferability.errors import InputError
from transferability.networks.alexnet import Dropout
from transferability.networks.notation import RANDOM, Network


def copy_layers(source: dict[str, Tensor], target: nn.Sequential, layers: int) -> None:
    """Copy the first `layers` layers' parameters and buffers into `target`, in place.

    `source` is the state of a whole network. Names and shapes must agree; every one that does not is listed in
    the InputError, and then nothing has been copied.
    """
    wanted = target[:layers].state_dict()
    prefixes = tuple(f"{name}." for name, _ in target[:layers].named_children())
    given = {name: tensor for name, tensor in source.items() if name.startswith(prefixes)}
    problems = [f"{name} is missing" for name in wanted.keys() - given.keys()]
    problems += [f"{name} is not in the target" for name in given.keys() - wanted.keys()]
    problems += [
        f"{name} is {tuple(given[name].shape)}, the target's {tuple(wanted[name].shape)}"
        for name in wanted.keys() & given.keys()
        if given[name].shape != wanted[name].shape
    ]
    if problems:
        raise InputError(f"the source is of another architecture: {'; '.join(sorted(problems))}")
    with torch.no_grad():
        for name, tensor in wanted.items():
            tensor.copy_(given[name])


def freeze_layers(network: nn.Sequential, layers: int, dropout: bool) -> None:
    """Put a network in training mode with its first `layers` layers frozen, parameters and buffers.

    Batch norm in a frozen layer uses its stored statistics and leaves them alone. Dropout in a frozen layer stays
    on if `dropout` is true, as in the original study (n = 6, 7).
    """
    network.train()
    for module in network[:layers].modules():
        if not (isinstance(module, Dropout) and dropout):
            module.training = False
    for parameter in network[:layers].parameters():
        parameter.requires_grad_(False)


def frozen_layers(network: nn.Sequential) -> int:
    """How many layers of a network are frozen, from the first one on."""
    for number, layer in enumerate(network):
        if any(parameter.requires_grad for parameter in layer.parameters()):
            return number
    return len(network)


def prepare_network(
    identity: Network, network: nn.Sequential, source: dict[str, Tensor] | None, frozen_dropout: bool
) -> int:
    """Turn a freshly drawn network into the start of `identity`, in place; returns how many layers are frozen.

    `source` is the state of the source's base network; None for base and random networks, which copy nothing.
    """
    if (source is None) != (identity.source in (None, RANDOM)):
        raise InputError(f"{identity.name} {'needs a' if source is None else 'copies nothing, but was given a'} source")
    if source is not None:
        copy_layers(source, network, identity.n + identity.preserved)
    frozen = 0 if identity.fine_tune else identity.n
    freeze_layers(network, frozen, frozen_dropout)
    return frozen
