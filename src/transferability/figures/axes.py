"""Axes: what panels of several figures have in common: their grid, their ticks, curves, and names at their ends."""

import textwrap
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from transferability.figures.styles import set_theme
from transferability.words import in_words

POINTS = 72
"""Points to an inch."""
LEFT, BESIDE = 0.35, 0.45
"""Inches that the label of the y axes takes, and what its ticks take of each column."""
DIGIT, NAME, BASE = 5.5, 8.0, 9.75
"""Points of an axis that a digit takes, an upright name, and the half of the word base."""
STAR: dict[str, Any] = {
    "linestyle": "",
    "marker": "*",
    "markersize": 9,
    "color": "0.6",
    "markeredgecolor": "black",
    "markeredgewidth": 0.5,
}
"""The look of a published number."""
DEEP = 7
"""Cuts up to which a unit of n is room enough for what stands beside a curve."""


@dataclass(frozen=True)
class Grid:
    """Panels line by line, `columns` of them in a line; the places that the last line has to spare are empty."""

    figure: Figure
    panels: list[Axes]
    columns: int

    def pad(self, width: float, height: float) -> None:
        """Set how far apart panels are, in inches."""
        engine = self.figure.get_layout_engine()
        if isinstance(engine, ConstrainedLayoutEngine):
            engine.set(w_pad=width, h_pad=height)

    @property
    def panel_inches(self) -> float:
        """The length of a panel's x axis, about."""
        return axis_inches(self.figure.get_size_inches()[0], self.columns)

    def label(self, x: str, y: str) -> None:
        """Write the labels of the axes: x below the lowest panel of each column, y beside each line."""
        for index, panel in enumerate(self.panels):
            if index + self.columns >= len(self.panels):
                panel.tick_params(labelbottom=True)
                panel.set_xlabel(x)
            if index % self.columns == 0:
                panel.set_ylabel(y)


def axis_inches(width: float, columns: int) -> float:
    """The length of a panel's x axis, about, where `columns` of them share a figure's width."""
    return max(width - LEFT - BESIDE * columns, width / 3) / columns


def panel_grid(count: int, columns: int, width: float, height: tuple[float, float], **sharing: Any) -> Grid:
    """A figure of `count` panels, at most `columns` in a line.

    Width in inches; its height, as a share of that, is the first of `height` for each line and the second once.
    `sharing` is as of matplotlib's subplots: sharex, sharey.
    """
    set_theme()
    columns = min(count, columns)
    lines = -(-count // columns)
    line, rest = height
    size = (width, (line * lines + rest) * width)
    figure, panels = plt.subplots(lines, columns, figsize=size, squeeze=False, layout="constrained", **sharing)
    for spare in panels.flat[count:]:
        spare.set_visible(False)
    return Grid(figure, list(panels.flat[:count]), columns)


def as_percent(axes: Axes) -> None:
    """Write the y axis in percent."""
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g}%"))


def within_shares(axes: Axes) -> None:
    """Let the y axis end where shares do: an interval over two draws may reach far beyond."""
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, -0.02), min(high, 1.02))


def as_points(axes: Axes) -> None:
    """Write the y axis in percentage points, signed."""
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{100 * value:+.3g}".replace("-", "−") if abs(value) > 1e-9 else "0")
    )


def widened(units: float, layers: list[int]) -> float:
    """A length in units of n that takes as much of the axis of a deep network as it does of one of DEEP cuts."""
    return units * max(1.0, max(layers, default=0) / DEEP)


def spaced(layers: list[int], least: float, start: float) -> list[int]:
    """The layers that are `start` or more, each at least `least` behind the one before."""
    kept: list[int] = []
    for n in layers:
        if n >= (kept[-1] + least if kept else start):
            kept.append(n)
    return kept


def label_layers(axes: Axes, layers: list[int], stages: dict[int, str], inches: float, base: bool = False) -> None:
    """Tick the x axis at every layer, with its n and, upright below it, the name of its stage, where there is room.

    The axis has its limits by now and is `inches` long. `base`: the base networks stand at 0.
    """
    low, high = axes.get_xlim()
    unit = POINTS * inches / (high - low)
    number = DIGIT * (len(str(max(layers, default=0))) + 0.5)
    least = max(number, NAME if stages else 0)
    labelled = spaced(layers, least / unit, (BASE + number / 3) / unit if base else 0)
    zero = {0: "base"} if base else {}
    texts = zero | {n: str(n) if n in labelled else "" for n in layers}
    axes.set_xticks(list(texts), list(texts.values()))
    named = [n for n in labelled if n in stages]
    if named:
        # The names are labels of minor ticks, which matplotlib takes away where a major one is.
        axes.xaxis.remove_overlapping_locs = False
        axes.set_xticks(named, [stages[n] for n in named], minor=True, rotation=90, fontsize=6.5, color="0.35")
        axes.tick_params(axis="x", which="minor", length=0, pad=17)


