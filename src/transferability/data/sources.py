"""Sources: where a data set's images come from, each a list of entries and a way to read any one of them."""

import gzip
import hashlib
import inspect
import operator
import os
import stat
import sys
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Protocol

import numpy as np

from transferability.data import archives
from transferability.data.images import open_image
from transferability.errors import InputError
from transferability.facts import FACTS
from transferability.files import expanded

# Files that are taken for images; what they hold is seen when they are read.
SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".gif")

FOLDER_PARTS = ("train", "val", "test")

# More than any image has: a file is read at once.
LARGEST_FILE = 2**30


@dataclass(frozen=True, slots=True)
class Entry:
    """One image before it is read: its own part ("" for none), its place, and what changes when its file does."""

    part: str
    file: str
    stamp: str


class Source(Protocol):
    """Images that can be read in any order and by any process.

    `place` names it in messages; `stamp` changes when images may have that are no files, or their classes while the
    files have not; `wanted` are the classes that must be there.
    """

    place: str
    stamp: str
    entries: list[Entry]
    wanted: list[str]

    def read(self, index: int) -> tuple[str | None, object, bytes | None]:
        """An entry's class, None for one that is left out, its PIL image, and the bytes of its file if it is one.

        An image that cannot be read is any exception but InputError.
        """


def listed(names: list[str]) -> str:
    """Names for a message, cut where there are too many to read."""
    return ", ".join(names[:50]) + (f" and {len(names) - 50} more" if len(names) > 50 else "")


def check_wanted(wanted: list[str], known: list[str], place: str) -> None:
    """Refuse classes that there are none of."""
    unknown = [name for name in wanted if name not in set(known)]
    if unknown:
        raise InputError(f"{place}: has no class {unknown[0]!r}; the classes are: {listed(known)}")


def note(text: str) -> None:
    """Tell the log what was left out."""
    print(f"note: {text}", file=sys.stderr)


@dataclass(frozen=True)
class Digits:
    """scikit-learn's handwritten digits: 1,797 grey images of 8×8 pixels in 17 levels, spread here over 0..255.

    Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998.
    """

    place: str
    stamp: str
    entries: list[Entry]
    wanted: list[str]
    classes: list[str]
    pixels: np.ndarray

    def read(self, index: int) -> tuple[str | None, object, bytes | None]:
        from PIL import Image

        return self.classes[index], Image.fromarray(self.pixels[index]), None


def open_digits(options: dict, scratch: Path) -> Digits:
    """The digits, or some classes of them."""
    from sklearn.datasets import load_digits

    if "size" in options and (options["size"], options["channels"]) != (8, 1):
        raise InputError("datasets: digits are stored as they are: give them size 8 and channels 1")
    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    classes = [str(target) for target in digits.target]
    wanted = options.get("classes", [])
    check_wanted(wanted, sorted(set(classes)), "digits")
    chosen = [index for index, name in enumerate(classes) if not wanted or name in wanted]
    return Digits(
        place="digits",
        stamp=hashlib.sha256(pixels).hexdigest(),
        entries=[Entry("", f"digits/{index}", "") for index in chosen],
        wanted=wanted,
        classes=[classes[index] for index in chosen],
        pixels=pixels[chosen],
    )


@dataclass(frozen=True)
class Folder:
    """Image files below a folder, with the class of each."""

    place: str
    stamp: str
    entries: list[Entry]
    wanted: list[str]
    classes: list[str]
    root: str

    def read(self, index: int) -> tuple[str | None, object, bytes | None]:
        entry = self.entries[index]
        if not entry.stamp:
            raise FileNotFoundError("there is no such file, or nothing that is a plain one")
        with open(f"{self.root}/{entry.file}", "rb", buffering=0) as file:
            if os.fstat(file.fileno()).st_size > LARGEST_FILE:
                raise ValueError(f"a file of more than {LARGEST_FILE:,} bytes")
            data = file.read()
        if not data:
            raise ValueError("the file is empty")
        return self.classes[index], open_image(data), data


