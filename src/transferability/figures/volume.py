"""Volume: accuracy against the number of training images a class."""

from itertools import product

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from transferability.analysis.conditions import KINDS, in_a_line
from transferability.figures.captions import footer
from transferability.figures.styles import (
    READ_OUTS,
    SERIES,
    Drawing,
    NothingToDrawError,
    as_percent,
    finish,
    ordered_treatments,
    set_theme,
    style_of,
)
from transferability.words import points

OTHERS = {
    "full": ("s", "--", "all images of the other task"),
    "same": ("o", "-", "as many images of the other task"),
    "different": ("^", "-.", "other numbers of images of the other task"),
}
"""How lines at one volume are told apart by the volume of the other task: marker, dashes and words."""


def other_of(networks: pd.DataFrame) -> pd.Series:
    """How much the networks' other task has beside their own reduced one: a key of OTHERS."""
    same = networks["other_volume"].eq(networks["volume"]).fillna(False)
    return same.map({True: "same", False: "different"}).mask(networks["other_volume"].isna(), "full")


def reduced_of(networks: pd.DataFrame, read_out: str) -> pd.DataFrame:
    """The networks whose target's volume is reduced, trained or not, in which the read-out is known."""
    return networks[networks["volume"].notna() & networks[read_out].notna()]


def draw_lines(axes: Axes, rows: pd.DataFrame, read_out: str, look: tuple, full: pd.DataFrame) -> None:
    """Points, the line of their means over the trained, and the level at full volume, of one treatment and n."""
    colour, marker, dashes = look
    trained, untrained = rows[rows["trained"]], rows[~rows["trained"]]
    axes.scatter(trained["volume"], trained[read_out], s=14, color=colour, marker=marker, linewidth=0, zorder=3)
    axes.scatter(untrained["volume"], untrained[read_out], s=16, facecolor="white", edgecolor="0.5", zorder=3)
    volumes = sorted(rows["volume"].unique())
    means = trained.groupby("volume")[read_out].mean().reindex(volumes)
    axes.plot(volumes, means, color=colour, linestyle=dashes, linewidth=1.3, zorder=2)
    if not full.empty:
        axes.axhline(full[read_out].mean(), color=colour, linestyle=":", linewidth=1, zorder=1)


def draw_volume(networks: pd.DataFrame, coverage: str, read_out: str, width: float) -> Drawing:
    """Accuracy against images a class, a panel for each treatment and kind of split, a line for each n; and for how
    much the other task has, where that differs within a panel.

    Networks that did not train are hollow, and no line leads past them. Dotted: all images, where the study has
    networks of the same kind of split with all of them. Width in inches.
    """
    reduced = reduced_of(networks, read_out)
    reduced = reduced.assign(other=other_of(reduced))
    if reduced["volume"].nunique() < 2:
        raise NothingToDrawError(
            "the curve of reduced volumes needs networks at two or more volumes; give splits with `volume`"
        )
    kinds = [kind for kind in KINDS if kind in set(reduced["kind"])]
    full = networks[networks["volume"].isna() & networks["other_volume"].isna() & networks["trained"]]
    full = full[full["kind"].isin(kinds) & full[read_out].notna()]
    set_theme()
    drawn = set(zip(reduced["treatment"], reduced["kind"], strict=True))
    places = [place for place in product(ordered_treatments(reduced), kinds) if place in drawn]
    columns = min(len(places), 2)
    lines = -(-len(places) // columns)
    figure, panels = plt.subplots(
        lines,
        columns,
        figsize=(width, (0.62 if columns == 1 else 0.45 * lines + 0.15) * width),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    layers = sorted(set(reduced["n"]) - {0})
    looks = {0: ("black", "o", "-")} | {n: SERIES[i % len(SERIES)] for i, n in enumerate(layers)}
    apart = reduced.groupby(["treatment", "kind"])["other"].nunique().max() > 1
    others = [name for name in OTHERS if name in set(reduced["other"])] if apart else []
    if apart:
        # Markers and dashes then tell of the other task, and n has its colour alone.
        looks = {n: (colour, "", "-") for n, (colour, _, _) in looks.items()}
    for panel, (treatment, kind) in zip(panels.flat, places, strict=False):
        rows, whole = (table[(table["treatment"] == treatment) & (table["kind"] == kind)] for table in (reduced, full))
        for (n, other), own in rows.groupby(["n", "other"]):
            look = (looks[n][0], *OTHERS[other][:2]) if apart else looks[n]
            draw_lines(panel, own, read_out, look, whole[whole["n"] == n])
        name = "base networks" if treatment == "base" else style_of(treatment).label.split(":")[0]
        panel.set_title(f"{name},\n{in_a_line(KINDS[kind])}" if len(kinds) > 1 else name)
    for panel in list(panels.flat)[len(places) :]:
        panel.set_visible(False)
    volumes = sorted(int(volume) for volume in reduced["volume"].unique())
    for panel in panels.flat:
        panel.set_xscale("log")
        panel.xaxis.set_major_locator(FixedLocator(spread(volumes)))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        as_percent(panel)
    for index, panel in enumerate(panels.flat):
        if index + columns >= len(places):
            panel.tick_params(labelbottom=True)
            panel.set_xlabel("Training images a class")
    for panel in panels[:, 0]:
        panel.set_ylabel(READ_OUTS[read_out])
    handles = [
        Line2D([], [], color=c, marker=m, linestyle=d, markersize=4.5, label=f"n = {n}" if n else "base")
        for n, (c, m, d) in looks.items()
        if n in set(reduced["n"])
    ]
    for marker, dashes, words in (OTHERS[name] for name in others):
        handles.append(Line2D([], [], color="0.3", marker=marker, linestyle=dashes, markersize=4.5, label=words))
    untrained = int((~reduced["trained"]).sum())
    if untrained:
        handles.append(Line2D([], [], color="0.5", marker="o", markerfacecolor="white", linestyle=""))
        handles[-1].set_label("did not train")
    if not full.empty:
        handles.append(Line2D([], [], color="0.3", linestyle=":", label="all images"))
    finish(figure, footer(reduced, coverage), handles, ncols=3 if apart else 4)
    bases = reduced[reduced["treatment"].eq("base") & reduced["trained"]]
    said = []
    for (kind, other), rows in bases.groupby(["kind", "other"]):
        means = rows.groupby("volume")[read_out].mean()
        levels = [f"{points(mean, signed=False)} % with {int(volume):,}" for volume, mean in means.items()]
        where = f", {in_a_line(KINDS[kind])}," if len(kinds) > 1 else ""
        where += f", with {OTHERS[other][2]}," if apart else ""
        said.append(f"Base networks{where} score {', '.join(levels)} images a class. ")
    caption = (
        "Networks trained on few images a class. "
        + "".join(said)
        + (f"{untrained} did not train and are hollow." if untrained else "All of them trained.")
    )
    return Drawing(figure, "Accuracy against the number of training images", caption)


def spread(volumes: list[int]) -> list[int]:
    """The volumes that get a tick: those at least 1.45 times the one before, so that no two labels overlap."""
    kept = volumes[:1]
    for volume in volumes[1:]:
        if volume >= 1.45 * kept[-1]:
            kept.append(volume)
    return kept
