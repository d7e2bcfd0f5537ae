"""Figures: all figures of a study, each as SVG and PNG, from its tables and its networks' files."""

import argparse
import json
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib import pyplot as plt

from transferability import files
from transferability.analysis.coverage import coverage_line
from transferability.analysis.tables import COVERAGE, EFFECTS, LEARNING, NETWORKS, PAIRS, read_table
from transferability.errors import InputError, exit_plainly
from transferability.figures.distance import draw_distance
from transferability.figures.effects import draw_effects
from transferability.figures.figure2 import draw_figure2
from transferability.figures.figure3 import draw_figure3
from transferability.figures.filters import draw_filters
from transferability.figures.learning import draw_learning
from transferability.figures.styles import READ_OUTS, Drawing, NothingToDrawError, save_figure, set_theme
from transferability.figures.volume import draw_volume


@dataclass(frozen=True)
class Study:
    """What the figures of a study are drawn from: its tables, of which one of published numbers lacks learning; the
    folder of its networks if it has one ({split}/seed{seed}/{network}/); and the names of its tasks,
    {split: {"A": name, "B": name}}."""

    networks: pd.DataFrame
    effects: pd.DataFrame
    pairs: pd.DataFrame
    coverage: str
    learning: pd.DataFrame | None
    models: Path | None
    tasks: dict[str, dict[str, str]]


def read_study(tables: Path, models: Path | None, tasks: dict) -> Study:
    """The tables of a folder; one that is missing, truncated or foreign is an InputError that names it."""
    coverage = read_table(tables / "coverage.csv", COVERAGE)
    learning = tables / "learning.csv"
    return Study(
        read_table(tables / "networks.csv", NETWORKS),
        read_table(tables / "effects.csv", EFFECTS),
        read_table(tables / "pairs.csv", PAIRS),
        coverage_line(coverage),
        read_table(learning, LEARNING) if learning.exists() else None,
        models,
        tasks,
    )


def learning_of(study: Study) -> pd.DataFrame:
    """How the networks learnt, where the study has it."""
    if study.learning is None:
        raise NothingToDrawError("this study has no learning.csv, which tells how its networks learnt")
    return study.learning


def models_of(study: Study) -> Path:
    """The folder of the networks, where the study has it."""
    if study.models is None:
        raise NothingToDrawError("this study has tables only; without its networks' files this cannot be drawn")
    return study.models


FIGURES: dict[str, Callable[[Study, str, float, bool], Drawing]] = {
    "figure2": lambda study, read_out, width, unbalanced: draw_figure2(
        study.networks, study.effects, study.pairs, study.coverage, read_out, width, unbalanced
    ),
    "figure3": lambda study, read_out, width, unbalanced: draw_figure3(
        study.networks, study.effects, study.coverage, read_out, width, unbalanced, study.tasks
    ),
    "effects": lambda study, read_out, width, unbalanced: draw_effects(
        study.effects, study.pairs, study.networks, study.coverage, read_out, width
    ),
    "volume": lambda study, read_out, width, unbalanced: draw_volume(study.networks, study.coverage, read_out, width),
    "distance": lambda study, read_out, width, unbalanced: draw_distance(
        study.pairs, study.networks, study.coverage, read_out, width
    ),
    "learning": lambda study, read_out, width, unbalanced: draw_learning(
        study.networks, learning_of(study), study.coverage, width
    ),
    "filters": lambda study, read_out, width, unbalanced: draw_filters(
        study.networks, models_of(study), study.coverage, width
    ),
}
"""How each figure is drawn, from a study, the read-out, the width in inches, and whether means over unbalanced cells
were asked for."""


def draw_sentence(sentence: str, width: float) -> Drawing:
    """What stands in the place of a figure that a study cannot give: the sentence that says why, and no axes."""
    set_theme()
    text = textwrap.fill(f"Not drawn: {sentence}.", int(12 * width))
    figure = plt.figure(figsize=(width, 0.5 + 0.18 * (text.count("\n") + 1)))
    figure.text(0.02, 0.5, text, va="center", fontsize=9, color="0.25")
    return Drawing(figure, "", sentence)


def draw_figures(
    study: Study, names: list[str], read_out: str, width: float, dpi: int, unbalanced: bool, into: Path
) -> None:
    """Write each figure as {name}.svg and {name}.png, and captions.json: title, caption and whether it was drawn.

    What the study lacks the data for says so on standard error and in the place of the figure. Figures that are not
    asked for, which an earlier study left, are removed.
    """
    captions = {}
    for name in names:
        try:
            drawing, drawn = FIGURES[name](study, read_out, width, unbalanced), True
        except NothingToDrawError as error:
            print(f"{name}: not drawn: {error}", file=sys.stderr)
            drawing, drawn = draw_sentence(str(error), width), False
        for kind in ("svg", "png"):
            save_figure(drawing.figure, into / f"{name}.{kind}", dpi)
        plt.close("all")
        captions[name] = {"title": drawing.title, "caption": drawing.caption, "drawn": drawn}
    files.write_json(into / "captions.json", captions)
    for name in FIGURES.keys() - captions.keys():
        for kind in ("svg", "png"):
            (into / f"{name}.{kind}").unlink(missing_ok=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the figures of a study from its tables.")
    parser.add_argument(
        "--tables",
        type=Path,
        required=True,
        help="folder of networks.csv, pairs.csv, effects.csv, coverage.csv, learning.csv",
    )
    parser.add_argument("--models", type=Path, help="folder of {split}/seed{seed}/{network}/, for filters")
    parser.add_argument(
        "--tasks", type=files.json_argument, default={}, help="names of tasks, {split: {A: name, B: name}}"
    )
    parser.add_argument("--draw", nargs="+", choices=FIGURES, required=True, help="the figures to draw")
    parser.add_argument("--read-out", choices=READ_OUTS, required=True)
    parser.add_argument("--unbalanced", type=json.loads, choices=(True, False), required=True, help="as the tables")
    parser.add_argument("--width", type=float, required=True, help="in inches")
    parser.add_argument("--dpi", type=int, required=True, help="of the PNG files")
    parser.add_argument(
        "--into", type=Path, required=True, help="folder to write to; other figures of a study are removed there"
    )
    arguments = parser.parse_args()
    if not isinstance(arguments.tasks, dict):
        raise InputError("--tasks: give the names of the tasks by split, as a JSON object")
    study = read_study(arguments.tables, arguments.models, arguments.tasks)
    if study.networks.empty:
        raise InputError(f"{arguments.tables / 'networks.csv'}: holds no network; run the study again")
    draw_figures(
        study,
        arguments.draw,
        arguments.read_out,
        arguments.width,
        arguments.dpi,
        arguments.unbalanced,
        arguments.into,
    )


if __name__ == "__main__":
    exit_plainly(main)