def label_ends(axes: Axes, ends: list[tuple[str, float, float, str]], gap: float) -> None:
    """Name lines at their right ends: (text, x, y, colour) each, moved up or down to be `gap` of the height apart."""
    low, high = axes.get_ylim()
    step = gap * (high - low)
    ends = sorted(ends, key=lambda end: end[2])
    heights: list[float] = []
    for _, _, y, _ in ends:
        heights.append(max(y, heights[-1] + step) if heights else y)
    # What was pushed out at the top comes back down, and pushes what is below it.
    ceiling = high
    for index in reversed(range(len(heights))):
        heights[index] = min(heights[index], ceiling)
        ceiling = heights[index] - step
    for (text, x, y, colour), height in zip(ends, heights, strict=True):
        axes.annotate(
            text,
            (x, y),
            xytext=(x, height),
            textcoords="data",
            color=colour,
            fontsize=7.5,
            va="center",
            ha="left",
            annotation_clip=False,
            bbox={"boxstyle": "square,pad=0.12", "facecolor": "white", "edgecolor": "none"},
        )


def curve_of(axes: Axes, layers: list[int], means: pd.Series, shift: float = 0.0, **look: Any) -> None:
    """Draw means by layer as a curve with gaps where a layer has none: no line leads past what is not there."""
    curve = means.reindex(layers)
    axes.plot([n + shift for n in layers], curve, **look)


def intervals_of(axes: Axes, rows: pd.DataFrame, shift: float, **look: Any) -> None:
    """Draw the intervals of rows with n, low and high, where they have one."""
    sure = rows[rows["low"].notna()]
    axes.vlines(sure["n"].astype(float) + shift, sure["low"], sure["high"], **look)


def mark_hollow(axes: Axes, means: pd.DataFrame, shift: float = 0.0, **look: Any) -> bool:
    """Whiten a curve's markers where a mean is over other networks than the base's; returns whether one is.

    `means` has n, mean and balanced.
    """
    odd = means[~means["balanced"] & means["mean"].notna()]
    if odd.empty:
        return False
    white = {"linestyle": "", "markerfacecolor": "white", "markeredgecolor": look["color"]}
    axes.plot(odd["n"].astype(float) + shift, odd["mean"], **look | white)
    return True


def hollow_handle() -> Line2D:
    """What the legend says of the markers of `mark_hollow`."""
    white = Line2D([], [], linestyle="", marker="o", markerfacecolor="white", markeredgecolor="0.3", markersize=5)
    white.set_label("hollow: mean over other networks than the base's")
    return white


def base_level(axes: Axes, level: float, colour: str, size: float = 4.5) -> None:
    """A dotted line at the level of base networks, with its point at the left."""
    axes.axhline(level, color=colour, linestyle=":", linewidth=1, zorder=1)
    axes.plot(0, level, marker="o", color=colour, markersize=size, zorder=3)


def series_handle(look: tuple, label: str) -> Line2D:
    """What the legend shows of a series: its look, (colour, marker, dashes), and its label."""
    colour, marker, dashes = look
    return Line2D([], [], color=colour, marker=marker, linestyle=dashes, markersize=4.5, label=label)


def published_handle(published: pd.DataFrame) -> list[Line2D]:
    """What the legend says of published numbers, if there are any."""
    papers = in_words(published["paper"].unique())
    return [Line2D([], [], **STAR, label=f"published: {papers}")] if papers else []


def explain_empty(axes: Axes, sentence: str) -> None:
    """Write why a panel is empty in its middle, and take its grid and ticks away."""
    axes.grid(visible=False)
    axes.tick_params(left=False, labelleft=False)
    wrapped = textwrap.fill(sentence, 32)
    axes.text(0.5, 0.5, wrapped, transform=axes.transAxes, ha="center", va="center", fontsize=7.5, color="0.35")
