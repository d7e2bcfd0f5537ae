"""Judging: what the interval of one effect at one cut allows to say, and where its curve leaves the reference."""

import pandas as pd

from transferability.words import points

LOSES, GAINS, KEEPS, OPEN = "loses", "gains", "keeps", "open"
"""What a row of effects.csv shows: a loss, a gain, that no more than a tolerance is lost, or none of these."""
SURE = 0.05
"""The p-value, corrected over the layers, below which a difference is told from 0."""


def told_from_zero(row: dict) -> bool:
    """Whether a row of effects.csv has an interval and is told from 0, corrected over the layers of its effect."""
    p = row["p"] if pd.isna(row["p_adjusted"]) else row["p_adjusted"]
    return pd.notna(row["low"]) and bool(p < SURE)


def judge(row: dict, image: float, tolerance: float) -> str:
    """What a row of effects.csv shows, where one image more makes a network's accuracy differ by `image`.

    A mean of less than one image, and one that is not told from 0 over all layers of its effect, is no loss or gain.
    """
    if pd.isna(row["mean"]) or pd.isna(row["low"]):
        return OPEN
    if told_from_zero(row) and abs(row["mean"]) > image:
        return LOSES if row["mean"] < 0 else GAINS
    return KEEPS if row["low"] >= -tolerance else OPEN


def lasting_from(rows: pd.DataFrame, sign: int) -> int | None:
    """The first n from which on every row of an effect, by layer, is told from 0 on one side; None if none is.

    `sign` is that of the side.
    """
    first = None
    for row in rows.sort_values("n", ascending=False).to_dict("records"):
        if not told_from_zero(row) or sign * row["mean"] <= 0:
            return first
        first = int(row["n"])
    return first


def extreme_of(rows: pd.DataFrame) -> dict:
    """The row of the mean that is furthest from 0, of an effect's rows that have one."""
    return rows.loc[rows["mean"].abs().idxmax()].to_dict()


def estimate_text(row: dict) -> str:
    """A row's mean in percentage points with its 95 % interval where it has one: −0.6 points (95 %: −1.4 to +0.2)."""
    text = f"{points(row['mean'])} points"
    return text if pd.isna(row["low"]) else f"{text} (95 %: {points(row['low'])} to {points(row['high'])})"
