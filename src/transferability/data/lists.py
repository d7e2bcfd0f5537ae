"""Lists: text files that give the images of a part their classes, where no folders do."""

import gzip
import re

from transferability.data.listing import Tree
from transferability.data.names import composed, decoded, listed, meant, shown
from transferability.errors import InputError
from transferability.facts import FACTS
from transferability.files import expanded
from transferability.words import counted

FORMS = {"class": "names", "index": "indices"}
"""The second word of a first line `file class` or `file index`, and what the labels below it are."""


def ilsvrc2012_list(classes: list[str]) -> dict[str, str]:
    """The classes of the 50,000 validation images of the ImageNet Large Scale Visual Recognition Challenge 2012."""
    if len(classes) != 1000:
        raise InputError(
            f"datasets: the list ilsvrc2012 is for the 1,000 classes of ILSVRC2012, not for {len(classes)}; "
            "name a list of your own in datasets.*.images.lists"
        )
    table = FACTS / "ilsvrc2012_validation.txt.gz"
    labels = gzip.decompress(table.read_bytes()).decode().split()
    return {f"ILSVRC2012_val_{number:08}.JPEG": classes[int(label)] for number, label in enumerate(labels, 1)}


def list_lines(path: str) -> list[tuple[int, str, str]]:
    """The lines of a list: number, file, label; further columns after tabs are ignored, and so are empty lines."""
    try:
        lines = decoded(expanded(path).read_bytes()).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: datasets.*.images.lists names it, but it cannot be read ({error})") from None
    rows = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            words = line.split("\t") if "\t" in line else line.rsplit(maxsplit=1)
            rows.append((number, words[0].strip(), words[1].strip() if len(words) > 1 else ""))
    return rows


def as_indices(labels: list[str], classes: list[str]) -> list[str] | None:
    """The classes of labels that are indices into the classes; None where one is none."""
    if not all(label.isascii() and label.isdecimal() and int(label) < len(classes) for label in labels):
        return None
    return [classes[int(label)] for label in labels]


def as_names(labels: list[str], classes: list[str]) -> list[str] | None:
    """The classes of labels that are their names; None where one is none."""
    by_name = {composed(name): name for name in classes}
    names = [by_name[composed(label)] for label in labels if composed(label) in by_name]
    return names if len(names) == len(labels) else None


def classes_of_labels(path: str, rows: list[tuple[int, str, str]], classes: list[str]) -> list[str]:
    """The class of each line of a list, whose labels are all names or all indices; else an InputError.

    A first line `file class` or `file index` says which; without it the labels themselves must.
    """
    form = FORMS.get(rows[0][2].lower()) if rows and rows[0][1].lower() == "file" else None
    labels = [label for _, _, label in rows[form is not None :]]
    names = as_names(labels, classes) if form != "indices" else None
    indices = as_indices(labels, classes) if form != "names" else None
    if names and indices and names != indices:
        raise InputError(
            f"{path}: its labels may be names of classes or their indices; say which by a first line `file class` or "
            "`file index`"
        )
    if names is None and indices is None:
        refuse_labels(path, rows[form is not None :], classes)
    if names is None and form is None and classes != sorted(classes, key=in_numbers_order):
        raise InputError(
            f"{path}: its labels are no names of classes, and as indices they may count the classes in the order of "
            f"text ({listed(classes[:3])} ...) or of numbers ({listed(sorted(classes, key=in_numbers_order)[:3])} "
            "...); write names, or a first line `file index` for the order of text"
        )
    return names or indices or []


def in_numbers_order(name: str) -> list[str | int]:
    """A key that sorts names by the numbers in them: class 2 before class 10."""
    return [int(piece) if piece.isdecimal() else piece for piece in re.split(r"([0-9]+)", name)]


def refuse_labels(path: str, rows: list[tuple[int, str, str]], classes: list[str]) -> None:
    """Name the first line whose label is neither a class nor an index, or, where both occur, one of each."""
    is_name = [as_names([label], classes) is not None for *_, label in rows]
    is_index = [as_indices([label], classes) is not None for *_, label in rows]
    for (number, file, label), *matches in zip(rows, is_name, is_index, strict=True):
        if not any(matches):
            raise InputError(
                f"{path}: line {number} is {f'{file} {label}'.strip()!r}, not FILE CLASS with one of the "
                f"{len(classes)} classes of the train part or its index{meant(label, classes)}"
            )
    name, index = (rows[at][2] for at in (is_index.index(False), is_name.index(False)))
    raise InputError(
        f"{path}: the label {name!r} is a class and no index, and {index!r} an index and no class; let all lines name "
        "classes, or all give indices"
    )


def read_list(path: str, classes: list[str]) -> dict[str, str]:
    """A part's list, {file: class}: lines FILE CLASS, further columns after tabs ignored, or the word ilsvrc2012.

    CLASS is a class or an index into `classes`, in all lines the same.
    """
    if path == "ilsvrc2012":
        return ilsvrc2012_list(classes)
    rows = list_lines(path)
    names = classes_of_labels(path, rows, classes)
    by_file: dict[str, str] = {}
    for (number, file, _), name in zip(rows[len(rows) - len(names) :], names, strict=True):
        if by_file.setdefault(composed(file), name) != name:
            raise InputError(f"{path}: line {number} gives {file!r} a second class; mend the list")
    return by_file


class Places:
    """The images below a part, found by what lists call them: their place in it, the same with the part, their name."""

    def __init__(self, part: str, images: dict[str, str]) -> None:
        self.part = part
        self.exact: dict[str, str] = {}
        self.by_name: dict[str, list[str]] = {}
        for place in images:
            self.exact[composed(place)] = self.exact[composed(place[len(part) + 1 :])] = place
            self.by_name.setdefault(composed(place.rsplit("/", 1)[-1]), []).append(place)

    def find(self, file: str, path: str) -> str:
        """The place of a list's file; where it would be, if there is none. One that may be several is an InputError."""
        for name in (file, file.replace("\\", "/").removeprefix("./")):
            candidates = [self.exact[name]] if name in self.exact else self.by_name.get(name, [])
            if len(candidates) > 1:
                raise InputError(
                    f"{path}: {file!r} may be {shown(candidates[0])} or {shown(candidates[1])}; name it with its folder"
                )
            if candidates:
                return candidates[0]
        return f"{self.part}/{file}"


def listed_part(tree: Tree, part: str, path: str, classes: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """The images of a part by its list: {place: class}, sorted, and {place: stamp} of the files that there are."""
    by_file = read_list(path, classes)
    images = tree.images_below(part)
    places, chosen = Places(part, images), dict[str, str]()
    for file, name in by_file.items():
        place = places.find(file, path)
        if chosen.setdefault(place, name) != name:
            raise InputError(f"{path}: gives {shown(place)} two classes, {chosen[place]!r} and {name!r}; mend the list")
    unlisted = [place for place in images if place not in chosen]
    if unlisted:
        raise InputError(
            f"{path}: lacks {len(unlisted)} of the {counted(len(images), 'image')} in {shown(tree.path(part))}, "
            f"such as {shown(unlisted[0])}; complete the list or remove them"
        )
    return dict(sorted(chosen.items())), images
