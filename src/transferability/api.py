"""API: what a script of one's own needs of a run, in a few names: networks, features, tables and effects."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from transferability.analysis import effects, tables
from transferability.data.batches import normalise
from transferability.errors import InputError
from transferability.evaluation.features import check_cuts, stage_features
from transferability.evaluation.pooling import Pooling
from transferability.networks import checkpoints
from transferability.networks.checkpoints import Card

COLUMNS = {
    "networks": tables.NETWORK_COLUMNS,
    "learning": tables.LEARNING_COLUMNS,
    "pairs": tables.PAIR_COLUMNS,
    "effects": tables.EFFECT_COLUMNS,
    "drops": tables.DROP_COLUMNS,
    "coverage": tables.COVERAGE_COLUMNS,
}
"""The columns of a run's tables, by the name of the file."""


def load_network(path: str | Path) -> tuple[nn.Sequential, Card]:
    """A trained network of a run, models/.../{network}/model.safetensors, and what is known of it.

    The network is in evaluation mode on the CPU, a sequence of named stages: network[:n] is what is below the cut at n.
    It reads normalised images. A file that is missing, not whole or no network of a run is an InputError.
    """
    card, network = checkpoints.load_network(Path(path))
    return network, card


def features(
    path: str | Path, images: np.ndarray, cuts: Sequence[int], pooling: str = "full", batch: int = 256
) -> dict[int, np.ndarray]:
    """What the stages of a network give for images, {n: float32 (N, D)}, at each cut.

    `images` are uint8 (N, C, H, W) of the shape that the network was trained on; `pooling` is "full" (all values),
    "gap" or "grid" of maps, "class" or "mean" of tokens. Images of another shape or type, or a cut that is none, are
    an InputError.
    """
    network, card = load_network(path)
    if images.dtype != np.uint8 or images.shape[1:] != card.shape:
        wanted = "×".join(map(str, card.shape))
        raise InputError(f"images: must be uint8 (N, C, H, W) of {wanted}, not {images.dtype} {images.shape}")
    if not len(images):
        raise InputError("images: there is none; give one at least")
    if not len(cuts):
        raise InputError("cuts: name one at least")
    check_cuts(network, cuts)
    parts = []
    with torch.no_grad():
        for start in range(0, len(images), batch):
            raw = torch.from_numpy(np.ascontiguousarray(images[start : start + batch]))
            seen = normalise(raw, card.mean, card.std, card.channels)
            parts.append(stage_features(network, seen, list(cuts), Pooling(pooling)))
    return {n: np.concatenate([part[n] for part in parts]) for n in cuts}


def read_table(path: str | Path) -> pd.DataFrame:
    """A table of a run, such as results/.../networks.csv, with its types; what is missing is NaN, NA or None.

    A file that is missing, not whole or of another name is an InputError.
    """
    path = Path(path)
    if path.stem not in COLUMNS:
        raise InputError(f"{path}: no table of a run; they are {', '.join(f'{name}.csv' for name in COLUMNS)}")
    return tables.read_table(path, COLUMNS[path.stem])


def effects_table(networks: pd.DataFrame, unbalanced: bool = False) -> pd.DataFrame:
    """The effects of some networks, as effects.csv has them: a row an effect, read-out and n, with its interval.

    `networks` are rows of networks.csv, such as those of chosen splits. Means over unbalanced cells are refused (NaN)
    unless asked for.
    """
    return effects.effects_table(networks, unbalanced)
