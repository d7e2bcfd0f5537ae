"""Filters: the weights of the first layer of base networks, as small images."""

from pathlib import Path

import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open

from transferability.analysis.conditions import unreduced
from transferability.errors import InputError
from transferability.figures.axes import panel_grid
from transferability.figures.captions import footer
from transferability.figures.records import Drawing, NothingToDrawError, Options, Study
from transferability.figures.styles import finish
from transferability.words import counted

LEAST = 5
"""Pixels of a filter's side below which it shows nothing."""
SCALE = 4
"""Pixels to a weight, and between filters."""
BETWEEN = (0.8, 0.87, 0.94)
"""A colour that is no weight's, so that the edges of white filters show."""
SHOWN = 8
"""Base networks that are shown at most: the first by split, seed and target."""


def tile_filters(weights: np.ndarray, columns: int) -> np.ndarray:
    """Filters (count, C, k, k) as one image (height, width, 3) in 0..1, with lines of BETWEEN between them.

    Each filter is scaled by its own largest weight, so that 0 is mid-grey. Filters of 3 channels are in colour,
    all others are the mean over their channels.
    """
    count, channels, size, _ = weights.shape
    images = weights if channels == 3 else weights.mean(axis=1, keepdims=True).repeat(3, axis=1)
    largest = np.abs(images).max(axis=(1, 2, 3), keepdims=True)
    scaled = 0.5 + 0.5 * images / np.where(largest > 0, largest, 1)
    enlarged = scaled.repeat(SCALE, axis=2).repeat(SCALE, axis=3)
    lines, side = -(-count // columns), size * SCALE
    step = side + SCALE
    canvas = np.tile(np.array(BETWEEN), (lines * step - SCALE, columns * step - SCALE, 1))
    for index, image in enumerate(enlarged):
        y, x = step * (index // columns), step * (index % columns)
        canvas[y : y + side, x : x + side] = image.transpose(1, 2, 0)
    return canvas


def first_layer(shapes: dict[str, list[int]]) -> str | None:
    """The weights of the convolution that reads the images' own pixels, by the shapes of all of a network's.

    It is the only one with 3 channels to read, or, where none has, the only one with 1; else None. Convolutions of
    single channels further up have 1 too.
    """
    square = {name: shape for name, shape in shapes.items() if len(shape) == 4 and shape[2] == shape[3]}
    for channels in (3, 1):
        names = [name for name, shape in square.items() if shape[1] == channels]
        if names:
            return names[0] if len(names) == 1 else None
    return None


def read_filters(path: Path) -> np.ndarray:
    """The filters of a checkpoint's first layer, float (count, C, k, k).

    A file that is missing or not whole is an InputError; filters that show nothing, or none, are NothingToDrawError.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118 (no mapping)
            first = first_layer(shapes)
            if first is None:
                raise NothingToDrawError("the first layer of these networks has no filters that are images")
            if shapes[first][2] < LEAST:
                sides = "×".join(map(str, shapes[first][2:]))
                raise NothingToDrawError(f"filters of {sides} pixels show nothing to a reader")
            return file.get_tensor(first)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such checkpoint") from None
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a whole checkpoint ({error}); delete it and run again") from None


def shown_networks(networks: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """The first base networks at full volume that trained, up to SHOWN; and how many there are."""
    bases = unreduced(networks[(networks["treatment"] == "base") & networks["trained"]])
    if bases.empty:
        raise NothingToDrawError("no base network of this study trained, so there are no first-layer filters to show")
    return bases.sort_values(["seed", "split", "target"], kind="stable").head(SHOWN), len(bases)


def draw(study: Study, options: Options) -> Drawing:
    """The first layer of up to SHOWN base networks, read from models/{split}/seed{seed}/{network}."""
    if study.models is None:
        raise NothingToDrawError("this study has tables only; without its networks' files this cannot be drawn")
    shown, total = shown_networks(study.networks)
    filters = {}
    for network in shown.itertuples():
        folder = study.models / network.split / f"seed{network.seed}" / network.network
        name = f"{network.split}, seed {network.seed}, {network.network}"
        filters[name] = read_filters(folder / "model.safetensors")
    count, channels, *sides = next(iter(filters.values())).shape
    across = min(count, 8 if count <= 32 else 12 if count <= 96 else 16)
    columns = min(len(filters), 2)
    height = (-(-count // across) / across / columns + 0.28 / options.width, 0.5 / options.width)
    grid = panel_grid(len(filters), columns, options.width, height)
    grid.pad(0.08, 0.06)
    for panel, (name, weights) in zip(grid.panels, filters.items(), strict=True):
        panel.set_axis_off()
        panel.imshow(tile_filters(weights, across), interpolation="nearest", aspect="equal")
        panel.set_title(name, fontsize=7.5, fontweight="normal")
    of_total = f" of {total}" if total > len(shown) else ""
    more = f"; of {total} base networks the first {len(shown)} are shown" if of_total else ""
    finish(grid.figure, footer(shown, study.coverage) + more, [], ncols=1)
    caption = (
        f"The {counted(count, 'filter')} of {'×'.join(map(str, sides))} pixels of the first layer, "
        f"{'in colour' if channels == 3 else 'in grey'}, of {counted(len(shown), 'base network')}{of_total}; "
        "mid-grey is a weight of 0."
    )
    return Drawing(grid.figure, "First-layer filters of base networks", caption)
