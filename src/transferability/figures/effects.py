"""Effects: what cutting, copying and fine-tuning cost or gain at each layer, with intervals."""

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from transferability.analysis.conditions import conditions_of, unreduced
from transferability.analysis.effects import paired_networks
from transferability.figures.captions import effect_rows, footer, from_to
from transferability.figures.styles import SERIES, Drawing, NothingToDrawError, as_points, curve_of, finish, set_theme
from transferability.words import counted

NAMES = {
    "co-adaptation": "Co-adaptation, BnB − base",
    "specificity": "Specificity, AnB − BnB",
    "total": "Frozen transfer, AnB − base",
    "fine-tuned selffer": "Fine-tuned, BnB+ − base",
    "fine-tuned transfer": "Fine-tuned, AnB+ − base",
    "lingering boost": "Boost, AnB+ − BnB+",
    "random filters": "Random filters, RnB − base",
}
SHARED = (("specificity", "total"), ("fine-tuned selffer", "fine-tuned transfer", "lingering boost"))
"""Effects whose panels share a scale. Co-adaptation is small beside specificity and has one of its own."""


def ordered_effects(present: list[str]) -> list[str]:
    """Effects in the order of their panels: those that have a name here, then all others."""
    return [name for name in NAMES if name in present] + [name for name in present if name not in NAMES]


def draw_effect(axes: Axes, pairs: pd.DataFrame, effects: pd.DataFrame, layers: list[int], look: tuple, shift: float):
    """One effect of one condition: a light point a pair, the mean at each n, and its interval where there is one.

    The mean is hollow where there is no interval, and where it is over other cells than the rest.
    """
    colour, marker, dashes = look
    axes.scatter(
        pairs["n"] + shift, pairs["difference"], s=7, marker=marker, color=colour, alpha=0.35, linewidth=0, zorder=2
    )
    if effects.empty:
        return
    means = effects.set_index("n")["mean"]
    curve_of(axes, layers, means, shift, color=colour, linestyle=dashes, linewidth=1, zorder=3)
    sure = effects["low"].notna()
    x = effects["n"].astype(float) + shift
    axes.vlines(x[sure], effects["low"][sure], effects["high"][sure], color=colour, linewidth=1.5, zorder=4)
    full = sure & effects["balanced"]
    for chosen, fill in ((full, colour), (~full, "white")):
        look = {"marker": marker, "markersize": 4.5, "mfc": fill, "mec": colour, "zorder": 5}
        axes.plot(x[chosen], effects["mean"][chosen], linestyle="", **look)


def draw_effects(
    effects: pd.DataFrame, pairs: pd.DataFrame, networks: pd.DataFrame, coverage: str, read_out: str, width: float
) -> Drawing:
    """Differences by layer, a panel for each effect; 0 is no effect. Width in inches."""
    pairs = unreduced(pairs[pairs["read_out"] == read_out])
    effects = unreduced(effects[effects["read_out"] == read_out])
    if pairs.empty:
        raise NothingToDrawError(
            f"there is no pair of networks on one target to compare in {read_out}; "
            "effects need base networks and a treatment"
        )
    set_theme()
    present = ordered_effects(list(dict.fromkeys(pairs["effect"])))
    columns = min(len(present), 3)
    lines = -(-len(present) // columns)
    figure, panels = plt.subplots(
        lines, columns, figsize=(width, (0.3 * lines + 0.18) * width), squeeze=False, layout="constrained"
    )
    by_name = dict(zip(present, panels.flat, strict=False))
    for group in SHARED:
        first, *others = [by_name[name] for name in group if name in by_name] or [None]
        for panel in others:
            panel.sharey(first)
    conditions = conditions_of(pairs)
    looks = dict(zip([label for label, _ in conditions], SERIES * len(conditions), strict=False))
    own_effects = dict(conditions_of(effects))
    layers = sorted(set(pairs["n"]))
    odd = 0
    for name, panel in by_name.items():
        panel.axhline(0, color="black", linewidth=0.8, zorder=1)
        for index, (label, own) in enumerate(conditions):
            shift = 0.16 * (index - (len(conditions) - 1) / 2)
            found = effect_rows(own_effects.get(label, effects[:0]), name, read_out)
            draw_effect(panel, own[own["effect"] == name], found, layers, looks[label], shift)
            odd += int((~found["balanced"]).sum())
        panel.set_title(NAMES.get(name, name), fontsize=7.5)
        panel.set_xticks(layers)
        panel.set_xlim(min(layers) - 0.6, max(layers) + 0.6)
        as_points(panel)
    for index, panel in enumerate(panels.flat):
        panel.set_visible(index < len(present))
        if index + columns >= len(present):
            panel.set_xlabel("Cut after layer n")
    for panel in panels[:, 0]:
        panel.set_ylabel("Points")
    handles = [
        Line2D([], [], color=c, marker=m, linestyle=d, markersize=4.5, label=k) for k, (c, m, d) in looks.items()
    ]
    handles.append(Line2D([], [], color="0.4", marker="o", markersize=3, linestyle="", alpha=0.5, label="one pair"))
    handles.append(Line2D([], [], color="0.4", linewidth=1.5, label="95 % interval of the mean"))
    units = sorted(set(effects["units"][effects["n"].notna() & effects["low"].notna()]))
    text = footer(paired_networks(networks, pairs), coverage)
    if units:
        text += f". Intervals over {'–'.join(map(str, units[:: max(1, len(units) - 1)]))} independent units"
        text += " (splits × seeds); hollow: without an interval"
    else:
        text += ". No intervals: they need two independent units (splits × seeds)"
        handles.pop()
    if odd:
        text += f". Hollow too: {counted(odd, 'mean')} over other cells than the rest, or of nothing paired"
    refused = int((effects["n"].notna() & effects["mean"].isna()).sum())
    if refused:
        text += f". {counted(refused, 'mean')} not drawn: see the column `note` of effects.csv"
    finish(figure, text, handles, ncols=2)
    said = [
        f"{NAMES.get(name, name)}{f', {label}' if len(conditions) > 1 else ''}: {from_to(found)}"
        for name in present
        for label, _ in conditions
        if not (found := effect_rows(own_effects.get(label, effects[:0]), name, read_out)).empty
    ]
    caption = (
        f"{counted(len(pairs), 'difference')} between networks of one target, split and seed, their means and, where "
        "there are independent units enough, 95 % intervals, in percentage points. " + "; ".join(said) + "."
    )
    return Drawing(figure, "What each step costs or gains", caption)
