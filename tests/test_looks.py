"""Looks: which cuts `tsne` of the params names, and what it lays out on a plane and draws."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from drawn import drawing_of
from planted import plant

from transferability.analysis.tables import EMBEDDING_COLUMNS, read_table
from transferability.data.tasks import open_task
from transferability.errors import InputError
from transferability.evaluation import embedding
from transferability.evaluation.cuts import Seen
from transferability.evaluation.embedding import COLUMNS, embed
from transferability.figures import tsne
from transferability.figures.records import NothingToDrawError
from transferability.networks.alexnet import draw
from transferability.networks.checkpoints import Card, save_checkpoint
from transferability.networks.stages import AlexNet
from transferability.study.grid import study_figures
from transferability.study.looks import look_options, looked_cuts, looked_weights
from transferability.study.params import check_networks, check_params

torch.set_num_threads(1)

CHECKOUT = Path(__file__).parent.parent
SCHEMA = CHECKOUT / "src/transferability/study/params.schema.yaml"
TINY = AlexNet("tiny", 1, "batch", 0.0)


@pytest.fixture
def params() -> dict:
    """The default study, cut at 2 and 5, which looks at two curves."""
    params = yaml.safe_load((CHECKOUT / "params.yaml").read_text())
    params["study"] |= {"n": [2, 5]}
    params["tsne"] = {"cuts": ["AnB", "R5B", "B2B+"], "pooling": "gap"}
    return params


def check(params: dict) -> None:
    check_params(params, SCHEMA)
    check_networks(params)


def test_cuts_are_named_as_networks_are_and_read_off_the_network_that_has_their_stages(params):
    check(params)
    assert [cut.name for cut in looked_cuts(params, "tsne", "tiny")] == ["A2B", "A5B", "R5B", "B2B+"]
    read = [network and network.name for network in looked_weights(params, "tsne", "tiny")]
    assert read == ["baseA", "baseA", "R5B", "B2B+"]
    assert looked_cuts(params | {"tsne": {"cuts": ["A3B"]}}, "tsne", "tiny")[0].n == 3
    assert "tsne" in study_figures(params)
    del params["tsne"]
    assert looked_cuts(params, "tsne", "tiny") == []
    assert "tsne" not in study_figures(params)


def test_groups_are_handed_on_where_colours_mean_them(params):
    assert look_options(params, "tsne", "digits") == {"pooling": {"kind": "gap"}}
    params["tsne"] |= {"colour": "group", "perplexity": 5}
    options = look_options(params, "tsne", "digits")
    assert options == {
        "pooling": {"kind": "gap"},
        "perplexity": 5,
        "groups": {"even": ["0", "2", "4", "6", "8"], "odd": ["1", "3", "5", "7", "9"]},
    }


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"cuts": ["baseA"]}, "tsne.cuts names baseA, which is no cut; cuts are named like A5B"),
        ({"cuts": ["A5B-k1"]}, "tsne.cuts names A5B-k1, which is no cut"),
        ({"cuts": ["A8B"]}, "tsne.cuts: 'A8B': n = 8 is outside 1..7"),
        ({"cuts": ["R3B"]}, "tsne.cuts names R3B, but n = 3 is not in study.n; add it there"),
        ({"cuts": ["A3B+"]}, "n = 3 is not in study.n"),
        ({"cuts": ["P2B"]}, "asks for P2B, but architectures.tiny has no pretrained weights"),
        ({"perplexity": 0}, "tsne.perplexity: 0 is less than the minimum of 1"),
        ({"pooling": "max"}, "tsne.pooling: 'max' is none of gap, grid, full, class, mean"),
        ({"colours": "class"}, "tsne: unknown key 'colours'"),
    ],
)
def test_what_cannot_be_looked_at_is_refused_in_one_sentence(params, change, sentence):
    params["tsne"] |= change
    with pytest.raises(InputError) as error:
        check(params)
    assert str(error.value).startswith("params: ")
    assert sentence in str(error.value)


def test_a_whole_set_has_no_cuts_of_task_b_and_colours_by_group_need_groups(params):
    params["splits"]["all"] = {"kind": "whole"}
    params["study"] |= {"split": ["all"], "treatment": ["random"]}
    params["export"] = []
    with pytest.raises(InputError, match=r"tsne\.cuts names A2B, but a whole data set has no task B"):
        check_networks(params)
    params["tsne"] = {"cuts": ["A2A"], "pooling": "gap", "colour": "group"}
    check_networks(params)
    del params["datasets"]["digits"]["groups"]
    with pytest.raises(InputError, match=r"colour is group, but datasets\.digits has no groups; name some, or take"):
        check_networks(params)


def test_clusters_stay_apart_and_the_same_features_give_the_same_plane():
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 30)
    features = (8 * generator.normal(size=(3, 80))[labels] + generator.normal(size=(90, 80))).astype(np.float32)
    plane = embed(features, 10)
    assert plane.shape == (90, 2)
    distances = np.linalg.norm(plane[:, None] - plane[None], axis=2) + np.diag(np.full(90, np.inf))
    assert (labels[distances.argmin(1)] == labels).all()
    assert np.array_equal(embed(features, 10), plane)
    with pytest.raises(InputError, match="90 images are too few for a perplexity of 30, which needs more than 90"):
        embed(features, 30)


@pytest.fixture(scope="module")
def models(packed_digits, digits_split, tmp_path_factory) -> Path:
    """Checkpoints of untrained weights: baseA and R6B."""
    folder, task = tmp_path_factory.mktemp("models"), open_task(digits_split, "B", packed_digits)
    for name in ("baseA", "R6B"):
        card = Card(name, TINY, (1, 8, 8), task.classes, task.mean, task.std)
        save_checkpoint(folder / name / "model.safetensors", draw(TINY, (1, 8, 8), 5, lambda n: n), card)
    return folder


@pytest.fixture
def lay_out(packed_digits, digits_split, models, tmp_path, monkeypatch):
    """Run the command on some cuts, and read the rows that it has written."""

    def command(cuts: list[str], read: list[str], **options: object) -> list[dict]:
        words = ["--split", digits_split, "--packed", packed_digits, "--cuts", *cuts, "--shape", 1, 8, 8]
        words += ["--models", *(models / name / "model.safetensors" for name in read)]
        words += ["--options", json.dumps({"pooling": {"kind": "gap"}} | options), "--device", "cpu", "--threads", 1]
        monkeypatch.setattr(sys, "argv", ["embedding", *map(str, words), "--into", str(tmp_path / "tsne.csv")])
        embedding.main()
        return list(csv.DictReader((tmp_path / "tsne.csv").open()))

    return command


def test_the_command_lays_out_every_cut_in_the_order_asked_for(lay_out, digits_split, packed_digits, tmp_path):
    groups = {"low": ["0", "1", "2", "3", "4"], "high": ["5", "6", "7", "8"]}
    cuts = ["A5B", "R2B", "A2A"]
    rows = lay_out(cuts, ["baseA", "R6B", "baseA"], images=60, perplexity=12, groups=groups)
    assert list(rows[0]) == list(COLUMNS) == list(EMBEDDING_COLUMNS)
    assert list(dict.fromkeys(row["cut"] for row in rows)) == cuts
    assert len(rows) == 3 * 60
    assert {(row["cut"], row["stage"]) for row in rows} == {("A5B", "conv5"), ("R2B", "conv2"), ("A2A", "conv2")}
    assert {(row["images"], row["perplexity"], row["pooling"]) for row in rows} == {("60", "12", "gap")}
    for row in rows:
        assert row["group"] == ("" if row["class"] == "9" else "low" if row["class"] < "5" else "high")
    seen = Seen.of(digits_split, "B", packed_digits, 60)
    assert [row["class"] for row in rows[:60]] == [seen.classes[label] for label in seen.labels]
    assert set(seen.labels) == set(range(5))
    whole = read_table(tmp_path / "tsne.csv", EMBEDDING_COLUMNS)
    assert len(whole) == 180


@pytest.mark.parametrize(
    ("cuts", "read", "sentence"),
    [
        (["B3B"], ["baseA"], "B3B reads baseB, and .* is baseA"),
        (["A8B"], ["baseA"], "A8B: .* has 8 stages; a cut is 1 to 7"),
        (["A3B-svm"], ["baseA"], "'A3B-svm' is no cut"),
        (["A3B", "A4B"], ["baseA"], "1 files for 2 cuts; name one a cut"),
    ],
)
def test_cuts_that_are_not_there_are_refused_in_a_sentence(lay_out, cuts, read, sentence):
    with pytest.raises(InputError, match=sentence):
        lay_out(cuts, read)


def planted_rows(groups: bool, classes: int = 4) -> pd.DataFrame:
    """Two cuts of 40 images each."""
    generator = np.random.default_rng(0)
    rows = [
        {"cut": cut, "n": 2, "stage": "conv2", "class": f"c{at % classes}", "group": f"g{at % 2}" if groups else None}
        | {"x": generator.normal(), "y": generator.normal(), "images": 40, "perplexity": 5.0, "pooling": "gap"}
        for cut in ("A2B", "B2B")
        for at in range(40)
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize("groups", [False, True])
def test_the_figure_has_a_panel_a_cut_and_names_the_perplexity(tmp_path, groups):
    planted_rows(groups).to_csv(tmp_path / "tsne.csv", index=False)
    drawing = drawing_of(tsne, plant(), tables=tmp_path)
    panels = [axes for axes in drawing.figure.axes if axes.get_visible()]
    assert [panel.get_title("left") for panel in panels] == ["A2B, conv2", "B2B, conv2"]
    assert sum(len(points.get_offsets()) for points in panels[0].collections) == 40
    (legend,) = drawing.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == (["g0", "g1"] if groups else ["c0", "c1", "c2", "c3"])
    assert "t-SNE, perplexity 5, pooling gap, 40 test images" in drawing.caption
    assert f"coloured by {'group' if groups else 'class'}" in drawing.caption


def test_many_classes_are_counted_and_not_named(tmp_path):
    planted_rows(groups=False, classes=40).to_csv(tmp_path / "tsne.csv", index=False)
    (legend,) = drawing_of(tsne, plant(), tables=tmp_path).figure.legends
    assert legend.get_texts() == []
    assert "40 classes, not named" in legend.get_title().get_text().replace("\n", " ")


def test_without_a_plane_the_figure_says_so(tmp_path):
    with pytest.raises(NothingToDrawError, match="no features were laid out by t-SNE; name some cuts in tsne"):
        drawing_of(tsne, plant(), tables=tmp_path)
