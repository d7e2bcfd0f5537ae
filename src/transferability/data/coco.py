"""COCO: images whose objects stand in JSON files, one a part: images, categories, boxes by pixel, and outlines.

T.-Y. Lin et al., Microsoft COCO: Common Objects in Context, ECCV 2014.
"""

import json
import os
from pathlib import Path

from transferability.data.annotations import Annotated, Annotation, Box, Item, annotated
from transferability.data.entries import Entry
from transferability.data.listing import check_name, stamp_of
from transferability.data.names import shown
from transferability.data.outlines import Drawn, Outline
from transferability.errors import InputError
from transferability.files import expanded


def read_instances(path: Path) -> dict:
    """The JSON file of a part; one that is missing, cut off or of another form is an InputError."""
    try:
        content = json.loads(path.read_bytes())
        if not all(isinstance(content[key], list) for key in ("images", "annotations", "categories")):
            raise ValueError("images, annotations and categories are to be lists")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{shown(str(path))}: no COCO instances ({error}); mend or fetch it again") from None
    return content


def box_of(row: dict, names: dict[int, str]) -> Box:
    """An annotation's box: x, y, width and height in pixels from 0."""
    left, top, width, height = (float(value) for value in row["bbox"])
    if not all(abs(value) < 1e9 for value in (left, top, width, height)):
        raise ValueError(f"the box {row['bbox']} is none")
    return Box(names[row["category_id"]], left, top, left + width, top + height)


def outlines_of(folder: str, content: dict) -> dict[str, list[tuple[str, Outline]]]:
    """Of each image of a part, by its file, the category and outline of each of its objects, which may have none."""
    names = {row["id"]: str(row["name"]) for row in content["categories"]}
    places = {row["id"]: place_of(folder, row) for row in content["images"]}
    outlines: dict[str, list[tuple[str, Outline]]] = {place: [] for place in places.values()}
    for row in content["annotations"]:
        outlines[places[row["image_id"]]].append((names[row["category_id"]], row.get("segmentation", [])))
    return outlines


def place_of(folder: str, row: dict) -> str:
    """The file of an image of a part, from the root on."""
    return f"{folder}/{row['file_name']}".lstrip("/")


def part_items(part: str, folder: str, root: Path, content: dict) -> list[Item]:
    """The images of a part with what they show; a KeyError or ValueError where the file contradicts itself."""
    names = {row["id"]: str(row["name"]) for row in content["categories"]}
    boxes: dict[int, list[Box]] = {row["id"]: [] for row in content["images"]}
    for row in content["annotations"]:
        boxes[row["image_id"]].append(box_of(row, names))
    items = []
    for row in sorted(content["images"], key=lambda row: str(row["file_name"])):
        place = place_of(folder, row)
        check_name(str(root), place)
        annotation = Annotation.of(boxes[row["id"]], (int(row["width"]), int(row["height"])))
        items.append(Item(Entry(part, place, stamp_of(root / place)), annotation))
    return items


def check_categories(categories: dict[str, set[str]], place: str) -> None:
    """Refuse parts whose lists of categories differ: a label would mean other things in training and test."""
    (first, names), *others = categories.items()
    for part, own in others:
        if own != names:
            odd = sorted(own ^ names)[0]
            raise InputError(
                f"{place}: the categories of the parts {first} and {part} differ, first in {odd!r}; give both one list"
            )


def open_coco(options: dict, scratch: Path) -> Annotated:
    """Images in COCO's form: of each part the folder of its images and its file of instances, below `path`."""
    root = expanded(options["path"])
    place, items, categories = shown(str(root)), [], {}
    outlines: dict[str, list[tuple[str, Outline]]] = {}
    if not root.is_dir():
        raise InputError(
            f"{place}: there is no such folder; datasets.*.images.path names that of images and annotations"
        )
    for part, where in options["parts"].items():
        path = root / where["annotations"]
        content = read_instances(path)
        try:
            items += part_items(part, where.get("images", ""), root, content)
            if options.get("masks"):
                outlines |= outlines_of(where.get("images", ""), content)
            categories[part] = {str(row["name"]) for row in content["categories"]}
        except (KeyError, ValueError, TypeError) as error:
            raise InputError(
                f"{shown(str(path))}: an image or object lacks a key or names what is not there ({error!r}); mend it"
            ) from None
    check_categories(categories, place)
    classes = {name for names in categories.values() for name in names}
    masks = Drawn.by(root, sorted(classes), outlines) if options.get("masks") else None
    return annotated(items, os.fspath(root), options, place, classes, masks)
