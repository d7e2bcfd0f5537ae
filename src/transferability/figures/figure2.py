"""Figure 2: the paper's, networks and their means against the layer of the cut; and what fine-tuning gains."""

import textwrap

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from transferability.analysis.conditions import CONDITION, conditions_of, unreduced
from transferability.analysis.coverage import means_table
from transferability.figures.captions import at_ends, effect_rows, footer
from transferability.figures.styles import (
    READ_OUTS,
    Drawing,
    as_percent,
    as_points,
    curve_of,
    finish,
    hollow_handle,
    label_ends,
    mark_hollow,
    ordered_treatments,
    say,
    set_theme,
    style_of,
    trained_of,
)
from transferability.words import counted, in_words, points

# Told apart in grey by the hatching.
DROPS = (
    ("base", "selffer", "#0072B2", "////", "fragile co-adaptation"),
    ("selffer", "transfer", "#D55E00", None, "specificity"),
)
COLUMNS = 3
"""Conditions that fit side by side; more are folded, two by two."""
TITLE = 11
"""Characters of a title that fit on an inch."""
FINE_TUNED = {"fine-tuned selffer": "selffer+", "fine-tuned transfer": "transfer+"}


def shade_of(colour: str, hatch: str | None) -> dict:
    """How a drop is filled."""
    return {"facecolor": to_rgba(colour, 0.15), "edgecolor": to_rgba(colour, 0.3), "hatch": hatch, "linewidth": 0}


def draw_points(axes: Axes, networks: pd.DataFrame, read_out: str) -> None:
    """Upper panel: one point a network, moved sideways by treatment so that none hides another."""
    for treatment in ordered_treatments(networks):
        style, rows = style_of(treatment), networks[networks["treatment"] == treatment]
        axes.scatter(
            rows["n"] + style.offset,
            rows[read_out],
            s=16,
            marker=style.marker,
            color=style.colour,
            edgecolor="white",
            linewidth=0.4,
            zorder=3,
        )


def draw_means(axes: Axes, means: pd.DataFrame) -> None:
    """Middle panel: the mean of every treatment at every n, and the drops between means, shaded.

    A mean over other networks than the base's has a hollow marker; one that was refused is not drawn.
    """
    table = means.set_index(["treatment", "n"])
    layers = sorted(set(means["n"]) - {0})
    curves = {name: table["mean"][name].reindex(layers) for name in ordered_treatments(means) if name != "base"}
    ends = []
    if ("base", 0) in table.index:
        base = table["mean"]["base", 0]
        axes.axhline(base, color="black", linestyle=":", linewidth=1, zorder=1)
        axes.plot(0, base, marker="o", color="black", markersize=5, zorder=3)
        curves["base"] = pd.Series(base, index=layers)
    for name, curve in curves.items():
        known = curve.dropna()
        if name == "base" or known.empty:
            continue
        style = style_of(name)
        axes.plot(layers, curve, color=style.colour, linestyle=style.dashes, linewidth=1.3, zorder=2)
        for balanced, fill in ((True, style.colour), (False, "white")):
            chosen = known[table["balanced"][name].reindex(known.index) == balanced]
            axes.plot(
                chosen.index,
                chosen,
                linestyle="",
                marker=style.marker,
                markersize=4.5,
                markerfacecolor=fill,
                markeredgecolor="white" if balanced else style.colour,
                markeredgewidth=0.5 if balanced else 1,
                zorder=3,
            )
        ends.append((style.name, known.index[-1] + 0.25, known.iloc[-1], style.colour))
    for first, second, colour, hatch, _ in DROPS:
        if first in curves and second in curves:
            upper, lower = curves[first], curves[second]
            axes.fill_between(layers, upper, lower, where=upper > lower, interpolate=True, **shade_of(colour, hatch))
    label_ends(axes, ends, gap=0.085)


def draw_gains(axes: Axes, effects: pd.DataFrame, pairs: pd.DataFrame, read_out: str, layers: list[int]) -> bool:
    """Lower panel: fine-tuned networks minus their own base, as points, means and intervals; 0 is the base.

    A mean over other cells than the rest is hollow; returns whether one is.
    """
    hollow = False
    axes.axhline(0, color="black", linestyle=":", linewidth=1, zorder=1)
    for effect, treatment in FINE_TUNED.items():
        style = style_of(treatment)
        single = pairs[(pairs["effect"] == effect) & (pairs["read_out"] == read_out)]
        axes.scatter(
            single["n"] + style.offset,
            single["difference"],
            s=8,
            marker=style.marker,
            color=style.colour,
            alpha=0.45,
            linewidth=0,
            zorder=2,
        )
        rows = effect_rows(effects, effect, read_out)
        look = {"marker": style.marker, "markersize": 5, "zorder": 4}
        means = rows.set_index("n")["mean"]
        edge = {"markeredgecolor": "black", "markeredgewidth": 0.5}
        curve_of(axes, layers, means, style.offset, color=style.colour, linestyle=style.dashes, **look, **edge)
        x = rows["n"].astype(float) + style.offset
        hollow |= mark_hollow(axes, rows, style.offset, color=style.colour, **look)
        sure = rows["low"].notna()
        axes.vlines(x[sure], rows["low"][sure], rows["high"][sure], color=style.colour, linewidth=1.4, zorder=3)
    return hollow


