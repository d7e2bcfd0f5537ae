"""Studies: the transfer of several studies side by side, as a share of what each one's base networks have learnt."""

import argparse
import textwrap
from pathlib import Path

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.lines import Line2D

from transferability.analysis.conditions import conditions_of, unreduced
from transferability.analysis.effects import effects_table
from transferability.analysis.tables import NETWORKS, read_table
from transferability.errors import InputError, exit_plainly
from transferability.figures.styles import (
    READ_OUTS,
    SERIES,
    Drawing,
    NothingToDrawError,
    as_percent,
    curve_of,
    finish,
    save_figure,
    set_theme,
)
from transferability.words import counted

EFFECTS = {"total": "frozen, AnB", "fine-tuned transfer": "fine-tuned, AnB+"}


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
    chosen = (rows["read_out"] == read_out) & rows["effect"].isin(EFFECTS) & rows["n"].notna()
    return rows[chosen & rows["normalised_mean"].notna()]


def draw_studies(studies: dict[str, pd.DataFrame], read_out: str, width: float) -> Drawing:
    """Normalised transfer, (accuracy − chance) / (base − chance), against n: a line a study, a row of panels for each
    condition that several studies or only one of them has, a column for frozen and for fine-tuned transfer.

    `studies` are networks tables by name. Studies without transfer in the read-out are named in the footer.
    """
    rows = {name: normalised_rows(networks, read_out) for name, networks in studies.items()}
    lacking = [name for name, table in rows.items() if table.empty]
    if len(lacking) == len(rows):
        raise NothingToDrawError(
            f"no study has transfer that can be compared in {read_out}: that needs trained networks of the treatment "
            "transfer or transfer+, and base networks of the same targets that score above guessing"
        )
    everything = pd.concat([table.assign(study=name) for name, table in rows.items() if len(table)])
    conditions = conditions_of(everything)
    effects = [effect for effect in EFFECTS if effect in set(everything["effect"])]
    layers = sorted(set(everything["n"].astype(int)))
    looks = dict(zip(studies, SERIES * len(studies), strict=False))
    set_theme()
    figure, panels = plt.subplots(
        len(conditions),
        len(effects),
        figsize=(width, (0.4 * len(conditions) + 0.2) * width),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    said = []
    for (label, found), line in zip(conditions, panels, strict=True):
        for panel, effect in zip(line, effects, strict=True):
            panel.axhline(1, color="black", linestyle=":", linewidth=1, zorder=1)
            for index, (name, (colour, marker, dashes)) in enumerate(looks.items()):
                own = found[(found["study"] == name) & (found["effect"] == effect)].sort_values("n")
                if own.empty:
                    continue
                shift = 0.07 * (index - (len(looks) - 1) / 2)
                look = {"color": colour, "marker": marker, "linestyle": dashes, "markersize": 4.5, "zorder": 3}
                curve_of(panel, layers, own.set_index("n")["normalised_mean"], shift, **look)
                sure = own[own["normalised_low"].notna()]
                x = sure["n"].astype(float) + shift
                panel.vlines(x, sure["normalised_low"], sure["normalised_high"], color=colour, linewidth=1.3, zorder=2)
                last = own.iloc[-1]
                said.append(
                    f"{name}, {label.lower()}, {EFFECTS[effect]}: "
                    f"{100 * last['normalised_mean']:.0f} % at n = {last['n']} ({counted(last['units'], 'unit')})"
                )
            panel.set_title(f"{textwrap.fill(label, 40)},\n{EFFECTS[effect]}", fontsize=8)
            panel.set_xticks(layers)
            as_percent(panel)
            if not (found["effect"] == effect).any():
                text = "no study has this"
                panel.text(0.5, 0.5, text, transform=panel.transAxes, ha="center", fontsize=7.5, color="0.35")
    for panel in panels[-1]:
        panel.set_xlabel("Cut after layer n")
    for panel in panels[:, 0]:
        panel.set_ylabel("Share of the base's\nscore above guessing")
    handles = [
        Line2D([], [], color=c, marker=m, linestyle=d, markersize=4.5, label=textwrap.shorten(name, 70))
        for name, (c, m, d) in looks.items()
        if name not in lacking
    ]
    handles.append(Line2D([], [], color="black", linestyle=":", label="base networks"))
    counts = "; ".join(f"{name}: {counted(int(table['trained'].sum()), 'network')}" for name, table in studies.items())
    text = f"{READ_OUTS[read_out].replace(chr(10), ' ')}. {counts}. Bars: 95 % intervals over splits × seeds"
    if lacking:
        text += f". Not drawn, without transfer in this read-out: {', '.join(lacking)}"
    finish(figure, text, handles, ncols=2)
    caption = "What is left of the base networks' score above guessing: " + "; ".join(said) + "."
    return Drawing(figure, "Studies side by side", caption)


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the transfer of several studies side by side.")
    parser.add_argument("--networks", type=Path, nargs="+", required=True, help="networks.csv of each study")
    parser.add_argument("--read-out", choices=READ_OUTS, required=True, help="one that all of them have")
    parser.add_argument("--width", type=float, required=True, help="in inches")
    parser.add_argument("--dpi", type=int, required=True, help="of a PNG")
    parser.add_argument("--into", type=Path, nargs="+", required=True, help="files to write, .svg or .png")
    arguments = parser.parse_args()
    if len(set(arguments.networks)) < len(arguments.networks):
        raise InputError("--networks: names a table twice; give each study once")
    studies = name_studies({path: read_table(path, NETWORKS) for path in arguments.networks})
    drawing = draw_studies(studies, arguments.read_out, arguments.width)
    for path in arguments.into:
        save_figure(drawing.figure, path, arguments.dpi)


if __name__ == "__main__":
    exit_plainly(main)
