"""Data sets: images read once from where they are, and packed for everything that follows.

A packed data set is a folder of three files:
  images.npy  uint8 (N, C, H, W), memory-mapped by its readers
  index.csv   one row an image: index, class, file, sha256 of its pixels
  card.json   where it came from, its classes with their counts, and the hash of index.csv, which names the content
"""

import argparse
import csv
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from transferability import files
from transferability.errors import InputError, exit_plainly

# One image on its way into a packed set: its class, the file or place it came from, its pixels as uint8 (C, H, W).
Record = tuple[str, str, np.ndarray]


def read_digits(options: dict) -> Iterator[Record]:
    """scikit-learn's handwritten digits: 1,797 grey images of 8×8 pixels in 17 levels, spread here over 0..255.

    Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998.
    """
    from sklearn.datasets import load_digits

    if (options["size"], options["channels"]) != (8, 1):
        raise InputError("datasets: digits are stored as they are: give them size 8 and channels 1")
    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    for index, (image, target) in enumerate(zip(pixels, digits.target, strict=True)):
        yield str(target), f"digits/{index}", image[None]


def fit(image, size: int, channels: int) -> np.ndarray:
    """A PIL image as uint8 (C, size, size): upright, shorter side resized to `size`, then the centre cropped."""
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        # 16 bits a pixel, which PIL would clip, not scale.
        image = Image.fromarray((np.asarray(image) // 257).clip(0, 255).astype(np.uint8))
    image = image.convert("RGB" if channels == 3 else "L")
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    left, top = (width - size) // 2, (height - size) // 2
    image = image.resize((width, height), Image.Resampling.BILINEAR).crop((left, top, left + size, top + size))
    return np.atleast_3d(np.asarray(image)).transpose(2, 0, 1)


def read_folder(options: dict) -> Iterator[Record]:
    """A folder of images, `path/<class>/<file>`, in the order of names."""
    from PIL import Image
    from torchvision.datasets.folder import IMG_EXTENSIONS

    root = Path(options["path"]).expanduser()
    if not root.is_dir():
        raise InputError(f"{root}: there is no such folder; datasets.*.images.path names one folder a class in it")
    for folder in sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith(".")):
        found = sorted(file for file in folder.rglob("*") if file.suffix.lower() in IMG_EXTENSIONS)
        if not found:
            raise InputError(f"{folder}: this class has no images; add some or remove the folder")
        for file in found:
            try:
                with Image.open(file) as image:
                    pixels = fit(image, options["size"], options["channels"])
            except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
                raise InputError(f"{file}: cannot be read as an image ({error}); mend or remove it") from None
            yield folder.name, str(file.relative_to(root)), pixels


def read_torchvision(options: dict) -> Iterator[Record]:
    """A classification set of torchvision.datasets: every list of arguments in `parts`, one after another."""
    import torchvision.datasets

    kind = getattr(torchvision.datasets, options["name"], None)
    if kind is None:
        raise InputError(f"datasets: torchvision.datasets has no {options['name']!r}")
    for arguments in options["parts"]:
        try:
            part = kind(root=Path(options["path"]).expanduser(), download=options["download"], **arguments)
        except (RuntimeError, TypeError, ValueError) as error:
            raise InputError(f"datasets: torchvision's {options['name']} with {arguments}: {error}") from None
        if not hasattr(part, "classes"):
            raise InputError(f"datasets: torchvision's {options['name']} does not name its classes; use a folder")
        for index in range(len(part)):
            image, target = part[index]
            place = "/".join([options["name"], *(f"{key}={value}" for key, value in arguments.items()), str(index)])
            yield part.classes[target], place, fit(image, options["size"], options["channels"])


SOURCES = {"digits": read_digits, "folder": read_folder, "torchvision": read_torchvision}


def pack(options: dict, folder: Path, description: dict | None = None) -> None:
    """Read the images that `options` (datasets.*.images of the params) describe and write the packed set.

    The card gives `description` as their source, where that is not the options themselves.
    """
    rows, pixels = [], []
    for name, place, image in SOURCES[options["source"]](options):
        rows.append((len(rows), name, place, hashlib.sha256(image.tobytes()).hexdigest()))
        pixels.append(image)
    if not rows:
        raise InputError(f"datasets: the source {options['source']!r} holds no images")
    counts = Counter(row[1] for row in rows)

    with files.replacing(folder / "images.npy") as temporary, open(temporary, "wb") as file:
        np.save(file, np.stack(pixels), allow_pickle=False)
    with (
        files.replacing(folder / "index.csv") as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        csv.writer(file, lineterminator="\n").writerows([("index", "class", "file", "sha256"), *rows])
    card = {
        "source": description or options,
        "images": len(rows),
        "shape": list(pixels[0].shape),
        "classes": {name: counts[name] for name in sorted(counts)},
        "content": files.sha256(folder / "index.csv"),
    }
    files.write_json(folder / "card.json", card)


def check_splits(folder: Path, splits: Path) -> None:
    """Refuse a packed set whose source is that of splits made from other images; an InputError names one of them.

    Splits name their images by content: networks of a colleague's images must not be mixed with one's own.
    """
    card = files.read_json(folder / "card.json")
    for path in sorted(splits.glob("*.json")):
        split = files.read_json(path)
        if split["source"] == card["source"] and split["content"] != card["content"]:
            raise InputError(
                f"{folder}: these are not the images that {path} was made from (content {card['content'][:12]}, not "
                f"{split['content'][:12]}); get those images, or delete {splits} to start anew with these"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description="Pack a data set: decode every image once.")
    parser.add_argument("--source", type=json.loads, required=True, help="datasets.*.images of the params, as JSON")
    parser.add_argument("--description", type=json.loads, required=True, help="the same without places, for the card")
    parser.add_argument("--splits", type=Path, required=True, help="folder of splits that name the images, if any")
    parser.add_argument("--into", type=Path, required=True, help="the folder of the packed set")
    arguments = parser.parse_args()
    pack(arguments.source, arguments.into, arguments.description)
    check_splits(arguments.into, arguments.splits)


if __name__ == "__main__":
    exit_plainly(main)