def legend_handles(treatments: list[str], hollow: bool) -> list[Line2D | Patch]:
    """One handle a treatment, one a shaded effect, and one for means over other networks than the base's."""
    handles: list[Line2D | Patch] = []
    for treatment in treatments:
        style = style_of(treatment)
        line = Line2D([], [], color=style.colour, linestyle=style.dashes, marker=style.marker, markersize=5)
        line.set_label(style.label)
        handles.append(line)
    for first, second, colour, hatch, name in DROPS:
        if {first, second} <= set(treatments):
            handles.append(Patch(**shade_of(colour, hatch), label=f"drop by {name}"))
    if hollow:
        handles.append(hollow_handle())
    return handles


def chosen_networks(networks: pd.DataFrame, read_out: str) -> pd.DataFrame:
    """The trained networks of the conditions at full volume that have copied layers; or of all, if none has."""
    rows = unreduced(trained_of(networks, read_out))
    copied = rows[rows["treatment"].str.startswith(("selffer", "transfer"))]
    if copied.empty:
        return rows
    keys = list(map(tuple, copied[CONDITION].astype(object).fillna(-1).drop_duplicates().to_numpy()))
    own = rows[CONDITION].astype(object).fillna(-1).apply(tuple, axis=1)
    return rows[own.isin(keys)]


def caption_of(conditions: list[tuple[str, pd.DataFrame]], effects: pd.DataFrame, read_out: str) -> str:
    """What the figure shows, in numbers: of each condition the base's level and the drops of frozen transfer."""
    sentences = [
        "Each point is one network; below, lines are means, and the shaded drops are what frozen features lose to "
        "fragile co-adaptation and to their specificity to the other task; at the bottom, fine-tuned networks minus "
        "their own base network, pair by pair."
    ]
    for label, rows in conditions:
        base = rows[rows["treatment"] == "base"]
        said = [f"{label}: {counted(len(rows), 'network')}"]
        if not base.empty:
            said.append(f"base networks score {points(base[read_out].mean(), signed=False)} % (n = {len(base)})")
        own = [group for name, group in conditions_of(effects) if name == label]
        for effect, words in (
            ("total", "frozen transfer minus base:"),
            ("fine-tuned transfer", "fine-tuned transfer minus base:"),
        ):
            layers = effect_rows(own[0], effect, read_out) if own else pd.DataFrame()
            if not layers.empty:
                said.append(f"{words} {at_ends(layers)}")
        sentences.append("; ".join(said) + ".")
    return " ".join(sentences)


def draw_figure2(
    networks: pd.DataFrame,
    effects: pd.DataFrame,
    pairs: pd.DataFrame,
    coverage: str,
    read_out: str,
    width: float,
    unbalanced: bool,
) -> Drawing:
    """The paper's Figure 2, a column for each condition: points, means, and, where there are fine-tuned networks,
    their differences from their base. Columns that do not fit side by side are folded. Width in inches.

    Networks that did not train are left out. Means over other networks than the base's are drawn only if
    `unbalanced` asks for it, and hollow.
    """
    trained = chosen_networks(networks, read_out)
    means = means_table(trained, read_out, unbalanced)
    refused = means[means["mean"].isna()]
    tuned = bool(set(FINE_TUNED.values()) & set(trained["treatment"]))
    set_theme()
    layers = sorted(set(trained["n"]) - {0})
    conditions = conditions_of(trained)
    ratios = [1.15, 1.15, 0.8] if tuned else [1, 1]
    columns = len(conditions) if len(conditions) <= COLUMNS else 2
    folds = -(-len(conditions) // columns)
    figure, grid = plt.subplots(
        folds * len(ratios),
        columns,
        figsize=(width, (1.28 if tuned else 0.95) * width * (0.75 * folds + 0.25)),
        height_ratios=ratios * folds,
        sharex=True,
        squeeze=False,
        layout="constrained",
    )
    # A fold's rows, then the next fold's beside them: a column for each condition again, and some to spare.
    panels = np.hstack(np.split(grid, folds))
    for panel in panels[:, len(conditions) :].flat:
        panel.set_visible(False)
    hollow = bool((~means["balanced"] & means["mean"].notna()).any())
    for column, (label, rows) in enumerate(conditions):
        draw_points(panels[0, column], rows, read_out)
        own = dict(conditions_of(means)).get(label)
        draw_means(panels[1, column], own)
        if tuned:
            of_effects = dict(conditions_of(effects)).get(label, effects[:0])
            of_pairs = dict(conditions_of(pairs)).get(label, pairs[:0])
            if set(of_pairs["effect"]) & FINE_TUNED.keys():
                hollow |= draw_gains(panels[2, column], of_effects, of_pairs, read_out, layers)
                as_points(panels[2, column])
            else:
                say(panels[2, column], "no fine-tuned networks that could be paired with their base")
        panels[0, column].set_title(textwrap.fill(label, int(TITLE * width / columns)))
        panels[-1, column].tick_params(labelbottom=True)
        panels[-1, column].set_xlabel("Cut after layer n")
        panels[-1, column].set_xticks([0, *layers], ["base", *layers])
        panels[-1, column].set_xlim(-0.5, max([0, *layers]) + 1.3)
    labels = (READ_OUTS[read_out], "Mean", "Fine-tuned minus\nbase, points")
    for panel, label in zip(grid[:, 0], labels[: len(ratios)] * folds, strict=True):
        panel.set_ylabel(label)
    for panel in panels[:2].flat:
        as_percent(panel)
    text = footer(trained, coverage)
    if not refused.empty:
        names = [style_of(name).name for name in ordered_treatments(refused)]
        text += f"; no line where means are over other networks than the base's: {in_words(names)}"
    finish(figure, text, legend_handles(ordered_treatments(trained), hollow), ncols=2)
    return Drawing(figure, "Accuracy against the layer of the cut", caption_of(conditions, effects, read_out))
