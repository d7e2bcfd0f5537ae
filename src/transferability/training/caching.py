"""Caching: what frozen stages give for the training images, computed once where every step sees the same images.

That is so without augmentation, up to the first frozen stage that draws random numbers. The networks are the same, bit
for bit: the first batches are held against what the stages give for them, and where these differ nothing is cached.
"""

from dataclasses import dataclass, field
from itertools import islice

import torch
from torch import Tensor, nn

from transferability.data.augmentation import Augmentation
from transferability.data.batches import fetch
from transferability.networks.dropout import random_modules
from transferability.training.learner import Learner
from transferability.training.setup import Setup
from transferability.training.sharing import Overwriting, Taps

LIMIT = 256 * 2**20
"""Bytes above which nothing is cached."""

COMPARED = 3
"""So many batches are held against what the stages themselves give."""


@dataclass(frozen=True)
class Cache:
    """What some frozen stages give for all training images (n, ...), by stage; none if nothing could be cached."""

    setup: Setup
    outputs: dict[nn.Module, Tensor] = field(default_factory=dict)

    def at(self, step: int) -> dict[nn.Module, Tensor]:
        """What the stages give for the batch of a step."""
        if not self.outputs:
            return {}
        chosen = self.setup.draws.batch(step, self.setup.schedule.batch_size, len(self.setup.labels["train"]))
        return {stage: rows_of(outputs, chosen.to(outputs.device)) for stage, outputs in self.outputs.items()}


def rows_of(outputs: Tensor, chosen: Tensor) -> Tensor:
    """Some rows of what a stage gives, laid out as it gives them."""
    return outputs.index_select(0, chosen).contiguous(memory_format=layout_of(outputs))


def layout_of(outputs: Tensor) -> torch.memory_format:
    """The layout of what a stage gives."""
    return torch.channels_last if outputs.ndim == 4 and not outputs.is_contiguous() else torch.contiguous_format


def constant_part(frozen: nn.Sequential) -> nn.Sequential:
    """The first frozen stages, up to one that draws random numbers: they give the same whenever they see an image."""
    drawing = [any(module.training and module.p > 0 for _, module in random_modules(stage)) for stage in frozen]
    return frozen[: drawing.index(True)] if True in drawing else frozen


@torch.no_grad()
def cache_of(learners: list[Learner], setup: Setup, first: int) -> Cache:
    """What the frozen stages of networks give for the training images, where that is worth it and changes no bit.

    `first` is the step that comes next.
    """
    parts = {part[-1]: part for learner in learners if len(part := constant_part(learner.frozen))}
    images, batch = len(setup.labels["train"]), setup.schedule.batch_size
    seen_again = (setup.schedule.steps - first) * batch > 2 * images
    if not parts or setup.augmentation != Augmentation(padding=0, flip=False) or not seen_again:
        return Cache(setup)
    with setup.lower_precision():
        cache = fill(list(parts.values()), setup)
        return cache if is_equal(cache, parts, first) else Cache(setup)


def fill(parts: list[nn.Sequential], setup: Setup) -> Cache:
    """All training images passed through some parts of networks, as many at a time as in training; nothing if large."""
    images, batch, overwriting = len(setup.labels["train"]), setup.schedule.batch_size, Overwriting()
    # The last batch is filled with images of the first one: sums may depend on the number of images.
    choices = (torch.arange(images + -images % batch) % images).split(batch)
    outputs: dict[nn.Module, Tensor] = {}
    for number, (_, stored) in enumerate(fetch(setup.images["train"], choices, setup.device)):
        taps = Taps(setup.normalised(stored), overwriting)
        given = {part[-1]: taps.after(part) for part in parts}
        if number == 0 and len(choices) * sum(tensor.nbytes for tensor in given.values()) > LIMIT:
            break
        for stage, tensor in given.items():
            outputs.setdefault(stage, empty_like(tensor, len(choices) * batch))[number * batch :][:batch] = tensor
    return Cache(setup, outputs)


def empty_like(outputs: Tensor, rows: int) -> Tensor:
    """Room for so many rows of what a stage gives."""
    shape, layout = (rows, *outputs.shape[1:]), layout_of(outputs)
    return torch.empty(shape, dtype=outputs.dtype, device=outputs.device, memory_format=layout)


def is_equal(cache: Cache, parts: dict[nn.Module, nn.Sequential], first: int) -> bool:
    """Whether a cache has, for the next batches, what the stages give, bit for bit and in the same layout."""
    overwriting = Overwriting()
    for step, (images, _) in enumerate(islice(cache.setup.training_batches(first), COMPARED), start=first):
        taps, cached = Taps(images, overwriting), cache.at(step)
        for stage, outputs in cached.items():
            given = taps.after(parts[stage])
            if not torch.equal(given, outputs) or given.stride() != outputs.stride():
                return False
    return True
