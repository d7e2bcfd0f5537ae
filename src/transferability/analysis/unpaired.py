"""Unpaired: what means over networks of different targets would say of the lingering boost, and what pairs say.

Source: Yosinski et al. (2014), Table 1, against docs/yosinski2014.md: the gain there is a difference of targets.
"""

import pandas as pd

from transferability.analysis.conditions import conditions_of, unreduced
from transferability.words import in_words, points

TUNED = {"transfer+": ("AnB+", "fine-tuned transfer"), "selffer+": ("BnB+", "fine-tuned selffer")}
"""The treatments whose difference is the lingering boost: their notation, and the effect that pairs each with base."""
SAME = 0.002
"""A difference of two means below which they say the same."""


def targets_text(rows: pd.DataFrame) -> str:
    """How many networks, and of which targets."""
    count, targets = len(rows), sorted(rows["target"].unique())
    return f"{count:,} of {'target' if len(targets) == 1 else 'targets'} {in_words(targets)}"


def unpaired_argument(networks: pd.DataFrame, pairs: pd.DataFrame, read_out: str) -> list[str]:
    """Sentences on fine-tuned transfer and selffer of which none is paired; none where pairs tell the boost.

    `networks` and `pairs` are networks.csv and pairs.csv.
    """
    trained = unreduced(networks[networks["trained"] & networks[read_out].notna()])
    trained = trained[trained["treatment"].isin(("base", *TUNED))]
    if trained.empty:
        return []
    rows = conditions_of(trained)[0][1]
    tuned = {name: rows[rows["treatment"] == name] for name in TUNED}
    bases = rows[rows["treatment"] == "base"]
    paired = pairs[(pairs["read_out"] == read_out) & (pairs["kind"] == rows["kind"].iloc[0])]
    gains = {name: paired.loc[paired["effect"] == effect, "difference"] for name, (_, effect) in TUNED.items()}
    if (paired["effect"] == "lingering boost").any() or not all(map(len, (bases, *tuned.values(), *gains.values()))):
        return []
    return [*unpaired_sentences(tuned, bases, read_out), *paired_sentences(gains)]


def unpaired_sentences(tuned: dict[str, pd.DataFrame], bases: pd.DataFrame, read_out: str) -> list[str]:
    """What means over networks would say."""
    means = {name: group[read_out].mean() for name, group in tuned.items()}
    listed = in_words([f"{TUNED[name][0]} ({targets_text(group)})" for name, group in tuned.items()])
    over_base = points(means["transfer+"] - bases[read_out].mean())
    boost = points(means["transfer+"] - means["selffer+"])
    return [
        f"No two fine-tuned networks share a target and a split: {listed}.",
        f"By their means AnB+ is at {over_base} points against the base networks and at {boost} against BnB+.",
    ]


def paired_sentences(gains: dict[str, pd.Series]) -> list[str]:
    """What each network says against the base network of its own target and split."""
    transfer, selffer = (gains[name].mean() for name in ("transfer+", "selffer+"))
    reason = "the difference was the targets'" if abs(transfer - selffer) < SAME else "what is left has no pairs"
    return [
        f"Each against the base network of its own target and split, AnB+ is at {points(transfer)} and BnB+ at "
        f"{points(selffer)} points: {reason}.",
        "Whether the other task leaves a lingering boost is neither shown nor excluded here.",
    ]
