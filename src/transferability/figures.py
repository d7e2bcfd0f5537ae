"""Figures: the paper's Figure 2 from networks.csv."""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib
import pandas as pd
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from transferability import files
from transferability.errors import InputError, exit_plainly

READ_OUTS = {
    "test_top1": "Top-1 accuracy, test",
    "validation_top1": "Top-1 accuracy, validation",
    "mean_of_ten_best": "Top-1 accuracy, mean of ten best validations",
}
NAMES = dict.fromkeys(("dataset", "architecture", "split"), str)
KINDS = {"random": "Random halves of the classes", "groups": "Groups of classes", "classes": "Chosen classes"}


@dataclass(frozen=True)
class Style:
    """How a treatment is drawn: colours of Okabe and Ito (2008), told apart by marker and dashes as well."""

    label: str
    colour: str
    marker: str
    dashes: str | tuple
    offset: float


STYLES = {
    "base": Style("base", "black", "o", ":", 0.0),
    "selffer": Style("selffer BnB: copied from the same task, frozen", "#0072B2", "o", "-", -0.22),
    "selffer+": Style("selffer BnB+: ... and fine-tuned", "#56B4E9", "s", "--", -0.11),
    "transfer": Style("transfer AnB: copied from the other task, frozen", "#D55E00", "D", "-", 0.22),
    "transfer+": Style("transfer AnB+: ... and fine-tuned", "#E69F00", "P", "--", 0.11),
    "random": Style("random RnB: untrained filters, frozen", "#777777", "^", "-.", 0.0),
}
PRESERVED = {
    "selffer": Style("selffer BnB-k{}: frozen, {} above preserved", "#009E73", "<", "", -0.31),
    "transfer": Style("transfer AnB-k{}: frozen, {} above preserved", "#CC79A7", ">", "", 0.31),
}
# One for each number of preserved layers.
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))


def style_of(treatment: str) -> Style:
    """A treatment's style; that of a preserved one (transfer-k2) is its source's, with dashes by the number."""
    if treatment in STYLES:
        return STYLES[treatment]
    kind, _, layers = treatment.partition("-k")
    shared, number = PRESERVED[kind], int(layers)
    label = shared.label.format(layers, layers)
    offset = shared.offset * (1 + 0.08 * number)
    return replace(shared, label=label, dashes=DASHES[number - 1], offset=offset)


def ordered_treatments(networks: pd.DataFrame) -> list[str]:
    """The treatments of a table in the order of the legend."""
    present = set(networks["treatment"])
    return [name for name in STYLES if name in present] + sorted(present - STYLES.keys())


def draw_points(axes: Axes, networks: pd.DataFrame, read_out: str) -> None:
    """Upper panel: one point a network, moved sideways by treatment so that none hides another."""
    for treatment in ordered_treatments(networks):
        style, rows = style_of(treatment), networks[networks["treatment"] == treatment]
        axes.scatter(
            rows["n"] + style.offset,
            rows[read_out],
            s=16,
            marker=style.marker,
            color=style.colour,
            edgecolor="white",
            linewidth=0.4,
            zorder=3,
        )


def draw_means(axes: Axes, networks: pd.DataFrame, read_out: str) -> None:
    """Lower panel: the mean of every treatment at every n, and the drops between means, shaded."""
    means = networks.groupby(["treatment", "n"])[read_out].mean()
    layers = sorted(set(networks["n"]) - {0})
    curves = {name: means[name].reindex(layers) for name in ordered_treatments(networks) if name != "base"}
    if "base" in means:
        base = means["base", 0]
        axes.axhline(base, color="black", linestyle=":", linewidth=1, zorder=1)
        axes.plot(0, base, marker="o", color="black", markersize=5, zorder=3)
        curves["base"] = pd.Series(base, index=layers)
    for name, curve in curves.items():
        if name != "base":
            style = style_of(name)
            axes.plot(
                curve.index,
                curve,
                color=style.colour,
                linestyle=style.dashes,
                marker=style.marker,
                markersize=4.5,
                markeredgecolor="white",
                markeredgewidth=0.5,
                zorder=2,
            )
    for first, second, colour in (("base", "selffer", "#0072B2"), ("selffer", "transfer", "#D55E00")):
        if first in curves and second in curves:
            upper, lower = curves[first], curves[second]
            axes.fill_between(
                layers, upper, lower, where=upper > lower, interpolate=True, color=colour, alpha=0.15, linewidth=0
            )


