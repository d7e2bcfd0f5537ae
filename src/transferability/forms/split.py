"""Split: the tasks of a pair."""

from typing import NotRequired, TypedDict

from transferability.forms.fields import Count, Positive, Text

Indices = dict[str, list[Count]]
"""The images of each class, as indices of the packed set."""


class Normalisation(TypedDict):
    """Mean and deviation of each channel, of values from 0 to 1."""

    mean: list[float]
    std: list[Positive]


class Side(TypedDict):
    """A task of a split: its classes, and the indices of each class's images in each part; where images may
    have several labels also those of which all objects of the class are difficult."""

    classes: list[Text]
    train: Indices
    validation: Indices
    test: Indices
    difficult: NotRequired[dict[str, Indices]]


class Split(TypedDict):
    """data/splits/{dataset}/{split}.json: tasks A and B of the packed images whose card has this `content`."""

    kind: Text
    content: Text
    normalisation: Normalisation
    tasks: dict[str, Side]
    source: NotRequired[dict]
    volume: NotRequired[dict[str, Count] | None]
    distance: NotRequired[dict[str, float | None] | None]
