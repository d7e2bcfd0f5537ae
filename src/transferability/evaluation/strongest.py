"""Strongest: where in which images the units of a stage answer most, as Zeiler and Fergus (2013) showed what a layer
has learnt.

A unit is a channel of a map, a value of tokens, or a value of a vector; in an image it answers with its largest value
over all places. Units are not picked by eye: they are evenly spaced by number among those that answer, with a value
above 0, to as many images as are shown.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from transferability.errors import InputError
from transferability.evaluation.features import check_cuts
from transferability.evaluation.fields import Place

SHOWN = 9
"""The images of a unit, at most one activation each."""


@dataclass(frozen=True)
class Peaks:
    """The largest value of each unit in each image, float (N, units), and where it is: an index into all places, int
    (N, units). `sides` is the shape of the places: (H, W) of a map, (T,) of tokens, () of a vector."""

    values: np.ndarray
    places: np.ndarray
    sides: tuple[int, ...]

    def place(self, image: int, unit: int) -> Place:
        """Where a unit's largest value in an image is, as an index into what the stage gives for it."""
        at = tuple(int(index) for index in np.unravel_index(self.places[image, unit], self.sides)) if self.sides else ()
        return (*at, unit) if len(self.sides) == 1 else (unit, *at)

    def units(self, count: int) -> list[int]:
        """So many units, evenly spaced by number among those that answer to SHOWN images; fewer where there are."""
        answering = np.flatnonzero((self.values > 0).sum(0) >= min(SHOWN, len(self.values)))
        if not len(answering):
            return []
        chosen = np.linspace(0, len(answering) - 1, min(count, len(answering))).round().astype(int)
        return [int(unit) for unit in answering[chosen]]

    def images(self, unit: int) -> list[int]:
        """The images that a unit answers to most, the strongest first."""
        return [int(image) for image in np.argsort(-self.values[:, unit], kind="stable")[:SHOWN]]


def by_unit(activations: Tensor) -> Tensor:
    """What a stage gives for images as (N, units, places)."""
    if activations.dim() == 4:
        return activations.flatten(2)
    if activations.dim() == 3:
        return activations.transpose(1, 2)
    if activations.dim() == 2:
        return activations[..., None]
    shape = "×".join(map(str, activations.shape[1:]))
    raise InputError(f"shows: a stage that gives {shape} for an image has no units that are known; leave out its cut")


@torch.no_grad()
def peaks(network: nn.Sequential, batches: Iterable[Tensor], cuts: Sequence[int]) -> dict[int, Peaks]:
    """The largest values of all units at each cut in normalised images, which are passed forward once."""
    check_cuts(network, cuts)
    parts_of: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {n: [] for n in cuts}
    sides: dict[int, tuple[int, ...]] = {}
    for activations in batches:
        for n, stage in enumerate(network, start=1):
            if n > max(cuts):
                break
            activations = stage(activations)
            if n in parts_of:
                values, places = by_unit(activations).max(2)
                parts_of[n].append((values.cpu().numpy(), places.cpu().numpy()))
                sides[n] = {4: tuple(activations.shape[2:]), 3: (activations.shape[1],), 2: ()}[activations.dim()]
    return {
        n: Peaks(np.concatenate([values for values, _ in parts]), np.concatenate([at for _, at in parts]), sides[n])
        for n, parts in parts_of.items()
    }
