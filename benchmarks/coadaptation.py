"""When co-adaptation appears: what cutting costs by the dropout of bases and of retraining, and their interaction.

    python benchmarks/coadaptation.py FOLDER [--read-out test_top1] [--figure FILE.svg]

Reads a finished study such as workflow/studies/digits-coadaptation.yaml: architectures that differ in dropout and norm,
and recipes for frozen selffers that differ in dropout. The effect is a selffer by a recipe minus its own base network,
in points; a unit is a split and seed, its targets averaged. The interaction is how much more the effect changes with
the retraining's dropout, from least to most, where the base network had most dropout than where it had least.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from transferability import files
from transferability.analysis.intervals import Estimate
from transferability.analysis.replication import estimate_replicated
from transferability.analysis.tables import PAIR_COLUMNS, read_table
from transferability.figures.styles import SERIES, save_figure, set_theme
from transferability.words import points

CONTRAST = "recipe minus base, selffer-"


def dropout_of(models: Path, network: str) -> tuple[str, float, float]:
    """The norm of a network's architecture, its dropout, and that of its recipe, as one run.json has them."""
    run = files.read_json(next(models.glob(f"*/seed*/{network}/run.json")))["parameters"]
    section = run["architecture"]
    return section["norm"], section["dropout"], run.get("recipe", {}).get("dropout", section["dropout"])


def read_cells(folder: Path, read_out: str) -> pd.DataFrame:
    """The differences of a study with the columns norm, base (dropout), retraining (dropout)."""
    parts = []
    for path in sorted(folder.glob("results/*/*/pairs.csv")):
        pairs = read_table(path, PAIR_COLUMNS)
        pairs = pairs[(pairs["read_out"] == read_out) & pairs["effect"].str.startswith(CONTRAST)]
        for treatment, rows in pairs.groupby("treatment"):
            recipe, n = treatment.partition("-")[2], rows["n"].iloc[0]
            models = folder / "models" / path.parent.relative_to(folder / "results")
            norm, base, retraining = dropout_of(models, f"B{n}B-{recipe}")
            parts.append(rows.assign(norm=norm, base=base, retraining=retraining))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def estimate(units: pd.Series) -> Estimate:
    """A mean over units, whose index has split and seed."""
    codes = units.index.get_level_values("split").astype("category").codes
    return estimate_replicated(units.to_numpy(), np.asarray(codes)).verdict


def units_of(cells: pd.DataFrame) -> pd.Series:
    """The mean difference of each split and seed, over targets and cuts."""
    return cells.groupby(["split", "seed"])["difference"].mean()


def estimate_text(found: Estimate) -> str:
    """An estimate in points with its interval."""
    interval = "" if np.isnan(found.low) else f" ({points(found.low)} to {points(found.high)})"
    return points(found.mean) + interval


def interaction(cells: pd.DataFrame) -> Estimate:
    """How much more the retraining's dropout changes the effect where the base had most of it, not least."""
    ends = {name: (cells[name].min(), cells[name].max()) for name in ("base", "retraining")}
    corner = {
        (base, retraining): units_of(cells[(cells["base"] == base) & (cells["retraining"] == retraining)])
        for base in ends["base"]
        for retraining in ends["retraining"]
    }
    least, most = ends["base"]
    dry, wet = ends["retraining"]
    return estimate((corner[most, wet] - corner[most, dry]) - (corner[least, wet] - corner[least, dry]))


def draw_panel(panel: Axes, cells: pd.DataFrame) -> None:
    """The effect against the retraining's dropout, a line for each dropout of base networks."""
    panel.axhline(0, color="black", linewidth=0.8, zorder=1)
    for (colour, marker, dashes), (base, rows) in zip(SERIES, cells.groupby("base"), strict=False):
        found = {place: estimate(units_of(cell)) for place, cell in rows.groupby("retraining")}
        means = [100 * one.mean for one in found.values()]
        # Student's intervals are symmetric.
        errors = [100 * (one.high - one.mean) for one in found.values()]
        places, look = [place + 0.008 * base for place in found], {"marker": marker, "linestyle": dashes}
        panel.errorbar(places, means, errors, color=colour, capsize=3, label=f"{base:g}", **look)


def draw(cells: pd.DataFrame, path: Path) -> None:
    """A panel for each norm, with the cuts averaged."""
    set_theme()
    norms = list(cells.groupby("norm"))
    figure, panels = plt.subplots(1, len(norms), figsize=(3.4 * len(norms), 3), sharey=True, squeeze=False)
    for panel, (norm, rows) in zip(panels[0], norms, strict=True):
        draw_panel(panel, rows)
        panel.set(title=f"norm: {norm}", xlabel="dropout of the retraining")
    panels[0][0].set_ylabel("selffer minus base, points")
    panels[0][0].legend(title="dropout of the base")
    figure.tight_layout()
    save_figure(figure, path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description="Co-adaptation by the dropout of base networks and of retraining.")
    parser.add_argument("folder", type=Path, help="where a study such as digits-coadaptation has run")
    parser.add_argument("--read-out", default="test_top1")
    parser.add_argument("--figure", type=Path, help="file to draw, .svg or .png")
    arguments = parser.parse_args()
    cells = read_cells(arguments.folder, arguments.read_out)
    if cells.empty:
        parser.error(f"{arguments.folder}: no selffers by recipes; run workflow/studies/digits-coadaptation.yaml there")
    if arguments.figure:
        draw(cells, arguments.figure)
    for norm, group in cells.groupby("norm"):
        print(f"norm {norm}, {arguments.read_out}: selffer minus base in points, with 95 % intervals")
        print(f"{'dropout of base':>16}{'of retraining':>15}{'n':>5}  effect")
        for (base, retraining), cell in group.groupby(["base", "retraining"]):
            for n, rows in [*cell.groupby("n"), ("all", cell)]:
                print(f"{base:>16}{retraining:>15}{n:>5}  {estimate_text(estimate(units_of(rows)))}")
        for n, rows in [*group.groupby("n"), ("all", group)]:
            print(f"{'interaction':>31}{n:>5}  {estimate_text(interaction(rows))}")


if __name__ == "__main__":
    main()
