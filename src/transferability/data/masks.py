"""Masks: which class each pixel of an image shows, from files of one level a class, packed beside the images' boxes.

Those of COCO are drawn from the outlines of objects (`outlines`)."""

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from transferability.data.images import fit
from transferability.data.names import near_miss, shown
from transferability.errors import InputError

FOLDER = "SegmentationClass"

VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog"),
    *("horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
"""The classes of VOC's masks, from level 1 on; level 255 is void, a border or an object that is not asked for."""

BACKGROUND, VOID = 0, 255
"""In stored masks, where label k of the card's list is k + 1: pixels of no label, and pixels that do not count."""


@dataclass(frozen=True)
class Masks:
    """The masks of a folder, NAME.png for the image NAME: the label of each level, and the levels that do not count.

    Other levels are background; where the `known` ones are all, another is an InputError.
    """

    folder: Path
    labels: Mapping[int, str]
    void: tuple[int, ...]
    known: frozenset[int] | None = None

    @classmethod
    def of(cls, folder: Path, options: bool | Mapping) -> "Masks | None":
        """The masks that `datasets.*.images.masks` asks for: none, VOC's (true), or those of other classes."""
        if options is False:
            return None
        if options is True:
            labels = dict(enumerate(VOC_CLASSES, start=1))
            return cls(folder, labels, (VOID,), frozenset({BACKGROUND, VOID, *labels}))
        labels, void = {level: name for name, level in options["classes"].items()}, tuple(options.get("void", ()))
        if len(labels) < len(options["classes"]) or set(labels) & set(void):
            raise InputError("datasets.*.images.masks: a level stands for two classes, or for one and void; mend it")
        return cls(folder, labels, void)

    @property
    def classes(self) -> list[str]:
        """The labels that masks may show, in order."""
        return sorted(set(self.labels.values()))

    def renamed(self, names: Mapping[str, str]) -> "Masks":
        """The masks by other names of labels; what has none is background."""
        return replace(self, labels={level: names[name] for level, name in self.labels.items() if name in names})

    @cached_property
    def table(self) -> np.ndarray:
        """What is stored for each level, uint8 (256,)."""
        table = np.full(256, BACKGROUND, np.uint8)
        for level, label in self.labels.items():
            table[level] = self.classes.index(label) + 1
        table[list(self.void)] = VOID
        return table

    def read(self, file: str, size: tuple[int, int]) -> np.ndarray | None:
        """The mask of an image of a width and height, as it is stored, uint8 (H, W); None for one without a mask."""
        from PIL import Image

        path = self.folder / f"{Path(file).stem}.png"
        if not path.is_file():
            return None
        try:
            levels = np.asarray(Image.open(path, formats=("PNG",)))
        except (OSError, ValueError, SyntaxError) as error:
            raise InputError(f"{shown(str(path))}: no mask that can be read ({error}); mend or remove it") from None
        if levels.dtype != np.uint8 or levels.shape != size[::-1]:
            raise InputError(
                f"{shown(str(path))}: a mask has one level of 8 bits a pixel of its image, {size[0]}×{size[1]}; this "
                f"has {'×'.join(map(str, levels.shape[1::-1]))} of {levels.dtype}"
            )
        if self.known is not None and (odd := set(np.unique(levels).tolist()) - self.known):
            raise InputError(
                f"{shown(str(path))}: has the level {min(odd)}, which is no class of VOC's; say which class each level "
                "is in datasets.*.images.masks"
            )
        return self.table[levels]

    def stored(self, file: str, size: tuple[int, int], pixels: int, square: str) -> str:
        """The mask of an image of a width and height, with so many pixels a side, as text: a PNG in base64; "" for an
        image without one."""
        from PIL import Image

        mask = self.read(file, size)
        if mask is None:
            return ""
        data = io.BytesIO()
        fitted = fit(Image.fromarray(mask), pixels, 1, "nearest", square)[0]
        Image.fromarray(fitted).save(data, "PNG", optimize=True)
        return base64.b64encode(data.getvalue()).decode()


def check_classes(masks: Masks, classes: list[str]) -> None:
    """Refuse a class of masks that misses one of the source's by a slip."""
    near = near_miss([name for name in masks.labels.values() if name not in classes], classes)
    if near and masks.known is None:
        raise InputError(
            f"{shown(str(masks.folder))}: datasets.*.images.masks names the class {near[0]!r}, and the images show "
            f"{near[1]!r}; mend it"
        )


def decoded_mask(text: str) -> np.ndarray:
    """A mask as it stands in an index: BACKGROUND, VOID, and k + 1 for label k, uint8 (H, W)."""
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text)), formats=("PNG",)))
