"""Listings: which files of a folder are images, which of its folders are parts and classes, and what is left out.

Standard library only, and no image is opened: a workflow asks at every start whether a folder is still as it was.
"""

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from transferability.data.names import composed, folded, listed, shown
from transferability.errors import InputError
from transferability.files import expanded
from transferability.words import counted

# Files that are taken for images; what they hold is seen when they are read.
SUFFIXES = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jp2", ".j2k", ".png", ".ppm", ".pgm", ".pbm", ".pnm"),
    *(".bmp", ".tif", ".tiff", ".webp", ".gif", ".avif", ".heic", ".heif"),
}

FOLDER_PARTS = ("train", "val", "test")

# What systems put beside images: macOS, Windows, disks of several makers, Linux, notebooks, version control.
SYSTEM_NAMES = {
    *("__macosx", "icon\r", ".ds_store", ".appledouble", ".spotlight-v100", ".fseventsd", ".temporaryitems"),
    *("$recycle.bin", "system volume information", "thumbs.db", "ehthumbs.db", "desktop.ini"),
    *("@eadir", "#recycle", "#snapshot", "@recycle", ".snapshot", ".snapshots", "lost+found"),
    *(".thumbnails", ".directory", ".trashes", ".trash", ".ipynb_checkpoints", ".git", ".svn", ".hg", ".dvc"),
}

EXAMPLES = 3
"""Names that stand for all that are left out for one reason."""


def is_system(name: str) -> bool:
    """Whether a name is one that systems add to what people put into a folder."""
    return name.casefold() in SYSTEM_NAMES or name.startswith(("._", ".Trash-"))


def is_hidden(name: str) -> bool:
    """Whether a name is one that file managers do not show."""
    return name.startswith(".")


def suffix_of(name: str) -> str:
    """A file's suffix in small letters, "" if it has none."""
    dot = name.rfind(".")
    return name[dot:].lower() if dot > 0 else ""


def is_image(name: str) -> bool:
    """Whether a file is taken for an image by its name."""
    return suffix_of(name) in SUFFIXES


@dataclass
class LeftOut:
    """What a source leaves out, counted by reason, with a few names."""

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, name: str) -> None:
        """Count one more file or folder."""
        self.counts[reason] = self.counts.get(reason, 0) + 1
        names = self.examples.setdefault(reason, [])
        if len(names) < EXAMPLES:
            names.append(name)

    def as_json(self) -> list[dict]:
        """The reasons in order, each with its count and a few names."""
        return [
            {"reason": reason, "count": self.counts[reason], "such as": self.examples[reason]}
            for reason in sorted(self.counts)
        ]


def check_name(folder: str, name: str) -> None:
    """Refuse a name that tables cannot hold."""
    # Tables come back from Python 3.11 with a line's end in its place.
    if "\r" in name:
        raise InputError(f"{shown(folder)}: the name {name!r} in it has a carriage return; rename it")
    if not name.isascii():
        try:
            name.encode()
        except UnicodeEncodeError:
            raise InputError(f"{shown(folder)}: the name {name!r} in it is not UTF-8; rename it") from None


def scan(folder: str) -> list[os.DirEntry]:
    """A folder's entries in the order of names, hidden ones and those of systems too."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"{shown(folder)}: cannot be looked into ({error.strerror}); mend its permissions") from None


def is_folder(entry: os.DirEntry) -> bool:
    """Whether an entry is a folder or a link to one; a link that leads nowhere or in a circle is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def stamp_of(entry: os.DirEntry | Path) -> str:
    """A file's size and time of change; "" for what is no plain file."""
    try:
        status = entry.stat()
    except OSError:
        return ""
    return f"{status.st_size} {status.st_mtime_ns}" if stat.S_ISREG(status.st_mode) else ""


