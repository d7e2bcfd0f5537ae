"""Treatments: how a freshly drawn network becomes the start of a base, selffer, transfer, random or pretrained one."""

import torch
from torch import Tensor, nn

from transferability.errors import InputError
from transferability.networks.dropout import random_modules
from transferability.networks.notation import Network, check_depth


def copy_stages(source: dict[str, Tensor], target: nn.Sequential, stages: int) -> None:
    """Copy the first `stages` stages' parameters and buffers into `target`, in place.

    `source` is the state of a whole network. Names and shapes must agree; every one that does not is listed in
    the InputError, and then nothing has been copied.
    """
    wanted = target[:stages].state_dict()
    prefixes = tuple(f"{name}." for name, _ in target[:stages].named_children())
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


def freeze(part: nn.Module, dropout: bool) -> None:
    """Freeze a part of a network, parameters and buffers.

    Batch norm in it uses its stored statistics and leaves them alone. Dropout and stochastic depth in it stay on if
    `dropout` is true, as dropout does in the original study (n = 6, 7).
    """
    part.eval().requires_grad_(False)
    for _, module in random_modules(part) if dropout else ():
        module.train()


def freeze_stages(network: nn.Sequential, stages: int, dropout: bool) -> None:
    """Put a network in training mode with its first `stages` stages frozen, as `freeze` does."""
    network.train()
    freeze(network[:stages], dropout)


def prepare_network(
    identity: Network, network: nn.Sequential, source: dict[str, Tensor] | None, frozen_dropout: bool
) -> None:
    """Turn a freshly drawn network into the start of `identity`, in place: its copied stages, and its frozen ones.

    `source` is the state of the source's network; None for base and random networks, which copy nothing.
    """
    check_depth(identity, len(network))
    if (source is None) != (identity.copied == 0):
        raise InputError(f"{identity.name} {'needs a' if source is None else 'copies nothing, but was given a'} source")
    if source is not None:
        copy_stages(source, network, identity.copied)
    freeze_stages(network, identity.frozen, frozen_dropout)


def stage_names(network: nn.Sequential) -> tuple[str, ...]:
    """The names of a network's stages."""
    return tuple(name for name, _ in network.named_children())