def scan(folder: str) -> list[os.DirEntry]:
    """A folder's entries in the order of names, without hidden ones."""
    try:
        with os.scandir(folder) as entries:
            shown = [entry for entry in entries if not archives.is_noise(entry.name)]
    except OSError as error:
        raise InputError(f"{folder}: cannot be looked into ({error.strerror}); mend its permissions") from None
    for entry in shown:
        # Tables come back from Python 3.11 with a line's end in its place.
        if "\r" in entry.name:
            raise InputError(f"{folder}: the name {entry.name!r} in it has a carriage return; rename it")
        if not entry.name.isascii():
            try:
                entry.name.encode()
            except UnicodeEncodeError:
                raise InputError(f"{folder}: the name {entry.name!r} in it is not UTF-8; rename it") from None
    return sorted(shown, key=lambda entry: entry.name)


def is_folder(entry: os.DirEntry) -> bool:
    """Whether an entry is a folder or a link to one; a link that leads nowhere or in a circle is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def subfolders(folder: str) -> list[str]:
    """The names of the folders in a folder, in order."""
    return [entry.name for entry in scan(folder) if is_folder(entry)]


def files_below(root: str, relative: str, above: tuple[tuple[int, int], ...] = ()) -> Iterator[os.DirEntry]:
    """The files below `root/relative` in the order of names, folder by folder; a link in a circle is an InputError."""
    here = Path(root, relative).stat()
    if (here.st_dev, here.st_ino) in above:
        raise InputError(f"{root}/{relative}: a link to a folder that it lies in; remove it")
    for entry in scan(f"{root}/{relative}"):
        if is_folder(entry):
            yield from files_below(root, f"{relative}/{entry.name}", (*above, (here.st_dev, here.st_ino)))
        else:
            yield entry


def stamp_of(entry: os.DirEntry) -> str:
    """A file's size and time of change; "" for what is no plain file."""
    try:
        status = entry.stat()
    except OSError:
        return ""
    return f"{status.st_size} {status.st_mtime_ns}" if stat.S_ISREG(status.st_mode) else ""


def images_below(root: str, relative: str) -> tuple[dict[str, str], list[str]]:
    """The image files below `root/relative`, {place relative to root: stamp}, and the other files."""
    found, others = {}, []
    for entry in files_below(root, relative):
        place = entry.path[len(root) + 1 :]
        if entry.name.lower().endswith(SUFFIXES):
            found[place] = stamp_of(entry)
        else:
            others.append(place)
    return found, others


