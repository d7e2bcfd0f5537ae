"""Studies: the transfer of several studies side by side, as a share of what each one's base networks have learnt."""

import argparse
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from transferability.analysis.conditions import conditions_of, unreduced
from transferability.analysis.effects import effects_table
from transferability.analysis.read_outs import SHARES, read_out_of
from transferability.analysis.tables import NETWORK_COLUMNS, read_table
from transferability.errors import InputError, exit_plainly
from transferability.figures.axes import as_percent, curve_of, label_layers, panel_grid, series_handle
from transferability.figures.records import Drawing, NothingToDrawError
from transferability.figures.styles import SERIES, finish, save_figure
from transferability.words import counted

COLUMNS = {"total": "frozen, AnB", "fine-tuned transfer": "fine-tuned, AnB+"}
"""The effects that are compared, a column each."""


def name_studies(tables: dict[Path, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Tables by the name of their study: data set and architecture; with the file too where two have the same."""
    names = {
        path: "/".join([*table["dataset"].unique(), *table["architecture"].unique()]) for path, table in tables.items()
    }
    twice = {name for name in names.values() if list(names.values()).count(name) > 1}
    return {f"{names[path]} ({path})" if names[path] in twice else names[path]: table for path, table in tables.items()}


def normalised_rows(networks: pd.DataFrame, read_out: str) -> pd.DataFrame:
    """The rows of effects.csv of a study's transfer at full volume that have a normalised mean, balanced ones only."""
    rows = unreduced(effects_table(networks, unbalanced=False))
    chosen = (rows["read_out"] == read_out) & rows["effect"].isin(COLUMNS) & rows["n"].notna()
    return rows[chosen & rows["normalised_mean"].notna()]


@dataclass(frozen=True)
class Shown:
    """What the figure shows: rows of effects.csv with their `study`, and the looks of the studies that have some."""

    rows: pd.DataFrame
    looks: dict[str, tuple]

    @property
    def layers(self) -> list[int]:
        """The layers of the cuts."""
        return sorted(set(self.rows["n"].astype(int)))

    @property
    def effects(self) -> list[str]:
        """The effects that some study has."""
        return [effect for effect in COLUMNS if effect in set(self.rows["effect"])]

    def shift_of(self, study: str) -> float:
        """How far a study's points are moved sideways."""
        return 0.07 * (list(self.looks).index(study) - (len(self.looks) - 1) / 2)


def shown_of(studies: dict[str, pd.DataFrame], read_out: str) -> Shown:
    """What the figure shows of some studies' networks."""
    rows = {name: normalised_rows(networks, read_out) for name, networks in studies.items()}
    filled = [table.assign(study=name) for name, table in rows.items() if len(table)]
    if not filled:
        raise NothingToDrawError(
            f"no study has transfer that can be compared in {read_out}: that needs trained networks of the treatment "
            "transfer or transfer+, and base networks of the same targets that score above guessing"
        )
    return Shown(pd.concat(filled), dict(zip(studies, SERIES * len(studies), strict=False)))


def draw_study(panel: Axes, rows: pd.DataFrame, shown: Shown, study: str) -> None:
    """One study's normalised means of one effect and condition, with their intervals."""
    colour, marker, dashes = shown.looks[study]
    shift = shown.shift_of(study)
    look = {"color": colour, "marker": marker, "linestyle": dashes, "markersize": 4.5, "zorder": 3}
    curve_of(panel, shown.layers, rows.set_index("n")["normalised_mean"], shift, **look)
    sure = rows[rows["normalised_low"].notna()]
    x = sure["n"].astype(float) + shift
    panel.vlines(x, sure["normalised_low"], sure["normalised_high"], color=colour, linewidth=1.3, zorder=2)


def draw_panel(panel: Axes, rows: pd.DataFrame, shown: Shown, label: str, effect: str) -> list[str]:
    """One effect and condition of all studies; returns the last mean of each study as the caption states it."""
    panel.axhline(1, color="black", linestyle=":", linewidth=1, zorder=1)
    phrases = []
    for study in shown.looks:
        curve = rows[rows["study"] == study].sort_values("n")
        if curve.empty:
            continue
        draw_study(panel, curve, shown, study)
        last = curve.iloc[-1]
        phrases.append(
            f"{study}, {label.lower()}, {COLUMNS[effect]}: "
            f"{100 * last['normalised_mean']:.0f} % at n = {last['n']} ({counted(last['units'], 'unit')})"
        )
    panel.set_title(f"{textwrap.fill(label, 40)},\n{COLUMNS[effect]}", fontsize=8)
    as_percent(panel)
    if rows.empty:
        text = "no study has this"
        panel.text(0.5, 0.5, text, transform=panel.transAxes, ha="center", fontsize=7.5, color="0.35")
    return phrases


def legend_handles(shown: Shown) -> list[Artist]:
    """One handle a study that is drawn, and one for base networks."""
    drawn = set(shown.rows["study"])
    handles = [series_handle(look, textwrap.shorten(name, 70)) for name, look in shown.looks.items() if name in drawn]
    return [*handles, Line2D([], [], color="black", linestyle=":", label="base networks")]


def footer_text(studies: dict[str, pd.DataFrame], shown: Shown, read_out: str) -> str:
    """The read-out, how many networks each study rests on, and the studies that are not drawn."""
    counts = "; ".join(f"{name}: {counted(int(table['trained'].sum()), 'network')}" for name, table in studies.items())
    label = read_out_of(read_out).label.replace("\n", " ")
    text = f"{label}. {counts}. Bars: 95 % intervals over splits × seeds"
    lacking = [name for name in studies if name not in set(shown.rows["study"])]
    return f"{text}. Not drawn, without transfer in this read-out: {', '.join(lacking)}" if lacking else text


def draw_studies(studies: dict[str, pd.DataFrame], read_out: str, width: float) -> Drawing:
    """Normalised transfer, (accuracy − chance) / (base − chance), against n: a line a study, a row of panels for each
    condition that several studies or only one of them has, a column for frozen and for fine-tuned transfer.

    `studies` are networks tables by name. Studies without transfer in the read-out are named in the footer. Width in
    inches.
    """
    shown = shown_of(studies, read_out)
    conditions, columns = conditions_of(shown.rows), len(shown.effects)
    places = [(label, rows, effect) for label, rows in conditions for effect in shown.effects]
    grid = panel_grid(len(places), columns, width, (0.4, 0.2), sharex=True, sharey=True)
    phrases = []
    for panel, (label, rows, effect) in zip(grid.panels, places, strict=True):
        phrases += draw_panel(panel, rows[rows["effect"] == effect], shown, label, effect)
    grid.label("Cut after layer n", "Share of the base's\nscore above guessing")
    label_layers(grid.panels[-1], shown.layers, {}, grid.panel_inches)
    finish(grid.figure, footer_text(studies, shown, read_out), legend_handles(shown), ncols=2)
    caption = "What is left of the base networks' score above guessing: " + "; ".join(phrases) + "."
    return Drawing(grid.figure, "Studies side by side", caption)


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the transfer of several studies side by side.")
    parser.add_argument("--networks", type=Path, nargs="+", required=True, help="networks.csv of each study")
    parser.add_argument("--read-out", choices=SHARES, required=True, help="one that all of them have")
    parser.add_argument("--width", type=float, required=True, help="in inches")
    parser.add_argument("--dpi", type=int, required=True, help="of a PNG")
    parser.add_argument("--into", type=Path, nargs="+", required=True, help="files to write, .svg or .png")
    arguments = parser.parse_args()
    if len(set(arguments.networks)) < len(arguments.networks):
        raise InputError("--networks: names a table twice; give each study once")
    studies = name_studies({path: read_table(path, NETWORK_COLUMNS) for path in arguments.networks})
    drawing = draw_studies(studies, arguments.read_out, arguments.width)
    for path in arguments.into:
        save_figure(drawing.figure, path, arguments.dpi)


if __name__ == "__main__":
    exit_plainly(main)
