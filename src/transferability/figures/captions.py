"""Captions: the numbers of effects.csv as captions and footers state them."""

import pandas as pd

from transferability.words import counted, in_words, points


def footer(networks: pd.DataFrame, coverage: str) -> str:
    """What a figure rests on: data set, architecture, the networks that it shows, and the study's coverage line."""
    names = [in_words(sorted(networks[name].unique())) for name in ("dataset", "architecture")]
    text = f"{', '.join(names)}: {counted(len(networks), 'network')} shown. Study: {coverage}"
    return text if set(networks["target"]) != {"A"} else f"{text}. Curves are named for target B; here it is A"


def independent_units(row: dict) -> int:
    """Independent units that the interval of a row of effects.csv is over: splits, or the seeds of one split."""
    return row["splits"] if row["splits"] > 1 else row["units"]


def estimated(row: dict) -> str:
    """A row of effects.csv as its mean in percentage points with its interval, or why it has none."""
    if pd.isna(row["mean"]):
        return "no mean"
    text = f"{points(row['mean'])} points"
    if pd.isna(row["low"]):
        return f"{text} ({counted(row['units'], 'unit')}, no interval)"
    interval = f"95 % interval {points(row['low'])} to {points(row['high'])}"
    return f"{text} ({interval}, {counted(independent_units(row), 'unit')})"


def effect_rows(effects: pd.DataFrame, effect: str, read_out: str) -> pd.DataFrame:
    """The rows of one effect and read-out by layer that have a mean, in the order of n."""
    chosen = (effects["effect"] == effect) & (effects["read_out"] == read_out)
    return effects[chosen & effects["n"].notna() & effects["mean"].notna()].sort_values("n")


def end_rows(layers: pd.DataFrame) -> list[dict]:
    """The first and the last of an effect's rows by layer; one that is both, once."""
    return (layers.iloc[[0, -1]] if len(layers) > 1 else layers).to_dict("records")


def at_ends(layers: pd.DataFrame) -> str:
    """The first and the last layer of an effect's rows as `estimated` states them."""
    return in_words([f"{estimated(row)} at n = {row['n']}" for row in end_rows(layers)])


def from_to(layers: pd.DataFrame) -> str:
    """The first and the last layer of an effect's rows, briefly: −0.1 (−1.5 to +1.3) at n = 1, ..."""
    phrases = []
    for row in end_rows(layers):
        interval = f" ({points(row['low'])} to {points(row['high'])})" if pd.notna(row["low"]) else ""
        phrases.append(f"{points(row['mean'])}{interval} at n = {row['n']}")
    return ", ".join(phrases)
