"""Learning: validation accuracy against training step, by treatment and layer."""

import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from transferability.analysis.conditions import unreduced
from transferability.analysis.coverage import cells_of
from transferability.analysis.read_outs import LEARNING, read_out_of
from transferability.analysis.tables import IDENTITY, cut_name, stage_names
from transferability.analysis.treatments import curve_name, for_tasks, is_base, probed_rows
from transferability.data.tasks import MULTI, SINGLE
from transferability.errors import InputError
from transferability.figures.axes import as_percent, panel_grid
from transferability.figures.captions import footer
from transferability.figures.records import Drawing, NothingToDrawError, Options, Study, trained_of
from transferability.figures.styles import finish, ordered_treatments
from transferability.words import counted, in_words, points

NAMED = 10
"""Layers that the legend names at most; the colours of those between lie between theirs."""


def colour_of(n: int, deepest: int) -> tuple:
    """The colour of layer n: dark to light, in grey as well."""
    return colormaps["viridis"](0.86 * (n - 1) / max(deepest - 1, 1))


def learning_of(study: Study) -> pd.DataFrame:
    """How the networks learnt, where the study has it."""
    if study.learning is None:
        raise NothingToDrawError("this study has no learning.csv, which tells how its networks learnt")
    return study.learning


def merge_learning(networks: pd.DataFrame, learning: pd.DataFrame) -> pd.DataFrame:
    """The rows of learning.csv of some networks, with treatment and n; one that has none is an InputError."""
    steps = networks[[*IDENTITY, "treatment", "n"]].merge(learning, how="left", on=IDENTITY)
    lacking = steps[steps[list(LEARNING.values())].isna().all(axis=1)]
    if len(lacking):
        row = lacking.iloc[0]
        raise InputError(
            f"learning.csv: lacks how {row['network']} of {row['split']}, seed {row['seed']}, learnt; "
            "delete it and run again"
        )
    return steps


def differing_networks(networks: pd.DataFrame) -> pd.DataFrame:
    """The networks of treatments and layers that have other splits, seeds or targets than the base networks."""
    cells = {key: cells_of(rows) for key, rows in networks.groupby(["treatment", "n"])}
    wanted = cells.get(("base", 0), cells_of(networks))
    return networks[[cells[key] != wanted for key in zip(networks["treatment"], networks["n"], strict=True)]]


def read_out_of_learning(networks: pd.DataFrame) -> str:
    """What is known of networks while they learn: accuracy, or, where images have several labels, precision."""
    return next((name for name in LEARNING.values() if networks[name].notna().any()), LEARNING[SINGLE])


def draw_panel(panel: Axes, treatment: str, steps: pd.DataFrame, means: pd.Series) -> None:
    """One treatment: the mean of each n by step, and, dotted, that of the base networks; these also one by one."""
    deepest = steps["n"].max()
    if ("base", 0) in means.index.droplevel("step"):
        base = means["base", 0]
        panel.plot(base.index, base, color="black", linestyle=":", linewidth=1.2, zorder=4)
    rows = steps[steps["treatment"] == treatment]
    for n in sorted(set(rows["n"]) - {0}):
        curve = means[treatment, n]
        panel.plot(curve.index, curve, color=colour_of(n, deepest), linewidth=1.1, zorder=3)
    if is_base(treatment):
        for _, network in rows.groupby(IDENTITY):
            panel.plot(network["step"], network[means.name], color="0.6", linewidth=0.7, zorder=2)
    as_percent(panel)


def legend_handles(layers: list[int], stages: dict[int, str], has_base: bool) -> list[Line2D]:
    """One handle for each n, or for some of many; and those of the base networks."""
    named = layers[:: -(-len(layers) // NAMED) or 1]
    handles = [Line2D([], [], color=colour_of(n, max(layers)), linewidth=1.6, label=cut_name(n, stages)) for n in named]
    if has_base:
        handles.append(Line2D([], [], color="black", linestyle=":", label="base, mean"))
        handles.append(Line2D([], [], color="0.6", linewidth=0.7, label="base, one network"))
    return handles


def footer_text(networks: pd.DataFrame, coverage: str) -> str:
    """What the figure rests on, and the treatments with lines that are not to be compared."""
    text = footer(networks, coverage)
    differing = differing_networks(networks)
    if differing.empty:
        return text
    names = [for_tasks(curve_name(name), differing) for name in ordered_treatments(differing)]
    return f"{text}; with lines over other networks than the base's, not to be compared with them: {in_words(names)}"


def caption_of(count: int, treatments: list[str], means: pd.Series) -> str:
    """What the figure shows, in numbers: of each treatment the worst and the best n at the last step."""
    measure = "mAP" if means.name == LEARNING[MULTI] else "accuracy"
    ends = []
    for treatment in treatments:
        final = means[treatment].groupby("n").last()
        worst, best = points(final.min(), signed=False), points(final.max(), signed=False)
        ends.append(f"{treatment} {worst}–{best} %" if len(final) > 1 else f"{treatment} {worst} %")
    return (
        f"Mean validation {measure} while {counted(count, 'network')} were trained, over all "
        f"splits, targets and seeds; at the last step, from the worst n to the best: {', '.join(ends)}."
    )


def draw(study: Study, options: Options) -> Drawing:
    """Mean validation accuracy against step, a panel for each treatment, a line for each n.

    Networks that did not train are left out. Dotted: the base networks. The footer names treatments with a line over
    other splits, seeds or targets than theirs. A network that learning.csv does not tell of is an InputError.
    """
    learning = learning_of(study)
    learnt = study.networks.drop(probed_rows(study.networks).index)
    if learnt.empty:
        raise NothingToDrawError("this study has probes alone, and they train no network")
    read_out = read_out_of_learning(learnt)
    trained = unreduced(trained_of(learnt, read_out))
    steps = merge_learning(trained, learning)
    means = steps.groupby(["treatment", "n", "step"])[read_out].mean()
    treatments = ordered_treatments(trained)
    grid = panel_grid(len(treatments), 3, options.width, (0.36, 0.14), sharex=True, sharey=True)
    for panel, treatment in zip(grid.panels, treatments, strict=True):
        draw_panel(panel, treatment, steps, means)
        name = for_tasks(curve_name(treatment), trained)
        panel.set_title(treatment if is_base(treatment) else f"{treatment} {name}")
    grid.label("Step", read_out_of(read_out).label)
    layers, stages = sorted(set(trained["n"]) - {0}), stage_names(trained)
    handles = legend_handles(layers, stages, "base" in treatments)
    finish(grid.figure, footer_text(trained, study.coverage), handles, ncols=3 if stages else 5)
    return Drawing(grid.figure, "How the networks learnt", caption_of(len(trained), treatments, means))
