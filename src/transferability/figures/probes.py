"""Probes: what each probe reads from each source's stages, a panel a target: the paper's Figure 2 for probes."""

import pandas as pd
from matplotlib.axes import Axes

from transferability.analysis.conditions import conditions_of
from transferability.analysis.draws import READ, draws_summary
from transferability.analysis.published import read_published
from transferability.analysis.read_outs import read_out_of
from transferability.analysis.tables import DRAW_COLUMNS, read_table, stage_names
from transferability.analysis.treatments import curve_name, for_tasks, probed_rows, rank_of
from transferability.figures.axes import (
    STAR,
    as_percent,
    intervals_of,
    label_layers,
    panel_grid,
    published_handle,
    series_handle,
    within_shares,
)
from transferability.figures.captions import footer
from transferability.figures.records import Drawing, NothingToDrawError, Options, Study, trained_of
from transferability.figures.styles import SERIES, finish, looks_of
from transferability.words import in_words, points

NAMED = ("groups", "classes", "whole", "graded")
"""Kinds of splits whose tasks are not drawn at random: each target has a panel."""


def drawn_probes(study: Study, read_out: str) -> pd.DataFrame:
    """The probes that have the read-out."""
    probed = probed_rows(study.networks)
    if probed.empty:
        raise NothingToDrawError("the study has no probe; name one in probes, and ask for it in study.treatment")
    return trained_of(probed, read_out)


def panels_of(probed: pd.DataFrame, tasks: dict) -> dict[str, pd.DataFrame]:
    """The probes of each panel by its title: those of a target, or of all splits that are drawn at random."""
    panels = {}
    for (split, target), rows in probed[probed["kind"].isin(NAMED)].groupby(["split", "target"], sort=False):
        panels[target_name(split, target, rows, tasks)] = rows
    return panels | dict(conditions_of(probed[~probed["kind"].isin(NAMED)]))


def target_name(split: str, target: str, rows: pd.DataFrame, tasks: dict) -> str:
    """A target as the title of its panel."""
    if set(rows["kind"]) == {"whole"}:
        return split
    return f"{split}: {tasks[split][target]}" if split in tasks else f"{split}, task {target}"


def draws_of(study: Study, rows: pd.DataFrame) -> pd.DataFrame:
    """The draws of a panel's probes; none where there is no draws.csv."""
    path = study.tables and study.tables / "draws.csv"
    if path is None or not path.exists():
        return pd.DataFrame(columns=list(DRAW_COLUMNS))
    draws, keys = read_table(path, DRAW_COLUMNS), ["split", "seed", "network"]
    return draws.merge(rows[keys], on=keys)


def draw_panel(panel: Axes, rows: pd.DataFrame, draws: pd.DataFrame, read_out: str, looks: dict) -> None:
    """A line a treatment: means over the panel's splits, seeds and targets, with intervals over draws."""
    for treatment, group in rows.groupby("treatment"):
        colour, marker, dashes = looks[treatment]
        means = group.groupby("n")[read_out].mean()
        look = {"color": colour, "marker": marker, "markersize": 4, "linestyle": dashes, "linewidth": 1.2}
        panel.plot(means.index, means, **look)
        mine = draws[draws["treatment"] == treatment]
        if read_out in READ and not mine.empty:
            intervals_of(panel, draws_summary(mine, read_out), 0.0, color=colour, linewidth=1.1)


def mark_published(panel: Axes, published: pd.DataFrame, rows: pd.DataFrame, looks: dict) -> None:
    """A star at each published number of a panel's probes."""
    for row in published.merge(rows[["network", "treatment", "n"]].drop_duplicates(), on="network").itertuples():
        panel.plot(row.n, row.published, zorder=4, **STAR | {"color": looks[row.treatment][0]})


def best_text(title: str, rows: pd.DataFrame, read_out: str) -> str:
    """The best cut of each of a panel's treatments, in words."""
    means = rows.groupby(["treatment", "n"])[read_out].mean()
    told = []
    for treatment in sorted(rows["treatment"].unique(), key=rank_of):
        n = means[treatment].idxmax()
        told.append(f"{for_tasks(curve_name(treatment), rows)} {points(means[treatment][n], signed=False)} at n = {n}")
    return f"{title}: {in_words(told)}"


def draw(study: Study, options: Options) -> Drawing:
    """A panel a target: the accuracy of every source and probe against the cut, and what papers have published."""
    read_out = options.read_out
    probed = drawn_probes(study, read_out)
    panels, published = panels_of(probed, study.tasks), read_published(study.tables, read_out)
    treatments = sorted(probed["treatment"].unique(), key=rank_of)
    looks = looks_of(treatments, SERIES)
    grid = panel_grid(len(panels), 2, options.width, (0.45, 0.16), sharex=True, sharey=True)
    draws = {title: draws_of(study, rows) for title, rows in panels.items()}
    for panel, (title, rows) in zip(grid.panels, panels.items(), strict=True):
        draw_panel(panel, rows, draws[title], read_out, looks)
        mark_published(panel, published, rows, looks)
        panel.set_title(title, fontsize=8)
    as_percent(grid.panels[0])
    within_shares(grid.panels[0])
    grid.label("Cut after stage n", read_out_of(read_out).label)
    for panel in grid.panels:
        label_layers(panel, sorted(set(probed["n"])), stage_names(study.networks), grid.panel_inches)
    handles = [
        series_handle(looks[name], f"{for_tasks(curve_name(name), probed)}, {pooling_of(probed, name)}")
        for name in treatments
    ]
    marked = published[published["network"].isin(probed["network"])]
    handles += published_handle(marked)
    several = any(rows["draw"].max() > 1 for rows in draws.values() if len(rows))
    bars = "; bars: 95 % intervals over draws, which share test images" if several else ""
    finish(grid.figure, footer(probed, study.coverage) + bars, handles, ncols=2)
    best = ". ".join(best_text(title, rows, read_out) for title, rows in panels.items())
    caption = f"What a classifier reads from each source's stages, with nothing above the cut kept. Best, in %: {best}."
    return Drawing(grid.figure, "What probes read at each cut", caption + published_text(marked, probed))


def pooling_of(probed: pd.DataFrame, treatment: str) -> str:
    """How the features of a treatment are pooled."""
    return in_words(probed.loc[probed["treatment"] == treatment, "pooling"].unique())


def published_text(marked: pd.DataFrame, probed: pd.DataFrame) -> str:
    """What is published of the study's probes, in words."""
    if marked.empty:
        return ""
    papers = in_words((marked["paper"] + " (" + marked["data"] + ")").unique())
    return f" Stars are published numbers: {papers}; {len(marked)} of {len(probed)} cuts have one."
