"""Pooling: what a stage gives for an image, as one vector that a classifier can read."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod, sqrt

from torch import Tensor
from torch.nn import functional

from transferability.errors import InputError


def over_map(activations: Tensor, values: int) -> Tensor:
    """The mean over the places of a map: one value a channel."""
    return activations.mean(dim=(2, 3))


def over_grid(activations: Tensor, values: int) -> Tensor:
    """Means over the cells of a grid, as fine as gives about so many values, at most the map itself."""
    channels, height, width = activations.shape[1:]
    cells = max(1, round(sqrt(values / channels)))
    return functional.adaptive_avg_pool2d(activations, (min(height, cells), min(width, cells))).flatten(1)


def every_value(activations: Tensor, values: int) -> Tensor:
    """All values, in their order."""
    return activations.flatten(1)


def class_token(activations: Tensor, values: int) -> Tensor:
    """The first token, which a vision transformer reads its class from."""
    return activations[:, 0]


def mean_token(activations: Tensor, values: int) -> Tensor:
    """The mean of all tokens, the class token among them."""
    return activations.mean(dim=1)


POOLINGS: dict[str, dict[int, Callable[[Tensor, int], Tensor]]] = {
    "gap": {4: over_map},
    "grid": {4: over_grid},
    "full": {4: every_value, 3: every_value},
    "class": {3: class_token},
    "mean": {3: mean_token},
}
"""Each pooling, by the number of dimensions of what it can pool: 4 for maps (N, C, H, W), 3 for tokens (N, T, D)."""


@dataclass(frozen=True)
class Pooling:
    """How activations become features.

    `kind` of POOLINGS: "gap" (mean over places), "grid" (spatial means, about `values` of them), "full" (all values),
    "class" (first token), "mean" (mean of tokens). `channels` is where a map has them: "first" or, as Swin's, "last".
    """

    kind: str
    values: int = 9000
    channels: str = "first"

    def __post_init__(self) -> None:
        if self.kind not in POOLINGS:
            raise InputError(f"pooling: there is no {self.kind!r}; take one of {', '.join(POOLINGS)}")
        if self.channels not in ("first", "last"):
            raise InputError(f'pooling: channels are "first" or "last", not {self.channels!r}')
        if self.values < 1:
            raise InputError(f"pooling: a grid of {self.values} values is none; give 1 or more")

    @property
    def name(self) -> str:
        """What tells it from other poolings, as part of a file's name: gap, grid9000, full-last."""
        values = str(self.values) if self.kind == "grid" else ""
        return f"{self.kind}{values}{'-last' if self.channels == 'last' else ''}"


def pool(activations: Tensor, pooling: Pooling) -> Tensor:
    """Activations (N, D), (N, T, D) or (N, C, H, W) as features (N, D); vectors stay as they are.

    May share memory with the activations. What the pooling cannot pool is an InputError.
    """
    if activations.dim() == 2:
        return activations
    poolings = POOLINGS[pooling.kind]
    if activations.dim() not in poolings:
        shape = "×".join(map(str, activations.shape[1:]))
        fit = [kind for kind, ways in POOLINGS.items() if activations.dim() in ways]
        advice = f"take {' or '.join(fit)}" if fit else f"{prod(activations.shape[1:])} values have no known order"
        raise InputError(f"pooling: {pooling.kind!r} cannot pool what is {shape} an image; {advice}")
    if activations.dim() == 4 and pooling.channels == "last":
        activations = activations.movedim(-1, 1)
    return poolings[activations.dim()](activations, pooling.values)
