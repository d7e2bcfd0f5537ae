"""Distance: what frozen transfer costs against how far apart the two tasks are."""

import pandas as pd
from matplotlib.axes import Axes

from transferability.analysis.conditions import KINDS, unreduced
from transferability.analysis.contrasts import effect_of
from transferability.analysis.intervals import Estimate, correlate
from transferability.analysis.pairs import paired_networks
from transferability.analysis.tables import cut_name, stage_names
from transferability.figures.axes import as_points, panel_grid
from transferability.figures.captions import footer
from transferability.figures.records import Drawing, NothingToDrawError, Options, Study
from transferability.figures.styles import SERIES, finish
from transferability.words import counted

DISTANCES = {"synset_distance": "Distance of the tasks in WordNet", "a_distance": "Distance of the tasks by images"}
LEAST = 5
"""Splits of different distance below which no relation is drawn."""
EFFECT = effect_of("total")


def distance_of(pairs: pd.DataFrame) -> str | None:
    """The distance to draw against: that in WordNet where enough splits have it, else that by images, else None."""
    for name in DISTANCES:
        measured = pairs[pairs[name].notna()]
        if measured["split"].nunique() >= LEAST and measured[name].nunique() >= LEAST:
            return name
    return None


def measured_pairs(pairs: pd.DataFrame, read_out: str) -> tuple[pd.DataFrame, str]:
    """The pairs of frozen transfer at full volume whose split has a distance, and the name of that distance."""
    total = unreduced(pairs[(pairs["effect"] == EFFECT.name) & (pairs["read_out"] == read_out)])
    distance = distance_of(total)
    if distance is None:
        raise NothingToDrawError(
            f"accuracy against distance needs frozen transfer on {LEAST} or more splits of different distance; "
            f"this study has {counted(max(total[name].nunique() for name in DISTANCES), 'distance')} "
            f"on {counted(total['split'].nunique(), 'split')}"
        )
    return total[total[distance].notna()], distance


def correlation_text(estimate: Estimate, independent: bool) -> str:
    """A correlation, with its interval where its units are independent, or why there is none."""
    if pd.isna(estimate.mean):
        return estimate.note or ""
    number = "{:+.2f}".format
    text = f"r = {number(estimate.mean)}"
    if independent and pd.notna(estimate.low):
        text += f" ({number(estimate.low)} to {number(estimate.high)})"
    return text.replace("-", "−")


def draw_panel(panel: Axes, splits: pd.DataFrame, distance: str, looks: dict[str, tuple], relation: str) -> None:
    """One cut: a point a split, by the look of its kind, and their correlation."""
    panel.axhline(0, color="black", linewidth=0.8, zorder=1)
    for kind, (colour, marker, _) in looks.items():
        rows = splits[splits["kind"] == kind]
        panel.scatter(
            rows[distance], rows["difference"], s=16, color=colour, marker=marker, label=KINDS[kind], zorder=3
        )
    panel.text(0.02, 0.03, relation, transform=panel.transAxes, fontsize=7, va="bottom", zorder=4)
    as_points(panel)


def draw(study: Study, options: Options) -> Drawing:
    """Frozen transfer minus base against the distance of the tasks, a panel for each n.

    A point is a split, the mean of its targets and seeds. Graded splits share task A, so that with them the
    correlation has no interval.
    """
    pairs, distance = measured_pairs(study.pairs, options.read_out)
    splits = pairs.groupby(["n", "split", "kind", distance])["difference"].mean().reset_index()
    layers, stages = sorted(set(splits["n"])), stage_names(study.networks)
    looks = dict(zip(dict.fromkeys(splits["kind"]), SERIES, strict=False))
    independent = not (splits["kind"] == "graded").any()
    grid = panel_grid(len(layers), 3, options.width, (0.33, 0.12), sharex=True, sharey=True)
    relations = []
    for panel, n in zip(grid.panels, layers, strict=True):
        rows = splits[splits["n"] == n]
        estimate = correlate(rows[distance].to_numpy(), rows["difference"].to_numpy())
        relation = correlation_text(estimate, independent)
        draw_panel(panel, rows, distance, looks, relation)
        panel.set_title(cut_name(n, stages), fontsize=8)
        relations.append(f"{relation} at n = {n}")
    grid.label(DISTANCES[distance], f"{EFFECT.notation}, points")
    count = splits["split"].nunique()
    interval = (
        "with Fisher's 95 % interval from 4 splits on"
        if independent
        else "without an interval, since graded splits share task A"
    )
    shown = footer(paired_networks(study.networks, pairs), study.coverage)
    handles, _ = grid.panels[0].get_legend_handles_labels()
    finish(grid.figure, f"{shown}. A point is a split ({count}); r: Pearson's, {interval}", handles, ncols=3)
    caption = (
        f"What frozen transfer costs against the distance of the two tasks, {counted(count, 'split')}; "
        f"Pearson's correlation {interval}: {'; '.join(relations)}."
    )
    return Drawing(grid.figure, "Cost of transfer against the distance of the tasks", caption)
