"""Write digits whose inputs or labels have shifted, for workflow/studies/digits-shifts.yaml.

    python benchmarks/shifts.py [--into images/shifts]

Every second of scikit-learn's digits stays as it is (`digits`); the others are what a network of the former meets
(`inverted`, `noisy`: its inputs have shifted; `flipped`: its labels, 9 for 0 and so on). Each is a folder of folders of
classes. The noise is that of a seed: the same images each time.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

DEVIATION = 60
"""That of the noise, in levels of 256."""


def unchanged(pixels: np.ndarray) -> np.ndarray:
    return pixels


def inverted(pixels: np.ndarray) -> np.ndarray:
    return 255 - pixels


def noisy(pixels: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, DEVIATION, pixels.shape)
    return (pixels + noise).clip(0, 255)


def write(pixels: np.ndarray, labels: np.ndarray, folder: Path) -> None:
    """Write images (N, 8, 8) of 256 levels into folders of their labels."""
    for number, (image, label) in enumerate(zip(pixels.round().astype(np.uint8), labels, strict=True)):
        path = folder / str(label) / f"{number:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write digits whose inputs or labels have shifted.")
    parser.add_argument("--into", type=Path, default=Path("images/shifts"))
    folder = parser.parse_args().into
    digits = load_digits()
    pixels, labels = digits.images * 255 / 16, digits.target
    write(pixels[::2], labels[::2], folder / "digits")
    shifts: dict[str, Callable] = {"inverted": inverted, "noisy": noisy, "flipped": unchanged}
    for name, shift in shifts.items():
        write(shift(pixels[1::2]), 9 - labels[1::2] if name == "flipped" else labels[1::2], folder / name)


if __name__ == "__main__":
    main()
