"""Criterion: how well scores, distances and depth rank what transfer gave, beside what chance reaches."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from transferability.analysis.tables import CRITERION_COLUMNS, read_table
from transferability.figures.axes import panel_grid
from transferability.figures.records import Drawing, NothingToDrawError, Options, Study
from transferability.figures.styles import finish
from transferability.words import counted

MEASURE = "weighted_tau"
NAMES = {
    "depth": "deeper\nis worse",
    "synset_distance": "WordNet\ndistance",
    "a_distance": "A-distance",
    "neighbour": "nearest\nimage",
    "means": "class\nmeans",
    "logme": "LogME",
    "leep": "LEEP",
    "nce": "NCE",
}
"""What the figure calls a predictor, where that is not its name."""


def named(predictor: str) -> str:
    """What the figure calls a predictor."""
    return NAMES.get(predictor, predictor)


def read_criterion(study: Study) -> pd.DataFrame:
    """The rows of criterion.csv that can be drawn; a study without any is a NothingToDrawError."""
    path = study.tables and study.tables / "criterion.csv"
    if path is None or not path.exists():
        raise NothingToDrawError("nothing was scored; name some treatments in scores of the params")
    table = read_table(path, CRITERION_COLUMNS)
    drawn = table[(table["measure"] == MEASURE) & table["mean"].notna() & (table["treatment"] != "random")]
    if drawn.empty:
        raise NothingToDrawError(
            "no score can be held against transfer: that needs three cuts or more of a scored treatment that is "
            "retrained, fine-tuned or read by a probe too"
        )
    return drawn


def draw_panel(panel: Axes, rows: pd.DataFrame, title: str) -> None:
    """A point a predictor with its interval, and in grey what chance reaches."""
    chance = rows["chance"].max()
    panel.axvspan(-chance, chance, color="0.9", zorder=0)
    panel.axvline(0, color="0.5", linewidth=0.8, zorder=1)
    places = range(len(rows))
    sure = rows["low"].notna().to_numpy()
    colours = ["#D55E00" if name == "depth" else "#0072B2" for name in rows["predictor"]]
    panel.hlines(
        [place for place, known in zip(places, sure, strict=True) if known],
        rows["low"][sure],
        rows["high"][sure],
        color="0.3",
        linewidth=1.2,
        zorder=2,
    )
    panel.scatter(rows["mean"], places, s=18, c=colours, zorder=3)
    panel.set_yticks(list(places), [named(name) for name in rows["predictor"]], fontsize=7)
    panel.invert_yaxis()
    panel.set_xlim(-1.05, 1.05)
    panel.set_title(title, fontsize=8)


def best_text(title: str, rows: pd.DataFrame) -> str:
    """The predictor that ranks best in a panel, in words."""
    row = rows.loc[rows["mean"].idxmax()]
    sure = f" ({row['low']:+.2f} to {row['high']:+.2f})" if pd.notna(row["low"]) else ""
    note = f"; {row['note']}" if row["note"] else ""
    values = f"{row['mean']:+.2f}{sure}".replace("-", "−")
    return f"{title}: {' '.join(named(row['predictor']).split())} {values}{note}"


def draw(study: Study, options: Options) -> Drawing:
    """A panel for each treatment that tells what scored stages gave, over cuts and over tasks."""
    table = read_criterion(study)
    parts = {
        f"{truth}, over {over}": rows
        for (_, truth, over), rows in table.groupby(["treatment", "truth", "over"], sort=False)
    }
    grid = panel_grid(len(parts), 2, options.width, (0.3, 0.14), sharex=True)
    for panel, (title, rows) in zip(grid.panels, parts.items(), strict=True):
        draw_panel(panel, rows, title)
    grid.label("Weighted τ", "")
    units = counted(int(table["units"].max()), "unit")
    chance = Patch(color="0.9", label="what as many items in random order reach, 95 in 100")
    finish(grid.figure, f"{units}: splits × seeds. Bars: 95 % bootstrap intervals over them", [chance], ncols=1)
    worst = table[table["note"].fillna("").str.contains("deeper is worse")]
    beaten = (
        f" {counted(len(worst), 'row')} of scores over cuts say: does not beat 'deeper is worse'." if len(worst) else ""
    )
    caption = (
        "How well scores, distances of the tasks and depth rank what transfer gave (weighted τ, in which the best "
        f"count most). Best: {'. '.join(best_text(title, rows) for title, rows in parts.items())}.{beaten}"
    )
    return Drawing(grid.figure, "How well transfer was predicted", caption)
