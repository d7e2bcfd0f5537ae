"""Entries: what every source of images gives, a list of them and a way to read any one."""

import sys
from dataclasses import dataclass

from transferability.data.names import shown


@dataclass(frozen=True, slots=True)
class Entry:
    """One image before it is read: its own part ("" for none), its place, and what changes when its file does."""

    part: str
    file: str
    stamp: str


@dataclass(frozen=True)
class Source:
    """Images that can be read in any order and by any process.

    `place` names it in messages; `stamp` changes when images may have that are no files, or their classes while the
    files have not; `wanted` are the classes that must be there; `left_out` counts what is no image of any class, by
    reason; `listing` is what tells a later start whether the images are still those.
    """

    place: str
    stamp: str
    entries: list[Entry]
    wanted: list[str]
    left_out: list[dict]
    listing: dict

    def read(self, index: int) -> tuple[str | None, object, bytes | None]:
        """An entry's class, None for one that is left out, its PIL image, and the bytes of its file if it is one.

        An image that cannot be read is any exception but InputError.
        """
        raise NotImplementedError


def note(text: str) -> None:
    """Tell the log and the console what was left out."""
    print(f"note: {shown(text)}", file=sys.stderr)
