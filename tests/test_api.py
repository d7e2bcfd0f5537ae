"""API: the few names that a script of one's own needs."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from planted import plant

from transferability import api
from transferability.analysis.tables import EFFECT_COLUMNS, write_table
from transferability.data.batches import normalise
from transferability.errors import InputError
from transferability.networks.alexnet import initialise
from transferability.networks.building import build_network
from transferability.networks.checkpoints import Card, save_checkpoint
from transferability.networks.stages import AlexNet


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """The file of a small network for digits."""
    path = tmp_path_factory.mktemp("network") / "model.safetensors"
    architecture, shape = AlexNet("tiny", 1, "batch", 0), (1, 8, 8)
    network = build_network(architecture, shape, 3)
    initialise(network, architecture, lambda n: n)
    save_checkpoint(path, network, Card("A3B+", architecture, shape, ["x", "y", "z"], [0.3], [0.4]))
    return path


def test_features_are_what_the_stages_below_a_cut_give(checkpoint):
    network, card = api.load_network(checkpoint)
    images = np.random.default_rng(0).integers(0, 256, (5, 1, 8, 8), dtype=np.uint8)
    with torch.no_grad():
        seen = normalise(torch.from_numpy(images), card.mean, card.std)
        expected = {n: network[:n](seen).flatten(1).numpy() for n in (3, 7)}
        logits = network(seen).numpy()
    given = api.features(checkpoint, images, [3, 7, 8], batch=2)
    assert list(given) == [3, 7, 8]
    for n in (3, 7):
        np.testing.assert_allclose(given[n], expected[n], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(given[8], logits, rtol=1e-4, atol=1e-6)
    assert not network.training


@pytest.mark.parametrize(
    ("images", "cuts", "complaint"),
    [
        (np.zeros((2, 1, 8, 8)), [1], r"images: must be uint8 \(N, C, H, W\) of 1×8×8, not float64 \(2, 1, 8, 8\)"),
        (np.zeros((2, 8, 8), np.uint8), [1], r"images: must be uint8"),
        (np.zeros((2, 1, 8, 8), np.uint8), [9], "cuts: there is none after stage 9"),
        (np.zeros((2, 1, 8, 8), np.uint8), [], "cuts: name one at least"),
        (np.zeros((0, 1, 8, 8), np.uint8), [1], "images: there is none"),
    ],
)
def test_images_and_cuts_that_do_not_fit_are_refused(checkpoint, images, cuts, complaint):
    with pytest.raises(InputError, match=complaint):
        api.features(checkpoint, images, cuts)


def test_a_table_is_read_with_its_types_and_gives_the_effects_of_what_is_chosen(tmp_path):
    write_table(tmp_path / "networks.csv", plant())
    networks = api.read_table(tmp_path / "networks.csv")
    pd.testing.assert_frame_equal(networks, plant(), check_like=True)
    chosen = api.effects_table(networks[networks["split"] == "random0"])
    assert list(chosen.columns) == list(EFFECT_COLUMNS)
    one = chosen[(chosen["effect"] == "specificity") & (chosen["n"] == 4) & (chosen["read_out"] == "test_top1")]
    # Planted: transfer loses 0.03 a stage, selffer 0.01.
    assert one["mean"].item() == pytest.approx(-0.08)


def test_a_table_of_another_name_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"numbers\.csv: no table of a run; they are networks\.csv, "):
        api.read_table(tmp_path / "numbers.csv")
