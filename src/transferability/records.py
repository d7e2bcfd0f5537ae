"""Records: what Snakemake keeps of how each file was made, under .snakemake, and files that lack one.

Without its record a file passes for up to date, whatever it was made from.
"""

import os
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Iterator
from pathlib import Path


def walk_files(folder: Path) -> Iterator[str]:
    """The files under a folder, by their paths relative to where the folder's own path starts."""
    for place, _, names in os.walk(folder):
        for name in names:
            yield f"{place}/{name}"


def recorded_files(folder: Path) -> set[str]:
    """The files whose records lie in a folder of .snakemake.

    A record's name is its file's path in base64; that of a long path is a chain of folders, each marked by an @.
    One that is cut off counts for nothing: Snakemake would pass over it, and take its file for up to date.
    """
    found = set()
    for path in walk_files(folder):
        with open(path, "rb") as file:
            if not file.read().endswith(b"}"):
                continue
        name = path.removeprefix(f"{folder}/").replace("/", "").replace("@", "")
        try:
            found.add(urlsafe_b64decode(name).decode())
        except ValueError:
            continue  # no record of Snakemake's
    return found


def unrecorded_files(folders: Iterable[str]) -> Iterator[str]:
    """The files under the folders that Snakemake neither has a record of nor marks as unfinished; in no order."""
    known = recorded_files(Path(".snakemake/metadata")) | recorded_files(Path(".snakemake/incomplete"))
    for folder in folders:
        for path in walk_files(Path(folder)):
            if path not in known:
                yield path
