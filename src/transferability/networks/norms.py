"""Norms: the batch norms of a network, and those that were folded into the convolutions before them."""

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def batch_norms(part: nn.Module) -> list[_BatchNorm]:
    """The batch norms of a part of a network."""
    return [module for module in part.modules() if isinstance(module, _BatchNorm)]


def is_folded(norm: _BatchNorm) -> bool:
    """Whether a norm has the statistics of a new one, means of 0 and variances of 1.

    In weights that were trained this is so where a tool for deployment has folded the norm into the convolution before
    it: what is left adds a bias, and the statistics of a batch would undo what the convolution has taken over.
    """
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        return False
    return torch.equal(mean, torch.zeros_like(mean)) and torch.equal(variance, torch.ones_like(variance))


def folded_norms(part: nn.Module) -> list[_BatchNorm]:
    """The batch norms of a part of a network that were folded."""
    return [norm for norm in batch_norms(part) if is_folded(norm)]
