"""Volume: accuracy against the number of training images a class."""

from dataclasses import dataclass
from itertools import product

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from transferability.analysis.conditions import KINDS, in_a_line
from transferability.analysis.read_outs import read_out_of
from transferability.analysis.tables import cut_name, stage_names
from transferability.analysis.treatments import for_tasks
from transferability.figures.axes import as_percent, panel_grid, series_handle
from transferability.figures.captions import footer
from transferability.figures.records import Drawing, NothingToDrawError, Options, Study
from transferability.figures.styles import SERIES, finish, label_name, looks_of, ordered_treatments
from transferability.words import points

OTHERS = {
    "full": ("s", "--", "all images of the other task"),
    "same": ("o", "-", "as many images of the other task"),
    "different": ("^", "-.", "other numbers of images of the other task"),
}
"""How lines at one volume are told apart by the volume of the other task: marker, dashes and words."""


def other_of(networks: pd.DataFrame) -> pd.Series:
    """How much the networks' other task has beside their reduced one: a key of OTHERS."""
    same = networks["other_volume"].eq(networks["volume"]).fillna(False)
    return same.map({True: "same", False: "different"}).mask(networks["other_volume"].isna(), "full")


def reduced_of(networks: pd.DataFrame, read_out: str) -> pd.DataFrame:
    """The networks whose target's volume is reduced, trained or not, that have the read-out; `other` as `other_of`."""
    reduced = networks[networks["volume"].notna() & networks[read_out].notna()]
    return reduced.assign(other=other_of(reduced))


def full_of(networks: pd.DataFrame, read_out: str, kinds: list[str]) -> pd.DataFrame:
    """The networks at full volume, of some kinds of splits, that trained and have the read-out."""
    full = networks[networks["volume"].isna() & networks["other_volume"].isna() & networks["trained"]]
    return full[full["kind"].isin(kinds) & full[read_out].notna()]


@dataclass(frozen=True)
class Shown:
    """What the figure shows: networks at reduced and at full volume, and how lines are told apart.

    `looks` are by n; where `others` are named, keys of OTHERS, markers and dashes tell of the other task, and n has
    its colour alone.
    """

    reduced: pd.DataFrame
    full: pd.DataFrame
    kinds: list[str]
    looks: dict[int, tuple]
    others: list[str]
    read_out: str

    def look_of(self, n: int, other: str) -> tuple:
        """The look of a line: colour, marker and dashes."""
        return (self.looks[n][0], *OTHERS[other][:2]) if self.others else self.looks[n]


def shown_of(networks: pd.DataFrame, read_out: str) -> Shown:
    """What the figure shows of a study's networks."""
    reduced = reduced_of(networks, read_out)
    if reduced["volume"].nunique() < 2:
        raise NothingToDrawError(
            "the curve of reduced volumes needs networks at two or more volumes; give splits with `volume`"
        )
    kinds = [kind for kind in KINDS if kind in set(reduced["kind"])]
    looks = {0: ("black", "o", "-")} | looks_of(sorted(set(reduced["n"]) - {0}), SERIES)
    others = []
    if reduced.groupby(["treatment", "kind"])["other"].nunique().max() > 1:
        others = [name for name in OTHERS if name in set(reduced["other"])]
        looks = {n: (colour, "", "-") for n, (colour, _, _) in looks.items()}
    return Shown(reduced, full_of(networks, read_out, kinds), kinds, looks, others, read_out)


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


def draw_panel(panel: Axes, shown: Shown, treatment: str, kind: str) -> None:
    """One treatment and kind of split: a line for each n, and for how much the other task has."""
    rows, full = (
        table[(table["treatment"] == treatment) & (table["kind"] == kind)] for table in (shown.reduced, shown.full)
    )
    for (n, other), line in rows.groupby(["n", "other"]):
        draw_lines(panel, line, shown.read_out, shown.look_of(n, other), full[full["n"] == n])
    name = "base networks" if treatment == "base" else for_tasks(label_name(treatment), rows)
    panel.set_title(f"{name},\n{in_a_line(KINDS[kind])}" if len(shown.kinds) > 1 else name)


