"""Learning: validation accuracy against training step, by treatment and layer."""

import pandas as pd
from matplotlib import colormaps
from matplotlib import pyplot as plt
from matplotlib.lines import Line2D

from transferability.analysis.conditions import unreduced
from transferability.analysis.coverage import cells_of
from transferability.analysis.tables import IDENTITY
from transferability.errors import InputError
from transferability.figures.captions import footer
from transferability.figures.styles import (
    Drawing,
    as_percent,
    finish,
    ordered_treatments,
    set_theme,
    style_of,
    trained_of,
)
from transferability.networks.families import LAYERS
from transferability.words import counted, in_words, points


def colour_of(n: int) -> tuple:
    """The colour of layer n: dark to light, in grey as well."""
    return colormaps["viridis"](0.86 * (n - 1) / (len(LAYERS) - 2))


def draw_learning(networks: pd.DataFrame, learning: pd.DataFrame, coverage: str, width: float) -> Drawing:
    """Mean validation accuracy against step, a panel for each treatment, a line for each n. Width in inches.

    Networks that did not train are left out. Dotted: the base networks. The footer names treatments with a line over
    other splits, seeds or targets than theirs. A network that `learning` does not tell of is an InputError.
    """
    trained = unreduced(trained_of(networks, "validation_top1"))
    learnt = trained[[*IDENTITY, "treatment", "n"]].merge(learning, how="left", on=IDENTITY)
    untold = learnt[learnt["validation_top1"].isna()]
    if len(untold):
        row = untold.iloc[0]
        raise InputError(
            f"learning.csv: lacks how {row['network']} of {row['split']}, seed {row['seed']}, learnt; "
            "delete it and run again"
        )
    cells = {key: cells_of(own) for key, own in trained.groupby(["treatment", "n"])}
    wanted = cells.get(("base", 0), cells_of(trained))
    differing = trained[[cells[key] != wanted for key in zip(trained["treatment"], trained["n"], strict=True)]]
    means = learnt.groupby(["treatment", "n", "step"])["validation_top1"].mean()
    set_theme()
    treatments = ordered_treatments(trained)
    columns = min(len(treatments), 3)
    lines = -(-len(treatments) // columns)
    figure, panels = plt.subplots(
        lines,
        columns,
        figsize=(width, (0.36 * lines + 0.14) * width),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for panel, treatment in zip(panels.flat, treatments, strict=False):
        if "base" in treatments:
            base = means["base", 0]
            panel.plot(base.index, base, color="black", linestyle=":", linewidth=1.2, zorder=4)
        for n in sorted(set(trained["n"][trained["treatment"] == treatment]) - {0}):
            curve = means[treatment, n]
            panel.plot(curve.index, curve, color=colour_of(n), linewidth=1.1, zorder=3)
        style = style_of(treatment)
        panel.set_title(f"{treatment} {style.name}" if treatment != "base" else "base")
        as_percent(panel)
    if "base" in treatments:
        panel = panels.flat[treatments.index("base")]
        for _, rows in learnt[learnt["treatment"] == "base"].groupby(IDENTITY):
            panel.plot(rows["step"], rows["validation_top1"], color="0.6", linewidth=0.7, zorder=2)
    for panel in list(panels.flat)[len(treatments) :]:
        panel.set_visible(False)
    for index, panel in enumerate(panels.flat):
        if index + columns >= len(treatments):
            panel.tick_params(labelbottom=True)
            panel.set_xlabel("Step")
    for panel in panels[:, 0]:
        panel.set_ylabel("Top-1 accuracy,\nvalidation")
    handles = [
        Line2D([], [], color=colour_of(n), linewidth=1.6, label=f"n = {n}") for n in sorted(set(trained["n"]) - {0})
    ]
    if "base" in treatments:
        handles.append(Line2D([], [], color="black", linestyle=":", label="base, mean"))
        handles.append(Line2D([], [], color="0.6", linewidth=0.7, label="base, one network"))
    text = footer(trained, coverage)
    if not differing.empty:
        names = [style_of(name).name for name in ordered_treatments(differing)]
        text += f"; with lines over other networks than the base's, not to be compared with them: {in_words(names)}"
    finish(figure, text, handles, ncols=5)
    ends = []
    for treatment in treatments:
        final = means[treatment].groupby("n").last()
        level = f"{points(final.min(), signed=False)}–{points(final.max(), signed=False)} %"
        ends.append(f"{treatment} {level if len(final) > 1 else level.split('–')[0] + ' %'}")
    caption = (
        f"Mean validation accuracy while {counted(len(trained), 'network')} were trained, over all "
        f"splits, targets and seeds; at the last step, from the worst n to the best: {', '.join(ends)}."
    )
    return Drawing(figure, "How the networks learnt", caption)
