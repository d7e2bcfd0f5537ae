"""Styles: how treatments and series are told apart, the look of all figures, their legend, and their files."""

import textwrap
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import matplotlib
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.typing import LineStyleType

from transferability import files
from transferability.analysis.treatments import curve_name, is_base, rank_of
from transferability.networks.notation import split_treatment

CHARACTERS = 18
"""Characters of a footer that fit on an inch."""


@dataclass(frozen=True)
class Style:
    """How a treatment is drawn: told apart by colour, by marker and dashes, and by an offset sideways.

    `words` say in the legend what its networks are; those of a preserved treatment have a place for the number. `size`
    is that of its marker, as a multiple.
    """

    words: str
    colour: str
    marker: str
    dashes: LineStyleType
    offset: float
    size: float = 1.0


STYLES = {
    "base": Style("", "black", "o", ":", 0.0),
    "selffer": Style("copied from the same task, frozen", "#0072B2", "o", "-", -0.22),
    "selffer+": Style("... and fine-tuned", "#56B4E9", "s", "--", -0.11),
    "transfer": Style("copied from the other task, frozen", "#D55E00", "D", "-", 0.22),
    "transfer+": Style("... and fine-tuned", "#E69F00", "P", "--", 0.11),
    "random": Style("untrained filters, frozen", "#777777", "^", "-.", 0.0),
    "pretrained": Style("copied from the pretrained network, frozen", "#5D3A9B", "v", "-", 0.28),
    "pretrained+": Style("... and fine-tuned", "#A78BD0", "X", "--", -0.28),
}
"""The colours are those of Okabe and Ito (2008), and two violets."""
PRESERVED = {
    "selffer": Style("frozen, {} above preserved", "#009E73", "<", "", -0.31),
    "transfer": Style("frozen, {} above preserved", "#CC79A7", ">", "", 0.31),
    "pretrained": Style("frozen, {} above preserved", "#882255", "p", "", 0.255),
}
OPTIONAL = {
    "selffer": (0, (2, 1)),
    "selffer+": (0, (2, 1, 1, 1)),
    "transfer": (0, (3, 1.5)),
    "transfer+": (0, (3, 1, 1, 1)),
    "random": (0, (1, 1.5)),
    "pretrained": (0, (2, 2)),
    "pretrained+": (0, (2, 1, 1, 1, 1, 1)),
}
"""The dashes of a treatment whose features are read by probes, or that is trained by recipes."""
BY_RECIPE = "#555555"
"""The colour of base networks that are trained by recipes."""
MARKERS = (("*", 1.5), ("h", 1.15), ("d", 1.1), ("8", 1.0), ("H", 1.15))
"""The markers of probes and recipes and their sizes: of a figure's first one, its second, ..."""

# One for each number of preserved stages.
DASHES: tuple[LineStyleType, ...] = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))

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
    """A different look, (colour, marker, dashes), for each name; from the second round on with other dashes."""
    by_name = {}
    for index, name in enumerate(names):
        turn, position = divmod(index, len(looks))
        colour, marker, dashes = looks[position]
        others = [dashes, *(other for other in DASHES if other != dashes)]
        by_name[name] = (colour, marker, others[turn % len(others)])
    return by_name


def style_of(treatment: str) -> Style:
    """A treatment's style; that of a preserved one (transfer-k2) is its source's, with dashes by the number."""
    treated = split_treatment(treatment)
    kind, preserved = treated.treatment, treated.preserved
    if not preserved:
        return STYLES[treatment]
    shared = PRESERVED[kind.name]
    # Points of the most preserved stages still lie beside their own n.
    offset = shared.offset * (1 + 0.08 * min(preserved, len(DASHES)))
    words = shared.words.format(preserved)
    return Style(words, shared.colour, shared.marker, DASHES[(preserved - 1) % len(DASHES)], offset)


def styles_of(treatments: list[str], recipes: Collection[str] = ()) -> dict[str, Style]:
    """The styles of the treatments of a figure; one by a probe, or by one of the `recipes`, has its treatment's colour,
    and a marker of its own.

    The points of probes and recipes lie where the figure's other treatments leave room; base networks are not cut.
    """
    styles = {name: style_of(name) for name in treatments if not split_treatment(name).option}
    optional = [name for name in treatments if split_treatment(name).option]
    options = sorted({split_treatment(name).option for name in optional})
    taken = [style.offset for name, style in styles.items() if not is_base(name)]
    for name, offset in zip(optional, free_offsets(taken, len(optional)), strict=True):
        treated = split_treatment(name)
        marker, size = MARKERS[options.index(treated.option) % len(MARKERS)]
        plain = style_of(name.removesuffix(f"-{treated.option}"))
        words = option_words(name, recipes)
        if is_base(name):
            styles[name] = Style(words, BY_RECIPE, marker, ":", 0.0, size)
        else:
            styles[name] = Style(words, plain.colour, marker, OPTIONAL[treated.treatment.name], offset, size)
    return styles


def option_words(name: str, recipes: Collection[str]) -> str:
    """What the legend says of a treatment by a probe, or by one of the `recipes`."""
    option = split_treatment(name).option
    plain = curve_name(name.removesuffix(f"-{option}"))
    return f"{plain} trained by {option}" if name in recipes else f"features of {plain} read by {option}"


def free_offsets(taken: list[float], count: int) -> list[float]:
    """So many offsets between −0.45 and 0.45, in the middle of the widest gaps that those taken leave."""
    bounds, free = sorted({-0.48, 0.48, *taken}), []
    for _ in range(count):
        low, high = max(pairwise(bounds), key=lambda gap: gap[1] - gap[0])
        free.append((low + high) / 2)
        bounds = sorted([*bounds, free[-1]])
    return sorted(free)


def legend_label(treatment: str, style: Style) -> str:
    """A treatment of a style as the legend names it."""
    return f"{label_name(treatment)}: {style.words}" if style.words else label_name(treatment)


def label_name(treatment: str) -> str:
    """A treatment's name and its curve; of a base network, a probe or a recipe the curve says both."""
    treated = split_treatment(treatment)
    if treated.option or is_base(treatment):
        return curve_name(treatment)
    return f"{treated.treatment.name.removesuffix('+')} {curve_name(treatment)}"


def ordered_treatments(networks: pd.DataFrame) -> list[str]:
    """The treatments of a table in the order of the legend: preserved ones last, then those of each probe or recipe."""

    def rank(name: str) -> tuple:
        treated = split_treatment(name)
        return treated.option, treated.preserved > 0, rank_of(name)

    return sorted(set(networks["treatment"]), key=rank)


def set_theme() -> None:
    """The look of all figures; drawn without a screen, and the same bytes every time."""
    matplotlib.rcdefaults()  # whatever a matplotlibrc of the user says
    matplotlib.use("agg")
    sns.set_theme(
        context="paper",
        style="ticks",
        rc={
            "svg.hashsalt": "transferability",
            # Text that can be selected and searched.
            "svg.fonttype": "none",
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


def finish(figure: Figure, text: str, handles: Sequence[Artist], ncols: int) -> None:
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
