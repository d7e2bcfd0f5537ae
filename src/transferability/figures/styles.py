"""Styles: how figures look, and what each of them says of itself below its panels."""

import textwrap
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from transferability import files
from transferability.errors import InputError

READ_OUTS = {
    "test_top1": "Top-1 accuracy,\ntest",
    "chosen_test_top1": "Top-1 accuracy,\ntest, chosen on validation",
    "validation_top1": "Top-1 accuracy,\nvalidation",
    "mean_of_ten_best": "Top-1 accuracy,\nmean of ten best validations",
}
CHARACTERS = 18
"""Characters of a footer that fit on an inch."""


class NothingToDrawError(InputError):
    """A figure that the tables hold nothing for; the message is one sentence that stands in its place."""


@dataclass(frozen=True)
class Drawing:
    """A figure, its title, and a caption that states its numbers."""

    figure: Figure
    title: str
    caption: str


@dataclass(frozen=True)
class Style:
    """How a treatment is drawn: colours of Okabe and Ito (2008), told apart by marker and dashes as well."""

    label: str
    name: str
    colour: str
    marker: str
    dashes: str | tuple
    offset: float


STYLES = {
    "base": Style("base", "base", "black", "o", ":", 0.0),
    "selffer": Style("selffer BnB: copied from the same task, frozen", "BnB", "#0072B2", "o", "-", -0.22),
    "selffer+": Style("selffer BnB+: ... and fine-tuned", "BnB+", "#56B4E9", "s", "--", -0.11),
    "transfer": Style("transfer AnB: copied from the other task, frozen", "AnB", "#D55E00", "D", "-", 0.22),
    "transfer+": Style("transfer AnB+: ... and fine-tuned", "AnB+", "#E69F00", "P", "--", 0.11),
    "random": Style("random RnB: untrained filters, frozen", "RnB", "#777777", "^", "-.", 0.0),
}
PRESERVED = {
    "selffer": Style("selffer BnB-k{}: frozen, {} above preserved", "BnB-k{}", "#009E73", "<", "", -0.31),
    "transfer": Style("transfer AnB-k{}: frozen, {} above preserved", "AnB-k{}", "#CC79A7", ">", "", 0.31),
}
# One for each number of preserved layers.
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))

# Where several lines are of one rank: (colour, marker, dashes), told apart in grey by the last two.
SERIES = (
    ("#0072B2", "o", "-"),
    ("#D55E00", "D", "--"),
    ("#009E73", "s", "-."),
    ("#CC79A7", "^", (0, (5, 1, 1, 1, 1, 1))),
    ("#E69F00", "P", (0, (3, 1))),
    ("#56B4E9", "v", ":"),
    ("black", "X", "-"),
)


def looks_of(names: list, looks: tuple[tuple, ...]) -> dict:
    """A look of its own, (colour, marker, dashes), for each name; from the second round on with other dashes."""
    own = {}
    for index, name in enumerate(names):
        turn, place = divmod(index, len(looks))
        colour, marker, dashes = looks[place]
        others = [dashes, *(other for other in DASHES if other != dashes)]
        own[name] = (colour, marker, others[turn % len(others)])
    return own


def style_of(treatment: str) -> Style:
    """A treatment's style; that of a preserved one (transfer-k2) is its source's, with dashes by the number."""
    if treatment in STYLES:
        return STYLES[treatment]
    kind, _, layers = treatment.partition("-k")
    shared, number = PRESERVED[kind], int(layers)
    return replace(
        shared,
        label=shared.label.format(layers, layers),
        name=shared.name.format(layers),
        dashes=DASHES[number - 1],
        offset=shared.offset * (1 + 0.08 * number),
    )


def ordered_treatments(networks: pd.DataFrame) -> list[str]:
    """The treatments of a table in the order of the legend."""
    present = set(networks["treatment"])
    return [name for name in STYLES if name in present] + sorted(present - STYLES.keys())


def set_theme() -> None:
    """The look of all figures; drawn without a screen, and the same bytes every time."""
    matplotlib.use("agg")
    sns.set_theme(
        context="paper",
        style="ticks",
        rc={
            "svg.hashsalt": "transferability",
            "svg.fonttype": "path",
            "axes.titlelocation": "left",
            "axes.titlesize": 9,
            "axes.titleweight": "bold",
            "axes.labelsize": 8.5,
            "axes.labelcolor": "0.15",
            "axes.edgecolor": "0.35",
            "axes.axisbelow": True,
            "axes.grid": True,
            "axes.grid.axis": "y",
            "grid.color": "0.9",
            "grid.linewidth": 0.6,
            "axes.linewidth": 0.7,
            "xtick.labelsize": 8,
            "ytick.labelsize": 8,
            "xtick.major.width": 0.7,
            "ytick.major.width": 0.7,
            "xtick.major.size": 3,
            "ytick.major.size": 3,
            # A dollar in the name of a data set or a group is a dollar.
            "text.parse_math": False,
        },
    )


