"""Filters: the weights of the first layer of base networks, as small images."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from transferability.analysis.conditions import unreduced
from transferability.errors import InputError
from transferability.figures.captions import footer
from transferability.figures.styles import Drawing, NothingToDrawError, finish, set_theme
from transferability.networks.checkpoints import read_checkpoint
from transferability.words import counted

FIRST = "conv1.conv.weight"
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


def draw_filters(networks: pd.DataFrame, models: Path, coverage: str, width: float) -> Drawing:
    """The first layer of up to SHOWN base networks, read from models/{split}/seed{seed}/{network}. Width in inches."""
    bases = unreduced(networks[(networks["treatment"] == "base") & networks["trained"]])
    if bases.empty:
        raise NothingToDrawError("no base network of this study trained, so there are no first-layer filters to show")
    shown = bases.sort_values(["seed", "split", "target"], kind="stable").head(SHOWN)
    layers = {}
    for network in shown.itertuples():
        path = models / network.split / f"seed{network.seed}" / network.network / "model.safetensors"
        _, state = read_checkpoint(path)
        if FIRST not in state:
            raise InputError(f"{path}: has no first layer {FIRST}; delete it and run again")
        layers[f"{network.split}, seed {network.seed}, {network.network}"] = state[FIRST].numpy()
    set_theme()
    count, channels, size, _ = next(iter(layers.values())).shape
    across = min(count, 8 if count <= 32 else 12 if count <= 96 else 16)
    columns = min(len(layers), 2)
    lines = -(-len(layers) // columns)
    ratio = (-(-count // across) * (size + 1)) / (across * (size + 1))
    figure, panels = plt.subplots(
        lines,
        columns,
        figsize=(width, width / columns * ratio * lines + 0.28 * lines + 0.5),
        squeeze=False,
        layout="constrained",
    )
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.06)
    for panel in panels.flat:
        panel.set_axis_off()
    for panel, (name, weights) in zip(panels.flat, layers.items(), strict=False):
        panel.imshow(tile_filters(weights, across), interpolation="nearest", aspect="equal")
        panel.set_title(name, fontsize=7.5, fontweight="normal")
    text = footer(shown, coverage)
    if len(bases) > len(shown):
        text += f"; of {len(bases)} base networks the first {len(shown)} are shown"
    finish(figure, text, [], ncols=1)
    caption = (
        f"The {counted(count, 'filter')} of {size}×{size} pixels of the first layer, "
        f"{'in colour' if channels == 3 else 'in grey'}, of {counted(len(shown), 'base network')}"
        f"{f' of {len(bases)}' if len(bases) > len(shown) else ''}; mid-grey is a weight of 0."
    )
    return Drawing(figure, "First-layer filters of base networks", caption)
