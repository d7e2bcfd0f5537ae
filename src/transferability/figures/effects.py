"""Effects: what cutting, copying and fine-tuning cost or gain at each layer, with intervals."""

import textwrap
from itertools import pairwise

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from transferability.analysis.conditions import conditions_of, unreduced
from transferability.analysis.contrasts import CONTRASTS, Effect, effects_named
from transferability.analysis.pairs import paired_networks
from transferability.analysis.tables import stage_names
from transferability.analysis.treatments import for_tasks
from transferability.figures.axes import Grid, as_points, curve_of, label_layers, panel_grid, series_handle
from transferability.figures.captions import effect_rows, extreme_phrase, footer, independent_units
from transferability.figures.records import Drawing, NothingToDrawError, Options, Study
from transferability.figures.styles import SERIES, finish
from transferability.words import counted

SHARED = (
    ("specificity", "total", "pretrained, frozen"),
    ("fine-tuned selffer", "fine-tuned transfer", "lingering boost", "pretrained, fine-tuned"),
)
"""Effects whose panels share a scale. Co-adaptation is small beside specificity and has one of its own."""

STATED = 4
"""Effects whose extreme the caption states, at most."""
TITLE = 26
"""Characters of a title's line that fit on a panel."""


class Shown:
    """What the figure shows of a study in one read-out: pairs and rows of effects.csv at full volume, the effects
    that have a pair, and the conditions with their looks."""

    def __init__(self, study: Study, read_out: str) -> None:
        self.read_out = read_out
        self.pairs = unreduced(study.pairs[study.pairs["read_out"] == read_out])
        self.rows = unreduced(study.effects[study.effects["read_out"] == read_out])
        self.effects = effects_named(self.pairs["effect"])
        self.conditions = conditions_of(self.pairs)
        labels = [label for label, _ in self.conditions]
        self.looks = dict(zip(labels, SERIES * len(labels), strict=False))
        self.layers = sorted(set(self.pairs["n"]))

    def rows_of(self, effect: Effect, label: str) -> pd.DataFrame:
        """The rows of effects.csv of one effect and condition by layer, where they have a mean."""
        rows = dict(conditions_of(self.rows)).get(label, self.rows[:0])
        return effect_rows(rows, effect.name, self.read_out)


def draw_effect(axes: Axes, pairs: pd.DataFrame, rows: pd.DataFrame, layers: list[int], look: tuple, shift: float):
    """One effect of one condition: a light point a pair, the mean at each n, and its interval where there is one.

    The mean is hollow where there is no interval, and where it is over other cells than the rest.
    """
    colour, marker, dashes = look
    axes.scatter(
        pairs["n"] + shift, pairs["difference"], s=7, marker=marker, color=colour, alpha=0.35, linewidth=0, zorder=2
    )
    if rows.empty:
        return
    curve_of(axes, layers, rows.set_index("n")["mean"], shift, color=colour, linestyle=dashes, linewidth=1, zorder=3)
    sure = rows["low"].notna()
    x = rows["n"].astype(float) + shift
    axes.vlines(x[sure], rows["low"][sure], rows["high"][sure], color=colour, linewidth=1.5, zorder=4)
    full = sure & rows["balanced"]
    for chosen, fill in ((full, colour), (~full, "white")):
        dots = {"marker": marker, "markersize": 4.5, "mfc": fill, "mec": colour, "zorder": 5}
        axes.plot(x[chosen], rows["mean"][chosen], linestyle="", **dots)


def draw_panel(panel: Axes, shown: Shown, effect: Effect) -> int:
    """One effect of all conditions; returns how many means are over other cells than the rest."""
    panel.axhline(0, color="black", linewidth=0.8, zorder=1)
    unbalanced = 0
    for index, (label, pairs) in enumerate(shown.conditions):
        shift = 0.16 * (index - (len(shown.conditions) - 1) / 2)
        rows = shown.rows_of(effect, label)
        draw_effect(panel, pairs[pairs["effect"] == effect.name], rows, shown.layers, shown.looks[label], shift)
        unbalanced += int((~rows["balanced"] & rows["mean"].notna()).sum())
    panel.set_title(f"{textwrap.fill(effect.label, TITLE)},\n{for_tasks(effect.notation, shown.rows)}", fontsize=7.5)
    panel.set_xlim(min(shown.layers) - 0.6, max(shown.layers) + 0.6)
    as_points(panel)
    return unbalanced


