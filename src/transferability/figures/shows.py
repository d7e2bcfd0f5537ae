"""Shows: the images that a few units of each cut answer to most, cropped to what the unit sees, and what in them."""

import json
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from transferability.errors import InputError
from transferability.figures.axes import panel_grid
from transferability.figures.records import Drawing, NothingToDrawError, Options, Study
from transferability.figures.styles import finish
from transferability.words import counted, in_words

ACROSS = 3
"""Images of a unit in a line; nine are three lines."""
BETWEEN = 2
"""Pixels between images, and three times as many between images and answers."""
COLUMNS = 4
WAYS = {
    "deconvnet": "what goes back to the image through a deconvnet, around mid-grey",
    "occlusion": "where a grey square makes the unit's value fall, bright",
}


def read_shows(path: Path | None) -> tuple[list[dict], list[np.ndarray], list[np.ndarray]]:
    """The cards of the cuts in shows.npz, and the patches and answers of each, uint8 (units, images, h, w, C)."""
    if path is None or not path.exists():
        raise NothingToDrawError("no unit was looked at; name some cuts in shows of the params")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            cards = json.loads(str(arrays["card"]))
            each = [[arrays[f"{name}{at}"] for at in range(len(cards))] for name in ("patches", "answers")]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise InputError(f"{path}: not whole ({error}); delete it and run again") from None
    return cards, *each


def mosaic(images: np.ndarray) -> np.ndarray:
    """Images (count, h, w, C) as one, ACROSS in a line, white between them: uint8 (height, width, 3)."""
    count, height, width, channels = images.shape
    lines = -(-count // ACROSS)
    canvas = np.full((lines * (height + BETWEEN) - BETWEEN, ACROSS * (width + BETWEEN) - BETWEEN, 3), 255, np.uint8)
    for at, image in enumerate(images):
        y, x = (at // ACROSS) * (height + BETWEEN), (at % ACROSS) * (width + BETWEEN)
        canvas[y : y + height, x : x + width] = image if channels == 3 else image[..., :1]
    return canvas


def beside(patches: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """The images of a unit, and what in them it answers to, beside each other."""
    left, right = mosaic(patches), mosaic(answers)
    return np.concatenate([left, np.full((len(left), 3 * BETWEEN, 3), 255, np.uint8), right], axis=1)


def reasons_of(cards: list[dict]) -> str:
    """Why cuts have occlusion in place of a deconvnet, each reason once."""
    reasons = list(dict.fromkeys(card["reason"] for card in cards if card["reason"]))
    more = f" and {len(reasons) - 2} more reasons" if len(reasons) > 2 else ""
    return f"Occlusion in place of a deconvnet: {'; '.join(reasons[:2])}{more}" if reasons else ""


def draw(study: Study, options: Options) -> Drawing:
    """A panel a unit: on the left its strongest images, at most one activation each; on the right its answers."""
    cards, patches, answers = read_shows(study.tables and study.tables / "shows.npz")
    shown = [(at, unit) for at, card in enumerate(cards) for unit in range(len(card["units"]))]
    if not shown:
        raise NothingToDrawError("no unit of the cuts in shows answers to any test image")
    columns = min(COLUMNS, max(len(card["units"]) for card in cards))
    places = [(at, unit) for at in range(len(cards)) for unit in range(columns) if len(cards[at]["units"])]
    grid = panel_grid(len(places), columns, options.width, (0.5 / columns + 0.035, 0.12))
    grid.pad(0.05, 0.03)
    for panel, (at, unit) in zip(grid.panels, places, strict=True):
        panel.set_axis_off()
        if (at, unit) in shown:
            card = cards[at]
            panel.imshow(beside(patches[at][unit], answers[at][unit]), interpolation="nearest")
            panel.set_title(
                f"{card['cut']}, {card['stage']}, unit {card['units'][unit]}", fontsize=6.5, fontweight="normal"
            )
    first = cards[0]
    rule = "Units are evenly spaced by number among those that answer, above 0, to nine images or more"
    ways = "; or ".join(WAYS[way] for way in dict.fromkeys(card["method"] for card in cards))
    sizes = in_words([f"{card['cut']} {'×'.join(map(str, card['field']))}" for card in cards])
    text = ". ".join(filter(None, [rule, reasons_of(cards), f"Pixels that a unit sees: {sizes}"]))
    finish(grid.figure, text, [], ncols=1)
    caption = (
        f"Of each cut {counted(columns, 'unit')} at most; of each unit the images of "
        f"{counted(first['count'], 'test image')} that it answers to most, strongest first, at most one place each, "
        f"cropped to what the unit sees; beside them {ways}. {text}."
    )
    return Drawing(grid.figure, "What units answer to", caption)
