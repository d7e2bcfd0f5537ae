"""Entries: what every source of images gives, a list of them and a way to read any one."""

import sys
from dataclasses import dataclass

from transferability.data.names import shown

SEPARATOR = "|"
"""What stands between the labels of an image that may have several, in tables of users and in a packed set's index."""


def labels_of(text: str) -> tuple[str, ...]:
    """The labels of an image of several, from one text."""
    return tuple(text.split(SEPARATOR)) if text else ()


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
        """An entry's class or labels, None for one that is left out, its PIL image, and the bytes of its file, if any.

        An image that cannot be read is any exception but InputError.
        """
        raise NotImplementedError


def note(text: str) -> None:
    """Tell the log and the console what was left out."""
    print(f"note: {shown(text)}", file=sys.stderr)
