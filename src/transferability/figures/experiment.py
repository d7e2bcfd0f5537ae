"""The experiment: the paper's Figure 1 in this project's drawing, a row for each treatment that a study has.

It is a table and a legend in one: what is copied from where, what is frozen, and how other figures draw the curve.
"""

import textwrap
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Arc, Circle, FancyBboxPatch, Rectangle

from transferability.analysis.conditions import unreduced
from transferability.analysis.treatments import curves_of, recipes_in
from transferability.figures.captions import footer
from transferability.figures.records import Drawing, NothingToDrawError, Options, Study
from transferability.figures.styles import Style, finish, ordered_treatments, set_theme, styles_of
from transferability.networks.notation import PRETRAINED, RANDOM, Treated, split_treatment
from transferability.words import counted

COLOURS = {"A": "#5B9E6F", "B": "#8C6BB1", RANDOM: "#B8B8B8", PRETRAINED: "#E0A93B"}
"""Of what stages have learnt: task A, task B, nothing, or what the pretrained network was trained on."""
MOST = 8
"""Stages of a drawn network at most: of a deeper one it is a sketch."""
STEP, SIDE = 0.21, 0.17
"""Inches from one stage to the next, and of its box."""
LIGHT = 0.3
"""The share of its colour that a stage has which starts anew."""
ROW, LINES = 0.4, 0.38
"""Inches of a row, and of the words beneath it where the figure is too narrow for them beside it."""
STACK, WORDS = 1.35, 3.3
"""Inches from the left at which the stages and the words of a row begin."""
NARROW = 5.3
"""Inches of a figure from which words stand beside the stages."""
CHARACTERS = 15
"""Characters of a row's words that fit on an inch."""


@dataclass(frozen=True)
class Sketch:
    """What a row draws: a treatment's network for a target, of `depth` stages, cut after `cut` of them.

    One with an option is trained `by_recipe`, or read by a probe.
    """

    name: str
    target: str
    depth: int
    cut: int
    by_recipe: bool = False

    @property
    def treated(self) -> Treated:
        """What the treatment's name says."""
        return split_treatment(self.name)

    @property
    def source(self) -> str:
        """Where its copied stages come from: A, B, RANDOM or PRETRAINED; its own task, where it copies none."""
        other = "A" if self.target == "B" else "B"
        place = self.treated.treatment.source
        if place is None or place == "target":
            return self.target
        return other if place == "other" else place

    @property
    def copied(self) -> int:
        """Stages that do not start anew; none of a base network's."""
        return 0 if self.treated.treatment.source is None else self.cut + self.treated.preserved

    @property
    def frozen(self) -> int:
        """Stages that do not learn."""
        return 0 if self.treated.treatment.fine_tune or not self.copied else self.cut


def words_of(treated: Treated, by_recipe: bool) -> str:
    """A treatment in words that stand alone; one with an option is trained `by_recipe`, or read by a probe."""
    record = treated.treatment
    if by_recipe:
        return f"{words_of(replace(treated, option=''), by_recipe=False).split(':')[0]}; by the recipe {treated.option}"
    if record.source is None:
        return "trained from scratch: the reference"
    place = {
        "target": "copied from the same task",
        "other": "copied from the other task",
        RANDOM: "untrained, as they were drawn",
        PRETRAINED: "copied from the pretrained network",
    }[record.source]
    learning = "and learn on" if record.fine_tune else "and frozen"
    text = f"stages 1–n {place} {learning}"
    if treated.option:
        return f"{text}; the probe {treated.option} reads their features"
    above = f"; the {treated.preserved} above are copied too, and learn" if treated.preserved else "; the rest new"
    return text + above


def lighter(colour: str) -> tuple:
    """A colour as that of what starts anew."""
    return tuple(1 - LIGHT * (1 - part) for part in to_rgb(colour))


def draw_lock(axes: Axes, x: float, y: float) -> None:
    """A closed lock, with its foot at (x, y)."""
    axes.add_patch(Arc((x, y + 0.075), 0.06, 0.08, theta1=0, theta2=180, color="0.2", linewidth=1))
    axes.add_patch(Rectangle((x - 0.045, y), 0.09, 0.075, facecolor="0.2", edgecolor="none"))


def draw_stage(axes: Axes, x: float, y: float, colours: tuple[str, str], new: bool) -> None:
    """A stage's box: of two colours where it learns on from what it was; light, with dashes, where it starts anew."""
    first, second = colours
    # The second covers half of the first: two halves side by side would have a seam.
    for left, colour in ((x, first), (x + SIDE / 2, second))[: 1 + (first != second)]:
        fill = lighter(colour) if new else colour
        axes.add_patch(Rectangle((left, y - SIDE / 2), x + SIDE - left, SIDE, facecolor=fill, linewidth=0))
    look: dict[str, Any] = {"boxstyle": "square,pad=0", "fill": False, "edgecolor": "0.25", "linewidth": 0.7}
    axes.add_patch(FancyBboxPatch((x, y - SIDE / 2), SIDE, SIDE, linestyle=":" if new else "-", **look))


