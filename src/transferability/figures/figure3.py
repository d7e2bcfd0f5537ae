"""Figure 3: the paper's, dissimilar tasks by target, random filters, and both beside random halves."""

from dataclasses import dataclass, field

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from transferability.analysis.conditions import conditions_of, in_a_line, unreduced
from transferability.analysis.coverage import means_table
from transferability.analysis.read_outs import read_out_of
from transferability.analysis.tables import stage_names
from transferability.analysis.treatments import curve_name
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
from transferability.figures.captions import effect_rows, extreme_phrase, footer
from transferability.figures.records import Drawing, NothingToDrawError, Options, Study, trained_of
from transferability.figures.styles import SERIES, finish, looks_of, set_theme
from transferability.words import in_words

MEANT = ("groups", "classes")
"""Kinds of splits whose tasks were chosen for what they show."""

TARGETS = {"A": ("#0072B2", "v", "--"), "B": ("#D55E00", "D", "-")}
FILTERS = (
    ("#777777", "^", "-."),
    ("#CC79A7", "v", ":"),
    ("#E69F00", "P", "--"),
    ("#56B4E9", ">", "-."),
    ("black", "X", ":"),
)
"""How random filters are drawn, by condition."""

RELATIVE = {"random": ("#D55E00", "D", "-"), "groups": ("#0072B2", "h", "--"), "classes": ("#009E73", "s", "-.")}
"""How transfer is drawn beside random filters, by kind of split; no colour is one of FILTERS."""


@dataclass
class Marks:
    """What the panels have drawn that legend, footer and caption tell of.

    `refused` are curves of which a mean is not drawn, since it is over other networks than the base's; `hollow` is
    whether one is drawn, hollow; `phrases` state the curves of the lower panel.
    """

    refused: list[str] = field(default_factory=list)
    hollow: bool = False
    phrases: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Shown:
    """What the figure shows: the networks that trained, rows of effects.csv, and what it is asked for."""

    networks: pd.DataFrame
    effects: pd.DataFrame
    tasks: dict[str, dict[str, str]]
    options: Options
    marks: Marks = field(default_factory=Marks)

    @property
    def layers(self) -> list[int]:
        """The layers of the cuts."""
        return sorted(set(self.networks["n"]) - {0})


def filter_looks(networks: pd.DataFrame) -> dict[str, tuple]:
    """How the random filters of each condition are drawn, in all panels."""
    conditions = conditions_of(networks)
    return looks_of([label for label, rows in conditions if rows["treatment"].eq("random").any()], FILTERS)


def draw_line(
    axes: Axes, shown: Shown, networks: pd.DataFrame, treatment: str, look: tuple, label: str = ""
) -> pd.Series:
    """Points and the curve of means of one treatment, among networks of one condition; returns the means by n.

    A mean over other networks than the base's is drawn only if the options ask for it, and hollow.
    """
    colour, marker, dashes = look
    read_out, unbalanced = shown.options.read_out, shown.options.unbalanced
    rows = networks[networks["treatment"] == treatment]
    axes.scatter(rows["n"], rows[read_out], s=10, color=colour, marker=marker, alpha=0.5, linewidth=0, zorder=2)
    means = means_table(networks, read_out, unbalanced)
    means = means[means["treatment"] == treatment]
    curve = means.set_index("n")["mean"]
    name = curve_name(treatment)
    if curve.isna().any() and name not in shown.marks.refused:
        shown.marks.refused.append(name)
    dots = {"color": colour, "marker": marker, "markersize": 4.5, "zorder": 3}
    curve_of(axes, shown.layers, curve, linestyle=dashes, label=label, **dots)
    shown.marks.hollow |= mark_hollow(axes, means, **dots)
    return curve


