"""t-SNE: the features of chosen cuts on a plane, a panel a cut, coloured by class or group."""

from itertools import cycle

import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.lines import Line2D

from transferability.analysis.tables import EMBEDDING_COLUMNS, read_table
from transferability.figures.axes import panel_grid
from transferability.figures.records import Drawing, NothingToDrawError, Options, Study
from transferability.figures.styles import finish
from transferability.words import counted, in_words

NAMED = 30
"""Classes or groups up to which the legend names each; more are told apart by colour alone."""
ALIKE = "oDs^vPX"
"""Markers in turn, so that neighbouring colours differ in shape too."""
NO_GROUP = "in no group"


def read_embedding(study: Study) -> pd.DataFrame:
    """tsne.csv of a study's tables; a study without one is a NothingToDrawError."""
    path = study.tables and study.tables / "tsne.csv"
    if path is None or not path.exists():
        raise NothingToDrawError("no features were laid out by t-SNE; name some cuts in tsne of the params")
    return read_table(path, EMBEDDING_COLUMNS)


def colour_of(table: pd.DataFrame) -> tuple[str, pd.Series]:
    """What colours mean, and the name of each row's: its group where there are groups, else its class."""
    if table["group"].notna().any():
        return "group", table["group"].fillna(NO_GROUP)
    return "class", table["class"]


def looks(names: list[str]) -> dict[str, tuple]:
    """A colour and a marker for each name."""
    return dict(zip(names, zip(sns.husl_palette(len(names), s=0.8, l=0.55), cycle(ALIKE)), strict=False))


def handles_of(shown: dict[str, tuple]) -> list[Artist]:
    """The legend, where it can name all."""
    if len(shown) > NAMED:
        return []
    return [
        Line2D([], [], color=colour, marker=marker, markersize=4, linestyle="", label=name)
        for name, (colour, marker) in shown.items()
    ]


def title_of(cut: str, rows: pd.DataFrame) -> str:
    """A panel's title: the cut and its stage."""
    return f"{cut}, {rows['stage'].iloc[0]}"


def draw(study: Study, options: Options) -> Drawing:
    """A panel a cut: a point a test image; what is near in the features is near in the panel."""
    table = read_embedding(study)
    meaning, names = colour_of(table)
    shown = looks(sorted(names.unique()))
    cuts = dict(iter(table.assign(name=names).groupby("cut", sort=False)))
    grid = panel_grid(len(cuts), 3, options.width, (0.33, 0.12 + 0.02 * min(len(shown), NAMED) / 4))
    for panel, (cut, rows) in zip(grid.panels, cuts.items(), strict=True):
        for name, points in rows.groupby("name"):
            colour, marker = shown[name]
            panel.scatter(points["x"], points["y"], s=7, color=colour, marker=marker, alpha=0.7, linewidth=0)
        panel.set_title(title_of(cut, rows), fontsize=7.5)
        panel.set(xticks=[], yticks=[], aspect="equal")
        panel.set_adjustable("datalim")
    first = table.iloc[0]
    seen = counted(first["images"], "test image")
    how = f"t-SNE, perplexity {first['perplexity']:g}, pooling {first['pooling']}, {seen}"
    more = "" if len(shown) <= NAMED else f"; {len(shown)} {meaning}{'es' if meaning == 'class' else 's'}, not named"
    finish(grid.figure, f"{how}. Colours: {meaning}{more}", handles_of(shown), ncols=5)
    caption = (
        f"{how}, of {counted(len(cuts), 'cut')}: {in_words(list(cuts))}, coloured by {meaning}. What is near in the "
        "features of the stages up to a cut is near in its panel; distances between clusters, their sizes and the axes "
        "mean nothing. The same features give the same picture."
    )
    return Drawing(grid.figure, "How features lie", caption)
