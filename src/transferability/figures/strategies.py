"""Strategies: in each condition, how far each way to train is behind the best one, with intervals."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from transferability.analysis.advice import advice_sentences
from transferability.analysis.conditions import conditions_of
from transferability.analysis.strategies import overtakes, rival_of, strategy_name
from transferability.analysis.tables import STRATEGY_COLUMNS, read_table
from transferability.figures.axes import panel_grid
from transferability.figures.captions import footer
from transferability.figures.records import Drawing, NothingToDrawError, Options, Study
from transferability.figures.styles import finish
from transferability.words import points

WON, TIED, BEHIND, AHEAD = "#009E73", "#E69F00", "#555555", "#0072B2"
"""The colours of the first strategy, of those not told apart from it, behind it, and ahead of it on test images."""


def colour_of(row: dict) -> str:
    """The colour of a strategy."""
    if row["rank"] == 1:
        return WON
    return TIED if row["tie"] else AHEAD if overtakes(row) else BEHIND


def draw_condition(axes: Axes, label: str, rows: pd.DataFrame) -> None:
    """The strategies of a condition, the best at the top: others lie left of 0, its level, by what they lose."""
    axes.axvline(0, color="black", linewidth=0.8, zorder=1)
    for place, row in enumerate(rows.to_dict("records")):
        colour, behind = colour_of(row), 0.0 if row["rank"] == 1 else row["behind"]
        if pd.notna(row["low"]):
            axes.hlines(place, -row["high"], -row["low"], color=colour, linewidth=1.5)
        axes.plot(-behind, place, marker="o", markersize=4.5, color=colour)
    names = [strategy_name(row) + (f", n = {row['n']}" if row["n"] else "") for row in rows.to_dict("records")]
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_title(f"{label}\n{verdict_of(rows)}", fontsize=7.5)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: points(value)))


def verdict_of(rows: pd.DataFrame) -> str:
    """The winner of a condition and its margin, or that it is a tie."""
    first, *_ = strategies = rows.to_dict("records")
    second = rival_of(strategies)
    interval = f" ({points(second['low'])} to {points(second['high'])})" if pd.notna(second["low"]) else ""
    word = "tie" if second["tie"] else strategy_name(first)
    word += f", behind {strategy_name(second)}" if overtakes(second) else ""
    return f"{word}: {points(second['behind'])}{interval}"


def legend_handles() -> list[Line2D]:
    """What the colours mean."""
    meanings = {WON: "best on validation images", TIED: "not told apart from it", BEHIND: "behind it"}
    meanings |= {AHEAD: "ahead of it on test images"}
    return [Line2D([], [], color=colour, marker="o", label=text) for colour, text in meanings.items()]


def draw(study: Study, options: Options) -> Drawing:
    """A panel for each condition, such as a volume of images: its strategies, each at its best cut, by rank."""
    if study.tables is None or not (study.tables / "strategies.csv").exists():
        raise NothingToDrawError("strategies are compared where the params have recipes")
    table = read_table(study.tables / "strategies.csv", STRATEGY_COLUMNS)
    if table.empty:
        raise NothingToDrawError("there are no two ways to train that all splits, seeds and targets have")
    conditions = conditions_of(table)
    most = table.groupby(["kind", "volume", "other_volume"], dropna=False).size().max()
    grid = panel_grid(len(conditions), 2, options.width, ((0.6 + 0.17 * most) / options.width, 0.12), sharex=True)
    for panel, (label, rows) in zip(grid.panels, conditions, strict=True):
        draw_condition(panel, label, rows)
    grid.label("Points of test accuracy behind the best", "")
    finish(grid.figure, footer(study.networks, study.coverage), legend_handles(), ncols=4)
    return Drawing(grid.figure, "Which way to train", " ".join(advice_sentences(study.tables / "advice.json")))
