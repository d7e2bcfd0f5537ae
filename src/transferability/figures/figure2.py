"""Figure 2: the paper's, networks and their means against the layer of the cut; and what fine-tuning gains."""

import textwrap
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from transferability.analysis.conditions import CONDITION, conditions_of, unreduced
from transferability.analysis.contrasts import EFFECTS, effect_of
from transferability.analysis.coverage import means_table
from transferability.analysis.read_outs import read_out_of
from transferability.analysis.tables import stage_names
from transferability.analysis.treatments import copies_stages, curve_name, for_tasks, is_base, recipes_in
from transferability.figures.axes import (
    as_percent,
    as_points,
    axis_inches,
    base_level,
    curve_of,
    explain_empty,
    hollow_handle,
    intervals_of,
    label_ends,
    label_layers,
    mark_hollow,
    widened,
)
from transferability.figures.captions import effect_rows, extreme_text, footer
from transferability.figures.records import Drawing, Options, Study, trained_of
from transferability.figures.styles import (
    Style,
    finish,
    legend_label,
    ordered_treatments,
    set_theme,
    style_of,
    styles_of,
)
from transferability.networks.notation import split_treatment
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
GAINS = {
    effect.name: effect.treatment
    for effect in EFFECTS
    if effect.reference == "base" and split_treatment(effect.treatment).treatment.fine_tune
}
"""The effects of the lower panel, fine-tuned networks against their base, with their treatments."""
STATED = ("total", "fine-tuned transfer", "pretrained, frozen", "pretrained, fine-tuned")
"""The effects that the caption states."""


@dataclass(frozen=True)
class Shown:
    """What the figure shows of a study: networks, their means, effects and pairs, and the layers of the cuts.

    `styles` are those of all treatments of the figure.
    """

    networks: pd.DataFrame
    means: pd.DataFrame
    effects: pd.DataFrame
    pairs: pd.DataFrame
    read_out: str
    styles: dict[str, Style]

    @property
    def layers(self) -> list[int]:
        """The layers of the cuts."""
        return sorted(set(self.networks["n"]) - {0})

    @property
    def has_gains(self) -> bool:
        """Whether there are fine-tuned networks, and so a lower panel."""
        return bool(set(GAINS.values()) & set(self.networks["treatment"]))

    def condition(self, label: str) -> "Shown":
        """What is shown of one condition."""
        networks, means, effects, pairs = (
            dict(conditions_of(table)).get(label, table[:0])
            for table in (self.networks, self.means, self.effects, self.pairs)
        )
        return Shown(networks, means, effects, pairs, self.read_out, self.styles)


def shade_of(colour: str, hatch: str | None) -> dict:
    """How a drop is filled."""
    return {"facecolor": to_rgba(colour, 0.15), "edgecolor": to_rgba(colour, 0.3), "hatch": hatch, "linewidth": 0}


def draw_points(axes: Axes, shown: Shown) -> None:
    """Upper panel: one point a network, moved sideways by treatment so that none hides another."""
    for treatment in ordered_treatments(shown.networks):
        style, rows = shown.styles[treatment], shown.networks[shown.networks["treatment"] == treatment]
        axes.scatter(
            rows["n"] + style.offset,
            rows[shown.read_out],
            s=16 * style.size**2,
            marker=style.marker,
            color=style.colour,
            edgecolor="white",
            linewidth=0.4,
            zorder=3,
        )


def draw_curve(axes: Axes, style: Style, curve: pd.Series, balanced: pd.Series) -> None:
    """The means of one treatment by layer; those over other networks than the base's, not `balanced`, are hollow."""
    means = curve.dropna()
    axes.plot(curve.index, curve, color=style.colour, linestyle=style.dashes, linewidth=1.3, zorder=2)
    for is_balanced, fill in ((True, style.colour), (False, "white")):
        chosen = means[balanced.reindex(means.index) == is_balanced]
        axes.plot(
            chosen.index,
            chosen,
            linestyle="",
            marker=style.marker,
            markersize=4.5 * style.size,
            markerfacecolor=fill,
            markeredgecolor="white" if is_balanced else style.colour,
            markeredgewidth=0.5 if is_balanced else 1,
            zorder=3,
        )


