"""The probing command on the digits: its JSON, what it reads, and what it refuses."""

import json
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss

from transferability import files
from transferability.data.tasks import Task, open_task
from transferability.errors import InputError
from transferability.evaluation import features, probing
from transferability.evaluation.adaptation import Adaptation
from transferability.evaluation.features import cut_features, prepared
from transferability.evaluation.labelled import Labelled
from transferability.evaluation.metrics import score
from transferability.evaluation.pooling import POOLINGS, Pooling
from transferability.evaluation.probes import CLASSIFIERS, NORMALISATIONS, Probe
from transferability.evaluation.probing import ProbedTask, like_classes, parse_probe
from transferability.networks.alexnet import draw
from transferability.networks.checkpoints import Card, load_network, save_checkpoint
from transferability.networks.stages import AlexNet
from transferability.study.probes import PATCH_KEYS, PATCHES, PIXELS

torch.set_num_threads(1)

TINY = AlexNet("tiny", 1, "batch", 0.5)


@pytest.fixture(scope="module")
def task(packed_digits, digits_split) -> Task:
    """Task B of the digits' split random0."""
    return open_task(digits_split, "B", packed_digits)


@pytest.fixture(scope="module")
def models(task, tmp_path_factory) -> Path:
    """Checkpoints of untrained weights: baseA, R6B and A3B+."""
    folder = tmp_path_factory.mktemp("models")
    for name in ("baseA", "R6B", "A3B+"):
        card = Card(name, TINY, (1, 8, 8), task.classes, task.mean, task.std)
        save_checkpoint(folder / name / "model.safetensors", draw(TINY, (1, 8, 8), 5, lambda n: n), card)
    return folder


@pytest.fixture
def run(packed_digits, digits_split, models, tmp_path, monkeypatch):
    """Run the command and read what it has written, without the time that it took, which is never the same."""

    def command(model: str, names: list[str], **options: object) -> list[dict]:
        paths = [str(tmp_path / "results" / f"{name}.json") for name in names]
        probe = {"classifier": "logreg", "choices": [1.0]} | options.pop("probe", {})
        words = ["--split", digits_split, "--packed", packed_digits, "--model", models / model / "model.safetensors"]
        words += ["--probe", json.dumps(probe), "--features", tmp_path / "features" / model]
        words += ["--shape", *options["shape"]] if "shape" in options else []
        words += ["--pooling", json.dumps(options.get("pooling", {"kind": "full"}))]
        words += ["--device", "cpu", "--threads", 1, "--metrics", *paths]
        monkeypatch.setattr(sys, "argv", ["probing", *map(str, words)])
        probing.main()
        read = [files.read_json(Path(path)) for path in paths]
        assert all(metrics["probe"].pop("seconds") > 0 for metrics in read)
        return read

    return command


def test_a_probe_is_a_classifier_on_the_source_s_features_of_the_target_s_images(run, task, models):
    first, third = run("baseA", ["A1B-logreg", "A3B-logreg"])

    card, network = load_network(models / "baseA/model.safetensors")
    parts = {
        part: cut_features(network, prepared(task.images[part], card, torch.device("cpu")), [3], Pooling("full"))[3]
        for part in ("train", "test")
    }
    mean, deviation = parts["train"].mean(0, dtype=float), parts["train"].std(0, dtype=float)
    train, test = ((parts[part] - mean) / np.where(deviation > 1e-6, deviation, 1) for part in ("train", "test"))
    plain = LogisticRegression(C=1.0, solver="newton-cg", tol=1e-9).fit(train, task.labels["train"])
    assert third["test"]["top1"] == accuracy_score(task.labels["test"], plain.predict(test))
    assert third["test"]["loss"] == pytest.approx(log_loss(task.labels["test"], plain.predict_proba(test)), rel=1e-4)
    assert first["test"]["top1"] > 0.8


