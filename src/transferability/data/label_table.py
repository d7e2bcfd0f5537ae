"""Label tables: images whose labels stand in one CSV file, with the columns file and labels, and a part if need be."""

import csv
import io
import os
from pathlib import Path

from transferability.data.annotations import Annotated, Annotation, Item, annotated
from transferability.data.entries import SEPARATOR, Entry
from transferability.data.listing import check_name, stamp_of
from transferability.data.names import composed, decoded, shown
from transferability.errors import InputError
from transferability.files import expanded

COLUMNS = ("file", "labels")


def table_rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """The rows of a table with their lines; one that is no such table is an InputError."""
    try:
        reader = csv.DictReader(io.StringIO(decoded(path.read_bytes()), newline=""), strict=True)
        rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"{shown(str(path))}: cannot be read as a table of labels ({error}); give a CSV file"
        ) from None
    missing = [column for column in COLUMNS if column not in (reader.fieldnames or [])]
    if missing:
        raise InputError(
            f"{shown(str(path))}: has no column {missing[0]!r}; its first line names the columns file and labels, and "
            "part where images have one"
        )
    return rows


def item_of(row: dict[str, str], root: Path, where: str) -> Item:
    """A row's image and its labels, which may be none."""
    file, labels = (row["file"] or "").strip().replace("\\", "/"), row["labels"]
    if not file or labels is None or None in row:
        raise InputError(f"{where} lacks a file or labels, or has too many columns; labels are written dog|person")
    check_name(where, file)
    names = [composed(name.strip()) for name in labels.split(SEPARATOR) if name.strip()]
    if len(set(names)) < len(names):
        raise InputError(f"{where} names a label twice: {labels!r}; name each once")
    part = (row.get("part") or "").strip()
    return Item(Entry(part, file, stamp_of(root / file)), Annotation(tuple(sorted(names))))


def open_table(options: dict, scratch: Path) -> Annotated:
    """Images with the labels of a table: `path` is the folder that both lie in, `table` the table's name in it."""
    root = expanded(options["path"])
    path = root / options["table"]
    items = [item_of(row, root, f"{shown(str(path))}: line {line}") for line, row in table_rows(path)]
    return annotated(sorted(items, key=lambda item: item.entry.file), os.fspath(root), options, shown(str(path)))
