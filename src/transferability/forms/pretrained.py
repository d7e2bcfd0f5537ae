"""Pretrained: the record beside pretrained weights."""

from typing import NotRequired, TypedDict

from transferability.forms.fields import Count, Many, Positive, Text


class Preprocessing(TypedDict):
    """How images are brought into the form that pretrained weights expect."""

    mean: list[float]
    std: list[Positive]
    size: Many
    crop: Positive
    interpolation: Text
    channels: Text


class Pretrained(TypedDict):
    """models/pretrained/{architecture}/run.json: which weights they are, and how their images look."""

    weights: Text
    sha256: Text
    preprocessing: Preprocessing
    folded_norms: NotRequired[Count]