def draw_means(axes: Axes, means: pd.DataFrame, styles: dict[str, Style]) -> None:
    """Middle panel: the mean of every treatment at every n, and the drops between means, shaded.

    A mean over other networks than the base's has a hollow marker; one that was refused is not drawn.
    """
    table = means.set_index(["treatment", "n"])
    layers = sorted(set(means["n"]) - {0})
    curves = {name: table["mean"][name].reindex(layers) for name in ordered_treatments(means) if not is_base(name)}
    for name in filter(is_base, ordered_treatments(means)):
        base_level(axes, table["mean"][name, 0], styles[name].colour, size=5)
    ends = []
    for name, curve in curves.items():
        drawn = curve.dropna()
        if not drawn.empty:
            draw_curve(axes, styles[name], curve, table["balanced"][name])
            end = drawn.index[-1] + widened(0.25, layers)
            ends.append((for_tasks(curve_name(name), means), end, drawn.iloc[-1], styles[name].colour))
    if ("base", 0) in table.index:
        curves["base"] = pd.Series(table["mean"]["base", 0], index=layers)
    for first, second, colour, hatch, _ in DROPS:
        if first in curves and second in curves:
            upper, lower = curves[first], curves[second]
            axes.fill_between(layers, upper, lower, where=upper > lower, interpolate=True, **shade_of(colour, hatch))
    label_ends(axes, ends, gap=min(0.085, 1 / max(1, len(ends))))


def draw_gain(axes: Axes, shown: Shown, effect: str, layers: list[int]) -> bool:
    """One effect of the lower panel: its pairs as points, its means and their intervals; returns as `draw_gains`."""
    style = style_of(GAINS[effect])
    pairs = shown.pairs[(shown.pairs["effect"] == effect) & (shown.pairs["read_out"] == shown.read_out)]
    axes.scatter(
        pairs["n"] + style.offset,
        pairs["difference"],
        s=8,
        marker=style.marker,
        color=style.colour,
        alpha=0.45,
        linewidth=0,
        zorder=2,
    )
    rows = effect_rows(shown.effects, effect, shown.read_out)
    look = {"marker": style.marker, "markersize": 5, "zorder": 4, "color": style.colour}
    edge = {"markeredgecolor": "black", "markeredgewidth": 0.5}
    curve_of(axes, layers, rows.set_index("n")["mean"], style.offset, linestyle=style.dashes, **look, **edge)
    hollow = mark_hollow(axes, rows, style.offset, **look)
    intervals_of(axes, rows, style.offset, color=style.colour, linewidth=1.4, zorder=3)
    return hollow


def draw_gains(axes: Axes, shown: Shown, layers: list[int]) -> bool:
    """Lower panel: fine-tuned networks minus their own base, as points, means and intervals; 0 is the base.

    A mean over other cells than the rest is hollow; returns whether one is.
    """
    if not set(shown.pairs["effect"]) & GAINS.keys():
        explain_empty(axes, "no fine-tuned networks that could be paired with their base")
        return False
    axes.axhline(0, color="black", linestyle=":", linewidth=1, zorder=1)
    hollow = [draw_gain(axes, shown, effect, layers) for effect in GAINS if effect in set(shown.pairs["effect"])]
    as_points(axes)
    return any(hollow)


def legend_handles(networks: pd.DataFrame, styles: dict[str, Style], hollow: bool) -> list[Line2D | Patch]:
    """One handle a treatment, one a shaded effect, and one for means over other networks than the base's."""
    handles: list[Line2D | Patch] = []
    treatments = ordered_treatments(networks)
    for treatment in treatments:
        style = styles[treatment]
        line = Line2D([], [], color=style.colour, linestyle=style.dashes, marker=style.marker)
        line.set_markersize(5 * style.size)
        line.set_label(for_tasks(legend_label(treatment, style), networks))
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
    copied = rows[rows["treatment"].map(copies_stages)]
    if copied.empty:
        return rows
    conditions = rows[CONDITION].astype(object).fillna(-1).apply(tuple, axis=1)
    return rows[conditions.isin(set(conditions[copied.index]))]


def condition_caption(label: str, shown: Shown) -> str:
    """One condition in numbers: the level of its base networks, as drawn, and the extreme of the effects stated."""
    phrases = [f"{label}: {counted(len(shown.networks), 'network')}"]
    base = shown.means[(shown.means["treatment"] == "base") & shown.means["mean"].notna()]
    if not base.empty:
        level, count = points(base["mean"].iloc[0], signed=False), base["networks"].iloc[0]
        phrases.append(f"base networks score {level} % (n = {count})")
    for name in STATED:
        rows = effect_rows(shown.effects, name, shown.read_out)
        if not rows.empty:
            phrases.append(f"{effect_of(name).label.lower()} minus base: {extreme_text(rows, 'base')}")
    return "; ".join(phrases) + "."


