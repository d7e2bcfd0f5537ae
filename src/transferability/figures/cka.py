"""CKA: how alike the features of stages are, a matrix for each two curves."""

from itertools import combinations_with_replacement

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from transferability.analysis.tables import CKA_COLUMNS, read_table
from transferability.figures.axes import panel_grid
from transferability.figures.records import Drawing, NothingToDrawError, Options, Study
from transferability.figures.styles import finish
from transferability.networks.notation import parse_network

CELLS = 10
"""Cuts of a curve up to which each cell says its value."""


def read_pairs(study: Study) -> pd.DataFrame:
    """The pairs of cka.csv both ways round, with their curves; a study without it is a NothingToDrawError."""
    path = study.tables and study.tables / "cka.csv"
    if path is None or not path.exists():
        raise NothingToDrawError("no features were compared; name some cuts in cka of the params")
    table = read_table(path, CKA_COLUMNS)
    turned = table.rename(
        columns={"cut": "other", "n": "other_n", "stage": "other_stage"}
        | {"other": "cut", "other_n": "n", "other_stage": "stage"}
    )
    both = pd.concat([table, turned]).drop_duplicates(["cut", "other"])
    return both.assign(
        curve=both["cut"].map(lambda name: parse_network(name).curve),
        other_curve=both["other"].map(lambda name: parse_network(name).curve),
    )


def draw_matrix(panel: Axes, matrix: pd.DataFrame, curve: str, other: str) -> None:
    """The values of one curve, upwards, against another, to the right."""
    values = matrix.to_numpy()
    panel.imshow(values, origin="lower", vmin=0, vmax=1, cmap="Greys", aspect="auto")
    panel.grid(visible=False)
    panel.set_xticks(range(len(matrix.columns)), matrix.columns)
    panel.set_yticks(range(len(matrix.index)), matrix.index)
    panel.set_xlabel(f"{other}, n")
    panel.set_ylabel(f"{curve}, n")
    if max(values.shape) <= CELLS:
        for (row, column), value in np.ndenumerate(values):
            text = "" if np.isnan(value) else f"{value:.2f}".replace("0.", ".", 1).replace("-", "−")
            panel.text(
                column, row, text, ha="center", va="center", fontsize=5.5, color="white" if value > 0.6 else "black"
            )


def draw(study: Study, options: Options) -> Drawing:
    """A panel for each two curves, and for each with itself: black is the same up to rotation and scale."""
    table = read_pairs(study)
    curves = list(dict.fromkeys(table["curve"]))
    pairs = list(combinations_with_replacement(curves, 2))
    grid = panel_grid(len(pairs), 3, options.width, (0.34, 0.1))
    curves = []
    for panel, (curve, other) in zip(grid.panels, pairs, strict=True):
        rows = table[(table["curve"] == curve) & (table["other_curve"] == other)]
        matrix = rows.pivot_table(index="n", columns="other_n", values="cka", dropna=False)
        draw_matrix(panel, matrix, curve, other)
        shared = [n for n in matrix.index if n in matrix.columns and not np.isnan(matrix.loc[n, n])]
        if curve != other and shared:
            curves.append(f"{curve} and {other} " + ", ".join(f"{matrix.loc[n, n]:.2f}" for n in shared))
    first = table.iloc[0]
    finish(grid.figure, f"Linear CKA, debiased. {first['images']:,} test images, {first['pooling']}", [], ncols=1)
    same = f" At the same n: {'; '.join(curves)}." if curves else ""
    without = table[table["reason"].notna()]
    lacking = f" Blank: {without['reason'].iloc[0]}." if len(without) else ""
    caption = (
        "How alike the features of two cuts are on the same test images: linear CKA without its bias, 1 where they are "
        f"the same up to rotation and scale, about 0 where they have nothing to do with each other.{same}{lacking}"
    )
    return Drawing(grid.figure, "Which stages are alike", caption.replace(" -", " −"))
