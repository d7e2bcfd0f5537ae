"""Maps: where what has learnt patches sees a class in test images, beside the boxes, which it was not given."""

import base64
import io
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from PIL import Image

from transferability import files
from transferability.analysis.tables import cut_name, stage_names
from transferability.errors import InputError
from transferability.figures.axes import panel_grid
from transferability.figures.records import Drawing, NothingToDrawError, Options, Study, trained_of
from transferability.figures.styles import finish
from transferability.words import points

COLUMNS = 4
RATIO = 1.9
"""How high a panel is by its width: the image above, its map below."""


def patched_rows(study: Study, read_out: str) -> list[tuple[pd.Series, dict]]:
    """The networks and probes of a study that read patches, with what their metrics say of these."""
    if study.tables is None:
        return []
    rows, found = trained_of(study.networks, read_out), []
    for _, row in rows[rows["option"].notna()].iterrows():
        path = study.tables / row["split"] / f"seed{row['seed']}" / f"{row['network']}.json"
        metrics = files.read_json(path)
        told = metrics.get("patches") or metrics.get("probe", {})
        if "pointing" in told:
            found.append((row, told))
    return found


def best_row(rows: list[tuple[pd.Series, dict]], read_out: str) -> tuple[pd.Series, dict]:
    """The best cut, of equals the first."""
    return max(rows, key=lambda pair: pair[0][read_out])


def image_of(shown: dict, place: Path | str) -> np.ndarray:
    """A stored thumbnail as pixels (h, w, 3)."""
    try:
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(shown["image"]))).convert("RGB"))
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{place}: an image of its maps is not whole ({error}); delete it and run again") from None


def draw_pair(panel: Axes, shown: dict, place: str) -> None:
    """An image with the boxes of a class, and below it the map with its highest place."""
    pixels, values = image_of(shown, place), np.asarray(shown["map"])
    panel.set_axis_off()
    panel.set(xlim=(0, 1), ylim=(2.08, 0))
    panel.imshow(pixels, extent=(0, 1, 1, 0), interpolation="bilinear", aspect="auto")
    panel.imshow(values, extent=(0, 1, 2.08, 1.08), cmap="magma", interpolation="nearest", aspect="auto")
    for left, top, right, bottom in shown["boxes"]:
        for shift, colour in ((0, "white"), (1.08, "0.8")):
            corner = (left, top + shift)
            panel.add_patch(Rectangle(corner, right - left, bottom - top, fill=False, edgecolor=colour, linewidth=1))
    across, down = shown["place"]
    for shift in (0, 1.08):
        panel.plot(across, down + shift, marker="+", color="cyan", markersize=7, markeredgewidth=1.4)
    panel.set_title(f"{shown['class']}: {'hit' if shown['hit'] else 'missed'}", fontsize=7, fontweight="normal")
    panel.set(xlim=(0, 1), ylim=(2.08, 0))


def pointing_sentence(row: pd.Series, told: dict, stages: dict) -> str:
    """How often the maps' highest places lie on an object, against the centre."""
    pointed = told["pointing"]
    sentence = (
        f"{row['network']}, cut at {cut_name(row['n'], stages)}: the highest place of a map lies on an object of its "
        f"class in {points(pointed['hits'], signed=False)} % of {pointed['count']:,} cases, the centre of the image in "
        f"{points(pointed['centre'], signed=False)} %"
    )
    if pointed["interval"] is None:
        return f"{sentence}."
    low, high = (points(value) for value in pointed["interval"])
    return f"{sentence}; by image the gain is {points(pointed['gain'])} points (95 % {low} to {high})."


def draw(study: Study, options: Options) -> Drawing:
    """Test images with a box above and the map of its class below; a cross where the map is highest."""
    rows = patched_rows(study, options.read_out)
    if not rows:
        raise NothingToDrawError("nothing in this study reads patches, so there are no score maps")
    row, told = best_row(rows, options.read_out)
    shown = told["maps"]
    grid = panel_grid(len(shown), min(COLUMNS, len(shown)), options.width, (RATIO / COLUMNS, 0.1))
    for panel, each in zip(grid.panels, shown, strict=True):
        draw_pair(panel, each, row["network"])
    finish(grid.figure, study.coverage, [], ncols=1)
    caption = (
        "Of some classes a test image that shows it, drawn at random, with the boxes of the class; below it the sum of "
        "the scores of the patches over each place; the cross is the highest. No box of these images was "
        "learnt from. "
        f"{pointing_sentence(row, told, stage_names(study.networks))}"
    )
    return Drawing(grid.figure, "Score maps", caption)