@dataclass
class Tree:
    """A folder that is looked through: where it lies, the hidden folders to take, and what is left out of it."""

    root: str
    taken: frozenset[str] = frozenset()
    left_out: LeftOut = field(default_factory=LeftOut)

    def path(self, relative: str) -> str:
        """The path of a file or folder in it."""
        return f"{self.root}/{relative}" if relative else self.root

    def entries(self, relative: str) -> list[os.DirEntry]:
        """What a folder in it holds, in the order of names, without what is hidden or a system's."""
        folder, kept = self.path(relative), []
        for entry in scan(folder):
            if is_system(entry.name):
                self.left_out.add("added by a system", f"{relative}/{entry.name}".lstrip("/"))
            elif is_hidden(entry.name) and entry.name not in self.taken:
                kind = "folder, taken where datasets.*.images.classes names it" if is_folder(entry) else "file"
                self.left_out.add(f"hidden {kind}", f"{relative}/{entry.name}".lstrip("/"))
            else:
                check_name(folder, entry.name)
                kept.append(entry)
        return kept

    def subfolders(self, relative: str) -> list[str]:
        """The names of the folders in a folder in it, in order."""
        return [entry.name for entry in Tree(self.root, self.taken).entries(relative) if is_folder(entry)]

    def class_folders(self, relative: str) -> list[str]:
        """The names of the folders in a folder in it, in order; the files beside them are counted as left out."""
        folders = []
        for entry in self.entries(relative):
            if is_folder(entry):
                folders.append(entry.name)
            else:
                self.leave_out(entry, "image in no class's folder")
        return folders

    def leave_out(self, entry: os.DirEntry, reason_of_image: str) -> None:
        """Count a file as left out: by its suffix, or for a reason where it is an image."""
        suffix = suffix_of(entry.name)
        by_suffix = f"no image by its suffix {shown(suffix)}" if suffix else "no image: it has no suffix"
        self.left_out.add(reason_of_image if is_image(entry.name) else by_suffix, entry.path[len(self.root) + 1 :])

    def files_below(self, relative: str, above: tuple[tuple[int, int], ...] = ()) -> Iterator[os.DirEntry]:
        """The files below a folder in the order of names, folder by folder; a link in a circle is an InputError."""
        here = Path(self.path(relative)).stat()
        if (here.st_dev, here.st_ino) in above:
            raise InputError(f"{shown(self.path(relative))}: a link to a folder that it lies in; remove it")
        for entry in self.entries(relative):
            if is_folder(entry):
                yield from self.files_below(f"{relative}/{entry.name}", (*above, (here.st_dev, here.st_ino)))
            else:
                yield entry

    def images_below(self, relative: str) -> dict[str, str]:
        """The image files below a folder, {place relative to the root: stamp}; others are counted as left out."""
        images = {}
        for entry in self.files_below(relative):
            if is_image(entry.name):
                images[entry.path[len(self.root) + 1 :]] = stamp_of(entry)
            else:
                self.leave_out(entry, "")
        return images

    def has_images(self, relative: str) -> bool:
        """Whether there is an image below a folder."""
        return any(is_image(entry.name) for entry in Tree(self.root).files_below(relative))


@dataclass(frozen=True)
class Layout:
    """How a folder is to be read: its parts, [""] where it has none, and the names of its classes."""

    parts: list[str]
    classes: list[str]


HELD_OUT = ("val", "test", "dev", "eval")
"""How names of parts begin that are not for training."""
OTHER_PARTS = (*HELD_OUT, "train", "extra", "holdout", "heldout", "unlab")


def may_be_no_class(tree: Tree, name: str, classes: set[str]) -> bool:
    """Whether a folder beside `train` may be no class: it has no images, or the classes of a part that it is named."""
    inside = {composed(each) for each in tree.subfolders(name)}
    return (folded(name).startswith(OTHER_PARTS) and bool(inside) and inside <= classes) or not tree.has_images(name)


def has_parts(tree: Tree, options: dict, place: str) -> bool:
    """Whether a folder has parts of its own, told from all that it holds; an InputError where it may be either.

    Parts are a folder `train` that itself has folders, and beside it nothing that may be a class. Where the params
    name parts, lists or classes, these decide.
    """
    folders = tree.subfolders("")
    inside = {composed(name) for name in tree.subfolders("train")} if "train" in folders else set()
    if not inside:
        refuse_parts_as_classes(folders, options, place)
        return False
    wanted = {composed(name) for name in options.get("classes", [])}
    in_train, beside_it = wanted <= inside, wanted <= {composed(name) for name in folders}
    if "parts" in options or options.get("lists"):
        return True
    if in_train != beside_it:
        return in_train
    beside = [name for name in folders if name not in FOLDER_PARTS and not may_be_no_class(tree, name, inside)]
    if beside:
        raise InputError(
            f"{place}: may have one folder a class ({listed(folders)}), or a part `train` of the classes "
            f"{listed(sorted(inside))}; name the parts in datasets.*.images.parts, or else the classes in "
            "datasets.*.images.classes"
        )
    return True


def refuse_parts_as_classes(folders: list[str], options: dict, place: str) -> None:
    """Refuse folders such as Train and Test for classes, unless the params name them as such."""
    for_training = [name for name in folders if folded(name) in ("train", "training")]
    held_out = [name for name in folders if folded(name).startswith(HELD_OUT)]
    if for_training and held_out and "classes" not in options:
        raise InputError(
            f"{place}: the folders {for_training[0]!r} and {held_out[0]!r} look like parts, which are to be named "
            "train, val and test and to hold a folder a class; mend them, or, if they are classes, name all classes in "
            "datasets.*.images.classes"
        )


