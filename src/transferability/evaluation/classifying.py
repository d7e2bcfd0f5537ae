"""Classifying: the classes of images by an ONNX file of a run, prepared as those that the network was trained on."""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime

from transferability.data.images import fit, open_image
from transferability.errors import InputError

SHOWN = 3
"""Classes that are named for an image, at most."""


@dataclass(frozen=True)
class Model:
    """An ONNX file of a run: its session, the names of its classes, and how images are prepared.

    An image becomes a `square` of `size` pixels, by `interpolation`, and of its centre `side` pixels are seen. Where it
    may show several classes, `thresholds` has the logit of each from which on it is said to.
    """

    session: onnxruntime.InferenceSession
    classes: list[str]
    channels: int
    side: int
    size: int
    interpolation: str
    square: str = "crop"
    thresholds: list[float] | None = None

    def prepared(self, image: Path) -> np.ndarray:
        """An image file as the network sees it, uint8 (C, side, side); one that cannot be read is an InputError."""
        try:
            pixels = fit(open_image(image.read_bytes()), self.size, self.channels, self.interpolation, self.square)
        except (OSError, ValueError, SyntaxError) as error:
            raise InputError(f"{image}: no image that can be read ({error})") from None
        start = (self.size - self.side) // 2
        return pixels[:, start : start + self.side, start : start + self.side]

    def logits(self, image: Path) -> np.ndarray:
        """What the network gives each class for an image file, float (classes,)."""
        (logits,) = self.session.run(["logits"], {"images": self.prepared(image)[None]})
        return logits[0]


def open_model(path: Path) -> Model:
    """The ONNX file of a run; one that is missing, not whole, or no export of a study is an InputError."""
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; name a model.onnx of a run, models/.../model.onnx")
    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        metadata = session.get_modelmeta().custom_metadata_map
        classes = json.loads(metadata["classes"])
        _, channels, side, _ = session.get_inputs()[0].shape
    except (KeyError, ValueError) as error:
        raise InputError(f"{path}: no network of a run, it lacks {error}") from None
    except Exception as error:  # onnxruntime's own errors share no base
        raise InputError(f"{path}: no ONNX file ({' '.join(str(error).split())[:200]}); make it anew") from None
    # Files of earlier versions do not tell how large images were stored.
    size, interpolation = int(metadata.get("stored_size", side)), metadata.get("interpolation", "bilinear")
    # Those of images of one label, and of earlier versions, have no thresholds.
    thresholds = json.loads(metadata.get("thresholds", "null"))
    return Model(session, classes, channels, side, size, interpolation, metadata.get("square", "crop"), thresholds)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Shares of sum 1, of classes of which an image shows one."""
    exponentials = np.exp(logits - logits.max())
    return exponentials / exponentials.sum()


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """The share of each class for itself, where an image may show several."""
    return np.exp(-np.logaddexp(0, -logits.astype(np.float64)))


def in_percent(classes: list[str], shares: np.ndarray, labels: np.ndarray) -> str:
    """Some classes with their shares."""
    return ", ".join(f"{classes[label]} {100 * shares[label]:.1f} %" for label in labels)


def most_likely(classes: list[str], logits: np.ndarray) -> str:
    """The most likely classes, with their shares."""
    return in_percent(classes, softmax(logits), np.argsort(-logits, kind="stable")[:SHOWN])


def those_shown(classes: list[str], logits: np.ndarray, thresholds: np.ndarray) -> str:
    """The classes that an image is said to show, the surest first; of none the one that is nearest to its threshold."""
    order = np.argsort(-logits, kind="stable")
    shown = order[(logits >= thresholds)[order]]
    if len(shown):
        return in_percent(classes, sigmoid(logits), shown)
    nearest = int(np.argmax(logits - thresholds))
    named = in_percent(classes, sigmoid(logits), np.array([nearest]))
    return f"none of its classes; nearest {named}, shown from {100 * sigmoid(thresholds)[nearest]:.1f} % on"


def line_of(image: Path, model: Model) -> str:
    """An image and its classes, with what the network gives them."""
    logits = model.logits(image)
    if model.thresholds is None:
        return f"{image}: {most_likely(model.classes, logits)}"
    return f"{image}: {those_shown(model.classes, logits, np.asarray(model.thresholds))}"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Name the classes of images, by an ONNX file of a run.")
    parser.add_argument("model", type=Path, help="model.onnx of a run")
    parser.add_argument("images", type=Path, nargs="+", metavar="image", help="image files, such as JPEGs")
    chosen = parser.parse_args(arguments)
    model = open_model(chosen.model)
    for image in chosen.images:
        print(line_of(image, model))
