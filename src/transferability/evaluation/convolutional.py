"""Fully convolutional: adaptation layers, and the stages below them, as one network of convolutions.

In one pass over an image of any size it gives the scores of all patches of the size that the stages see, which lie on
their stride. Each equals the score of the patch by itself where the stages pad nothing and pool nothing over the whole
image; where they do, a patch by itself ends in zeros, and here in what lies beside it.

J. Long, E. Shelhamer, T. Darrell, Fully Convolutional Networks for Semantic Segmentation, CVPR 2015.
"""

import copy
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from transferability.data.batches import normalise
from transferability.data.packed import Images
from transferability.data.patches import resized
from transferability.errors import InputError
from transferability.evaluation.adaptation import Layers
from transferability.evaluation.features import Source
from transferability.evaluation.pooling import Pooling, pool
from transferability.networks.checkpoints import Card
from transferability.networks.dropout import Dropout

Shape = tuple[int, int, int]
"""Channels, lines and columns of a map."""

FAR = 480
"""Pixels over which the places of a map are counted: a whole number of strides, for all that networks have."""
READ = 16
"""Images at a time: the largest of them have many times the pixels of a patch."""


def as_convolution(linear: nn.Linear, shape: Shape) -> nn.Conv2d:
    """A linear layer on flattened maps of a shape, as the convolution that gives the same at each place."""
    made = nn.Conv2d(shape[0], linear.out_features, shape[1:], bias=linear.bias is not None)
    made.load_state_dict(
        {name: tensor.reshape(made.state_dict()[name].shape) for name, tensor in linear.named_parameters()}
    )
    return made


