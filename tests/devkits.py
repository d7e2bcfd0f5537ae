"""Images of several labels: coloured squares in noise, written as a VOC devkit, as COCO's JSON or as a table."""

import csv
import json
from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {"red": (230, 20, 20), "green": (20, 230, 20), "blue": (20, 20, 230), "white": (250, 250, 250)}
WIDTH, HEIGHT, SIDE = 48, 32, 12

Squares = list[tuple[str, int, int]]
"""What an image shows: colours with the left upper pixels of their squares."""


def draw_squares(squares: Squares, generator: np.random.Generator) -> Image.Image:
    """An image of grey noise with squares in it."""
    pixels = np.repeat(generator.integers(60, 120, (HEIGHT, WIDTH, 1), dtype=np.uint8), 3, axis=2)
    for colour, left, top in squares:
        pixels[top : top + SIDE, left : left + SIDE] = COLOURS[colour]
    return Image.fromarray(pixels)


def scatter(generator: np.random.Generator) -> Squares:
    """One or two squares, left and right half, of different colours."""
    colours = generator.permutation(list(COLOURS))[: generator.integers(1, 3)]
    halves = generator.permutation(2)
    return [
        (str(colour), int(half * 24 + generator.integers(0, 12)), int(generator.integers(0, HEIGHT - SIDE)))
        for colour, half in zip(colours, halves, strict=False)
    ]


def object_xml(label: str, left: int, top: int, difficult: bool = False) -> str:
    """An <object> with a square's pixels, counted from 1."""
    corners = {"xmin": left + 1, "ymin": top + 1, "xmax": left + SIDE, "ymax": top + SIDE}
    box = "".join(f"<{tag}>{value}</{tag}>" for tag, value in corners.items())
    return f"<object><name>{label}</name><difficult>{int(difficult)}</difficult><bndbox>{box}</bndbox></object>"


def annotation_xml(name: str, objects: str, size: tuple[int, int] = (WIDTH, HEIGHT)) -> str:
    """The annotation of an image."""
    width, height = size
    pixels = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    return f"<annotation><filename>{name}.png</filename>{pixels}{objects}</annotation>"


def scattered(counts: dict[str, int], seed: int = 0) -> dict[str, dict[str, Squares]]:
    """Of each part the images by name, and what they show."""
    generator, names = np.random.default_rng(seed), iter(range(10_000))
    return {part: {f"{next(names):06d}": scatter(generator) for _ in range(count)} for part, count in counts.items()}


def write_devkit(folder: Path, parts: dict[str, dict[str, Squares]]) -> Path:
    """Write images with their squares as the year 2007 of a devkit; the folder of the year."""
    year, generator = folder / "VOC2007", np.random.default_rng(1)
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (year / name).mkdir(parents=True)
    for part, images in parts.items():
        (year / f"ImageSets/Main/{part}.txt").write_text("".join(f"{name}\n" for name in images))
        for name, squares in images.items():
            draw_squares(squares, generator).save(year / f"JPEGImages/{name}.png")
            objects = "".join(object_xml(*square) for square in squares)
            (year / f"Annotations/{name}.xml").write_text(annotation_xml(name, objects))
    return year


LEVELS = {colour: number for number, colour in enumerate(COLOURS, start=1)}
"""Of each colour its level in masks."""
MASKS = {"classes": LEVELS, "void": [255]}


def write_masks(year: Path, parts: dict[str, dict[str, Squares]]) -> None:
    """Write the mask of every second image of a devkit; the first line of each square is void."""
    (year / "SegmentationClass").mkdir()
    for images in parts.values():
        for name, squares in list(images.items())[::2]:
            levels = np.zeros((HEIGHT, WIDTH), np.uint8)
            for colour, left, top in squares:
                levels[top : top + SIDE, left : left + SIDE] = LEVELS[colour]
                levels[top, left : left + SIDE] = 255
            Image.fromarray(levels).save(year / f"SegmentationClass/{name}.png")


def write_instances(year: Path, parts: dict[str, dict[str, Squares]]) -> dict:
    """Write what a devkit's images show in COCO's form beside them; the options of the source."""
    ids = {colour: 3 * number for number, colour in enumerate(COLOURS)}
    for part, images in parts.items():
        content = {
            "images": [
                {"id": int(name), "file_name": f"{name}.png", "width": WIDTH, "height": HEIGHT} for name in images
            ],
            "annotations": [
                {"image_id": int(name), "category_id": ids[colour], "bbox": [left, top, SIDE, SIDE]}
                for name, squares in images.items()
                for colour, left, top in squares
            ],
            "categories": [{"id": number, "name": colour} for colour, number in ids.items()],
        }
        (year / f"{part}.json").write_text(json.dumps(content))
    named = {part: {"annotations": f"{part}.json", "images": "JPEGImages"} for part in parts}
    return {"source": "coco", "path": str(year), "parts": named}


def write_table(year: Path, parts: dict[str, dict[str, Squares]]) -> dict:
    """Write the labels of a devkit's images as a table beside them; the options of the source."""
    rows = [
        (f"JPEGImages/{name}.png", "|".join(colour for colour, *_ in squares), part)
        for part, images in parts.items()
        for name, squares in images.items()
    ]
    with open(year / "labels.csv", "w", newline="") as file:
        csv.writer(file).writerows([("file", "labels", "part"), *rows])
    return {"source": "table", "path": str(year), "table": "labels.csv"}
