"""Metrics: what a network or a probe scores."""

from typing import TypedDict

from transferability.forms.fields import Count, Many, Sha256, Share, Text


class ClassScore(TypedDict):
    """What a network scores on the images of one class."""

    count: Count
    top1: Share


class Score(TypedDict):
    """What a network scores on a part of its task; a probe without probabilities has no loss."""

    count: Many
    top1: Share
    loss: float | None
    per_class: dict[str, ClassScore]


class Chosen(TypedDict):
    """The network when it was best on validation images."""

    step: Count
    validation_top1: Share
    test_top1: Share


class Metrics(TypedDict):
    """results/.../{network}.json: what a network or a probe scores; a probe trains no network and has no history."""

    network: Text
    treatment: Text
    source: str | None
    n: Count
    target: Text
    model_sha256: Sha256
    trained: bool
    reason: str | None
    classes: Many
    images_seen: Count
    train_loss: float | None
    chosen: Chosen | None
    learning: list[dict]
    validation: Score
    test: Score
