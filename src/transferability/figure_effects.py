"""Effects: what cutting, copying and fine-tuning cost or gain at each layer, with intervals."""

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from transferability.conditions import conditions_of, unreduced
from transferability.sentences import at_ends, counted, effect_rows, footer
from transferability.styles import SERIES, Drawing, NothingToDrawError, as_points, curve_of, finish, set_theme

NAMES = {
    "co-adaptation": "Co-adaptation, BnB − base",
    "specificity": "Specificity, AnB − BnB",
    "total": "Frozen transfer, AnB − base",
    "fine-tuned selffer": "Fine-tuned, BnB+ − base",
    "fine-tuned transfer": "Fine-tuned, AnB+ − base",
    "lingering boost": "Boost, AnB+ − BnB+",
    "random filters": "Random filters, RnB − base",
}
FROZEN = ("co-adaptation", "specificity", "total")
TUNED = ("fine-tuned selffer", "fine-tuned transfer", "lingering boost")


def rows_of(effects: list[str]) -> list[list[str]]:
    """Effects as rows of panels; those of a row share their scale, and are of one kind."""
    others = [name for name in effects if name not in (*FROZEN, *TUNED)]
    rows = [[name for name in group if name in effects] for group in (FROZEN, TUNED)]
    rows += [others[start : start + 3] for start in range(0, len(others), 3)]
    return [row for row in rows if row]


def draw_effect(axes: Axes, pairs: pd.DataFrame, effects: pd.DataFrame, layers: list[int], look: tuple, shift: float):
    """One effect of one condition: a light point a pair, the mean at each n, and its interval where there is one.

    The mean is hollow where there is no interval.
    """
    colour, marker, dashes = look
    axes.scatter(
        pairs["n"] + shift, pairs["difference"], s=7, marker=marker, color=colour, alpha=0.35, linewidth=0, zorder=2
    )
    if effects.empty:
        return
    means = effects.set_index("n")["mean"]
    curve_of(axes, layers, means, shift, color=colour, linestyle=dashes, linewidth=1, zorder=3)
    for known, fill in ((True, colour), (False, "white")):
        rows = effects[effects["low"].notna() == known]
        x = rows["n"].astype(float) + shift
        axes.plot(x, rows["mean"], linestyle="", marker=marker, markersize=4.5, mfc=fill, mec=colour, zorder=5)
        if known:
            axes.vlines(x, rows["low"], rows["high"], color=colour, linewidth=1.5, zorder=4)


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
    present = list(dict.fromkeys(pairs["effect"]))
    rows = rows_of([name for name in NAMES if name in present] + [name for name in present if name not in NAMES])
    columns = max(map(len, rows))
    figure, panels = plt.subplots(
        len(rows),
        columns,
        figsize=(width, (0.34 * len(rows) + 0.16) * width),
        sharex=True,
        sharey="row",
        squeeze=False,
        layout="constrained",
    )
    conditions = conditions_of(pairs)
    looks = dict(zip([label for label, _ in conditions], SERIES * len(conditions), strict=False))
    own_effects = dict(conditions_of(effects))
    layers = sorted(set(pairs["n"]))
    for line, names in enumerate(rows):
        for panel, name in zip(panels[line], names, strict=False):
            panel.axhline(0, color="black", linewidth=0.8, zorder=1)
            for index, (label, own) in enumerate(conditions):
                shift = 0.16 * (index - (len(conditions) - 1) / 2)
                found = effect_rows(own_effects.get(label, effects[:0]), name, read_out)
                draw_effect(panel, own[own["effect"] == name], found, layers, looks[label], shift)
            panel.set_title(NAMES.get(name, name), fontsize=8)
            panel.set_xticks(layers)
            panel.tick_params(labelbottom=True)
            panel.set_xlim(min(layers) - 0.6, max(layers) + 0.6)
            as_points(panel)
        for panel in panels[line][len(names) :]:
            panel.set_visible(False)
        panels[line][0].set_ylabel("Points")
    for panel, below in zip(panels[:-1].flat, panels[1:].flat, strict=True):
        if not below.get_visible():
            panel.set_xlabel("Cut after layer n")
    for panel in panels[-1]:
        panel.set_xlabel("Cut after layer n")
    handles = [
        Line2D([], [], color=c, marker=m, linestyle=d, markersize=4.5, label=k) for k, (c, m, d) in looks.items()
    ]
    handles.append(Line2D([], [], color="0.4", marker="o", markersize=3, linestyle="", alpha=0.5, label="one pair"))
    handles.append(Line2D([], [], color="0.4", linewidth=1.5, label="95 % interval of the mean"))
    units = sorted(set(effects["units"][effects["n"].notna() & effects["mean"].notna()]))
    text = f"{footer(networks[networks['trained']], coverage)}. Independent units (splits × seeds) a mean: " + (
        "–".join(map(str, units[:: max(1, len(units) - 1)])) if units else "none, no mean was taken"
    )
    if units and not effects["low"].notna().any():
        text += "; one unit gives no interval"
        handles.pop()
    finish(figure, text, handles, ncols=2)
    said = [
        f"{NAMES.get(name, name)}{f', {label}' if len(conditions) > 1 else ''}: {at_ends(found)}"
        for name in present
        for label, _ in conditions
        if not (found := effect_rows(own_effects.get(label, effects[:0]), name, read_out)).empty
    ]
    caption = (
        f"Differences between networks of one target, split and seed, in percentage points: "
        f"{counted(len(pairs), 'pair')}. " + "; ".join(said) + "."
    )
    return Drawing(figure, "What each step costs or gains", caption)
