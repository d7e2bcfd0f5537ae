"""Invariance: how far the features of a cut move as images are shifted, enlarged and turned (Zeiler and Fergus 2013,
Figure 5).

A distance is Euclidean, between all values that a cut gives for an image and for the changed one, as a share of the
mean distance between the features of two different images: 1 is another image altogether.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from transferability.evaluation.views import WHOLE, View

SHIFTS = (0.025, 0.05, 0.1, 0.2, 0.3)
"""To the right, as shares of the image's side; what comes in is the image's reflection."""
SCALES = (1.1, 1.2, 1.4, 1.6, 2.0)
"""By how much the image's middle is enlarged."""
TURNS = (5.0, 15.0, 45.0, 90.0, 180.0)
"""Degrees to the left."""

CHANGES: dict[str, dict[float, View]] = {
    "shift": {amount: View("shifted", centre=(-2 * amount, 0.0)) for amount in SHIFTS},
    "scale": {amount: View("enlarged", side=1 / amount) for amount in SCALES},
    "rotation": {amount: View("turned", degrees=amount) for amount in TURNS},
}
UNCHANGED = {"shift": 0.0, "scale": 1.0, "rotation": 0.0}
"""The amount of each change that leaves an image as it is."""


@torch.no_grad()
def flat_features(network: nn.Sequential, images: Tensor, cuts: Sequence[int]) -> dict[int, Tensor]:
    """All values at each cut, float (N, values)."""
    values, activations = {}, images
    for n, stage in enumerate(network, start=1):
        if n > max(cuts):
            break
        activations = stage(activations)
        if n in cuts:
            values[n] = activations.flatten(1).float().clone()
    return values


def distances(network: nn.Sequential, images: Tensor, cuts: Sequence[int]) -> Iterator[tuple[int, str, float, float]]:
    """For each change, amount and cut the mean distance over normalised images (N, C, H, W), of two or more; a cut
    that gives the same for all images has none. Yields cut, change, amount, distance."""
    original = flat_features(network, WHOLE(images), cuts)
    between = {n: (values - values.roll(1, 0)).norm(dim=1).mean() for n, values in original.items()}
    for change, views in CHANGES.items():
        for n in cuts:
            if between[n] > 0:
                yield n, change, UNCHANGED[change], 0.0
        for amount, view in views.items():
            moved = flat_features(network, view(images), cuts)
            for n in cuts:
                if between[n] > 0:
                    yield n, change, amount, float((moved[n] - original[n]).norm(dim=1).mean() / between[n])