def draw_probe(axes: Axes, x: float, y: float, sketch: Sketch) -> None:
    """A probe's circle in the place of the stages above the cut."""
    look = {"facecolor": lighter(COLOURS[sketch.target]), "edgecolor": "0.25", "linewidth": 0.7}
    axes.add_patch(Circle((x + SIDE / 2, y), SIDE / 2, **look))


def draw_stack(axes: Axes, y: float, sketch: Sketch) -> None:
    """The stages of a network from the images, at the left, to its answers, and locks on those that are frozen."""
    learnt, own = COLOURS[sketch.source], COLOURS[sketch.target]
    axes.plot([STACK - 0.06, STACK + STEP * sketch.depth], [y, y], color="0.25", linewidth=0.7, zorder=0)
    for index in range(sketch.depth):
        x = STACK + STEP * index
        new = index >= sketch.copied
        if new and sketch.treated.option and not sketch.by_recipe:
            draw_probe(axes, x, y, sketch)
            break
        base = sketch.treated.treatment.source is None
        learns = index >= sketch.frozen
        draw_stage(axes, x, y, (own if new else learnt, own if learns else learnt), new=new and not base)
        if not learns:
            draw_lock(axes, x + SIDE / 2, y + SIDE / 2 + 0.015)


def draw_row(axes: Axes, y: float, sketch: Sketch, style: Style, width: float) -> None:
    """A row, `width` inches: the curve's mark and name, its stages, and its words beside them."""
    name = curves_of(sketch.name)[sketch.target == "B"]
    x, below = (WORDS, 0) if width >= NARROW else (0.04, 0.5 * ROW)
    line: dict[str, Any] = {"color": style.colour, "linestyle": style.dashes, "linewidth": 1.3}
    axes.plot([0.04, 0.4], [y, y], **line)
    axes.plot(0.22, y, marker=style.marker, markersize=5 * style.size, color=style.colour, markeredgecolor="white")
    # A long name, as of a recipe, must end where the stages begin.
    axes.text(0.47, y, name, fontsize=8 * min(1, 10 / len(name)), va="center", color="0.1", fontweight="bold")
    draw_stack(axes, y, sketch)
    words = textwrap.fill(words_of(sketch.treated, sketch.by_recipe), int(CHARACTERS * (width - x)))
    axes.text(x, y - below, words, fontsize=7.5, va="top" if below else "center", color="0.15")


def sketch_of(networks: pd.DataFrame, width: float) -> tuple[str, int, int]:
    """For which target networks are drawn in a figure's inches, of how many stages, and where they are cut."""
    layers = sorted(set(networks["n"]) - {0}) or [1]
    depth = min(max(layers) + 1, MOST, int((width - STACK) / STEP))
    return "B" if "B" in set(networks["target"]) else "A", depth, min(3, max(layers), depth - 1)


def swatches(sources: set[str], target: str) -> list[Rectangle]:
    """The legend: what the colours mean."""
    meanings = {"A": "learnt on task A", "B": "learnt on task B", RANDOM: "untrained", PRETRAINED: "pretrained"}
    shown = [name for name in COLOURS if name in {*sources, target}]
    handles = [Rectangle((0, 0), 1, 1, facecolor=COLOURS[name], label=meanings[name]) for name in shown]
    new = Rectangle((0, 0), 1, 1, facecolor=lighter(COLOURS[target]), linestyle=":", edgecolor="black", label="new")
    return [*handles, new]


def caption_of(sketches: list[Sketch]) -> str:
    """How the rows are read."""
    first = sketches[0]
    return (
        f"{counted(len(sketches), 'way')} to make a network for task {first.target}, from the images at the left to "
        f"its answers, here cut after n = {first.cut}. A lock: frozen; two colours: copied, and learning on; dots: "
        "new. The lines and marks are those of all figures."
    )


def draw(study: Study, options: Options) -> Drawing:
    """A row a treatment: how its networks are made, cut after the same stage."""
    networks = unreduced(study.networks)
    if networks.empty:
        raise NothingToDrawError("the study has no networks")
    treatments = ordered_treatments(networks)
    target, depth, cut = sketch_of(networks, options.width)
    set_theme()
    row = ROW if options.width >= NARROW else ROW + LINES
    figure, axes = plt.subplots(figsize=(options.width, row * len(treatments) + 0.75), layout="constrained")
    recipes = recipes_in(networks)
    styles = styles_of(treatments, recipes)
    sketches = [Sketch(name, target, depth, cut, name in recipes) for name in treatments]
    for index, sketch in enumerate(sketches):
        draw_row(axes, -row * index, sketch, styles[sketch.name], options.width)
    axes.set(xlim=(0, options.width), ylim=(0.6 * ROW - row * len(treatments), 0.55 * ROW), aspect="equal")
    axes.set_axis_off()
    handles = swatches({sketch.source for sketch in sketches}, target)
    finish(figure, footer(study.networks, study.coverage), handles, ncols=min(len(handles), int(options.width)))
    return Drawing(figure, "The experiment", caption_of(sketches))