def layout_of(tree: Tree, options: dict, place: str) -> Layout:
    """The parts and classes of a folder of images; `options` are datasets.*.images of the params."""
    lists, folders = options.get("lists", {}), tree.class_folders("")
    if not has_parts(tree, options, place):
        if lists or "parts" in options:
            raise InputError(f"{place}: has no folder 'train' with classes, which lists and parts of a folder ask for")
        return Layout([""], folders)
    present = [part for part in FOLDER_PARTS if part in folders]
    parts = options.get("parts", present)
    missing = [part for part in [*parts, *lists] if part not in present]
    if missing:
        raise InputError(f"{place}: has no folder {missing[0]!r}, which datasets.*.images names as a part")
    for name in folders:
        if name not in parts:
            tree.left_out.add("folder that is no part", name)
    return Layout(parts, tree.subfolders("train"))


def classes_of_part(tree: Tree, part: str, layout: Layout, place: str) -> dict[str, str]:
    """The folders of a part's classes, {folder in it: class}, by the names that the classes have in `train`."""
    inside = tree.class_folders(part) if part else layout.classes
    if part and not inside:
        raise InputError(
            f"{place}/{part}: has no folders of classes; name a list of its files in datasets.*.images.lists.{part}, "
            "or the parts to take in datasets.*.images.parts"
        )
    by_name = {composed(name): name for name in layout.classes}
    strange = [name for name in inside if composed(name) not in by_name]
    if strange:
        raise InputError(
            f"{place}/{part}: has the class {strange[0]!r}, which {place}/train lacks; mend it, or name a list of "
            f"its files in datasets.*.images.lists.{part}"
        )
    return {name: by_name[composed(name)] for name in inside}


def listing_of(stamps: dict[str, str]) -> dict:
    """What a folder holds, for a card: how many images, and the hash of their names and sizes.

    `stamps` are the places of images relative to the folder, each with a size and a time, which is not looked at.
    """
    lines = sorted(f"{composed(place)}\0{stamp.partition(' ')[0]}\n" for place, stamp in stamps.items())
    return {"images": len(lines), "sha256": hashlib.sha256("".join(lines).encode()).hexdigest()}


def present_listing(root: str, options: dict) -> dict:
    """The listing of what packing would take of a folder now, as `listing_of` gives it."""
    wanted = {composed(name) for name in options.get("classes", [])}
    tree, lists, stamps = Tree(root, frozenset(wanted)), options.get("lists", {}), dict[str, str]()
    layout = layout_of(tree, options, shown(root))
    for part in layout.parts:
        folders = {"": ""} if part in lists else classes_of_part(tree, part, layout, shown(root))
        for folder, name in folders.items():
            if part in lists or not wanted or composed(name) in wanted:
                stamps |= tree.images_below("/".join(filter(None, (part, folder))))
    return listing_of(stamps)


def change(options: dict, packed: dict) -> str | None:
    """What a folder or an archive of images has that the packed images have not, in half a sentence; None if nothing.

    `options` are datasets.*.images of the params, `packed` the listing that packing has left in the card. Nothing is
    said of what is not on this machine, of sources without a listing, or of files whose size is the same.
    """
    path = expanded(options["path"])
    if "sha256" not in packed or not os.access(path, os.R_OK):
        return None
    if path.is_file():
        size, before = path.stat().st_size, packed.get("archive_bytes")
        if before in (None, size):
            return None
        return f"{shown(str(path))}: the archive has {size:,} bytes, and had {before:,} when it was packed"
    try:
        present = present_listing(str(path), options)
    except InputError as error:
        return f"{error}; it was otherwise when it was packed"
    if present["sha256"] == packed["sha256"]:
        return None
    if present["images"] != packed["images"]:
        held = counted(present["images"], "image")
        return f"{shown(str(path))}: the folder holds {held}, and held {packed['images']:,} when it was packed"
    return f"{shown(str(path))}: the folder holds {counted(present['images'], 'image')}, but not those that were packed"


def changed_since_packing(options: dict, card: dict, folder: Path) -> str | None:
    """A sentence that the images are not those that were packed, and what to do; None where they are.

    `options` are datasets.*.images of the params, `card` the content of card.json in `folder`, the packed set.
    Names and sizes of files are compared, not times, nor where the folder lies; of an archive its size.
    """
    packed = card.get("listing", {})
    for name, member in options.get("sets", {"": options}).items():
        listing = packed.get(name, {}) if name else packed
        difference = change(member, listing) if member["source"] == "folder" else None
        if difference:
            return f"{difference}: to pack anew, run `{repacking(folder)}`, or bring the images back that were packed"
    return None


def repacking(folder: Path) -> str:
    """The command that packs a data set anew, and makes anew what follows from it."""
    splits = folder.parent.parent / "splits" / folder.name
    return f"rm -r {folder} {splits}; snakemake --cores 2 --forcerun {folder / 'index.csv'}"