def draw_meant(axes: Axes, shown: Shown) -> None:
    """Left panel: transfer between tasks that were chosen, a line for each split and target, over seeds."""
    meant = shown.networks[shown.networks["kind"].isin(MEANT)]
    rows = meant[meant["treatment"] == "transfer"]
    curves = sorted(set(zip(rows["split"], rows["target"], strict=True)))
    if not curves:
        explain_empty(axes, "no frozen transfer between groups of classes")
        return
    single = len({split for split, _ in curves}) == 1
    looks = {curve: TARGETS[curve[1]] for curve in curves} if single else looks_of(curves, SERIES)
    bases = meant[meant["treatment"] == "base"]
    for curve, level in bases.groupby(["split", "target"])[shown.options.read_out].mean().items():
        base_level(axes, level, looks.get(curve, ("0.4",))[0])
    ends = []
    for (split, target), look in looks.items():
        networks = meant[(meant["split"] == split) & (meant["target"] == target)]
        drawn = draw_line(axes, shown, networks, "transfer", look).dropna()
        name = shown.tasks.get(split, {}).get(target, target)
        if not drawn.empty:
            text = f"to {name}" if single else f"{split}: to {name}"
            ends.append((text, drawn.index[-1] + widened(0.2, shown.layers), drawn.iloc[-1], look[0]))
    label_ends(axes, ends, gap=0.07)


def draw_random(axes: Axes, shown: Shown) -> None:
    """Right panel: networks above random, untrained filters; a line for each condition."""
    conditions, looks = dict(conditions_of(shown.networks)), filter_looks(shown.networks)
    if not looks:
        explain_empty(axes, "no networks above random filters that trained")
        return
    for label, look in looks.items():
        rows = conditions[label]
        bases = rows[rows["treatment"] == "base"]
        if not bases.empty:
            base_level(axes, bases[shown.options.read_out].mean(), look[0])
        draw_line(axes, shown, rows, "random", look, label)
    if len(looks) > 1:
        axes.legend(fontsize=7, frameon=False)


def relative_curves(effects: pd.DataFrame, filters: dict[str, tuple]) -> list[tuple[str, str, pd.DataFrame, tuple]]:
    """What the lower panel shows: name, effect and rows of effects.csv, and a look, of each curve.

    `filters` are the looks of random filters by condition.
    """
    conditions = dict(conditions_of(effects))
    kinds = {label: rows["kind"].iloc[0] for label, rows in conditions.items() if (rows["effect"] == "total").any()}
    kinds = {label: kind for label, kind in kinds.items() if kind in RELATIVE}
    single = len(kinds) == len(set(kinds.values()))
    # Conditions of one kind need different looks.
    looks = (
        {label: RELATIVE[kind] for label, kind in kinds.items()}
        if single
        else looks_of(list(kinds), tuple(RELATIVE.values()))
    )
    curves = [(f"AnB, {in_a_line(label)}", "total", conditions[label], look) for label, look in looks.items()]
    return curves + [
        (f"RnB, random filters, {in_a_line(label)}", "random filters", conditions[label], look)
        for label, look in filters.items()
        if label in conditions
    ]


def draw_relative(axes: Axes, shown: Shown) -> None:
    """Lower panel: means of the differences from the base networks of the same target, with intervals."""
    base_level(axes, 0, "black")
    curves = relative_curves(shown.effects, filter_looks(shown.networks))
    for index, (name, effect, effects, (colour, marker, dashes)) in enumerate(curves):
        rows = effect_rows(effects, effect, shown.options.read_out)
        if rows.empty:
            continue
        shift = 0.05 * (index - 1)
        look = {"color": colour, "marker": marker, "markersize": 5, "zorder": 3}
        curve_of(axes, shown.layers, rows.set_index("n")["mean"], shift, linestyle=dashes, label=name, **look)
        shown.marks.hollow |= mark_hollow(axes, rows, shift, **look)
        intervals_of(axes, rows, shift, color=colour, linewidth=1.3, zorder=2)
        shown.marks.phrases.append(f"{name}: {extreme_phrase(rows)}")


