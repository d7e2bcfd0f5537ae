"""Scores of patches: what they say of the images that they cover, and of where in these a class is.

An image is scored, and a class placed in it, by all its patches. Boxes of test images serve to measure where maps
point, and for nothing else.
"""

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from transferability.data.patched import PatchedTask
from transferability.data.tasks import Task
from transferability.evaluation.convolutional import Pyramid, Scorer, difference_from_patches, read_images
from transferability.evaluation.metrics import SCORED, score_labels
from transferability.evaluation.score_maps import Pointed, coverage, point, pointing_scores, score_map
from transferability.training.precision import mean_average_precision

SHOWN, THUMBNAIL = 8, 128
"""Images that the metrics show with their maps, at most, and the pixels of their longer side."""


def image_scores(scores: np.ndarray, power: float) -> np.ndarray:
    """An image's value for each class, (images, K): the mean of its patches' scores (images, P, K) to a power."""
    return (scores.astype(np.float64) ** power).mean(axis=1)


def best_power(scores: np.ndarray, labels: np.ndarray, powers: tuple[float, ...]) -> float:
    """The power with the highest mean average precision, of equals the highest, by which maps are sharper."""
    return max(
        sorted(powers, reverse=True), key=lambda power: mean_average_precision(image_scores(scores, power), labels)
    )


def thumbnail(pixels: np.ndarray) -> str:
    """An image uint8 (C, H, W) as a small JPEG in base64."""
    image, data = Image.fromarray(pixels.transpose(1, 2, 0).squeeze()), io.BytesIO()
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    image.save(data, "JPEG", quality=85)
    return base64.b64encode(data.getvalue()).decode()


def shown_maps(patched: PatchedTask, pointed: list[Pointed], scores: np.ndarray, covered: np.ndarray) -> list[dict]:
    """Some images with the maps of a class that they show: one a class, drawn, of no more than SHOWN classes."""
    generator, rows = np.random.default_rng(patched.patching.seed), []
    labels = sorted({each.label for each in pointed})
    for label in labels[:SHOWN]:
        members = [one for one in pointed if one.label == label]
        each = members[generator.choice(len(members))]
        (pixels,) = np.asarray(patched.task.images["test"][np.array([each.image])])
        rows.append(
            {
                "class": patched.task.classes[label],
                "image": thumbnail(pixels),
                "map": score_map(scores[each.image, :, label], covered).astype(float).round(5).tolist(),
                "boxes": patched.objects["test"][each.image].boxes_of(label).tolist(),
                "place": each.place,
                "hit": each.hit,
            }
        )
    return rows


@dataclass(frozen=True)
class PatchScores:
    """The scores of patches of each part, (images, P, K), where these lie, as shares of an image (P, 4), and the power
    chosen on validation. `convolved` tells how convolutions read them, if they did."""

    scores: dict[str, np.ndarray]
    corners: np.ndarray
    power: float
    convolved: dict | None = None

    @classmethod
    def of(
        cls, patched: PatchedTask, scores: dict[str, np.ndarray], corners: np.ndarray, convolved: dict | None = None
    ) -> "PatchScores":
        """Scores with the power that validation images choose for them."""
        power = best_power(scores["validation"], patched.task.labels["validation"], patched.patching.powers)
        return cls(scores, corners, power, convolved)

    def block(self, patched: PatchedTask) -> dict:
        """What is known beside average precision: where maps point, and some maps."""
        raised, covered = self.scores["test"] ** self.power, coverage(self.corners)
        pointed = [
            each
            for index, objects in enumerate(patched.objects["test"])
            for each in point(index, raised[index], covered, objects)
        ]
        return {
            "power": self.power,
            **({} if self.convolved is None else {"convolved": self.convolved}),
            "pointing": pointing_scores(pointed),
            "maps": shown_maps(patched, pointed, raised, covered),
        }

    def image_scores(self, part: str) -> np.ndarray:
        """The value of each of a part's images for each class, (images, K)."""
        return image_scores(self.scores[part], self.power)

    def part_scores(self, task: Task, part: str) -> dict:
        """The part's scores; values of images are no logits, and so have no loss."""
        values = torch.from_numpy(self.image_scores(part))
        return score_labels(values, torch.from_numpy(task.labels[part]), task.classes) | {"loss": None}


def read_convolved(
    scorer: Scorer, patched: PatchedTask, one_by_one: Callable[[Tensor], np.ndarray], device: torch.device
) -> PatchScores:
    """Validation and test images, each size of patches in one pass; `one_by_one` gives the scores (P, K) of patches
    uint8 (P, C, h, w), against which those of one image are held."""
    pyramid, images = Pyramid.of(scorer, patched.patching.scales), patched.task.images
    scores = {part: read_images(scorer, images[part], pyramid, device) for part in SCORED}
    told = {
        "stride": pyramid.stride,
        "sides": list(pyramid.sides),
        "difference": difference_from_patches(scorer, one_by_one, images["test"], pyramid.sides[:2][-1], device),
    }
    return PatchScores.of(patched, scores, pyramid.corners, told)
