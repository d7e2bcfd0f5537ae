"""Views: one image seen in several ways, all of which a probe reads: whole, cropped, turned, and each mirrored.

Sixteen of them are those of Razavian et al. 2014 ("CNNaug"): the whole image, five crops of 4/9 of its area, two
rotations, and the mirror images of these. By how much they are turned is this package's choice.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

SIDE = 2 / 3
"""The side of a crop as a share of the image's: 4/9 of its area."""

DEGREES = 15.0
"""By how much images are turned, to the left and to the right."""


@dataclass(frozen=True)
class View:
    """A part of an image, brought to the image's size.

    `side` is its share of the image's side; `centre` where it lies, (x, y), as the image spans -1 to 1; `degrees` by
    which the image is turned; `mirrored` left to right. What lies outside the image is its reflection.
    """

    name: str
    side: float = 1.0
    centre: tuple[float, float] = (0.0, 0.0)
    degrees: float = 0.0
    mirrored: bool = False

    def __call__(self, images: Tensor) -> Tensor:
        """Float images (n, C, H, W) as the view shows them; the whole image is the very tensor that is given."""
        seen = images if (self.side, self.centre, self.degrees) == (1, (0, 0), 0) else self.sampled(images)
        return seen.flip(-1) if self.mirrored else seen

    def sampled(self, images: Tensor) -> Tensor:
        """The view's places in the images, between pixels linearly."""
        height, width = images.shape[2:]
        cosine, sine = (self.side * way(math.radians(self.degrees)) for way in (math.cos, math.sin))
        (x, y), aspect = self.centre, height / width
        places = torch.tensor([[cosine, -sine * aspect, x], [sine / aspect, cosine, y]], device=images.device)
        # Not len(images): an export would take it for a constant.
        count = images.shape[0]
        grid = functional.affine_grid(places.expand(count, 2, 3), list(images.shape), align_corners=False)
        sampled = functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
        return sampled.contiguous(memory_format=torch.channels_last)


WHOLE = View("whole")
EDGE = 1 - SIDE
ONCE = (
    WHOLE,
    View("centre", SIDE),
    View("top-left", SIDE, (-EDGE, -EDGE)),
    View("top-right", SIDE, (EDGE, -EDGE)),
    View("bottom-left", SIDE, (-EDGE, EDGE)),
    View("bottom-right", SIDE, (EDGE, EDGE)),
    View("turned-left", degrees=DEGREES),
    View("turned-right", degrees=-DEGREES),
)
VIEWS = {1: (WHOLE,), 16: (*ONCE, *(replace(view, name=f"{view.name}-mirrored", mirrored=True) for view in ONCE))}
"""The views that a probe may read, by their number."""
