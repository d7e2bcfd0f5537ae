"""VOC: a PASCAL VOC devkit as it is: lists in ImageSets/Main, an XML file of objects in Annotations for each image.

M. Everingham, L. Van Gool, C. K. I. Williams, J. Winn, A. Zisserman, The PASCAL Visual Object Classes (VOC) Challenge,
International Journal of Computer Vision 88, 2010.
"""

import os
from pathlib import Path
from xml.etree import ElementTree

from transferability.data.annotations import Annotated, Annotation, Box, Item, annotated
from transferability.data.entries import Entry, note
from transferability.data.listing import FOLDER_PARTS, check_name, stamp_of
from transferability.data.masks import FOLDER, Masks
from transferability.data.names import decoded, listed, shown
from transferability.errors import InputError
from transferability.files import expanded
from transferability.words import counted

LISTS, OBJECTS, IMAGES = "ImageSets/Main", "Annotations", "JPEGImages"


def year_folder(options: dict) -> Path:
    """The folder of one year's images: `path` itself, or one in the devkit that it names."""
    path, year = expanded(options["path"]), options.get("year")
    place = shown(str(path))
    if not path.is_dir():
        raise InputError(f"{place}: there is no such folder; datasets.*.images.path names a VOCdevkit or a year in it")
    if (path / IMAGES).is_dir():
        return path
    years = sorted(folder.name for folder in path.iterdir() if (folder / IMAGES).is_dir())
    if year is not None:
        years = [name for name in years if name == f"VOC{year}"]
    if len(years) != 1:
        held = f"has the years {listed(years)}; choose one by datasets.*.images.year" if years else "has none"
        sought = f"VOC{year} with {IMAGES}" if year is not None else f"one folder with {IMAGES}, {OBJECTS} and {LISTS}"
        raise InputError(f"{place}: a VOCdevkit must hold {sought}, and this {held}")
    return path / years[0]


def read_text(path: Path) -> str:
    """A text file of the devkit; one that cannot be read is an InputError."""
    try:
        return decoded(path.read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{shown(str(path))}: cannot be read ({error}); mend or fetch it again") from None


def listed_images(folder: Path, part: str) -> list[str]:
    """The names of a part's images, in the order of names."""
    path = folder / LISTS / f"{part}.txt"
    names = [line.split()[0] for line in read_text(path).splitlines() if line.strip()]
    if not names:
        raise InputError(f"{shown(str(path))}: names no image; write one a line, or take the part out of parts")
    return sorted(names)


def parts_of(folder: Path, options: dict) -> list[str]:
    """The parts to take: those of the options, or all of train, val and test that have a list."""
    there = [part for part in FOLDER_PARTS if (folder / LISTS / f"{part}.txt").is_file()]
    parts = options.get("parts", there)
    missing = [part for part in parts if part not in there]
    if missing or "train" not in parts:
        name = (missing or ["train"])[0]
        raise InputError(f"{shown(str(folder / LISTS))}: has no {name}.txt, which lists the images of the part {name}")
    return parts


def parse_xml(path: Path) -> ElementTree.Element:
    """The root of an annotation. Declarations, by which a small file may grow without end, are refused."""
    text = read_text(path)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise InputError(f"{shown(str(path))}: declares a document type or entities, which annotations have no use for")
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise InputError(f"{shown(str(path))}: not a whole XML file ({error}); mend or fetch it again") from None


def number(element: ElementTree.Element, tag: str, path: Path) -> float:
    """A finite number of an annotation; 1-based pixels may have decimals, as VOC2011's have."""
    text = element.findtext(tag)
    try:
        value = float(text or "")
        if not abs(value) < 1e9:
            raise ValueError
    except ValueError:
        raise InputError(
            f"{shown(str(path))}: {tag} in <{element.tag}> is {text!r}, which is no number of pixels; mend it"
        ) from None
    return value


def flag(element: ElementTree.Element, tag: str) -> bool:
    """Whether an object is marked so; what is not said is not so."""
    return (element.findtext(tag) or "0").strip() == "1"


def box_of(element: ElementTree.Element, path: Path) -> Box:
    """An <object>: its pixels are counted from 1, and the last one belongs to it."""
    name, bounds = (element.findtext("name") or "").strip(), element.find("bndbox")
    if not name or bounds is None:
        raise InputError(f"{shown(str(path))}: an <object> lacks its name or its <bndbox>; complete it")
    left, top, right, bottom = (number(bounds, tag, path) for tag in ("xmin", "ymin", "xmax", "ymax"))
    return Box(name, left - 1, top - 1, right, bottom, flag(element, "difficult"), flag(element, "truncated"))


def read_annotation(folder: Path, name: str) -> tuple[str, Annotation]:
    """The file of an image and what it shows, from Annotations/NAME.xml; anything but that is an InputError."""
    path = folder / OBJECTS / f"{name}.xml"
    root = parse_xml(path)
    file = (root.findtext("filename") or f"{name}.jpg").strip()
    if Path(file).stem != name or "/" in file:
        raise InputError(f"{shown(str(path))}: is of the image {file!r}, not of {name!r}; mend <filename>")
    size = root.find("size")
    if size is None:
        raise InputError(f"{shown(str(path))}: lacks <size>, the pixels that its boxes are of; complete it")
    width, height = (int(number(size, tag, path)) for tag in ("width", "height"))
    return file, Annotation.of((box_of(element, path) for element in root.iter("object")), (width, height))


def check_lists(folder: Path, part: str, annotations: dict[str, Annotation]) -> None:
    """Tell of images whose labels in the lists of classes, where there are some, are not those of their objects."""
    classes = sorted({label for annotation in annotations.values() for label in annotation.names})
    differing = set()
    for label in classes:
        path = folder / LISTS / f"{label.replace(' ', '_')}_{part}.txt"
        if path.is_file():
            rows = [line.split() for line in read_text(path).splitlines() if line.strip()]
            positive = {row[0] for row in rows if row[-1] == "1"}
            differing |= positive ^ {name for name, each in annotations.items() if label in each.labels}
    if differing:
        note(
            f"{folder}: {counted(len(differing), 'image')} of {part} have other labels in {LISTS} than objects in "
            f"{OBJECTS}, such as {min(differing)}; the objects count"
        )


def part_items(folder: Path, part: str) -> list[Item]:
    """The images of a part with what they show."""
    items, annotations = [], {}
    for name in listed_images(folder, part):
        check_name(str(folder / LISTS), name)
        file, annotations[name] = read_annotation(folder, name)
        place = f"{IMAGES}/{file}"
        items.append(Item(Entry(part, place, stamp_of(folder / place)), annotations[name]))
    check_lists(folder, part, annotations)
    return items


def open_voc(options: dict, scratch: Path) -> Annotated:
    """One year of a VOC devkit: parts train, val and test, as ImageSets/Main lists them."""
    folder = year_folder(options)
    items = [item for part in parts_of(folder, options) for item in part_items(folder, part)]
    masks = Masks.of(folder / FOLDER, options.get("masks", False))
    if masks is not None and not masks.folder.is_dir():
        raise InputError(
            f"{shown(str(masks.folder))}: there is no such folder of masks; leave datasets.*.images.masks out"
        )
    return annotated(items, os.fspath(folder), options, shown(str(folder)), masks=masks)
