"""Metrics: what a network or a probe scores."""

from pathlib import Path
from typing import TypedDict

from transferability import files
from transferability.forms.fields import SEVERAL, Count, Many, Sha256, Share, Text


class ClassScore(TypedDict):
    """What a network scores on the images of one class."""

    count: Count
    top1: Share


class Score(TypedDict):
    """What a network scores on a part of its task; a probe without probabilities has no loss, nor have images that
    score by their patches."""

    count: Many
    top1: Share
    loss: float | None
    per_class: dict[str, ClassScore]


class Chosen(TypedDict):
    """The network when it was best on validation images."""

    step: Count
    validation_top1: Share
    test_top1: Share


class LabelClassScore(TypedDict):
    """How well a network ranks the images of one class, of those that are examples for or against it."""

    count: Count
    of: Many
    ap: Share


class LabelScore(TypedDict):
    """What a network scores on a part whose images may have several labels."""

    count: Many
    map: Share
    loss: float | None
    per_class: dict[str, LabelClassScore]


class ChosenByPrecision(TypedDict):
    """The network when its mean average precision on validation images was best."""

    step: Count
    validation_map: Share
    test_map: Share


class Common(TypedDict):
    """What the metrics of all networks and probes have."""

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
    learning: list[dict]


class Metrics(Common):
    """results/.../{network}.json: what a network or a probe scores; a probe trains no network and has no history."""

    chosen: Chosen | None
    validation: Score
    test: Score


class LabelMetrics(Common):
    """The same where images may have several labels, which `labels` says."""

    labels: Text
    chosen: ChosenByPrecision | None
    validation: LabelScore
    test: LabelScore


def read_metrics(path: Path) -> dict:
    """The metrics of a network or a probe; a file of another form is an InputError that names the field."""
    metrics = files.read_json(path)
    files.check_form(str(path), metrics, LabelMetrics if metrics.get("labels") == SEVERAL else Metrics)
    return metrics
