"""Views: the sixteen of an image as probes read them, drawn.

python -m transferability.figures.views --packed data/packed/photos --image 0 --size 224 --into views.png
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from transferability.data.batches import centre
from transferability.data.packed import open_packed
from transferability.errors import InputError, exit_plainly
from transferability.evaluation.views import VIEWS
from transferability.figures.axes import panel_grid
from transferability.figures.styles import save_figure

MOST = 16
COLUMNS = 4


def draw_views(image: np.ndarray, width: float) -> Figure:
    """All views of an image, uint8 (C, H, W), on a figure of so many inches, by name."""
    grid = panel_grid(MOST, COLUMNS, width, (1 / COLUMNS + 0.03, 0))
    for panel, view in zip(grid.panels, VIEWS[MOST], strict=True):
        seen = (
            view(torch.tensor(image, dtype=torch.float32)[None])[0]
            .round()
            .clamp(0, 255)
            .byte()
            .permute(1, 2, 0)
            .numpy()
        )
        panel.imshow(seen[..., 0] if len(image) == 1 else seen, cmap="gray", vmin=0, vmax=255)
        panel.set_title(view.name, fontsize=7.5, fontweight="normal")
        panel.set_axis_off()
    return grid.figure


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the sixteen views of an image of a packed data set.")
    parser.add_argument("--packed", type=Path, required=True, help="folder of the packed data set")
    parser.add_argument("--image", type=int, default=0, help="which of its images, counted from 0")
    parser.add_argument("--size", type=int, help="pixels a side that networks see of it; all if missing")
    parser.add_argument("--into", type=Path, required=True, help="figure to write, .png or .svg")
    arguments = parser.parse_args()
    images = open_packed(arguments.packed).checked
    if not 0 <= arguments.image < len(images):
        raise InputError(f"--image: {arguments.packed} has images 0 to {len(images) - 1}, not {arguments.image}")
    channels, height, width = images.shape[1:]
    size = arguments.size or max(height, width)
    image = centre(
        torch.from_numpy(images[np.array([arguments.image])]), (channels, min(size, height), min(size, width))
    )[0]
    save_figure(draw_views(image.numpy(), 6.5), arguments.into, 200)
    plt.close("all")


if __name__ == "__main__":
    exit_plainly(main)