def trained_of(networks: pd.DataFrame, read_out: str) -> pd.DataFrame:
    """The networks that trained and have the read-out; if there are none, a sentence says which of the two it is."""
    trained = networks[networks["trained"]]
    if trained.empty:
        raise NothingToDrawError(
            "no network of this study trained, so there is nothing to draw; see the column `reason`"
        )
    scored = trained[trained[read_out].notna()]
    if scored.empty:
        known = [name for name in READ_OUTS if trained[name].notna().any()]
        raise NothingToDrawError(
            f"no network of this study has the read-out {read_out}; set figures.read_out to {' or '.join(known)}"
        )
    return scored


def as_percent(axes: Axes) -> None:
    """Write the y axis in percent."""
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g}%"))


def as_points(axes: Axes) -> None:
    """Write the y axis in percentage points, signed."""
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{100 * value:+.3g}".replace("-", "−") if abs(value) > 1e-9 else "0")
    )


def label_ends(axes: Axes, ends: list[tuple[str, float, float, str]], gap: float) -> None:
    """Name lines at their right ends: (text, x, y, colour) each, moved up or down to be `gap` of the height apart."""
    low, high = axes.get_ylim()
    step = gap * (high - low)
    ends = sorted(ends, key=lambda end: end[2])
    heights: list[float] = []
    for _, _, y, _ in ends:
        heights.append(max(y, heights[-1] + step) if heights else y)
    # What was pushed out at the top comes back down, and pushes what is below it.
    ceiling = high
    for index in reversed(range(len(heights))):
        heights[index] = min(heights[index], ceiling)
        ceiling = heights[index] - step
    for (text, x, y, colour), height in zip(ends, heights, strict=True):
        axes.annotate(
            text,
            (x, y),
            xytext=(x, height),
            textcoords="data",
            color=colour,
            fontsize=7.5,
            va="center",
            ha="left",
            annotation_clip=False,
            bbox={"boxstyle": "square,pad=0.12", "facecolor": "white", "edgecolor": "none"},
        )


def curve_of(axes: Axes, layers: list[int], means: pd.Series, shift: float = 0.0, **look: object) -> None:
    """Draw means by layer as a curve with gaps where a layer has none: no line leads past what is not there."""
    curve = means.reindex(layers)
    axes.plot([n + shift for n in layers], curve, **look)


def mark_hollow(axes: Axes, means: pd.DataFrame, shift: float = 0.0, **look: object) -> bool:
    """Whiten a curve's markers where a mean is over other networks than the base's; returns whether one is.

    `means` has n, mean and balanced.
    """
    odd = means[~means["balanced"] & means["mean"].notna()]
    if odd.empty:
        return False
    white = {"linestyle": "", "markerfacecolor": "white", "markeredgecolor": look["color"]}
    axes.plot(odd["n"].astype(float) + shift, odd["mean"], **look | white)
    return True


def hollow_handle() -> Line2D:
    """What the legend says of the markers of `mark_hollow`."""
    white = Line2D([], [], linestyle="", marker="o", markerfacecolor="white", markeredgecolor="0.3", markersize=5)
    white.set_label("hollow: mean over other networks than the base's")
    return white


def say(axes: Axes, sentence: str) -> None:
    """Write why a panel is empty in its middle, and take its grid and ticks away."""
    axes.grid(visible=False)
    axes.tick_params(left=False, labelleft=False)
    wrapped = textwrap.fill(sentence, 32)
    axes.text(0.5, 0.5, wrapped, transform=axes.transAxes, ha="center", va="center", fontsize=7.5, color="0.35")


def finish(figure: Figure, text: str, handles: list[Artist], ncols: int) -> None:
    """Add the legend and the footer below the panels, and lay the figure out once and for all."""
    sns.despine(figure)
    wrapped = textwrap.fill(text, int(CHARACTERS * figure.get_size_inches()[0]))
    figure.legend(
        handles=handles,
        loc="outside lower left",
        ncols=ncols,
        frameon=False,
        title=wrapped,
        alignment="left",
        title_fontsize=7,
        fontsize=7.5,
    )
    # Laid out once: each saving would move things by a hair.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def save_figure(figure: Figure, path: Path, dpi: int) -> None:
    """Write a figure in the format of its name, whole or not at all; the same figure gives the same bytes."""
    kind = path.suffix.removeprefix(".")
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    with files.replacing(path) as temporary:
        figure.savefig(temporary, format=kind, dpi=dpi, metadata=metadata)
