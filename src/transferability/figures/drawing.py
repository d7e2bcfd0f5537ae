"""Drawing: all figures of a study, each as SVG and PNG, from its tables and its networks' files."""

import argparse
import json
import sys
import textwrap
from importlib import import_module
from pathlib import Path

from matplotlib import pyplot as plt

from transferability import files
from transferability.analysis.read_outs import SHARES
from transferability.errors import InputError, exit_plainly
from transferability.figures.records import Drawing, NothingToDrawError, Options, Study, read_study
from transferability.figures.styles import save_figure, set_theme

FIGURES = (
    "experiment",
    "figure2",
    "figure3",
    "effects",
    "volume",
    "distance",
    "learning",
    "filters",
    "scores",
    "criterion",
    "choice",
    "cka",
    "tsne",
    "shows",
    "invariance",
    "retrieval",
    "maps",
    "strategies",
    "probes",
    "domains",
    "sources",
)
"""The figures of a study, each a module of this room with `draw(study, options) -> Drawing`.

Fingerprints follow imports that are written out: who draws a figure names its module beside this one.
"""


def draw_sentence(sentence: str, width: float) -> Drawing:
    """What stands in the place of a figure that a study cannot give: the sentence that says why, and no axes."""
    set_theme()
    text = textwrap.fill(f"Not drawn: {sentence}.", int(12 * width))
    figure = plt.figure(figsize=(width, 0.5 + 0.18 * (text.count("\n") + 1)))
    figure.text(0.02, 0.5, text, va="center", fontsize=9, color="0.25")
    return Drawing(figure, "", sentence)


def draw_figure(name: str, study: Study, options: Options) -> tuple[Drawing, bool]:
    """A figure by its name, and whether it was drawn.

    What the study lacks the data for says so on standard error and in the place of the figure.
    """
    try:
        return import_module(f"transferability.figures.{name}").draw(study, options), True
    except NothingToDrawError as error:
        print(f"{name}: not drawn: {error}", file=sys.stderr)
        return draw_sentence(str(error), options.width), False


def draw_figures(study: Study, names: list[str], options: Options, dpi: int, into: Path) -> None:
    """Write each figure as {name}.svg and {name}.png, and captions.json: title, caption and whether it was drawn.

    Figures that are not asked for, which an earlier study left, are removed.
    """
    captions = {}
    for name in names:
        drawing, drawn = draw_figure(name, study, options)
        for kind in ("svg", "png"):
            save_figure(drawing.figure, into / f"{name}.{kind}", dpi)
        plt.close("all")
        captions[name] = {"title": drawing.title, "caption": drawing.caption, "drawn": drawn}
    files.write_json(into / "captions.json", captions)
    for name in FIGURES:
        if name not in captions:
            for kind in ("svg", "png"):
                (into / f"{name}.{kind}").unlink(missing_ok=True)


def parse_arguments() -> argparse.Namespace:
    """The options of the command."""
    parser = argparse.ArgumentParser(description="Draw the figures of a study from its tables.")
    parser.add_argument(
        "--tables",
        type=Path,
        required=True,
        help="folder of networks.csv, pairs.csv, effects.csv, coverage.csv, learning.csv",
    )
    parser.add_argument("--models", type=Path, help="folder of {split}/seed{seed}/{network}/, for filters")
    parser.add_argument("--summary", type=Path, help="folder of choice.csv and candidates.csv, for the choice")
    parser.add_argument(
        "--tasks", type=files.json_argument, default={}, help="names of tasks, {split: {A: name, B: name}}"
    )
    parser.add_argument("--draw", nargs="+", choices=FIGURES, required=True, help="the figures to draw")
    parser.add_argument("--read-out", choices=SHARES, required=True)
    parser.add_argument("--unbalanced", type=json.loads, choices=(True, False), required=True, help="as the tables")
    parser.add_argument("--width", type=float, required=True, help="in inches")
    parser.add_argument("--dpi", type=int, required=True, help="of the PNG files")
    parser.add_argument(
        "--into", type=Path, required=True, help="folder to write to; other figures of a study are removed there"
    )
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    if not isinstance(arguments.tasks, dict):
        raise InputError("--tasks: give the names of the tasks by split, as a JSON object")
    study = read_study(arguments.tables, arguments.models, arguments.tasks, arguments.summary)
    if study.networks.empty:
        raise InputError(f"{arguments.tables / 'networks.csv'}: holds no network; run the study again")
    options = Options(arguments.read_out, arguments.width, arguments.unbalanced)
    draw_figures(study, arguments.draw, options, arguments.dpi, arguments.into)


if __name__ == "__main__":
    exit_plainly(main)
