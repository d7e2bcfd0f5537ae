"""Patching: into which patches images are cut, which of them networks learn from, and how theirs make an image's score.

Without torch, because a study's plan counts patches too.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from transferability.errors import InputError


@dataclass(frozen=True)
class Patching:
    """The patches of images, as `patches` of a recipe, or a probe that reads them, says.

    Patches are of `scales`, the image's side by theirs (nine of them in the paper, M. Oquab et al., CVPR 2014), and
    `overlap` by so much of their side; of those that show nothing the share `background` is learnt from, as `seed`
    draws them; one that shows one object may touch others if `touching`. An image's value for a class is the mean of
    its patches' probabilities, each to a power, one of `powers`. Where they are read `dense`, images are read by
    convolutions, and their patches lie on the network's stride; those to learn from do not.
    """

    scales: tuple[float, ...] = (1, 1.3, 1.6, 2, 2.4, 2.8, 3.2, 3.6, 4)
    overlap: float = 0.5
    background: float = 0.1
    touching: bool = False
    powers: tuple[float, ...] = (1, 2, 3, 5, 8)
    dense: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if not (0 <= self.overlap < 1 and 0 < self.background <= 1 and min(self.scales) >= 1 and self.powers):
            raise InputError(
                "patches: overlap is at least 0 and below 1, background above 0 and at most 1, scales are 1 or more, "
                "and powers at least one"
            )

    @classmethod
    def of(cls, section: Mapping[str, Any]) -> Self:
        """What a section of the params says of patches, or of all that a class of this one has; the rest is usual."""
        own: dict[str, Any] = {name: section[name] for name in cls.__dataclass_fields__ if name in section}
        lists = {name: tuple(value) for name, value in own.items() if isinstance(value, list)}
        return cls(**own | lists)

    @property
    def count(self) -> int:
        """How many patches are read of an image: those of `patches.patch_grid`, but for pixels; or how many have as
        many pixels as the images that are read densely."""
        if self.dense:
            return math.ceil(sum(scale**2 for scale in self.scales))
        return sum((math.ceil((scale - 1) / (1 - self.overlap)) + 1) ** 2 for scale in self.scales)
