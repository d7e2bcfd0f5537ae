"""Sources: what networks of one target give, by the source task that their stages were copied from."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from transferability.analysis.intervals import Estimate, estimate_mean
from transferability.analysis.read_outs import read_out_of
from transferability.analysis.tables import SOURCE_COLUMNS, cut_name, read_table, stage_names
from transferability.analysis.treatments import curve_name, for_tasks, rank_of
from transferability.figures.axes import as_percent, panel_grid, series_handle
from transferability.figures.captions import footer
from transferability.figures.records import Drawing, NothingToDrawError, Options, Study, trained_of
from transferability.figures.styles import SERIES, finish, looks_of
from transferability.words import counted, in_words, points

WIDEST = 0.5
"""The width that the cuts of one source take, in units of the distance between sources."""


def read_sources(study: Study, read_out: str) -> pd.DataFrame:
    """The rows of sources.csv of a read-out."""
    path = study.tables and study.tables / "sources.csv"
    if path is None or not path.exists():
        raise NothingToDrawError("no sources are compared; name the splits in analysis.sources of the params")
    table = read_table(path, SOURCE_COLUMNS)
    rows = table[table["read_out"] == read_out]
    if rows.empty:
        raise NothingToDrawError("no two sources have networks of the same treatment, cut and seed to compare")
    return rows


def labels_of(rows: pd.DataFrame) -> dict[str, str]:
    """The sources in their order, each with its classes and images."""
    labels: dict[str, str] = {}
    for side in ("source", "over"):
        for name, classes, images in rows[[side, f"{side}_classes", f"{side}_images"]].itertuples(index=False):
            labels.setdefault(name, f"{name}\n{classes:,} classes,\n{images:,} images")
    return labels


def draw_estimate(panel: Axes, place: float, estimate: Estimate, colour: str, marker: str) -> None:
    """A mean with its interval, if it has one."""
    if not np.isnan(estimate.low):
        panel.vlines(place, estimate.low, estimate.high, color=colour, linewidth=1.3)
    panel.plot(place, estimate.mean, color=colour, marker=marker, markersize=4.5, linestyle="")


def draw_treatment(panel: Axes, rows: pd.DataFrame, sources: list[str], read_out: str, looks: dict) -> None:
    """Of each source a mean for each cut, over seeds, side by side."""
    for number, (n, (colour, marker, _)) in enumerate(looks.items()):
        shift = WIDEST * ((number + 0.5) / len(looks) - 0.5)
        for place, source in enumerate(sources):
            values = rows.loc[(rows["split"] == source) & (rows["n"] == n), read_out].to_numpy()
            if len(values):
                draw_estimate(panel, place + shift, estimate_mean(values), colour, marker)


def gain_text(row: dict, stages: dict) -> str:
    """What one source gives more than another: natural over both by 2.0 points (0.5 to 3.5), AnB+ at n = 3."""
    better, worse, low, high = row["source"], row["over"], row["low"], row["high"]
    if row["mean"] < 0:
        better, worse, low, high = worse, better, -high, -low
    interval = f"{points(low)} to {points(high)}" if pd.notna(low) else "no interval"
    where = f"{curve_name(row['treatment'])} at {cut_name(row['n'], stages)}"
    return f"{better} over {worse} by {points(abs(row['mean']), signed=False)} points ({interval}), {where}"


def told_apart(rows: pd.DataFrame, stages: dict) -> str:
    """How many comparisons tell sources apart, and the two that differ most, of these or of all."""
    sure = rows[(rows["low"] > 0) | (rows["high"] < 0)]
    among = rows if sure.empty else sure
    most = gain_text(among.loc[among["mean"].abs().idxmax()].to_dict(), stages)
    return f"Two sources are told apart in {len(sure)} of {counted(len(rows), 'comparison')}; most {most}."


def spread_text(rows: pd.DataFrame) -> str:
    """What the points and bars are over."""
    if rows["seeds"].max() == 1:
        return "of one seed, which gives no intervals"
    counts = in_words([str(count) for count in sorted(rows["seeds"].unique())], "or")
    return f"means over {counts} seeds with 95 % intervals"


def draw(study: Study, options: Options) -> Drawing:
    """A panel a treatment: what networks give by source and cut, beside the base networks of the same target."""
    read_out, stages = options.read_out, stage_names(study.networks)
    rows = read_sources(study, read_out)
    labels, target = labels_of(rows), rows["target"].iloc[0]
    own = trained_of(study.networks, read_out)
    own = own[own["split"].isin(list(labels)) & (own["target"] == target)]
    base = own.loc[own["treatment"] == "base", read_out].to_numpy()
    treatments = sorted(rows["treatment"].unique(), key=rank_of)
    looks = looks_of(sorted(rows["n"].unique()), SERIES)
    grid = panel_grid(len(treatments), 2, options.width, (0.42, 0.14), sharex=True, sharey=True)
    for panel, treatment in zip(grid.panels, treatments, strict=True):
        draw_treatment(panel, own[own["treatment"] == treatment], list(labels), read_out, looks)
        if len(base):
            panel.axhline(base.mean(), color="black", linestyle=":", linewidth=1, zorder=1)
        panel.set_title(for_tasks(curve_name(treatment), own), fontsize=8)
        panel.set_xticks(range(len(labels)), list(labels.values()), fontsize=7)
        panel.set_xlim(-0.5, len(labels) - 0.5)
    as_percent(grid.panels[0])
    grid.label("", read_out_of(read_out).label)
    handles = [series_handle((colour, marker, ""), cut_name(n, stages)) for n, (colour, marker, _) in looks.items()]
    handles += [Line2D([], [], color="black", linestyle=":", label=f"base{target}")] if len(base) else []
    finish(grid.figure, footer(own, study.coverage), handles, ncols=4)
    caption = (
        f"What the same target gives by where its networks' stages come from: {spread_text(rows)}; the dotted line is "
        f"trained from scratch. {told_apart(rows, stages)}"
    )
    return Drawing(grid.figure, "Which source", caption)
