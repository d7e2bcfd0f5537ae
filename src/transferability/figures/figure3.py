"""Figure 3: the paper's, dissimilar tasks by target, random filters, and both beside random halves."""

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from transferability.analysis.conditions import conditions_of, in_a_line, unreduced
from transferability.analysis.coverage import means_table
from transferability.figures.captions import effect_rows, footer, from_to
from transferability.figures.styles import (
    READ_OUTS,
    SERIES,
    Drawing,
    NothingToDrawError,
    as_percent,
    as_points,
    curve_of,
    finish,
    hollow_handle,
    label_ends,
    looks_of,
    mark_hollow,
    say,
    set_theme,
    trained_of,
)
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


def filter_looks(networks: pd.DataFrame) -> dict[str, tuple]:
    """How the random filters of each condition are drawn, in all panels."""
    conditions = conditions_of(networks)
    return looks_of([label for label, rows in conditions if rows["treatment"].eq("random").any()], FILTERS)


def base_lines(axes: Axes, networks: pd.DataFrame, read_out: str, colours: dict[tuple, str]) -> None:
    """A dotted line at the mean of the base networks of each split and target, with its point at the left."""
    bases = networks[networks["treatment"] == "base"]
    for place, level in bases.groupby(["split", "target"])[read_out].mean().items():
        axes.axhline(level, color=colours[place], linestyle=":", linewidth=1, zorder=1)
        axes.plot(0, level, marker="o", color=colours[place], markersize=4.5, zorder=3)


def draw_meant(
    axes: Axes, networks: pd.DataFrame, read_out: str, layers: list[int], tasks: dict, unbalanced: bool
) -> tuple[bool, bool]:
    """Left panel: transfer between tasks that were chosen, a line for each split and target, over seeds.

    A mean over other networks than the base's is drawn only if `unbalanced` asks for it, and hollow; returns whether
    one is not drawn, and whether one is hollow.
    """
    meant = networks[networks["kind"].isin(MEANT)]
    rows = meant[meant["treatment"] == "transfer"]
    places = sorted(set(zip(rows["split"], rows["target"], strict=True)))
    if not places:
        say(axes, "no frozen transfer between groups of classes")
        return False, False
    single = len({split for split, _ in places}) == 1
    looks = {place: TARGETS[place[1]] for place in places} if single else looks_of(places, SERIES)
    colours = {
        place: looks.get(place, ("0.4", "", ""))[0] for place in set(zip(meant["split"], meant["target"], strict=True))
    }
    base_lines(axes, meant, read_out, colours)
    refused = hollow = False
    ends = []
    for (split, target), (colour, marker, dashes) in looks.items():
        place = meant[(meant["split"] == split) & (meant["target"] == target)]
        own = place[place["treatment"] == "transfer"]
        axes.scatter(own["n"], own[read_out], s=10, color=colour, marker=marker, alpha=0.5, linewidth=0, zorder=2)
        means = means_table(place, read_out, unbalanced).query("treatment == 'transfer'")
        mean = means.set_index("n")["mean"]
        refused |= bool(mean.isna().any())
        look = {"color": colour, "marker": marker, "markersize": 4.5, "zorder": 3}
        curve_of(axes, layers, mean, linestyle=dashes, **look)
        hollow |= mark_hollow(axes, means, **look)
        name = tasks.get(split, {}).get(target, target)
        known = mean.dropna()
        if not known.empty:
            text = f"to {name}" if single else f"{split}: to {name}"
            ends.append((text, known.index[-1] + 0.2, known.iloc[-1], colour))
    label_ends(axes, ends, gap=0.07)
    return refused, hollow


def draw_random(
    axes: Axes, networks: pd.DataFrame, read_out: str, layers: list[int], unbalanced: bool
) -> tuple[bool, bool]:
    """Right panel: networks above random, untrained filters; a line for each condition. Means and what is returned
    are as in `draw_meant`.
    """
    filters = networks[networks["treatment"] == "random"]
    if filters.empty:
        say(axes, "no networks above random filters that trained")
        return False, False
    refused = hollow = False
    conditions, looks = dict(conditions_of(networks)), filter_looks(networks)
    for label, (colour, marker, dashes) in looks.items():
        rows = conditions[label]
        own = rows[rows["treatment"] == "random"]
        axes.scatter(own["n"], own[read_out], s=10, color=colour, marker=marker, alpha=0.5, linewidth=0, zorder=2)
        means = means_table(rows, read_out, unbalanced).query("treatment == 'random'")
        mean = means.set_index("n")["mean"]
        refused |= bool(mean.isna().any())
        bases = rows[rows["treatment"] == "base"]
        if not bases.empty:
            level = bases[read_out].mean()
            axes.axhline(level, color=colour, linestyle=":", linewidth=1, zorder=1)
            axes.plot(0, level, marker="o", color=colour, markersize=4.5, zorder=3)
        look = {"color": colour, "marker": marker, "markersize": 4.5, "zorder": 3}
        curve_of(axes, layers, mean, linestyle=dashes, label=label, **look)
        hollow |= mark_hollow(axes, means, **look)
    if len(looks) > 1:
        axes.legend(fontsize=7, frameon=False)
    return refused, hollow