def as_map_norm(norm: nn.BatchNorm1d) -> nn.BatchNorm2d:
    """A batch norm of vectors as one of maps."""
    made = nn.BatchNorm2d(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
    made.load_state_dict(norm.state_dict())
    return made


def leaves(part: nn.Module) -> Iterator[nn.Module]:
    """The parts of a stage that have none themselves, or are known as a whole, in their order."""
    known = (nn.Flatten, nn.ReLU, nn.Linear, nn.BatchNorm1d, Dropout)
    if isinstance(part, known) or not list(part.children()) or is_global_mean(part):
        yield part
    else:
        for child in part.children():
            yield from leaves(child)


def is_global_mean(part: nn.Module) -> bool:
    """Whether a part gives the mean over a map's places: torch's, or timm's."""
    return getattr(part, "output_size", None) in (1, (1, 1)) or getattr(part, "pool_type", None) == "avg"


def connected(name: str, stage: nn.Module, shape: Shape) -> nn.Sequential:
    """A stage of fully connected layers on maps of a shape, as convolutions; any other is an InputError."""
    parts: list[nn.Module] = []
    for part in leaves(stage):
        if isinstance(part, nn.Linear):
            parts.append(as_convolution(part, shape))
            shape = (part.out_features, 1, 1)
        elif is_global_mean(part):
            parts.append(nn.AvgPool2d(shape[1:], stride=1))
            shape = (shape[0], 1, 1)
        elif isinstance(part, nn.BatchNorm1d):
            parts.append(as_map_norm(part))
        elif isinstance(part, nn.ReLU | Dropout):
            parts.append(part)
        elif not isinstance(part, nn.Flatten | nn.Identity):
            raise InputError(
                f"fully convolutional: the stage {name} gives no map, and its {type(part).__name__} is no fully "
                "connected layer; cut below it, or read patches one by one"
            )
    return nn.Sequential(*parts)


def convolved(stages: nn.Sequential, shape: Shape) -> tuple[nn.Sequential, Shape]:
    """The first stages of a network that sees images of a shape, for images of any size; and what they give for those
    of the shape. Fully connected ones become convolutions."""
    parts, given = [], torch.zeros(1, *shape)
    for name, stage in stages.named_children():
        below = (*given.shape[1:], 1, 1)[:3]
        given = stage(given)
        parts.append(stage if given.dim() == 4 else connected(name, stage, below))
    return nn.Sequential(*parts), (*given.shape[1:], 1, 1)[:3]


def pooled(pooling: Pooling, shape: Shape) -> tuple[nn.Module, Shape]:
    """What pools the places of each patch, whose map has a shape, and what is left of that; a pooling that is not the
    same at all places of an image is an InputError."""
    if shape[1:] == (1, 1):
        return nn.Identity(), shape
    if pooling.kind == "gap" and pooling.channels == "first":
        return nn.AvgPool2d(shape[1:], stride=1), (shape[0], 1, 1)
    if pool(torch.zeros(1, *shape), pooling).shape[1] != np.prod(shape) or pooling.channels != "first":
        raise InputError(f"fully convolutional: the pooling {pooling.name} is no convolution; take gap or full")
    return nn.Identity(), shape


def head_of(layers: Layers, shape: Shape) -> nn.Sequential:
    """Adaptation layers as convolutions on pooled maps of a shape; what brings features to mean 0 is in the first."""
    head: list[nn.Module] = []
    for part in copy.deepcopy(layers.stack):
        if isinstance(part, nn.Linear) and not head:
            with torch.no_grad():
                part.weight.div_(layers.deviation)
                part.bias.sub_(part.weight @ layers.mean)
            head.append(as_convolution(part, shape))
        else:
            head.append(as_convolution(part, (part.in_features, 1, 1)) if isinstance(part, nn.Linear) else part)
    return nn.Sequential(*head)


class Scorer(nn.Module):
    """uint8 images (n, C, H, W), of the size of a patch or larger → probabilities (n, K, h, w) of each class.

    Those of a place are of the patch of `card.shape` that begins so many strides from the image's left upper corner.
    Background is left out.
    """

    def __init__(self, convolutions: nn.Sequential, card: Card) -> None:
        super().__init__()
        self.convolutions, self.card = convolutions, card

    @classmethod
    def of(cls, source: Source, n: int, pooling: Pooling, layers: Layers) -> "Scorer":
        """A network's first n stages with layers on them, on the processor."""
        stages, shape = convolved(copy.deepcopy(source.network[:n]).cpu(), source.card.shape)
        pooling_of_map, left = pooled(pooling, shape)
        return cls(nn.Sequential(stages, pooling_of_map, head_of(layers, left)), source.card).eval()

    @classmethod
    def of_network(cls, network: nn.Sequential, card: Card) -> "Scorer":
        """A whole network that tells classes and, last, background, on the processor; a head that is more than pooling
        and fully connected layers is an InputError."""
        network = copy.deepcopy(network).cpu()
        below, shape = convolved(network[:-1], card.shape)
        ((name, head),) = network[-1:].named_children()
        made = cls(nn.Sequential(below, connected(name, head, shape)), card).eval()
        patch = torch.randn(2, *card.shape, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            alike = torch.allclose(made.convolutions(patch).flatten(1), network(patch), atol=1e-4)
        if not alike:
            raise InputError(f"fully convolutional: the head {name} is more than pooling and fully connected layers")
        return made

    def forward(self, images: Tensor) -> Tensor:
        seen = normalise(images, self.card.mean, self.card.std, self.card.channels)
        return self.convolutions(seen).softmax(dim=1)[:, :-1]

    @property
    def patch(self) -> int:
        """The side of a patch in pixels."""
        return self.card.shape[1]

    @torch.no_grad()
    def places(self, side: int) -> int:
        """How many places a line of the map has, of images with so many pixels a side."""
        return self.convolutions(torch.zeros(1, self.card.shape[0], side, side)).shape[-1]

    @cached_property
    def stride(self) -> int:
        """Pixels between neighbouring patches."""
        return round(FAR / (self.places(self.patch + FAR) - self.places(self.patch)))


@dataclass(frozen=True)
class Pyramid:
    """The sizes in which images are read by a scorer: `sides` in pixels, each a patch and some strides."""

    patch: int
    stride: int
    sides: tuple[int, ...]

    @classmethod
    def of(cls, scorer: Scorer, scales: Iterable[float]) -> "Pyramid":
        """The sizes nearest to those at which a patch is the image's side by each scale."""
        patch, stride = scorer.patch, scorer.stride
        sides = {patch + stride * round(patch * (scale - 1) / stride) for scale in scales}
        return cls(patch, stride, tuple(sorted(sides)))

    @property
    def corners(self) -> np.ndarray:
        """The patches as shares of the image, (P, 4), by size, line and column."""
        rows = []
        for side in self.sides:
            starts = np.arange(0, side - self.patch + 1, self.stride)
            rows += [np.array([x, y, x + self.patch, y + self.patch]) / side for y in starts for x in starts]
        return np.array(rows)


@torch.no_grad()
def read_images(scorer: Scorer, images: Images, pyramid: Pyramid, device: torch.device) -> np.ndarray:
    """The scores of the pyramid's patches of all images, float32 (images, P, K)."""
    scorer, parts = scorer.to(device), []
    for rows in np.array_split(np.arange(len(images)), -(-len(images) // READ)):
        pixels = torch.from_numpy(np.asarray(images[rows]))
        maps = [scorer(resized(pixels, side).to(device)).flatten(2).transpose(1, 2) for side in pyramid.sides]
        parts.append(torch.cat(maps, dim=1).cpu().numpy())
    return np.concatenate(parts)


def difference_from_patches(
    scorer: Scorer, one_by_one: Callable[[Tensor], np.ndarray], images: Images, side: int, device: torch.device
) -> dict:
    """The largest difference, and the mean, between what a scorer gives for the first image, of so many pixels a side,
    and what its patches, uint8 (P, C, h, w), give `one_by_one`."""
    pyramid, image = Pyramid(scorer.patch, scorer.stride, (side,)), np.asarray(images[np.array([0])])
    seen = resized(torch.from_numpy(image), side)
    rows = (pyramid.corners * side).round().astype(np.int64)
    cut = torch.cat([seen[:, :, top:bottom, left:right] for left, top, right, bottom in rows.tolist()])
    differences = np.abs(read_images(scorer, image, pyramid, device)[0] - one_by_one(cut))
    return {"largest": float(differences.max()), "mean": float(differences.mean()), "patches": len(rows)}
