"""A study of images of several labels through every rule, run once because each rule reads labels its own way."""

import csv
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import yaml
from devkits import MASKS, scattered, write_devkit, write_masks
from PIL import Image
from test_workflow import CHECKOUT, change, run

from transferability.data.patches import resized
from transferability.data.tasks import DIFFICULT, open_task
from transferability.errors import InputError
from transferability.evaluation import classifying, scorer
from transferability.evaluation.thresholds import mean_f1
from transferability.study.params import check_networks, check_params
from transferability.training.precision import mean_average_precision

PATCHES = {"classifier": "patches", "pooling": "gap", "hidden": [32], "scales": [1, 1.6, 2.4], "steps": 300}
TRAINED = (
    "baseA",
    "baseB",
    "B2B",
    "A2B",
    "A2B+",
    "A2B-k1",
    "R2B",
    "A2B-head",
    "A2B+-slides",
    "baseB-longer",
    "A2B-oquab",
)
READ = ("A2B-svm", "R2B-svm", "A2B+-logreg", "A2B-patches", "A2B-dense", "A2B-pixels", "R2B-pixels")
PLACE = "squares/tiny/pair/seed0"


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """A small study of coloured squares: task A is red and green, task B blue and white."""
    directory = tmp_path_factory.mktemp("labelled")
    shown = scattered({"train": 240, "val": 90})
    year = write_devkit(directory / "devkit", shown)
    write_masks(year, shown)
    shutil.copy(CHECKOUT / "params.yaml", directory)
    small = {"steps": 120, "warmup": 5, "validations": 4, "batch_size": 16, "learning_rate": 0.02}
    change(
        directory,
        study={
            "dataset": ["squares"],
            "split": ["pair"],
            "treatment": [],
            "networks": {"pair": [*TRAINED, *READ]},
            "n": [2],
        },
        datasets={
            "squares": {
                "images": {"source": "voc", "path": str(year), "size": 16, "channels": 3, "masks": MASKS},
                "parts": {"validation": 0.25, "test": "val", "seed": 0, "shared": "both"},
                "augmentation": {"padding": 0, "flip": True},
            }
        },
        splits={"pair": {"kind": "classes", "A": ["red", "green"], "B": ["blue", "white"]}},
        probes={
            "svm": {"classifier": "svm", "pooling": "full"},
            "logreg": {"classifier": "logreg", "pooling": "full", "choices": [0.1, 1]},
            "patches": PATCHES,
            "dense": PATCHES | {"dense": True},
            "pixels": {"classifier": "pixels", "steps": 300},
        },
        recipes={
            "head": {"hidden": [16], "dropout": 0.5, "batch_norm": "re-estimated"},
            "slides": {"rates": {"new": 1, "top": 0.1}, "learning_rate": [0.01, 0.02]},
            "longer": {"steps": "matched"},
            "oquab": {"hidden": [32], "dropout": 0.25, "patches": {"scales": PATCHES["scales"]}, "optimizer": "adamw"}
            | {"learning_rate": 0.002, "steps": 300},
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


def test_a_recipe_teaches_a_network_patches_by_which_images_score_and_squares_are_found(study):
    metrics = metrics_of(study, "A2B-oquab")
    assert metrics["test"]["map"] > 0.9
    assert metrics["trained"]
    assert metrics["learning"][-1]["validation_map"] > 0.8
    told = metrics["patches"]
    assert told["per_image"] == 1 + 3 * 3 + 4 * 4
    assert told["learnt"] == metrics_of(study, "A2B-patches")["probe"]["patches"]["learnt"]
    assert told["pointing"]["hits"] > 0.6
    assert told["pointing"]["interval"][0] > 0.2


def test_the_figure_of_maps_is_of_the_best_that_reads_patches(study):
    captions = json.loads((study / "results/squares/tiny/figures/captions.json").read_text(encoding="utf-8"))
    metrics = {name: metrics_of(study, name) for name in ("A2B-oquab", "A2B-patches", "A2B-dense")}
    best = max(each["test"]["map"] for each in metrics.values())
    drawn = next(name for name in metrics if name in captions["maps"]["caption"])
    assert metrics[drawn]["test"]["map"] == best
    told = metrics[drawn].get("patches") or metrics[drawn]["probe"]
    pointing = told["pointing"]
    assert f"in {100 * pointing['hits']:.1f} % of {pointing['count']} cases" in captions["maps"]["caption"]


def test_a_network_that_scores_by_patches_is_no_export(study, monkeypatch):
    params = yaml.safe_load((study / "params.yaml").read_text()) | {"export": ["A2B-oquab"]}
    with pytest.raises(InputError, match="export names A2B-oquab, which scores images by their patches; leave it out"):
        check_networks(params)


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


def test_every_way_to_train_and_to_read_has_precisions_and_effects(study):
    rows = {row["network"]: row for row in csv.DictReader((study / "results/squares/tiny/networks.csv").open())}
    for network in TRAINED + READ:
        metrics = metrics_of(study, network)
        assert metrics["labels"] == "several", network
        assert float(rows[network]["test_map"]) == pytest.approx(metrics["test"]["map"]), network
        assert ("thresholds" in metrics) == (network in TRAINED), network
    effects = {row["effect"] for row in csv.DictReader((study / "results/squares/tiny/effects.csv").open())}
    assert {
        "recipe minus plain, transfer-head",
        "recipe minus plain, transfer-oquab",
        "learned over random, transfer-svm",
        "preserved transfer-k1",
    } <= effects
    tried = json.loads((study / f"models/{PLACE}/A2B+-slides/run.json").read_text())["recipe"]["tried"]
    assert [entry["learning_rate"] for entry in tried] == [0.01, 0.02]
    advice = json.loads((study / "results/squares/tiny/advice.json").read_text())
    assert advice["chosen classes"]["tasks"] == 1


def test_dense_patches_find_planted_squares_too(study):
    metrics = metrics_of(study, "A2B-dense")
    convolved = metrics["probe"]["convolved"]
    assert metrics["test"]["map"] > 0.8
    assert metrics["probe"]["pointing"]["interval"][0] > 0
    assert metrics["probe"]["patches"]["per_image"] == sum(
        ((side - 16) // convolved["stride"] + 1) ** 2 for side in convolved["sides"]
    )


def test_a_pixel_probe_tells_squares_from_background_in_metrics_and_tables(study):
    rows = {row["network"]: row for row in csv.DictReader((study / "results/squares/tiny/networks.csv").open())}
    metrics = metrics_of(study, "A2B-pixels")
    assert metrics["probe"]["masks"] == {"train": 60, "validation": 24, "test": 35}
    assert metrics["test"]["miou"] > metrics["test"]["miou_of_background"] + 0.2
    assert set(metrics["test"]["iou"]) == {"blue", "white", "background"}
    assert float(rows["A2B-pixels"]["test_miou"]) == pytest.approx(metrics["test"]["miou"])
    assert rows["A2B-svm"]["test_miou"] == ""
    effects = list(csv.DictReader((study / "results/squares/tiny/effects.csv").open()))
    assert ("learned over random, transfer-pixels", "test_miou") in {
        (row["effect"], row["read_out"]) for row in effects
    }


@pytest.fixture
def make_scorer(study, tmp_path, monkeypatch):
    """Run the command for a network, or a probe of a network's stages, and give its options."""

    def command(probe: str, model: str = "baseA") -> dict:
        options = {
            "--metrics": study / f"results/{PLACE}/{probe}.json",
            "--split": study / "data/splits/squares/pair.json",
            "--packed": study / "data/packed/squares",
            "--model": study / f"models/{PLACE}/{model}/model.safetensors",
            "--scale": 2.5,
            "--into": tmp_path / "scorer.onnx",
        }
        monkeypatch.setattr(sys, "argv", ["scorer", *(str(word) for pair in options.items() for word in pair)])
        scorer.main()
        return options

    return command


def test_what_gives_no_maps_or_is_of_other_stages_is_no_scorer(make_scorer):
    with pytest.raises(InputError, match="A2B-svm reads no patches, so it gives no maps"):
        make_scorer("A2B-svm")
    with pytest.raises(InputError, match="is of another network's stages; name that one"):
        make_scorer("A2B-dense", "baseB")


@pytest.mark.parametrize(("name", "model"), [("A2B-dense", "baseA"), ("A2B-oquab", "A2B-oquab")])
def test_the_scorer_gives_maps_in_onnxruntime_alone(make_scorer, capsys, name, model):
    options = make_scorer(name, model)
    told = json.loads(capsys.readouterr().out)
    assert told["max_abs_difference"] < 1e-4
    assert told["images"] == len(open_task(options["--split"], "B", options["--packed"]).labels["test"])
    metadata = {entry.key: entry.value for entry in onnx.load(options["--into"]).metadata_props}
    task = open_task(options["--split"], "B", options["--packed"])
    side, power = int(metadata["size"]), float(metadata["power"])
    images = resized(torch.from_numpy(np.asarray(task.images["test"][np.arange(len(task.labels["test"]))])), side)
    (maps,) = onnxruntime.InferenceSession(options["--into"]).run(["map"], {"images": images.numpy()})
    places = (side - int(metadata["patch"])) // int(metadata["stride"]) + 1
    assert maps.shape == (len(images), 2, places, places)
    scores, labels = (maps.astype(np.float64) ** power).mean(axis=(2, 3)), task.labels["test"]
    assert mean_average_precision(scores, labels) > 0.8
    assert float(metadata["test_f1"]) == pytest.approx(
        mean_f1(scores, labels, json.loads(metadata["thresholds"])), abs=1e-3
    )


WRONG = {
    "figures.read_out is test_top1, and images of datasets.squares may have several": {
        "figures": {"read_out": "test_top1"}
    },
    "probes.svm.images_per_class draws images of one label": {
        "probes": {"svm": {"classifier": "svm", "pooling": "gap", "images_per_class": 5}}
    },
    "probes.svm.hidden is for the classifier patches, not svm": {
        "probes": {"svm": {"classifier": "svm", "pooling": "gap", "hidden": [5]}}
    },
    "probes.patches.normalisation is for a probe that reads whole images, not patches": {
        "probes": {"patches": {"classifier": "patches", "pooling": "gap", "normalisation": "l2"}}
    },
    "probes.pixels.hidden is for the classifier patches, not pixels": {
        "probes": {"pixels": {"classifier": "pixels", "hidden": [5]}}
    },
    "probes.pixels.pooling is for a probe that reads whole images, not pixels": {
        "probes": {"pixels": {"classifier": "pixels", "pooling": "gap"}}
    },
    "probes.pixels learns from masks, and datasets.squares.images has none": {
        "datasets": {"squares": {"images": {"masks": False}}}
    },
    "scores looks at images of one label, and those of datasets.squares may have several": {
        "scores": {"treatment": ["transfer"], "pooling": "gap"}
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
