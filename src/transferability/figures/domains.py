"""Domains: domain adaptation by probes that learn from the other task's images, a few of the target's, or both."""

from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes

from transferability.analysis.draws import READ, draws_summary, paired_draws
from transferability.analysis.intervals import Estimate
from transferability.analysis.read_outs import read_out_of
from transferability.analysis.tables import DRAW_COLUMNS, read_table, stage_names
from transferability.figures.axes import (
    as_percent,
    intervals_of,
    label_layers,
    panel_grid,
    series_handle,
    within_shares,
)
from transferability.figures.records import Drawing, NothingToDrawError, Options, Study
from transferability.figures.styles import SERIES, finish
from transferability.words import counted, in_words, points

ARMS = {
    "other": ("S", "source only", SERIES[0]),
    "target": ("T", "target only", SERIES[1]),
    "both": ("S+T", "source and target", SERIES[2]),
}
"""What a probe learns from: the arm's letters, its words and its look."""
SHIFT = 0.12
"""By how much arms stand apart sideways, in units of n, so that no interval hides another."""
ALIKE = ["split", "target", "source", "classifier", "normalisation", "pooling"]
"""What the arms of a panel have in common."""


@dataclass(frozen=True)
class Pair:
    """A source-target pair of domains: its name, and the draws of its arms."""

    name: str
    draws: pd.DataFrame

    def arm(self, learn_from: str) -> pd.DataFrame:
        """The draws of an arm."""
        return self.draws[self.draws["learn_from"] == learn_from]

    @property
    def arms(self) -> list[str]:
        """The arms that there are, in the order of ARMS."""
        return [name for name in ARMS if not self.arm(name).empty]


def read_out_drawn(asked: str) -> str:
    """The read-out that is drawn: the one that is asked for, if draws have it, else test accuracy."""
    return asked if asked in READ else "test_top1"


def pairs_of(study: Study) -> list[Pair]:
    """The pairs of domains of a study's draws.csv; none with an arm that learns from the source is nothing to draw."""
    path = study.tables and study.tables / "draws.csv"
    if path is None or not path.exists():
        raise NothingToDrawError("there are no draws; let a probe learn from other or both")
    draws = read_table(path, DRAW_COLUMNS)
    groups = [(key, rows) for key, rows in draws.groupby(ALIKE, sort=False) if set(rows["learn_from"]) != {"target"}]
    if not groups:
        raise NothingToDrawError("no probe learns from the other task's images; let one learn from other or both")
    alike = pd.DataFrame([key for key, _ in groups], columns=ALIKE)
    telling = [name for name in ALIKE[2:] if alike[name].nunique() > 1]
    return [Pair(pair_name(study, dict(zip(ALIKE, key, strict=True)), telling), rows) for key, rows in groups]


def pair_name(study: Study, key: dict, telling: list[str]) -> str:
    """A pair by the names of its two tasks, source → target, and by what else tells it from the others."""
    sides = study.tasks.get(key["split"], {})
    target, source = key["target"], "B" if key["target"] == "A" else "A"
    domains = f"{sides[source]} → {sides[target]}" if sides else f"{key['split']}, {source} → {target}"
    return ", ".join([domains, *(key[name] for name in telling)])


def draw_pair(panel: Axes, pair: Pair, read_out: str) -> None:
    """The arms of a pair: means over draws and their intervals against n."""
    for place, name in enumerate(ARMS):
        if name not in pair.arms:
            continue
        _, _, (colour, marker, dashes) = ARMS[name]
        rows, shift = draws_summary(pair.arm(name), read_out), SHIFT * (place - 1)
        panel.plot(
            rows["n"] + shift,
            rows["mean"],
            color=colour,
            marker=marker,
            markersize=3.5,
            linestyle=dashes,
            linewidth=1.2,
        )
        intervals_of(panel, rows, shift, color=colour, linewidth=1.1)
    panel.set_title(pair.name, fontsize=8)


