"""When co-adaptation appears: what cutting costs by dropout, norm, width and length of base networks and retraining.

    python benchmarks/coadaptation.py FOLDER... [--read-out test_top1] [--figure FILE.svg]

Reads finished studies such as workflow/studies/digits-coadaptation.yaml: architectures that differ in dropout, norm and
width, and recipes for frozen selffers that differ in dropout; other folders may have longer base networks, and longer
retraining. The effect
is a selffer by a recipe minus its own base network, in points; a unit is a split and seed, its targets averaged. The
interaction is how much more the effect changes with the retraining's dropout, from least to most, where the base
network had most dropout than where it had least; `alike` is the mean effect where both have the same dropout, as in the
original. Then the mean effect at each level of each factor, over all others, and where both dropouts are alike.
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
FACTORS = {"norm": "norm", "width": "width", "steps": "steps of the base", "base": "dropout of the base"}
FACTORS |= {"retraining": "dropout of the retraining", "n": "n"}
FACTORS |= {"again": "steps of the retraining"}
SETTING = ["norm", "width", "steps", "again"]
TICKS = (-30, -10, -3, -1, 0, 1, 3, 10, 30)


def levels_of(models: Path, network: str) -> dict[str, object]:
    """The levels of all factors but n that a network is of, as its run.json and its base network's have them."""
    run, base = (
        files.read_json(next(models.glob(f"*/seed*/{name}/run.json")))["parameters"] for name in (network, "baseB")
    )
    section = run["architecture"]
    retraining = run.get("recipe", {}).get("dropout", section["dropout"])
    levels = {"norm": section["norm"], "width": section["width"], "base": section["dropout"]}
    steps = {"steps": base["schedule"]["steps"], "again": run["schedule"]["steps"]}
    return levels | {"retraining": retraining} | steps


def read_cells(folders: list[Path], read_out: str) -> pd.DataFrame:
    """The differences of some studies, with a column for each factor."""
    parts = []
    for path in [path for folder in folders for path in sorted(folder.glob("results/*/*/pairs.csv"))]:
        pairs = read_table(path, PAIR_COLUMNS)
        pairs = pairs[(pairs["read_out"] == read_out) & pairs["effect"].str.startswith(CONTRAST)]
        models = path.parents[3] / "models" / path.parent.relative_to(path.parents[2])
        for treatment, rows in pairs.groupby("treatment"):
            recipe, n = treatment.partition("-")[2], rows["n"].iloc[0]
            parts.append(rows.assign(**levels_of(models, f"B{n}B-{recipe}")))
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
    if np.isnan(found.mean):
        return "not known: networks of a cell did not train"
    interval = "" if np.isnan(found.low) else f" ({points(found.low)} to {points(found.high)})"
    return points(found.mean) + interval


def alike(cells: pd.DataFrame) -> pd.DataFrame:
    """The cells whose retraining has the dropout of the base network."""
    return cells[cells["base"] == cells["retraining"]]


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
    panel.set_yscale("symlog", linthresh=3)
    panel.set_yticks(TICKS, [f"{tick:g}".replace("-", "−") for tick in TICKS])


def draw(cells: pd.DataFrame, path: Path) -> None:
    """A panel for each norm (columns), width and lengths (rows), with the cuts averaged."""
    set_theme()
    norms, rows = sorted(cells["norm"].unique()), list(cells.groupby(["width", "steps", "again"]))
    size = (2.4 * len(norms) + 0.6, 2.1 * len(rows) + 0.4)
    figure, panels = plt.subplots(len(rows), len(norms), figsize=size, sharex=True, sharey=True, squeeze=False)
    for line, ((width, steps, again), of_row) in zip(panels, rows, strict=True):
        for panel, norm in zip(line, norms, strict=True):
            draw_panel(panel, of_row[of_row["norm"] == norm])
            panel.set_title(f"norm {norm}, width {width:g}\n{steps} steps, then {again}", fontsize=8)
        line[0].set_ylabel("selffer − base, points")
    for panel in panels[-1]:
        panel.set_xlabel("dropout of the retraining")
    handles = panels[0][0].get_legend_handles_labels()
    figure.tight_layout(rect=(0, 0.5 / size[1], 1, 1))
    figure.legend(*handles, title="dropout of the base", loc="lower center", ncols=len(handles[1]), frameon=False)
    save_figure(figure, path, dpi=150)


def print_setting(setting: tuple, cells: pd.DataFrame) -> None:
    """The effect of each cell of a norm, width and length, and the interaction of the dropouts."""
    norm, width, steps, again = setting
    print(f"norm {norm}, width {width:g}, base networks of {steps} steps, retraining of {again}")
    print(f"{'dropout of base':>16}{'of retraining':>15}  effect")
    for (base, retraining), cell in cells.groupby(["base", "retraining"]):
        print(f"{base:>16}{retraining:>15}  {estimate_text(estimate(units_of(cell)))}")
    if cells["base"].nunique() > 1:
        print(f"{'interaction':>31}  {estimate_text(interaction(cells))}")
    print(f"{'alike':>31}  {estimate_text(estimate(units_of(alike(cells))))}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Co-adaptation by dropout, norm, width and length.")
    parser.add_argument("folders", type=Path, nargs="+", help="where studies such as digits-coadaptation have run")
    parser.add_argument("--read-out", default="test_top1")
    parser.add_argument("--figure", type=Path, help="file to draw, .svg or .png")
    arguments = parser.parse_args()
    cells = read_cells(arguments.folders, arguments.read_out)
    if cells.empty:
        parser.error("there are no selffers by recipes; run workflow/studies/digits-coadaptation.yaml there")
    if arguments.figure:
        draw(cells, arguments.figure)
    print(f"{arguments.read_out}: selffer minus base in points, with 95 % intervals")
    for setting, of_setting in cells.groupby(SETTING):
        print_setting(setting, of_setting)
    print("the mean effect at each level, over all others; where both dropouts are alike")
    for factor, name in FACTORS.items():
        for level, of_level in cells.groupby(factor):
            texts = [estimate_text(estimate(units_of(some))) for some in (of_level, alike(of_level)) if len(some)]
            print(f"{name:>26} {level!s:>6}  {'; '.join(texts)}")


if __name__ == "__main__":
    main()
