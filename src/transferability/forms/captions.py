"""Captions: the figures of a study in words."""

from typing import TypedDict

from transferability.forms.fields import Text


class Caption(TypedDict):
    """A figure in words."""

    title: Text
    caption: Text


Captions = dict[str, Caption]
"""results/.../figures/captions.json, by the names of the figures."""