def read_list(path: str, classes: list[str]) -> dict[str, str]:
    """A part's list, {file: class}: lines FILE CLASS, further columns after tabs ignored, or the word ilsvrc2012.

    CLASS is a class or an index into `classes`. ilsvrc2012 stands for the classes of the 50,000 validation images
    of the ImageNet Large Scale Visual Recognition Challenge 2012, as indices into its sorted synsets.
    """
    if path == "ilsvrc2012":
        if len(classes) != 1000:
            raise InputError(
                f"datasets: the list ilsvrc2012 is for the 1,000 classes of ILSVRC2012, not for {len(classes)}; "
                "name a list of your own in datasets.*.images.lists"
            )
        table = FACTS / "ilsvrc2012_validation.txt.gz"
        labels = gzip.decompress(table.read_bytes()).decode().split()
        return {f"ILSVRC2012_val_{number:08}.JPEG": classes[int(label)] for number, label in enumerate(labels, 1)}
    try:
        lines = expanded(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: datasets.*.images.lists names it, but it cannot be read ({error})") from None
    known, found = set(classes), {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        words = line.split("\t") if "\t" in line else line.rsplit(maxsplit=1)
        file, name = words[0].strip(), words[1].strip() if len(words) > 1 else ""
        if name not in known and name.isdecimal() and int(name) < len(classes):
            name = classes[int(name)]
        if name not in known:
            raise InputError(
                f"{path}: line {number} is {line.strip()!r}, not FILE CLASS with one of the {len(classes)} classes "
                "of the train part or its index"
            )
        if found.setdefault(file, name) != name:
            raise InputError(f"{path}: line {number} gives {file!r} a second class; mend the list")
    return found


def listed_part(root: str, part: str, path: str, classes: list[str]) -> Iterator[tuple[str, str, str]]:
    """The images of a part by its list: place, stamp, class. A file that is only named has no stamp."""
    by_file = read_list(path, classes)
    found, _ = images_below(root, part)
    places: dict[str, list[str]] = {}
    for place in found:
        for name in {place[len(part) + 1 :], place.rsplit("/", 1)[-1]}:
            places.setdefault(name, []).append(place)
    chosen = {}
    for file, name in by_file.items():
        candidates = places.get(file, [f"{part}/{file}"])
        if len(candidates) > 1:
            raise InputError(f"{path}: {file!r} may be {candidates[0]} or {candidates[1]}; name it with its folder")
        chosen[candidates[0]] = name
    unlisted = [place for place in found if place not in chosen]
    if unlisted:
        raise InputError(
            f"{path}: lacks {len(unlisted)} of the {len(found)} images in {root}/{part}, such as {unlisted[0]}; "
            "complete the list or remove them"
        )
    for place, name in sorted(chosen.items()):
        yield place, found.get(place, ""), name


def check_case(classes: list[str], place: str) -> None:
    """Refuse classes that differ only in case or in how letters are composed: elsewhere they are one folder."""
    seen: dict[str, str] = {}
    for name in classes:
        other = seen.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if other != name:
            raise InputError(f"{place}: the classes {other!r} and {name!r} differ only in case; rename one of them")


def has_parts(root: str) -> bool:
    """Whether a folder has parts of its own: a folder `train` that itself has folders."""
    return "train" in subfolders(root) and bool(subfolders(f"{root}/train"))


def open_archive(path: Path, options: dict, scratch: Path) -> str:
    """The folder that an archive is unpacked into, or the only folder in that."""
    if "md5" in options:
        archives.check_md5(path, options["md5"])
    status = path.stat()
    key = hashlib.sha256(f"{path.resolve()} {status.st_size} {status.st_mtime_ns}".encode()).hexdigest()[:16]
    into = scratch / f".unpacked-{key}"
    # What is there is whole: a run that was cut short left it.
    if not into.exists():
        archives.unpack(path, into)
    root = str(into)
    top = scan(root)
    if len(top) == 1 and is_folder(top[0]) and subfolders(top[0].path) and not has_parts(root):
        root = f"{root}/{top[0].name}"
    return root


def open_folder(options: dict, scratch: Path) -> Folder:
    """A folder of images or an archive of one, in the order of names.

    Either one tree, `class/file`, or with its own parts, `train/class/file` and the same in val and test.
    """
    path = expanded(options["path"])
    if path.is_file() and archives.is_archive(path):
        root = open_archive(path, options, scratch)
    elif not path.is_dir():
        raise InputError(
            f"{path}: there is no such folder; datasets.*.images.path names one folder a class in it, "
            f"or an archive ({', '.join(archives.SUFFIXES)}) of it"
        )
    elif "md5" in options:
        raise InputError(f"{path}: datasets.*.images.md5 is that of an archive, and this is a folder; leave it out")
    else:
        root = str(path)
    place, wanted, lists = str(path), options.get("classes", []), options.get("lists", {})

    def say(relative: str) -> str:
        return f"{place}/{relative}" if relative else place

    if has_parts(root):
        present = [part for part in FOLDER_PARTS if part in subfolders(root)]
        parts = options.get("parts", present)
        left_out = [name for name in subfolders(root) if name not in parts]
        if left_out:
            note(f"{place}: no part is made of the folders {listed(left_out)}")
        missing = [part for part in [*parts, *lists] if part not in present]
        if missing:
            raise InputError(f"{place}: has no folder {missing[0]!r}, which datasets.*.images names as a part")
        classes = subfolders(f"{root}/train")
    elif lists or "parts" in options:
        raise InputError(f"{place}: has no folder 'train' with classes, which lists and parts of a folder ask for")
    else:
        parts, classes = [""], subfolders(root)
    check_case(classes, place)
    check_wanted(wanted, classes, place)

    entries, names, others = [], [], []
    for part in parts:
        if part in lists:
            for file, stamp, name in listed_part(root, part, lists[part], classes):
                if not wanted or name in wanted:
                    entries.append(Entry(part, file, stamp))
                    names.append(name)
            continue
        inside = subfolders(f"{root}/{part}") if part else classes
        if part and not inside:
            raise InputError(
                f"{say(part)}: has no folders of classes; name a list of its files in datasets.*.images.lists.{part}, "
                "or the parts to take in datasets.*.images.parts"
            )
        strange = [name for name in inside if name not in set(classes)]
        if strange:
            raise InputError(
                f"{say(part)}: has the class {strange[0]!r}, which {say('train')} lacks; mend it, or name a list of "
                f"its files in datasets.*.images.lists.{part}"
            )
        loose = [entry.name for entry in scan(f"{root}/{part}" if part else root) if not is_folder(entry)]
        loose = [name for name in loose if name.lower().endswith(SUFFIXES)]
        if loose:
            note(f"{say(part)}: left out {len(loose)} images that lie in no class's folder, such as {loose[0]}")
        for name in inside:
            if wanted and name not in wanted:
                continue
            relative = f"{part}/{name}" if part else name
            found, unknown = images_below(root, relative)
            if not found:
                raise InputError(f"{say(relative)}: this class has no images; add some or remove the folder")
            entries += [Entry(part, file, stamp) for file, stamp in found.items()]
            names += [name] * len(found)
            others += unknown
    if others:
        note(f"{place}: left out {len(others)} files that are no images by their names, such as {others[0]}")
    # A list may give a file another class.
    stamp = hashlib.sha256("\0".join(names).encode()).hexdigest() if lists else ""
    return Folder(place=place, stamp=stamp, entries=entries, wanted=wanted, classes=names, root=root)


@dataclass(frozen=True)
class Torchvision:
    """The parts of a data set of torchvision.datasets, one after another, each in an order of its own."""

    place: str
    stamp: str
    entries: list[Entry]
    wanted: list[str]
    names: list[list[str] | None]
    parts: list
    orders: list[list[int]]
    starts: list[int]

    def read(self, index: int) -> tuple[str | None, object, bytes | None]:
        number = bisect_right(self.starts, index) - 1
        image, target = self.parts[number][self.orders[number][index - self.starts[number]]]
        names, part = self.names[number], self.entries[index].part
        try:
            label = operator.index(target)
        except TypeError:
            raise InputError(
                f"{self.place}: the part {part!r} has {target!r} for a class; it is no set for classification"
            ) from None
        if label < 0:
            raise InputError(
                f"{self.place}: the part {part!r} has images without a label; leave it out of datasets.*.images.parts"
            )
        if names is not None and label >= len(names):
            raise InputError(f"{self.place}: the part {part!r} has the label {label}, beyond its {len(names)} classes")
        if not hasattr(image, "convert"):
            raise InputError(f"{self.place}: the part {part!r} has no images but {type(image).__name__}")
        name = str(label) if names is None else names[label]
        return (name if not self.wanted or name in self.wanted else None), image, None


def class_names(part: object) -> list[str] | None:
    """The names by label of a torchvision data set's classes; None for one that has only numbers."""
    for attribute in ("wnids", "classes", "categories", "_characters"):
        names = getattr(part, attribute, None)
        if isinstance(names, list | tuple) and all(isinstance(name, str) for name in names):
            return list(names) if len(set(names)) == len(names) > 0 else None
    return None


def file_names(part: object) -> list[str] | None:
    """The files of the torchvision data sets whose order would be the disk's; None for those that keep one."""
    if hasattr(part, "_flat_character_images"):
        return [f"{part._characters[label]}/{file}" for file, label in part._flat_character_images]
    if hasattr(part, "_image_files"):
        return [Path(file).relative_to(part.root).as_posix() for file in part._image_files]
    return None


def listing_stamp(root: Path) -> str:
    """The hash of the names, sizes and times of all files below a folder."""
    digest = hashlib.sha256()
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            try:
                status = Path(folder, name).stat()
            except OSError:
                continue
            digest.update(f"{folder}/{name}\0{status.st_size} {status.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def open_torchvision(options: dict, scratch: Path) -> Torchvision:
    """A classification set of torchvision.datasets, its class called once a part."""
    import torchvision.datasets

    kind = getattr(torchvision.datasets, options["name"], None)
    if not inspect.isclass(kind):
        raise InputError(f"datasets: torchvision.datasets has no {options['name']!r}")
    root = expanded(options["path"])
    download = {"download": True} if options["download"] else {}
    opened = {}
    for part, arguments in options["parts"].items():
        try:
            opened[part] = kind(root=root, **download, **arguments)
        except Exception as error:
            # Every class fails in a way of its own: RuntimeError, TypeError, pickle's errors and the network's.
            remedy = "" if options["download"] else f"; set download: true, or put its files into {root}"
            said = " ".join(str(error).split()) or type(error).__name__
            raise InputError(f"datasets: torchvision's {options['name']} with {arguments}: {said}{remedy}") from None

    place, wanted = f"torchvision's {options['name']} in {root}", options.get("classes", [])
    names = {part: class_names(data) for part, data in opened.items()}
    if all(names.values()):
        check_wanted(wanted, sorted({name for known in names.values() for name in known}), place)
    entries, orders = [], []
    for part, data in opened.items():
        known = file_names(data)
        order = list(range(len(data))) if known is None else sorted(range(len(data)), key=known.__getitem__)
        entries += [Entry(part, f"{options['name']}/{part}/{known[i] if known else i}", "") for i in order]
        orders.append(order)
    return Torchvision(
        place=place,
        stamp=listing_stamp(root),
        entries=entries,
        wanted=wanted,
        names=list(names.values()),
        parts=list(opened.values()),
        orders=orders,
        starts=[0, *accumulate(map(len, orders))][:-1],
    )


@dataclass(frozen=True)
class Sets:
    """Several sources as one: the classes and places of each are named by the set, "SET/CLASS"."""

    place: str
    stamp: str
    entries: list[Entry]
    wanted: list[str]
    names: list[str]
    members: list[Source]
    starts: list[int]

    def read(self, index: int) -> tuple[str | None, object, bytes | None]:
        number = bisect_right(self.starts, index) - 1
        name, image, data = self.members[number].read(index - self.starts[number])
        return (None if name is None else f"{self.names[number]}/{name}"), image, data


def open_sets(options: dict, scratch: Path) -> Sets:
    """Several sets, one after another."""
    members = {name: open_source(member, scratch) for name, member in options["sets"].items()}
    return Sets(
        place=", ".join(member.place for member in members.values()),
        stamp=" ".join(member.stamp for member in members.values()),
        entries=[
            replace(entry, file=f"{name}/{entry.file}") for name, member in members.items() for entry in member.entries
        ],
        wanted=[f"{name}/{wanted}" for name, member in members.items() for wanted in member.wanted],
        names=list(members),
        members=list(members.values()),
        starts=[0, *accumulate(len(member.entries) for member in members.values())][:-1],
    )


OPENERS = {"digits": open_digits, "folder": open_folder, "torchvision": open_torchvision, "sets": open_sets}


def open_source(options: dict, scratch: Path) -> Source:
    """The source that `options` (datasets.*.images of the params) describe; archives are unpacked into `scratch`."""
    source = OPENERS[options["source"]](options, scratch)
    if not source.entries:
        raise InputError(f"{source.place}: holds no images; the source {options['source']!r} needs some")
    return source
