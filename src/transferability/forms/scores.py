"""Scores: what is computed from the features of a cut, without training."""

from typing import TypedDict

from transferability.forms.fields import Count, Many, Seconds, Text


class Scored(TypedDict):
    """A score and its null by permuted labels, or the reason why there is none."""

    value: float | None
    null: float | None
    null_deviation: float | None
    seconds: Seconds
    reason: str | None


class Pooled(TypedDict):
    """How features were pooled."""

    kind: Text


class Scores(TypedDict):
    """results/.../{cut}-scores.json: the scores of a cut, and those of the source's own classes, at its head."""

    network: Text
    treatment: Text
    source: Text
    n: Many
    target: Text
    stage: Text
    head_stage: Text
    depth: Many
    seen: bool
    images: Many
    values: Many
    source_classes: Many
    pooling: Pooled
    permutations: Many
    seed: Count
    pass_seconds: Seconds
    scores: dict[str, Scored]
    head: dict[str, Scored]