def test_its_json_has_the_form_of_a_network_s(run, task, models):
    (metrics,) = run("baseA", ["A2B-logreg"], pooling={"kind": "gap"})
    assert list(metrics)[:8] == [*("network", "treatment", "source", "n", "target", "fine_tune"), "preserved", "option"]
    assert list(metrics.values())[:8] == ["A2B-logreg", "transfer-logreg", "A", 2, "B", False, 0, "logreg"]
    assert (metrics["stage"], metrics["depth"], metrics["classes"]) == ("conv2", 8, 5)
    assert metrics["model_sha256"] == files.sha256(models / "baseA/model.safetensors")
    assert (metrics["trained"], metrics["reason"], metrics["learning"]) == (True, None, [])
    assert metrics["images_seen"] == len(task.labels["train"])
    for part in ("validation", "test"):
        labels = task.labels[part]
        like = score(torch.zeros(len(labels), 5), torch.from_numpy(labels), task.classes)
        assert metrics[part].keys() == like.keys()
        assert {name: row["count"] for name, row in metrics[part]["per_class"].items()} == {
            name: row["count"] for name, row in like["per_class"].items()
        }
        rows = metrics[part]["per_class"].values()
        assert metrics[part]["mean_per_class"] == pytest.approx(np.mean([row["top1"] for row in rows]))
    block = metrics["probe"]
    assert (block["name"], block["classifier"], block["normalisation"]) == ("logreg", "logreg", "standard")
    assert (block["chosen"], block["reasons"], block["unsettled"]) == ([1.0], [], [])
    assert block["pooling"] == {"kind": "gap", "values": 9000, "channels": "first"}
    assert block["draws_top1"]["test"]["mean"] == metrics["test"]["top1"]


def test_draws_are_averaged_and_their_spread_is_told(run):
    probe = {"classifier": "centroid", "choices": None, "images_per_class": 3, "draws": 4}
    (metrics,) = run("baseA", ["A4B-means"], probe=probe)
    spread = metrics["probe"]["draws_mean_per_class"]["test"]
    assert (spread["draws"], spread["mean"]) == (4, pytest.approx(metrics["test"]["mean_per_class"]))
    assert spread["low"] < spread["mean"] < spread["high"]
    assert metrics["images_seen"] == 15
    assert metrics["test"]["loss"] is None


def test_a_probe_of_sixteen_views_reads_the_same_images_and_says_so(run, task):
    (one,) = run("baseA", ["A2B-one"], probe={"classifier": "ridge", "choices": None})
    probe = {"classifier": "ridge", "choices": None, "views": 16, "combine": "max"}
    (metrics,) = run("baseA", ["A2B-seen"], probe=probe)
    assert (metrics["probe"]["views"], metrics["probe"]["combine"]) == (16, "max")
    assert (one["probe"]["views"], one["probe"]["combine"]) == (1, "sum")
    assert metrics["images_seen"] == one["images_seen"] == len(task.labels["train"])
    assert metrics["test"]["count"] == one["test"]["count"]
    assert metrics["test"]["top1"] != one["test"]["top1"]


def test_probes_share_the_features_of_a_pass(run, monkeypatch):
    whole = run("R6B", ["R1B-logreg", "R5B-logreg"])
    monkeypatch.setattr(features, "stage_features", None)
    again = run("R6B", ["R1B-logreg", "R5B-logreg"])
    assert again == whole
    (other,) = run("R6B", ["R5B-ridge"], probe={"classifier": "ridge", "choices": None})
    assert other["probe"]["classifier"] == "ridge"


def test_a_model_is_read_on_images_of_the_target_s_shape_if_its_weights_can_be(run, tmp_path):
    (metrics,) = run("baseA", ["A2B-logreg"], shape=[1, 8, 8])
    (own,) = run("baseA", ["A2B-logreg"])
    assert metrics == own
    with pytest.raises(InputError, match=r"its weights see images of 1×8×8, not of 1×6×6 \(.*\); set images.size"):
        run("baseA", ["A2B-logreg"], shape=[1, 6, 6])


def test_a_probe_of_a_fine_tuned_network_reads_that_network(run, models):
    (metrics,) = run("A3B+", ["A3B+-logreg"])
    assert (metrics["treatment"], metrics["fine_tune"]) == ("transfer+-logreg", True)
    assert metrics["model_sha256"] == files.sha256(models / "A3B+/model.safetensors")


