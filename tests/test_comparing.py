"""Comparing: CKA of any two cuts that the params name, its table and its matrices."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from drawn import drawing_of
from planted import plant

from transferability.analysis.tables import CKA_COLUMNS, read_table
from transferability.data.tasks import open_task
from transferability.errors import InputError
from transferability.evaluation import comparing
from transferability.evaluation.cuts import Seen
from transferability.evaluation.features import cut_features, prepared
from transferability.evaluation.pooling import Pooling
from transferability.evaluation.scores import cka as cka_of
from transferability.figures import cka
from transferability.figures.records import NothingToDrawError
from transferability.networks.alexnet import draw
from transferability.networks.checkpoints import Card, load_network, save_checkpoint
from transferability.networks.stages import AlexNet
from transferability.study.params import check_networks, check_params

torch.set_num_threads(1)

CHECKOUT = Path(__file__).parent.parent
TINY = AlexNet("tiny", 1, "batch", 0.0)


@pytest.fixture
def compare(packed_digits, digits_split, tmp_path, monkeypatch):
    """Compare cuts of untrained baseA and baseB, which differ, and read what was written."""
    task = open_task(digits_split, "B", packed_digits)
    for seed, name in enumerate(("baseA", "baseB", "dead")):
        network = draw(TINY, (1, 8, 8), 5, lambda n, seed=seed: n + 10 * seed)
        if name == "dead":
            torch.nn.init.zeros_(network[2][1].weight)
        card = Card("baseB" if name == "dead" else name, TINY, (1, 8, 8), task.classes, task.mean, task.std)
        save_checkpoint(tmp_path / name / "model.safetensors", network, card)

    def command(cuts: list[str], read: list[str]):
        words = ["--split", digits_split, "--packed", packed_digits, "--cuts", *cuts]
        words += ["--models", *(tmp_path / name / "model.safetensors" for name in read)]
        words += ["--options", json.dumps({"pooling": {"kind": "full"}, "images": 60})]
        words += ["--device", "cpu", "--threads", 1, "--into", tmp_path / "cka.csv"]
        monkeypatch.setattr(sys, "argv", ["comparing", *map(str, words)])
        comparing.main()
        return read_table(tmp_path / "cka.csv", CKA_COLUMNS)

    return command


def test_each_cut_is_compared_with_every_other_on_the_same_images(compare, digits_split, packed_digits, tmp_path):
    table = compare(["A2B", "A5B", "B2B"], ["baseA", "baseA", "baseB"]).set_index(["cut", "other"])["cka"]
    assert len(table) == 6
    assert all(table[name, name] == 1 for name in ("A2B", "A5B", "B2B"))
    seen, features = Seen.of(digits_split, "B", packed_digits, 60), {}
    for name in ("baseA", "baseB"):
        card, network = load_network(tmp_path / name / "model.safetensors")
        features[name] = cut_features(network, prepared(seen.images, card, torch.device("cpu")), [2], Pooling("full"))
    assert table["A2B", "B2B"] == pytest.approx(cka_of(features["baseA"][2], features["baseB"][2]), abs=1e-5)
    assert 0 < table["A2B", "A5B"] < 1


def test_the_figure_has_a_matrix_for_each_two_curves_and_says_why_a_cell_is_blank(compare, tmp_path):
    compare(["A2B", "A3B", "B2B", "B3B"], ["baseA", "baseA", "dead", "dead"])
    drawing = drawing_of(cka, plant(), tables=tmp_path)
    panels = [axes for axes in drawing.figure.axes if axes.get_visible()]
    assert [(panel.get_ylabel(), panel.get_xlabel()) for panel in panels] == [
        ("AnB, n", "AnB, n"),
        ("AnB, n", "BnB, n"),
        ("BnB, n", "BnB, n"),
    ]
    shown = panels[1].get_images()[0].get_array()
    assert np.isnan(shown.filled(np.nan)[:, 1]).all()
    assert "Blank: scores: CKA of features that are NaN, infinite or the same for every image" in drawing.caption
    assert "AnB and BnB" in drawing.caption


def test_cuts_of_two_targets_are_refused_by_params_and_command(compare):
    params = yaml.safe_load((CHECKOUT / "params.yaml").read_text())
    params["cka"] = {"cuts": ["AnB", "B2A"], "pooling": "gap"}
    check_params(params, CHECKOUT / "src/transferability/study/params.schema.yaml")
    with pytest.raises(InputError, match=r"cka\.cuts: they are compared on the same images; name cuts of one target"):
        check_networks(params)
    with pytest.raises(InputError, match="--cuts: cuts of one target at a time"):
        compare(["A2B", "B2A"], ["baseA", "baseB"])


def test_without_cuts_the_figure_says_so(tmp_path):
    with pytest.raises(NothingToDrawError, match="no features were compared; name some cuts in cka"):
        drawing_of(cka, plant(), tables=tmp_path)