def spread(volumes: list[int]) -> list[int]:
    """The volumes that get a tick: those at least 1.45 times the one before, so that no two labels overlap."""
    kept = volumes[:1]
    for volume in volumes[1:]:
        if volume >= 1.45 * kept[-1]:
            kept.append(volume)
    return kept


def label_volumes(panel: Axes, volumes: list[int]) -> None:
    """The axes of a panel: volumes on a logarithmic scale, accuracy in percent."""
    panel.set_xscale("log")
    panel.xaxis.set_major_locator(FixedLocator(spread(volumes)))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    as_percent(panel)


def legend_handles(shown: Shown, stages: dict[int, str]) -> list[Line2D]:
    """One handle for each n, one for each volume of the other task, and those of what did not train or is reduced."""
    present = set(shown.reduced["n"])
    handles = [
        series_handle(look, cut_name(n, stages) if n else "base") for n, look in shown.looks.items() if n in present
    ]
    for marker, dashes, words in (OTHERS[name] for name in shown.others):
        handles.append(series_handle(("0.3", marker, dashes), words))
    if not shown.reduced["trained"].all():
        handles.append(Line2D([], [], color="0.5", marker="o", markerfacecolor="white", linestyle=""))
        handles[-1].set_label("did not train")
    if not shown.full.empty:
        handles.append(Line2D([], [], color="0.3", linestyle=":", label="all images"))
    return handles


def caption_of(shown: Shown) -> str:
    """What the figure shows, in numbers: what base networks score at each volume, and how many did not train."""
    bases = shown.reduced[shown.reduced["treatment"].eq("base") & shown.reduced["trained"]]
    sentences = []
    for (kind, other), rows in bases.groupby(["kind", "other"]):
        means = rows.groupby("volume")[shown.read_out].mean()
        levels = [f"{points(mean, signed=False)} % with {int(volume):,}" for volume, mean in means.items()]
        where = f", {in_a_line(KINDS[kind])}," if len(shown.kinds) > 1 else ""
        where += f", with {OTHERS[other][2]}," if shown.others else ""
        sentences.append(f"Base networks{where} score {', '.join(levels)} images a class.")
    untrained = int((~shown.reduced["trained"]).sum())
    end = f"{untrained} did not train and are hollow." if untrained else "All of them trained."
    return " ".join(["Networks trained on few images a class.", *sentences, end])


def draw(study: Study, options: Options) -> Drawing:
    """Accuracy against images a class, a panel for each treatment and kind of split, a line for each n; and for how
    much the other task has, where that differs within a panel.

    Networks that did not train are hollow, and no line leads past them. Dotted: all images, where the study has
    networks of the same kind of split with all of them.
    """
    shown = shown_of(study.networks, options.read_out)
    present = set(zip(shown.reduced["treatment"], shown.reduced["kind"], strict=True))
    pairs = [pair for pair in product(ordered_treatments(shown.reduced), shown.kinds) if pair in present]
    height = (0.45, 0.15) if len(pairs) > 1 else (0.62, 0)
    grid = panel_grid(len(pairs), 2, options.width, height, sharex=True, sharey=True)
    volumes = sorted(int(volume) for volume in shown.reduced["volume"].unique())
    for panel, (treatment, kind) in zip(grid.panels, pairs, strict=True):
        draw_panel(panel, shown, treatment, kind)
        label_volumes(panel, volumes)
    grid.label("Training images a class", read_out_of(options.read_out).label)
    handles = legend_handles(shown, stage_names(study.networks))
    finish(grid.figure, footer(shown.reduced, study.coverage), handles, ncols=3 if shown.others else 4)
    return Drawing(grid.figure, "Accuracy against the number of training images", caption_of(shown))
