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

    Of an image the shorter side becomes `size` pixels, by `interpolation`, and of its centre `side` pixels are seen.
    """

    session: onnxruntime.InferenceSession
    classes: list[str]
    channels: int
    side: int
    size: int
    interpolation: str

    def prepared(self, image: Path) -> np.ndarray:
        """An image file as the network sees it, uint8 (C, side, side); one that cannot be read is an InputError."""
        try:
            pixels = fit(open_image(image.read_bytes()), self.size, self.channels, self.interpolation)
        except (OSError, ValueError, SyntaxError) as error:
            raise InputError(f"{image}: no image that can be read ({error})") from None
        start = (self.size - self.side) // 2
        return pixels[:, start : start + self.side, start : start + self.side]

    def shares(self, image: Path) -> np.ndarray:
        """What the network gives each class for an image file, float (classes,), of sum 1."""
        (logits,) = self.session.run(["logits"], {"images": self.prepared(image)[None]})
        exponentials = np.exp(logits[0] - logits[0].max())
        return exponentials / exponentials.sum()


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
    return Model(session, classes, channels, side, size, interpolation)


def line_of(image: Path, model: Model) -> str:
    """An image and its most likely classes, with what the network gives them."""
    shares = model.shares(image)
    best = np.argsort(-shares, kind="stable")[:SHOWN]
    named = ", ".join(f"{model.classes[label]} {100 * shares[label]:.1f} %" for label in best)
    return f"{image}: {named}"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Name the classes of images, by an ONNX file of a run.")
    parser.add_argument("model", type=Path, help="model.onnx of a run")
    parser.add_argument("images", type=Path, nargs="+", metavar="image", help="image files, such as JPEGs")
    chosen = parser.parse_args(arguments)
    model = open_model(chosen.model)
    for image in chosen.images:
        print(line_of(image, model))