def chance_of(study: Study, pair: Pair, read_out: str) -> float | None:
    """What guessing scores in a pair's target."""
    rows = study.networks[study.networks["network"].isin(pair.draws["network"])]
    rows = rows[rows["split"].isin(pair.draws["split"])]
    column = read_out_of(read_out).chance
    return None if column is None or rows.empty else float(rows[column].iloc[0])


def difference_text(estimate: Estimate) -> str:
    """A difference in points with its interval over draws."""
    sure = f" ({points(estimate.low)} to {points(estimate.high)})" if pd.notna(estimate.low) else ""
    return f"{points(estimate.mean)}{sure}"


def pair_text(pair: Pair, read_out: str, stages: dict[int, str]) -> str:
    """A pair in numbers: its arms at the last cut, and what the source's images add to the target's, or lack."""
    last = pair.draws["n"].max()
    at = Pair(pair.name, pair.draws[pair.draws["n"] == last])
    means = [f"{ARMS[name][0]} {points(at.arm(name)[read_out].mean(), signed=False)}" for name in at.arms]
    where = f"n = {last}" + (f", {stages[last]}" if last in stages else "")
    told = [f"{pair.name}, at {where}: {in_words(means)} %"]
    for first, second in (("both", "target"), ("both", "other"), ("other", "target")):
        if {first, second} <= set(at.arms):
            difference = paired_draws(at.arm(first), at.arm(second), read_out)
            told.append(f"{ARMS[first][0]} − {ARMS[second][0]} {difference_text(difference)}")
    return "; ".join(told)


def images_text(draws: pd.DataFrame) -> str:
    """How many images of a class the arms learn from, where the params say so."""
    taught = {
        "source": draws.loc[draws["learn_from"] != "target", "other_per_class"],
        "target": draws.loc[draws["learn_from"] != "other", "images_per_class"],
    }
    counts = {name: sorted(set(column.dropna())) for name, column in taught.items()}
    told = [f"{in_words(values, 'or')} of the {name}" for name, values in counts.items() if values]
    return f"{in_words(told)}, images a class" if told else ""


def draw(study: Study, options: Options) -> Drawing:
    """A panel a source-target pair: the accuracy of its arms against the cut whose features are read."""
    pairs, read_out = pairs_of(study), read_out_drawn(options.read_out)
    draws, stages = pd.concat([pair.draws for pair in pairs]), stage_names(study.networks)
    grid = panel_grid(len(pairs), 3 if len(pairs) > 4 else 2, options.width, (0.42, 0.16), sharex=True, sharey=True)
    for panel, pair in zip(grid.panels, pairs, strict=True):
        draw_pair(panel, pair, read_out)
        if (chance := chance_of(study, pair, read_out)) is not None:
            panel.axhline(chance, color="0.5", linewidth=0.8, linestyle=":")
    as_percent(grid.panels[0])
    within_shares(grid.panels[0])
    grid.label("Cut after stage n", read_out_of(read_out).label)
    for panel in grid.panels:
        label_layers(panel, sorted(set(draws["n"])), stages, grid.panel_inches)
    shown = [name for name in ARMS if name in set(draws["learn_from"])]
    handles = [series_handle(ARMS[name][2], f"{ARMS[name][0]}: {ARMS[name][1]}") for name in shown]
    count, learnt = draws["draw"].max(), images_text(draws)
    how = f"Means over {counted(count, 'draw')}, bars their 95 % intervals: draws share test images. Dotted: guessing"
    finish(grid.figure, how, handles, ncols=3)
    caption = (
        "A classifier on the features at each cut learns from images of one domain, the source (S), from a few of the "
        f"other, the target (T), or from both (S+T), {learnt or 'all that there are'}, and is tested on the target's "
        f"other images, the same for all three. {'. '.join(pair_text(pair, read_out, stages) for pair in pairs)}. "
        "Differences are in points, paired draw by draw, with 95 % intervals over draws, which say nothing of other "
        "test images."
    )
    return Drawing(grid.figure, "Learning in one domain, telling in another", caption)