@pytest.mark.parametrize(
    ("model", "names", "sentence"),
    [
        ("baseA", ["B3B-svm"], "B3B-svm reads baseB, and .* is baseA; name its checkpoint"),
        ("baseA", ["P3B-svm"], "P3B-svm reads the pretrained network"),
        ("baseA", ["A3B+-svm"], r"A3B\+-svm reads A3B\+, and"),
        ("R6B", ["R7B-svm"], "R7B-svm reads a random network with 7 or more drawn stages"),
        ("baseA", ["A2B-svm", "A3A-svm"], "one target at a time"),
        ("baseA", ["A8B-svm"], "8 is not below the last of 8 stages; a cut is 1 to 7"),
        ("baseA", ["A3B"], "'A3B' is no probe; names are like A5B-svm"),
        ("baseA", ["baseA-svm"], "'baseA-svm' is no probe: it says no cut"),
    ],
)
def test_names_that_mean_something_else_are_refused_in_a_sentence(run, model, names, sentence):
    with pytest.raises(InputError, match=sentence):
        run(model, names)


def test_an_option_that_describes_no_probe_is_refused_in_a_sentence(run):
    with pytest.raises(InputError, match=r"--probe: .* does not describe one \(.*'c'"):
        run("baseA", ["A3B-svm"], probe={"c": 3})
    with pytest.raises(InputError, match=r"--pooling: .* does not describe one"):
        run("baseA", ["A3B-svm"], pooling=[1])
    with pytest.raises(InputError, match=r"class .* has fewer training images; lower it"):
        run("baseA", ["A3B-svm"], probe={"images_per_class": 5000})


def test_the_params_may_ask_for_what_probes_and_poolings_are_and_for_nothing_else():
    path = Path(__file__).parent.parent / "src/transferability/study/params.schema.yaml"
    schema = yaml.safe_load(path.read_text(encoding="utf-8"))
    keys, pooling = schema["properties"]["probes"]["additionalProperties"]["properties"], schema["$defs"]["pooling"]
    assert keys["classifier"]["enum"] == [*CLASSIFIERS, PATCHES, PIXELS]
    assert keys["normalisation"]["enum"] == list(NORMALISATIONS)
    assert pooling["then"]["enum"] == pooling["else"]["properties"]["kind"]["enum"] == list(POOLINGS)
    assert pooling["else"]["properties"].keys() == {field.name for field in fields(Pooling)}
    # The seed is the study's.
    known = {field.name for record in (Probe, Adaptation) for field in fields(record)}
    assert keys.keys() == known - {"seed"} | {"pooling"}
    own = {field.name for field in fields(Adaptation)} - {"seed", "classifier"}
    assert own == set(PATCH_KEYS)


def test_a_name_says_which_network_it_reads():
    probe = parse_probe("A3B-k2-svm")
    assert (probe.preserved, probe.option, probe.name, probe.treatment) == (2, "svm", "A3B-k2-svm", "transfer-k2-svm")


def test_a_redrawn_probe_reads_all_images_and_not_those_of_a_network_that_has_learnt_from_them(run, task):
    probe = {"classifier": "centroid", "choices": None, "images_per_class": 8, "draws": 3, "redraw": True}
    (metrics,) = run("baseA", ["A3B-means"], probe=probe)
    images = sum(len(labels) for labels in task.labels.values())
    assert metrics["images_seen"] == 40
    assert metrics["test"]["count"] == images - 40
    assert metrics["validation"]["count"] == 5
    assert metrics["probe"]["draws_top1"]["test"]["draws"] == 3
    with pytest.raises(InputError, match=r"A3B\+-means: with redraw the probe tests on images that the network has"):
        run("A3B+", ["A3B+-means"], probe=probe)


def test_classes_of_two_tasks_are_the_same_by_their_names_within_their_sets():
    other = Labelled(np.eye(6), np.array([0, 0, 1, 1, 2, 2]))
    like = like_classes(other, ["photo/dog", "photo/cat", "photo/elk"], ["art/cat", "art/dog", "art/elk"])
    assert like.labels.tolist() == [1, 1, 0, 0, 2, 2]
    with pytest.raises(InputError, match="learn_from needs the same classes in both tasks, and they have 5 and 3"):
        like_classes(other, ["5"], ["3"])


def test_a_task_without_validation_images_is_refused_in_a_sentence(packed_digits, digits_split, tmp_path):
    split = files.read_json(digits_split)
    split["tasks"]["B"]["validation"] = {name: [] for name in split["tasks"]["B"]["classes"]}
    files.write_json(tmp_path / "random0.json", split)
    with pytest.raises(InputError, match=r"random0.json: not a whole split \(it names images that there are none of\)"):
        ProbedTask.open(tmp_path / "random0.json", "B", packed_digits)
