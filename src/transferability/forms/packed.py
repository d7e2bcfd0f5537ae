"""Packed: the card of a packed data set."""

from typing import NotRequired, TypedDict

from transferability.forms.fields import Count, Sha256, Shape, Text


class PackedMasks(TypedDict):
    """The masks of a packed data set: their labels in order, from 1 on, and how many images have one."""

    labels: list[Text]
    images: Count


class PackedCard(TypedDict):
    """data/packed/{dataset}/card.json: the images that a packed data set holds; `content` is the hash of index.csv, and
    `labels` says so where an image may have several."""

    source: dict
    storage: Text
    images: Count
    shape: Shape
    classes: dict[str, Count]
    content: Sha256
    labels: NotRequired[Text]
    masks: NotRequired[PackedMasks]