def legend_handles(treatments: list[str]) -> list[Line2D | Patch]:
    """One handle a treatment, and one a shaded effect."""
    handles: list[Line2D | Patch] = []
    for treatment in treatments:
        style = style_of(treatment)
        line = Line2D([], [], color=style.colour, linestyle=style.dashes, marker=style.marker, markersize=5)
        line.set_label(style.label)
        handles.append(line)
    if {"base", "selffer"} <= set(treatments):
        handles.append(Patch(color="#0072B2", alpha=0.15, label="drop by fragile co-adaptation"))
    if {"selffer", "transfer"} <= set(treatments):
        handles.append(Patch(color="#D55E00", alpha=0.15, label="drop by representation specificity"))
    return handles


def footer(networks: pd.DataFrame, trained: pd.DataFrame) -> str:
    """What the figure rests on: data set, networks counted, splits, seeds, and the cells that are missing."""
    seeds = ", ".join(str(seed) for seed in sorted(networks["seed"].unique()))
    missing = len(networks) - len(trained)
    return (
        f"{networks['dataset'].iloc[0]}, {networks['architecture'].iloc[0]}: {len(trained)} networks; "
        f"splits: {networks['split'].nunique()}; targets: {', '.join(sorted(networks['target'].unique()))}; "
        f"{'seeds' if ',' in seeds else 'seed'}: {seeds}; cells missing: {missing}"
        + (" (did not train)" if missing else "")
    )


def draw_figure2(networks: pd.DataFrame, read_out: str, width: float) -> Figure:
    """The paper's Figure 2: points above, means below; a column for each kind of split. Width in inches.

    Networks that did not train are left out and counted in the footer.
    """
    trained = networks[networks["trained"]]
    if trained.empty:
        raise InputError("no network of this study trained, so there is nothing to draw; see the column `reason`")
    sns.set_theme(context="paper", style="ticks", rc={"svg.hashsalt": "transferability", "svg.fonttype": "path"})
    layers = sorted(set(trained["n"]) - {0})
    kinds = [kind for kind in KINDS if kind in set(trained["kind"])]
    figure, panels = plt.subplots(
        2, len(kinds), figsize=(width, 0.95 * width), sharex=True, sharey="row", squeeze=False, layout="constrained"
    )
    for column, kind in enumerate(kinds):
        rows = trained[trained["kind"] == kind]
        draw_points(panels[0, column], rows, read_out)
        draw_means(panels[1, column], rows, read_out)
        panels[0, column].set_title(KINDS[kind])
        panels[1, column].set_xlabel("Cut after layer n")
        panels[1, column].set_xticks([0, *layers], ["base", *layers])
    for panel, label in zip(panels[:, 0], (READ_OUTS[read_out], "Mean"), strict=True):
        panel.set_ylabel(label)
    for panel in panels.flat:
        panel.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        panel.grid(axis="y", color="0.9")
        panel.set_axisbelow(True)
    sns.despine(figure)
    figure.legend(
        handles=legend_handles(ordered_treatments(trained)),
        loc="outside lower left",
        ncols=2,
        frameon=False,
        title=footer(networks, trained),
        alignment="left",
        title_fontsize=7,
        fontsize=7.5,
    )
    # Laid out once: each saving would move things by a hair.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure


def save_figure(figure: Figure, path: Path, dpi: int) -> None:
    """Write a figure in the format of its name, whole or not at all; the same figure gives the same bytes."""
    kind = path.suffix.removeprefix(".")
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    with files.replacing(path) as temporary:
        figure.savefig(temporary, format=kind, dpi=dpi, metadata=metadata)


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the paper's Figure 2.")
    parser.add_argument("--networks", type=Path, required=True, help="networks.csv")
    parser.add_argument("--read-out", choices=READ_OUTS, required=True)
    parser.add_argument("--width", type=float, required=True, help="in inches")
    parser.add_argument("--dpi", type=int, required=True, help="of the PNG")
    parser.add_argument("--into", type=Path, nargs="+", required=True, help="files to write, .svg or .png")
    arguments = parser.parse_args()
    matplotlib.use("agg")
    networks = pd.read_csv(arguments.networks, keep_default_na=False, na_values={"test_top5": ""}, dtype=NAMES)
    figure = draw_figure2(networks, arguments.read_out, arguments.width)
    for path in arguments.into:
        save_figure(figure, path, arguments.dpi)


if __name__ == "__main__":
    exit_plainly(main)