PANELS = {
    "meant": (draw_meant, "Dissimilar tasks", as_percent),
    "random": (draw_random, "Random, untrained filters", as_percent),
    "relative": (draw_relative, "Relative to the base networks of the own target", as_points),
}
"""How each panel is drawn, its title, and how its y axis is written."""


def upper_panels(networks: pd.DataFrame) -> list[str]:
    """The upper panels: one for what the study asks for, also where nothing of it trained."""
    asked = {
        "meant": networks["treatment"].eq("transfer") & networks["kind"].isin(MEANT),
        "random": networks["treatment"].eq("random"),
    }
    return [name for name, rows in asked.items() if rows.any()] or ["meant"]


def label_panel(name: str, panel: Axes, shown: Shown, upper: list[str]) -> None:
    """The x axis of a panel, with room for the names at the ends of its lines."""
    room = 0.5 if name != "meant" else 3.5 if len(upper) > 1 else 1.5
    panel.set_xlim(-0.5, max(shown.layers) + widened(room, shown.layers))
    panel.set_xlabel("Cut after layer n")
    columns = len(upper) if name in upper else 1
    stages = stage_names(shown.networks)
    label_layers(panel, shown.layers, stages, axis_inches(shown.options.width, columns), base=True)


def legend_handles(relative: Axes, marks: Marks) -> list[Artist]:
    """The curves of the lower panel, the base, and hollow markers where there are any."""
    handles, _ = relative.get_legend_handles_labels()
    handles.append(Line2D([], [], color="black", linestyle=":", marker="o", markersize=4.5, label="base"))
    return [*handles, hollow_handle()] if marks.hollow else handles


def shown_of(study: Study, options: Options) -> Shown:
    """What the figure shows of a study."""
    trained = trained_of(unreduced(study.networks), options.read_out)
    networks = trained[
        trained["treatment"].eq("base")
        | (trained["treatment"].eq("transfer") & trained["kind"].isin(("random", *MEANT)))
        | trained["treatment"].eq("random")
    ]
    if not (set(networks["treatment"]) - {"base"}):
        raise NothingToDrawError(
            "Figure 3 needs networks of the treatments transfer or random that trained; this study has none"
        )
    return Shown(networks, unreduced(study.effects), study.tasks, options)


def caption_of(marks: Marks) -> str:
    """What the figure shows, in numbers."""
    return (
        "Above, frozen transfer between tasks that differ in kind, by target, and networks above random filters; "
        "below, the means of the differences from the base network of the own target, with 95 % intervals where "
        "there are independent units enough, in percentage points. "
        + "; ".join(marks.phrases)
        + ("." if marks.phrases else "")
    )


def draw(study: Study, options: Options) -> Drawing:
    """The paper's Figure 3: dissimilar tasks and random filters above, both relative to their base below."""
    shown = shown_of(study, options)
    set_theme()
    figure = plt.figure(figsize=(options.width, 1.05 * options.width), layout="constrained")
    upper = upper_panels(study.networks)
    panels = figure.subplot_mosaic([[upper[0], upper[-1]], ["relative", "relative"]])
    for name, panel in panels.items():
        draw_panel, title, as_unit = PANELS[name]
        draw_panel(panel, shown)
        panel.set_title(title)
        label_panel(name, panel, shown, upper)
        as_unit(panel)
    panels[upper[0]].set_ylabel(read_out_of(options.read_out).label)
    panels["relative"].set_ylabel("Minus base, points")
    text = footer(shown.networks, study.coverage)
    if shown.marks.refused:
        text += f"; no line where means are over other networks than the base's: {in_words(shown.marks.refused)}"
    handles = legend_handles(panels["relative"], shown.marks)
    # A long name leaves no room for one beside it.
    ncols = 2 if all(len(str(handle.get_label())) <= 50 for handle in handles) else 1
    finish(figure, text, handles, ncols)
    return Drawing(figure, "Dissimilar tasks and random filters", caption_of(shown.marks))
