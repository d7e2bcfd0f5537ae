"""Captions: the numbers of effects.csv as captions and footers state them."""

import pandas as pd

from transferability.analysis.judging import extreme_of, lasting_from
from transferability.words import counted, in_words, points


def footer(networks: pd.DataFrame, coverage: str) -> str:
    """What a figure rests on: data set, architecture, the networks that it shows, and the study's coverage line."""
    names = [in_words(sorted(networks[name].unique())) for name in ("dataset", "architecture")]
    text = f"{', '.join(names)}: {counted(len(networks), 'network')} shown. Study: {coverage}"
    named_for_b = set(networks["target"]) == {"A"} and set(networks["kind"]) != {"whole"}
    return f"{text}. Curves are named for target B; here it is A" if named_for_b else text


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


def extreme_text(rows: pd.DataFrame, reference: str = "0") -> str:
    """An effect's rows by layer as the cell that is furthest from 0, and where its curve leaves its reference.

    −21.0 points (95 % interval ...) at n = 7, below base from n = 4 on. Where the curve leaves it is said if all
    cuts from there on are told from 0 on that side.
    """
    row = extreme_of(rows)
    sign = 1 if row["mean"] > 0 else -1
    first = lasting_from(rows, sign)
    where = f", {'above' if sign > 0 else 'below'} {reference} from n = {first} on" if first is not None else ""
    return f"{estimated(row)} at n = {row['n']}{where if len(rows) > 1 else ''}"


def extreme_phrase(rows: pd.DataFrame) -> str:
    """The cell that is furthest from 0, briefly: −21.0 (−22.1 to −19.8) at n = 7."""
    row = extreme_of(rows)
    interval = f" ({points(row['low'])} to {points(row['high'])})" if pd.notna(row["low"]) else ""
    return f"{points(row['mean'])}{interval} at n = {row['n']}"
