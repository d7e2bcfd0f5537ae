"""Captions: the figures of a study in words."""

from typing import TypedDict


class Caption(TypedDict):
    """A figure in words, and whether it was drawn: one that was not has no title."""

    title: str
    caption: str
    drawn: bool


Captions = dict[str, Caption]
"""results/.../figures/captions.json, by the names of the figures."""
