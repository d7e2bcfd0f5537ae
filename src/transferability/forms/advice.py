"""Advice: what a study says of which strategy to take."""

from typing import TypedDict

from transferability.forms.fields import Count, Seconds, Text


class Advice(TypedDict):
    """The advice of one condition; `analysis.strategies.Advice` has the words."""

    dataset: Text
    architecture: Text
    strategy: Text
    n: Count
    runner_up: Text
    margin_points: float
    interval: tuple[float, float] | None
    tie: bool
    training_seconds: Seconds | None
    regret_points: float | None
    own_regret_points: float | None
    tasks: Count
    sentence: Text


Advices = dict[str, Advice]
"""results/{dataset}/{architecture}/advice.json, by the names of the conditions."""
