"""Batch norm: whose statistics it uses in the stages below the cut."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from transferability.errors import InputError
from transferability.networks.norms import batch_norms, folded_norms


@torch.no_grad()
def re_estimate(part: nn.Sequential, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Replace the statistics of the batch norms of a network's first stages, in place, by those of some batches.

    `batches` are normalised images (n, C, H, W) and labels, of which the labels are not looked at; each counts the
    same. In a batch each norm uses the batch's own statistics, and dropout is off, as Li et al. (2017, AdaBN) do.
    """
    norms = batch_norms(part)
    if not norms:
        raise InputError("recipes: there is no batch norm in the stages below the cut; leave out batch_norm")
    with measuring(part, norms):
        for images, _ in batches:
            part(images.clone())


def refuse_other_statistics(part: nn.Module) -> None:
    """Refuse to give pretrained stages other statistics where batch norm was folded."""
    if folded_norms(part):
        raise InputError(
            "recipes: batch norm is folded into the convolutions of the stages below the cut, so that other statistics "
            "would make other networks of them; leave out batch_norm"
        )


@contextmanager
def measuring(part: nn.Module, norms: list[_BatchNorm]) -> Iterator[None]:
    """While the block runs, norms take the mean of what the batches give; then modes are what they were."""
    modes = {module: module.training for module in part.modules()}
    momenta = [norm.momentum for norm in norms]
    part.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.train()
        norm.momentum = None
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module, mode in modes.items():
            module.training = mode
