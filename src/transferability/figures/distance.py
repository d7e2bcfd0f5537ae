"""Distance: what frozen transfer costs against how far apart the two tasks are."""

import pandas as pd
from matplotlib import pyplot as plt

from transferability.analysis.conditions import KINDS, unreduced
from transferability.analysis.effects import paired_networks
from transferability.analysis.intervals import Estimate, correlate
from transferability.figures.captions import footer
from transferability.figures.styles import SERIES, Drawing, NothingToDrawError, as_points, finish, set_theme
from transferability.words import counted

DISTANCES = {"synset_distance": "Distance of the tasks in WordNet", "a_distance": "Distance of the tasks by images"}
LEAST = 5
"""Splits of different distance below which no relation is drawn."""


def distance_of(pairs: pd.DataFrame) -> str | None:
    """The distance to draw against: that in WordNet where enough splits have it, else that by images, else None."""
    for name in DISTANCES:
        known = pairs[pairs[name].notna()]
        if known["split"].nunique() >= LEAST and known[name].nunique() >= LEAST:
            return name
    return None


def stated(estimate: Estimate, independent: bool) -> str:
    """A correlation, with its interval where its units are independent, or why there is none."""
    if pd.isna(estimate.mean):
        return estimate.note
    number = "{:+.2f}".format
    text = f"r = {number(estimate.mean)}"
    if independent and pd.notna(estimate.low):
        text += f" ({number(estimate.low)} to {number(estimate.high)})"
    return text.replace("-", "−")


def draw_distance(pairs: pd.DataFrame, networks: pd.DataFrame, coverage: str, read_out: str, width: float) -> Drawing:
    """Frozen transfer minus base against the distance of the tasks, a panel for each n. Width in inches.

    A point is a split, the mean of its targets and seeds. Graded splits share task A, so that with them the
    correlation has no interval.
    """
    chosen = (pairs["effect"] == "total") & (pairs["read_out"] == read_out)
    total = unreduced(pairs[chosen])
    name = distance_of(total)
    if name is None:
        raise NothingToDrawError(
            f"accuracy against distance needs frozen transfer on {LEAST} or more splits of different distance; "
            f"this study has {counted(max(total[name].nunique() for name in DISTANCES), 'distance')} "
            f"on {counted(total['split'].nunique(), 'split')}"
        )
    total = total[total[name].notna()]
    splits = total.groupby(["n", "split", "kind", name])["difference"].mean().reset_index()
    layers = sorted(set(splits["n"]))
    set_theme()
    columns = min(len(layers), 3)
    lines = -(-len(layers) // columns)
    figure, panels = plt.subplots(
        lines,
        columns,
        figsize=(width, (0.33 * lines + 0.12) * width),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    kinds = dict(zip(dict.fromkeys(splits["kind"]), SERIES, strict=False))
    independent = not (splits["kind"] == "graded").any()
    said = []
    for panel, n in zip(panels.flat, layers, strict=False):
        rows = splits[splits["n"] == n]
        panel.axhline(0, color="black", linewidth=0.8, zorder=1)
        for kind, (colour, marker, _) in kinds.items():
            own = rows[rows["kind"] == kind]
            panel.scatter(own[name], own["difference"], s=16, color=colour, marker=marker, label=KINDS[kind], zorder=3)
        estimate = correlate(rows[name].to_numpy(), rows["difference"].to_numpy())
        panel.set_title(f"n = {n}", fontsize=8)
        relation = stated(estimate, independent)
        panel.text(0.02, 0.03, relation, transform=panel.transAxes, fontsize=7, va="bottom", zorder=4)
        said.append(f"{relation} at n = {n}")
        as_points(panel)
    for panel in list(panels.flat)[len(layers) :]:
        panel.set_visible(False)
    for index, panel in enumerate(panels.flat):
        if index + columns >= len(layers):
            panel.tick_params(labelbottom=True)
            panel.set_xlabel(DISTANCES[name])
    for panel in panels[:, 0]:
        panel.set_ylabel("AnB − base, points")
    shown = paired_networks(networks, total)
    handles, _ = panels.flat[0].get_legend_handles_labels()
    count = splits["split"].nunique()
    interval = (
        "with Fisher's 95 % interval from 4 splits on"
        if independent
        else "without an interval, since graded splits share task A"
    )
    text = f"{footer(shown, coverage)}. A point is a split ({count}); r: Pearson's, {interval}"
    finish(figure, text, handles, ncols=3)
    caption = (
        f"What frozen transfer costs against the distance of the two tasks, {counted(count, 'split')}; "
        f"Pearson's correlation {interval}: {'; '.join(said)}."
    )
    return Drawing(figure, "Cost of transfer against the distance of the tasks", caption)