def share_scales(panels: dict[str, Axes]) -> None:
    """Let the panels of comparable effects share their scale: those of SHARED, and each contrast's."""
    contrasts = [[name for name in panels if name.startswith(f"{contrast}, ")] for contrast in CONTRASTS]
    for group in (*SHARED, *contrasts):
        for first, second in pairwise([panels[name] for name in group if name in panels]):
            second.sharey(first)


def label_panels(grid: Grid, shown: Shown, stages: dict[int, str]) -> None:
    """Tick all panels at the layers; the names of stages stand below the lowest panels alone."""
    grid.label("Cut after layer n", "Points")
    for index, panel in enumerate(grid.panels):
        lowest = index + grid.columns >= len(grid.panels)
        label_layers(panel, shown.layers, stages if lowest else {}, grid.panel_inches)


def interval_text(rows: pd.DataFrame) -> str | None:
    """What the intervals of some rows of effects.csv are over; None if there are none."""
    over = rows[rows["n"].notna() & rows["low"].notna()]
    units = sorted({independent_units(row) for row in over.to_dict("records")})
    if not units:
        return None
    span = "–".join(map(str, units[:: max(1, len(units) - 1)]))
    return f"Intervals over {span} independent units (splits × seeds); hollow: without an interval"


def footer_text(study: Study, shown: Shown, unbalanced: int) -> str:
    """What the figure rests on, and which of its means are odd or not drawn."""
    sentences = [
        footer(paired_networks(study.networks, shown.pairs), study.coverage),
        interval_text(shown.rows) or "No intervals: they need two independent units (splits × seeds)",
    ]
    if unbalanced:
        sentences.append(
            f"Hollow too: {counted(unbalanced, 'mean')} over other cells than the rest, or of nothing paired"
        )
    refused = int((shown.rows["n"].notna() & shown.rows["mean"].isna()).sum())
    if refused:
        sentences.append(f"{counted(refused, 'mean')} not drawn: see the column `note` of effects.csv")
    return ". ".join(sentences)


def legend_handles(shown: Shown) -> list[Artist]:
    """One handle a condition, one for pairs, and one for intervals where there are any."""
    handles: list[Artist] = [series_handle(look, label) for label, look in shown.looks.items()]
    handles.append(Line2D([], [], color="0.4", marker="o", markersize=3, linestyle="", alpha=0.5, label="one pair"))
    if interval_text(shown.rows):
        handles.append(Line2D([], [], color="0.4", linewidth=1.5, label="95 % interval of the mean"))
    return handles


def caption_of(shown: Shown) -> str:
    """What the figure shows, in numbers: the extreme cells of the effects that go furthest."""
    extremes = {}
    for effect in shown.effects:
        for label, _ in shown.conditions:
            rows = shown.rows_of(effect, label)
            where = f", {label}" if len(shown.conditions) > 1 else ""
            if not rows.empty:
                extremes[f"{effect.label}, {for_tasks(effect.notation, rows)}{where}: {extreme_phrase(rows)}"] = (
                    rows["mean"].abs().max()
                )
    furthest = sorted(extremes, key=extremes.__getitem__, reverse=True)[:STATED]
    return (
        f"{counted(len(shown.pairs), 'difference')} between networks of one target, split and seed, in percentage "
        f"points, and their means. Furthest from 0: {'; '.join(furthest) or 'none has a mean'}."
    )


def draw(study: Study, options: Options) -> Drawing:
    """Differences by layer, a panel for each effect; 0 is no effect."""
    shown = Shown(study, options.read_out)
    if shown.pairs.empty:
        raise NothingToDrawError(
            f"there is no pair of networks on one target to compare in {options.read_out}; "
            "effects need base networks and a treatment"
        )
    grid = panel_grid(len(shown.effects), 3, options.width, (0.32, 0.18))
    panels = dict(zip([effect.name for effect in shown.effects], grid.panels, strict=True))
    share_scales(panels)
    unbalanced = sum(draw_panel(panels[effect.name], shown, effect) for effect in shown.effects)
    label_panels(grid, shown, stage_names(study.networks))
    finish(grid.figure, footer_text(study, shown, unbalanced), legend_handles(shown), ncols=2)
    return Drawing(grid.figure, "What each step costs or gains", caption_of(shown))
