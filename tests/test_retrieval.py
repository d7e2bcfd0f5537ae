"""Retrieval: planted duplicates and patches, whitening and its refusal, and the command with its figure."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn import drawing_of
from planted import plant
from sklearn.metrics import average_precision_score

from transferability.analysis.tables import RETRIEVAL_COLUMNS
from transferability.data.tasks import open_task
from transferability.errors import InputError
from transferability.evaluation import retrieval
from transferability.evaluation.retrieval import (
    COLUMNS,
    Whitening,
    average_precision,
    check_apart,
    patch_similarity,
    patches_of,
    ranking,
    retrieve,
    unit,
)
from transferability.figures import retrieval as figure
from transferability.figures.records import NothingToDrawError
from transferability.networks.alexnet import draw
from transferability.networks.checkpoints import Card, save_checkpoint
from transferability.networks.stages import AlexNet

torch.set_num_threads(1)

TINY = AlexNet("tiny", 1, "batch", 0.0)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("whitened", [False, True])
def test_a_planted_duplicate_ranks_first(whitened):
    features = noise(80, 30)
    features[57] = 3 * features[12]
    found = unit(features)
    if whitened:
        found = Whitening.of(unit(noise(200, 30, seed=1)), 20)(found)
    for query, duplicate in ((12, 57), (57, 12)):
        order = ranking(patch_similarity(found, 1, query), query)
        assert order[0] == duplicate
        assert query not in order
        assert sorted([*order, query]) == list(range(80))


def test_average_precision_is_that_of_scikit_learn_and_the_query_is_left_out():
    features, labels = unit(noise(60, 10)), np.arange(60) % 4
    similarity = features @ features.T
    expected = []
    for query in range(60):
        others = np.arange(60) != query
        relevant = (labels == labels[query])[others]
        expected.append(average_precision_score(relevant, similarity[query][others]))
        assert average_precision(relevant[np.argsort(-similarity[query][others])]) == pytest.approx(expected[-1])
    found = retrieve(features, labels)
    assert found.map == pytest.approx(np.mean(expected))
    assert found.chance == pytest.approx(14 / 59)
    assert found.queries == 60
    grouped = retrieve(unit(10 * np.eye(4)[labels].repeat(3, 1) + noise(60, 12)), labels)
    assert (grouped.map, grouped.first) == (1, 1)


def test_an_image_that_is_alone_in_its_class_is_no_query():
    labels = np.array([0, 0, 1, 2, 2])
    assert retrieve(unit(noise(5, 3)), labels).queries == 4
    with pytest.raises(InputError, match="no class has two test images, so there is nothing to find"):
        retrieve(unit(noise(3, 3)), np.arange(3))


def test_whitened_features_have_unit_covariance_and_at_most_so_many_components():
    features = noise(300, 8) * np.geomspace(1, 50, 8) + 4
    whiten = Whitening.of(features, 5)
    spread = (features - whiten.mean) @ whiten.directions
    assert np.allclose(np.cov(spread.T), np.eye(5), atol=1e-8)
    assert np.allclose(np.linalg.norm(whiten(features), axis=1), 1)
    # Of ten images at most nine directions are known, of copies fewer.
    assert Whitening.of(noise(10, 40), 128).directions.shape == (40, 9)
    assert Whitening.of(np.repeat(noise(4, 40), 5, axis=0), 128).directions.shape == (40, 3)


def test_whitening_is_refused_on_queries():
    images = np.random.default_rng(0).integers(0, 256, (30, 1, 4, 4), dtype=np.uint8)
    check_apart(images[:20], images[20:])
    with pytest.raises(InputError, match="2 of the images that whitening is fitted to are queries; fit it to other"):
        check_apart(images[:22], images[20:])


def test_patches_of_a_level_cover_the_image_and_overlap_by_half():
    views = patches_of(3)
    assert len(views) == 1 + 4 + 9
    places = torch.arange(24.0).repeat(24, 1)[None, None]
    assert torch.equal(views[0](places), places)
    for level in (2, 3):
        row = [view for view in views if view.name.startswith(f"{level}-")][:level]
        left, right = (torch.stack([view(places)[0, 0, 0, at] for view in row]) for at in (0, -1))
        assert left[0] < 1
        assert right[-1] > 22
        assert torch.allclose(left[1:] - left[:-1], torch.full((level - 1,), 24 / (level + 1)), atol=0.5)


def test_spatial_search_finds_a_part_that_has_moved():
    """What two images share is in one patch of each, and in another one."""
    features = noise(4 * 40, 256).reshape(4, 40, 256)
    features[3, 21] = features[0, 8] = 2 * noise(256, seed=5)
    flat = unit(features.reshape(160, 256))
    assert ranking(patch_similarity(flat, 4, 8), 8)[0] == 21
    whole = unit(features[1])
    assert ranking(patch_similarity(whole, 1, 8), 8)[0] != 21


@pytest.fixture(scope="module")
def retrieved(packed_digits, digits_split, tmp_path_factory) -> Path:
    """The folder of what the command has written for a curve and a random network."""
    folder, task = tmp_path_factory.mktemp("retrieved"), open_task(digits_split, "B", packed_digits)
    for name in ("baseA", "R6B"):
        card = Card(name, TINY, (1, 8, 8), task.classes, task.mean, task.std)
        save_checkpoint(folder / name / "model.safetensors", draw(TINY, (1, 8, 8), 5, lambda n: n), card)
    words = ["--split", digits_split, "--packed", packed_digits, "--shape", 1, 8, 8, "--cuts", "A2B", "A5B", "R2B"]
    words += ["--models", *(folder / name / "model.safetensors" for name in ("baseA", "baseA", "R6B"))]
    options = {"pooling": {"kind": "full"}, "components": 16, "levels": 2, "images": 120}
    words += ["--options", json.dumps(options), "--device", "cpu", "--threads", 1, "--into", folder / "retrieval.csv"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["retrieval", *map(str, words)])
        retrieval.main()
    return folder


def test_the_command_has_a_row_a_cut_and_way(retrieved):
    rows = list(csv.DictReader((retrieved / "retrieval.csv").open()))
    assert tuple(rows[0]) == COLUMNS == tuple(RETRIEVAL_COLUMNS)
    ways = ["plain", "whitened", "spatial"]
    assert [(row["cut"], row["way"]) for row in rows] == [(cut, way) for cut in ("A2B", "A5B", "R2B") for way in ways]
    assert {(row["queries"], row["pooling"]) for row in rows} == {("120", "full")}
    assert {row["components"] for row in rows if row["way"] != "plain"} == {"16"}
    plain = [float(row["map"]) for row in rows if row["way"] == "plain"]
    assert min(plain) > 2 * float(rows[0]["chance"]) > 0.3
    assert all(float(row["first"]) > 0.8 for row in rows if row["way"] == "plain")


def test_the_figure_has_a_curve_a_source_and_way(retrieved, tmp_path):
    drawing = drawing_of(figure, plant(), tables=retrieved)
    labels = [text.get_text() for text in drawing.figure.legends[0].get_texts()]
    assert labels == [f"{curve}, {way}" for curve in ("AnB", "RnB") for way in ("plain", "whitened", "spatial")]
    assert "no label was learnt" in drawing.caption
    with pytest.raises(NothingToDrawError, match="name some cuts in retrieval"):
        drawing_of(figure, plant(), tables=tmp_path)