def caption_of(conditions: dict[str, Shown], shown: Shown) -> str:
    """What the figure shows, in numbers."""
    treatments = set(shown.networks["treatment"])
    sentence = "Each point is one network; below, lines are means"
    if any({first, second} <= treatments for first, second, *_ in DROPS):
        sentence += (
            ", and the shaded drops are what frozen features lose to fragile co-adaptation and to their specificity "
            "to the other task"
        )
    if shown.has_gains:
        sentence += "; at the bottom, fine-tuned networks minus their own base network, pair by pair"
    return " ".join([f"{sentence}.", *(condition_caption(label, part) for label, part in conditions.items())])


def folded_panels(count: int, has_gains: bool, width: float) -> tuple[Figure, np.ndarray]:
    """A figure with a column of panels for each of `count` conditions, as an array (2 or 3, count).

    Columns that do not fit side by side are folded: a fold's rows come, then the next fold's below them.
    """
    set_theme()
    ratios = [1.15, 1.15, 0.8] if has_gains else [1, 1]
    columns = count if count <= COLUMNS else 2
    folds = -(-count // columns)
    figure, grid = plt.subplots(
        folds * len(ratios),
        columns,
        figsize=(width, (1.28 if has_gains else 0.95) * width * (0.75 * folds + 0.25)),
        height_ratios=ratios * folds,
        sharex=True,
        squeeze=False,
        layout="constrained",
    )
    panels = np.hstack(np.split(grid, folds))
    for spare in panels[:, count:].flat:
        spare.set_visible(False)
    return figure, panels[:, :count]


def draw_condition(panels: np.ndarray, label: str, shown: Shown, layers: list[int], inches: float) -> bool:
    """A column of panels, of `inches` each; returns whether a mean of the lowest is hollow."""
    draw_points(panels[0], shown)
    draw_means(panels[1], shown.means, shown.styles)
    hollow = draw_gains(panels[2], shown, layers) if len(panels) > 2 else False
    panels[0].set_title(textwrap.fill(label, int(TITLE * inches)))
    for panel in panels[:2]:
        as_percent(panel)
    return hollow


def beside(shown: Shown) -> float:
    """The room beside the last layer, for the names of curves: six characters' at least."""
    longest = max((len(curve_name(name)) for name in shown.styles), default=0)
    return 0.25 + 1.05 * max(6, longest) / 6


def label_columns(panels: np.ndarray, shown: Shown, stages: dict[int, str], inches: float) -> None:
    """Label the axes: x, of some inches, below each column, y at the left of each line of panels."""
    for bottom in panels[-1]:
        bottom.tick_params(labelbottom=True)
        bottom.set_xlabel("Cut after layer n")
        bottom.set_xlim(-0.5, max([0, *shown.layers]) + widened(beside(shown), shown.layers))
        label_layers(bottom, shown.layers, stages, inches, base=True)
    labels = (read_out_of(shown.read_out).label, "Mean", "Fine-tuned minus\nbase, points")
    for row, label in zip(panels, labels, strict=False):
        for panel in row:
            if panel.get_subplotspec().is_first_col():
                panel.set_ylabel(label)


def footer_text(study: Study, shown: Shown) -> str:
    """What the figure rests on, and which means are not drawn."""
    text = footer(shown.networks, study.coverage)
    refused = shown.means[shown.means["mean"].isna()]
    if refused.empty:
        return text
    names = [for_tasks(curve_name(name), refused) for name in ordered_treatments(refused)]
    return f"{text}; no line where means are over other networks than the base's: {in_words(names)}"


def draw(study: Study, options: Options) -> Drawing:
    """The paper's Figure 2, a column for each condition: points, means, and, where there are fine-tuned networks,
    their differences from their base.

    Networks that did not train are left out. Means over other networks than the base's are drawn only if the options
    ask for it, and hollow.
    """
    trained = chosen_networks(study.networks, options.read_out)
    means = means_table(trained, options.read_out, options.unbalanced)
    treatments, recipes = ordered_treatments(trained), recipes_in(trained)
    shown = Shown(trained, means, study.effects, study.pairs, options.read_out, styles_of(treatments, recipes))
    conditions = {label: shown.condition(label) for label, _ in conditions_of(trained)}
    figure, panels = folded_panels(len(conditions), shown.has_gains, options.width)
    columns = panels[0, 0].get_subplotspec().get_gridspec().ncols
    inches = options.width / columns
    hollow = bool((~means["balanced"] & means["mean"].notna()).any())
    for column, (label, part) in enumerate(conditions.items()):
        hollow |= draw_condition(panels[:, column], label, part, shown.layers, inches)
    label_columns(panels, shown, stage_names(trained), axis_inches(options.width, columns))
    finish(figure, footer_text(study, shown), legend_handles(trained, shown.styles, hollow), ncols=2)
    return Drawing(figure, "Accuracy against the layer of the cut", caption_of(conditions, shown))
