"""Folders: image files in folders of classes, with parts or without, or an archive of such a folder."""

import hashlib
import os
import unicodedata
from dataclasses import dataclass, field, replace
from pathlib import Path

from transferability.data import archives
from transferability.data.entries import Entry, Source
from transferability.data.images import open_image
from transferability.data.listing import LeftOut, Tree, classes_of_part, has_parts, layout_of, listing_of
from transferability.data.lists import listed_part
from transferability.data.names import shown, taken
from transferability.errors import InputError
from transferability.files import expanded

# More than any image has: a file is read at once.
LARGEST_FILE = 2**30


def read_entry(root: str, entry: Entry) -> bytes:
    """The bytes of an entry's file below a folder; one that is missing, empty or too large is an exception."""
    if not entry.stamp:
        raise FileNotFoundError("there is no such file, or nothing that is a plain one")
    with open(f"{root}/{entry.file}", "rb", buffering=0) as file:
        if os.fstat(file.fileno()).st_size > LARGEST_FILE:
            raise ValueError(f"a file of more than {LARGEST_FILE:,} bytes")
        data = file.read()
    if not data:
        raise ValueError("the file is empty")
    return data


@dataclass(frozen=True)
class Folder(Source):
    """Image files below a folder, with the class of each."""

    classes: list[str]
    root: str

    def read(self, index: int) -> tuple[str | None, object, bytes | None]:
        data = read_entry(self.root, self.entries[index])
        return self.classes[index], open_image(data), data


def check_case(classes: list[str], place: str) -> None:
    """Refuse classes that differ only in case or in how letters are composed: elsewhere they are one folder."""
    seen: dict[str, str] = {}
    for name in classes:
        other = seen.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if other != name:
            raise InputError(f"{place}: the classes {other!r} and {name!r} differ only in case; rename one of them")


@dataclass
class Contents:
    """What a folder holds, as far as it was read: an entry and a class for each image, and the stamps of all files."""

    entries: list[Entry] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    stamps: dict[str, str] = field(default_factory=dict)

    def add(self, part: str, stamps: dict[str, str], classes: list[str]) -> None:
        """Take images of a part: {place: stamp}, and the class of each."""
        self.entries += [Entry(part, place, stamp) for place, stamp in stamps.items()]
        self.classes += classes


def add_listed_part(contents: Contents, tree: Tree, part: str, path: str, classes: list[str], wanted: set[str]) -> None:
    """Take the images of a flat part, whose classes stand in a list; a file that is only named has no stamp."""
    chosen, stamps = listed_part(tree, part, path, classes)
    contents.stamps |= stamps
    chosen = {place: name for place, name in chosen.items() if name in wanted}
    contents.add(part, {place: stamps.get(place, "") for place in chosen}, list(chosen.values()))


def add_part(contents: Contents, tree: Tree, part: str, folders: dict[str, str], place: str) -> None:
    """Take the images of a part with folders of classes, {folder: class}; one without images is an InputError."""
    for folder, name in folders.items():
        relative = f"{part}/{folder}" if part else folder
        stamps = tree.images_below(relative)
        if not stamps:
            raise InputError(f"{place}/{shown(relative)}: this class has no images; add some or remove the folder")
        contents.stamps |= stamps
        contents.add(part, stamps, [name] * len(stamps))


def open_tree(root: str, options: dict, place: str) -> Folder:
    """The images of a folder in the order of names."""
    tree, lists = Tree(root, frozenset(options.get("classes", []))), options.get("lists", {})
    layout = layout_of(tree, options, place)
    check_case(layout.classes, place)
    required, contents = taken(options.get("classes", []), layout.classes, place), Contents()
    wanted = set(required or layout.classes)
    for part in layout.parts:
        if part in lists:
            add_listed_part(contents, tree, part, lists[part], layout.classes, wanted)
        else:
            folders = classes_of_part(tree, part, layout, place)
            add_part(contents, tree, part, {folder: name for folder, name in folders.items() if name in wanted}, place)
    # A list may give a file another class.
    stamp = hashlib.sha256("\0".join(contents.classes).encode()).hexdigest() if lists else ""
    return Folder(
        place=place,
        stamp=stamp,
        entries=contents.entries,
        wanted=required,
        left_out=tree.left_out.as_json(),
        listing=listing_of(contents.stamps),
        classes=contents.classes,
        root=root,
    )


def inner_folder(root: str, options: dict, place: str) -> tuple[str, LeftOut]:
    """The folder of images in an unpacked archive, and what lies beside it.

    That is the only folder with images, if it has folders of its own; archives often have a README beside it.
    """
    tree = Tree(root)
    folders = tree.class_folders("")
    holding = [name for name in folders if tree.has_images(name)]
    if len(holding) != 1 or not tree.subfolders(holding[0]) or has_parts(tree, options, place):
        return root, LeftOut()
    for name in folders:
        if name not in holding:
            tree.left_out.add("folder without images", name)
    return f"{root}/{holding[0]}", tree.left_out


def open_archive(path: Path, options: dict, scratch: Path) -> Folder:
    """The images of an archive, which is unpacked into a folder of `scratch`."""
    if "md5" in options:
        archives.check_md5(path, options["md5"])
    status = path.stat()
    key = hashlib.sha256(f"{path.resolve()} {status.st_size} {status.st_mtime_ns}".encode()).hexdigest()[:16]
    into = scratch / f".unpacked-{key}"
    # What is there is whole: a run that was cut short left it.
    if not into.exists():
        archives.unpack(path, into)
    place = shown(str(path))
    root, beside = inner_folder(str(into), options, place)
    folder = open_tree(root, options, place)
    listing = {**folder.listing, "archive_bytes": status.st_size}
    return replace(folder, left_out=[*beside.as_json(), *folder.left_out], listing=listing)


def open_folder(options: dict, scratch: Path) -> Folder:
    """A folder of images or an archive of one, in the order of names.

    Either one tree, `class/file`, or with its own parts, `train/class/file` and the same in val and test.
    """
    path = expanded(options["path"])
    if path.is_file() and archives.is_archive(path):
        return open_archive(path, options, scratch)
    place = shown(str(path))
    if not path.is_dir():
        raise InputError(
            f"{place}: there is no such folder; datasets.*.images.path names one folder a class in it, "
            f"or an archive ({', '.join(archives.SUFFIXES)}) of it"
        )
    if "md5" in options:
        raise InputError(f"{place}: datasets.*.images.md5 is that of an archive, and this is a folder; leave it out")
    return open_tree(str(path), options, place)