def relative_curves(effects: pd.DataFrame, filters: dict[str, tuple]) -> list[tuple[str, str, pd.DataFrame, tuple]]:
    """What the lower panel shows: name, effect and rows of effects.csv, and a look, of each curve.

    `filters` are the looks of random filters by condition.
    """
    conditions = dict(conditions_of(effects))
    kinds = {label: rows["kind"].iloc[0] for label, rows in conditions.items() if (rows["effect"] == "total").any()}
    kinds = {label: kind for label, kind in kinds.items() if kind in RELATIVE}
    single = len(kinds) == len(set(kinds.values()))
    # Conditions of one kind need looks of their own.
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


def draw_relative(
    axes: Axes, effects: pd.DataFrame, read_out: str, layers: list[int], filters: dict[str, tuple]
) -> tuple[list[str], bool]:
    """Lower panel: means of the differences from the base of the own target, with intervals.

    Returns captions of its curves, and whether a mean is over other cells than the rest, which is hollow.
    """
    axes.axhline(0, color="black", linestyle=":", linewidth=1, zorder=1)
    axes.plot(0, 0, marker="o", color="black", markersize=4.5, zorder=3)
    said, hollow = [], False
    for index, (name, effect, rows, (colour, marker, dashes)) in enumerate(relative_curves(effects, filters)):
        found = effect_rows(rows, effect, read_out)
        if found.empty:
            continue
        shift = 0.05 * (index - 1)
        look = {"color": colour, "marker": marker, "markersize": 5, "zorder": 3}
        curve_of(axes, layers, found.set_index("n")["mean"], shift, linestyle=dashes, label=name, **look)
        hollow |= mark_hollow(axes, found, shift, **look)
        sure = found[found["low"].notna()]
        axes.vlines(sure["n"].astype(float) + shift, sure["low"], sure["high"], color=colour, linewidth=1.3, zorder=2)
        said.append(f"{name}: {from_to(found)}")
    return said, hollow


def draw_figure3(
    networks: pd.DataFrame,
    effects: pd.DataFrame,
    coverage: str,
    read_out: str,
    width: float,
    unbalanced: bool,
    tasks: dict,
) -> Drawing:
    """The paper's Figure 3. `tasks` names the tasks of splits, {split: {"A": name, "B": name}}. Width in inches."""
    trained = trained_of(unreduced(networks), read_out)
    effects = unreduced(effects)
    shown = trained[
        trained["treatment"].eq("base")
        | (trained["treatment"].eq("transfer") & trained["kind"].isin(("random", *MEANT)))
        | trained["treatment"].eq("random")
    ]
    if not (set(shown["treatment"]) - {"base"}):
        raise NothingToDrawError(
            "Figure 3 needs networks of the treatments transfer or random that trained; this study has none"
        )
    set_theme()
    figure = plt.figure(figsize=(width, 1.05 * width), layout="constrained")
    # A panel for what the study asks for, also where nothing of it trained.
    asked = {
        "meant": networks["treatment"].eq("transfer") & networks["kind"].isin(MEANT),
        "random": networks["treatment"].eq("random"),
    }
    upper = [name for name, rows in asked.items() if rows.any()] or ["meant"]
    panels = figure.subplot_mosaic([[upper[0], upper[-1]], ["relative", "relative"]])
    layers = sorted(set(shown["n"]) - {0})
    found = {}
    if "meant" in panels:
        found["AnB"] = draw_meant(panels["meant"], shown, read_out, layers, tasks, unbalanced)
        panels["meant"].set_title("Dissimilar tasks")
    if "random" in panels:
        found["RnB"] = draw_random(panels["random"], shown, read_out, layers, unbalanced)
        panels["random"].set_title("Random, untrained filters")
    text = footer(shown, coverage)
    if refused := [name for name, (refused, _) in found.items() if refused]:
        text += f"; no line where means are over other networks than the base's: {in_words(refused)}"
    said, hollow = draw_relative(panels["relative"], effects, read_out, layers, filter_looks(shown))
    panels["relative"].set_title("Relative to the base networks of the own target")
    panels[upper[0]].set_ylabel(READ_OUTS[read_out])
    panels["relative"].set_ylabel("Minus base, points")
    for name, panel in panels.items():
        panel.set_xticks([0, *layers], ["base", *layers])
        # Room for the names at the ends of the lines.
        panel.set_xlim(-0.5, max(layers) + (0.5 if name != "meant" else 3.5 if len(set(upper)) > 1 else 1.5))
        panel.set_xlabel("Cut after layer n")
        (as_points if name == "relative" else as_percent)(panel)
    handles, _ = panels["relative"].get_legend_handles_labels()
    handles.append(Line2D([], [], color="black", linestyle=":", marker="o", markersize=4.5, label="base"))
    if hollow or any(hollow for _, hollow in found.values()):
        handles.append(hollow_handle())
    # A long name leaves no room for one beside it.
    ncols = 2 if all(len(handle.get_label()) <= 50 for handle in handles) else 1
    finish(figure, text, handles, ncols)
    caption = (
        "Above, frozen transfer between tasks that differ in kind, by target, and networks above random filters; "
        "below, the means of the differences from the base network of the own target, with 95 % intervals where "
        "there are independent units enough, in percentage points. " + "; ".join(said) + ("." if said else "")
    )
    return Drawing(figure, "Dissimilar tasks and random filters", caption)
