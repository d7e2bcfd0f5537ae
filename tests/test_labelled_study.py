"""A study of images of several labels through every rule, run once because each rule reads labels its own way."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import yaml
from devkits import scattered, write_devkit
from PIL import Image
from test_workflow import CHECKOUT, change, run

from transferability.data.tasks import DIFFICULT, open_task
from transferability.errors import InputError
from transferability.evaluation import classifying
from transferability.study.params import check_params
from transferability.training.precision import mean_average_precision

PLACE = "squares/tiny/pair/seed0"


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """A small study of coloured squares: task A is red and green, task B blue and white."""
    directory = tmp_path_factory.mktemp("labelled")
    year = write_devkit(directory / "devkit", scattered({"train": 240, "val": 90}))
    shutil.copy(CHECKOUT / "params.yaml", directory)
    small = {"steps": 120, "warmup": 5, "validations": 4, "batch_size": 16, "learning_rate": 0.02}
    change(
        directory,
        study={
            "dataset": ["squares"],
            "split": ["pair"],
            "treatment": ["selffer", "transfer", "transfer-svm", "transfer-patches"],
            "n": [2],
        },
        datasets={
            "squares": {
                "images": {"source": "voc", "path": str(year), "size": 16, "channels": 3},
                "parts": {"validation": 0.25, "test": "val", "seed": 0, "shared": "both"},
                "augmentation": {"padding": 0, "flip": True},
            }
        },
        splits={"pair": {"kind": "classes", "A": ["red", "green"], "B": ["blue", "white"]}},
        probes={
            "svm": {"classifier": "svm", "pooling": "full"},
            "patches": {
                "classifier": "patches",
                "pooling": "gap",
                "hidden": [32],
                "scales": [1, 1.6, 2.4],
                "steps": 300,
            },
        },
        training={"base": small, "transferred": small},
        export=["baseB"],
        figures={"read_out": "test_map", "dpi": 60},
        device="cpu",
    )
    run(directory)
    return directory


def metrics_of(study: Path, network: str) -> dict:
    return json.loads((study / f"results/{PLACE}/{network}.json").read_text())


def test_networks_learn_several_labels_and_beat_guessing(study):
    for network in ("baseA", "baseB", "A2B", "A2B-svm"):
        metrics = metrics_of(study, network)
        chance = np.mean([entry["count"] / entry["of"] for entry in metrics["test"]["per_class"].values()])
        assert metrics["labels"] == "several"
        assert metrics["test"]["map"] > chance + 0.15, network
    history = next(csv.reader((study / f"models/{PLACE}/A2B/history.csv").open()))
    assert {"validation_map", "test_map"} <= set(history)


def test_tables_figures_and_the_page_tell_precision(study):
    folder = study / "results/squares/tiny"
    rows = {row["network"]: row for row in csv.DictReader((folder / "networks.csv").open())}
    metrics = metrics_of(study, "A2B")
    assert float(rows["A2B"]["test_map"]) == pytest.approx(metrics["test"]["map"])
    assert float(rows["A2B"]["test_map11"]) == pytest.approx(metrics["test"]["map11"])
    assert rows["A2B"]["test_top1"] == ""
    effects = {(row["effect"], row["read_out"]) for row in csv.DictReader((folder / "effects.csv").open())}
    assert {("total", "test_map"), ("total", "train_loss"), ("co-adaptation", "chosen_test_map")} <= effects
    assert not any(read_out == "test_top1" for _, read_out in effects)
    assert "mAP" in (folder / "report.html").read_text(encoding="utf-8")


def test_adaptation_layers_find_planted_squares_by_patches(study):
    metrics = metrics_of(study, "A2B-patches")
    probe = metrics["probe"]
    assert metrics["test"]["map"] > 0.9
    assert probe["patches"]["per_image"] == 1 + 3 * 3 + 4 * 4
    assert set(probe["patches"]["learnt"]) == {"blue", "white", "background"}
    pointing = probe["pointing"]
    assert pointing["hits"] > 0.6
    assert pointing["interval"][0] > 0.2
    assert {entry["class"] for entry in probe["maps"]} == {"blue", "white"}
    captions = json.loads((study / "results/squares/tiny/figures/captions.json").read_text(encoding="utf-8"))
    caption = captions["maps"]["caption"]
    told = metrics_of(study, next(name for name in ("A2B-patches", "B2A-patches") if name in caption))["probe"][
        "pointing"
    ]
    assert f"in {100 * told['hits']:.1f} % of {told['count']} cases" in caption


def test_an_exported_network_carries_its_thresholds(study):
    path = study / f"models/{PLACE}/baseB/model.onnx"
    told = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    thresholds = np.array(json.loads(told["thresholds"]))
    task = open_task(study / "data/splits/squares/pair.json", "B", study / "data/packed/squares")
    session = onnxruntime.InferenceSession(path)
    images = np.asarray(task.images["test"][np.arange(len(task.labels["test"]))])
    name = session.get_inputs()[0].name
    logits = session.run(
        None, {name: images if "uint8" in session.get_inputs()[0].type else images.astype(np.float32)}
    )[0]
    labels = task.labels["test"]
    assert mean_average_precision(logits, labels) == pytest.approx(metrics_of(study, "baseB")["test"]["map"], abs=1e-3)
    said, shown = (logits >= thresholds) & (labels != DIFFICULT), labels == 1
    f1 = 2 * (said & shown).sum(0) / (said.sum(0) + shown.sum(0))
    assert float(told["test_f1"]) == pytest.approx(f1.mean(), abs=1e-3)


def test_images_are_classified_by_these_thresholds(study, tmp_path, capsys):
    """Squares of the test part as files; of each all classes that it is said to show, with the share of each."""
    path = study / f"models/{PLACE}/baseB/model.onnx"
    task = open_task(study / "data/splits/squares/pair.json", "B", study / "data/packed/squares")
    images = np.asarray(task.images["test"][np.arange(30)])
    (logits,) = onnxruntime.InferenceSession(path).run(None, {"images": images})
    thresholds = np.array(
        json.loads({entry.key: entry.value for entry in onnx.load(path).metadata_props}["thresholds"])
    )
    files = [tmp_path / f"{number}.png" for number in range(len(images))]
    for file, image in zip(files, images, strict=True):
        Image.fromarray(image.transpose(1, 2, 0)).save(file)
    classifying.main([str(path), *map(str, files)])
    lines = capsys.readouterr().out.splitlines()
    counts = set()
    for line, file, row in zip(lines, files, logits, strict=True):
        shown = sorted(np.flatnonzero(row >= thresholds), key=lambda label: -row[label])
        counts.add(len(shown))
        named = ", ".join(f"{task.classes[label]} {100 / (1 + np.exp(-row[label])):.1f} %" for label in shown)
        assert line == f"{file}: {named}" if shown else line.startswith(f"{file}: none of its classes; nearest ")
    assert {1, 2} <= counts


def test_an_image_that_shows_no_class_is_told_with_the_nearest():
    told = classifying.those_shown(["cat", "dog"], np.array([-2.0, -1.0]), np.array([-1.9, 0.0]))
    assert told == "none of its classes; nearest cat 11.9 %, shown from 13.0 % on"


def test_the_file_says_that_images_were_warped(study):
    told = {entry.key: entry.value for entry in onnx.load(study / f"models/{PLACE}/baseB/model.onnx").metadata_props}
    assert (told["square"], told["labels"]) == ("warp", "several")


WRONG = {
    "figures.read_out is test_top1, and images of datasets.squares may have several": {
        "figures": {"read_out": "test_top1"}
    },
    "probes.svm.images_per_class draws images of one label": {
        "probes": {"svm": {"classifier": "svm", "pooling": "gap", "images_per_class": 5}}
    },
    "probes.svm.hidden is for a probe that reads patches, not svm": {
        "probes": {"svm": {"classifier": "svm", "pooling": "gap", "hidden": [5]}}
    },
    "probes.patches.normalisation is for one that reads whole images, not patches": {
        "probes": {"patches": {"classifier": "patches", "pooling": "gap", "normalisation": "l2"}}
    },
    "figures.read_out is test_map, and images of datasets.digits have one label": {"study": {"dataset": ["digits"]}},
}


@pytest.mark.parametrize("sentence", WRONG)
def test_what_several_labels_do_not_go_with_is_named(study, tmp_path, sentence):
    shutil.copy(study / "params.yaml", tmp_path)
    change(tmp_path, **WRONG[sentence])
    params = yaml.safe_load((tmp_path / "params.yaml").read_text())
    with pytest.raises(InputError, match=sentence.replace(".", r"\.")):
        check_params(params, CHECKOUT / "src/transferability/study/params.schema.yaml")
