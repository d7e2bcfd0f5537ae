"""Whole small studies of other data than the digits, and the plans of the ready ones."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from sklearn.datasets import load_digits
from test_workflow import CHECKOUT, run, start

SHARED = CHECKOUT.parent / "shared" / "data"
SCHEDULE = {
    "steps": 20,
    "batch_size": 16,
    "learning_rate": 0.03,
    "warmup": 2,
    "decay": "cosine",
    "momentum": 0.9,
    "nesterov": True,
    "weight_decay": 0.0005,
    "bias_rate": 1,
    "validations": 2,
    "precision": "fp32",
}


def write_params(directory: Path, **sections: object) -> None:
    """A small study: `sections` on top of the default one's, whose sections they replace."""
    params = yaml.safe_load((CHECKOUT / "params.yaml").read_text())
    params |= {"training": {"base": SCHEDULE, "transferred": SCHEDULE | {"frozen_dropout": True}}, "device": "cpu"}
    params["export"] = []
    study = params["study"] | {"treatment": ["transfer"], "n": [2]} | sections.pop("study")
    (directory / "params.yaml").write_text(yaml.safe_dump(params | sections | {"study": study}))


def write_digits(folder: Path, part: str, images: range) -> None:
    """Some of scikit-learn's digits as files, part/class/file, three times their size."""
    digits = load_digits()
    for index in images:
        place = folder / part / f"digit {digits.target[index]}"
        place.mkdir(parents=True, exist_ok=True)
        pixels = (digits.images[index] * 15).astype(np.uint8).repeat(3, 0).repeat(3, 1)
        Image.fromarray(pixels).save(place / f"ziffer-{index:04}-ä.png")


def metrics(directory: Path, place: str) -> dict:
    return json.loads((directory / "results" / f"{place}.json").read_text())


def test_a_folder_with_own_parts_is_studied_by_groups_of_a_table_volume_and_as_a_whole(tmp_path):
    write_digits(tmp_path / "my images", "train", range(600))
    write_digits(tmp_path / "my images", "val", range(600, 800))
    rows = [f"digit {digit},{'even' if digit % 2 == 0 else 'odd'}\n" for digit in range(10)]
    (tmp_path / "table.csv").write_text("class,group\n" + "".join(rows))
    images = {"source": "folder", "path": "my images", "size": 8, "channels": 1, "storage": "jpeg"}
    write_params(
        tmp_path,
        study={
            "dataset": ["mine"],
            "split": ["parity", "few", "whole", "graded"],
            "networks": {"few": ["baseB"], "whole": ["baseA", "RnA"], "graded": ["baseA", "baseB"]},
        },
        datasets={
            "mine": {
                "images": images,
                "parts": {"validation": 0.2, "test": "val", "seed": 0},
                "augmentation": {"padding": 0, "flip": False, "crop": 7},
                "groups": "table.csv",
            }
        },
        splits={
            "parity": {"kind": "groups", "A": "even", "B": "odd"},
            "few": {"kind": "groups", "A": "even", "B": "odd", "volume": {"B": 5, "seed": 0}},
            "whole": {"kind": "whole"},
            "graded": {"kind": "graded", "A": "even", "B": "odd", "share": 0.5, "seed": 0},
        },
    )
    run(tmp_path)
    made = {
        str(path.relative_to(tmp_path / "results/mine/tiny")) for path in tmp_path.glob("results/mine/tiny/*/seed0/*")
    }
    assert made == {
        *(f"parity/seed0/{name}.json" for name in ("baseA", "baseB", "A2B", "B2A")),
        "few/seed0/baseB.json",
        *(f"whole/seed0/{name}.json" for name in ("baseA", "R2A")),
        *(f"graded/seed0/{name}.json" for name in ("baseA", "baseB")),
    }
    split = json.loads((tmp_path / "data/splits/mine/parity.json").read_text())
    assert split["tasks"]["A"]["classes"] == [f"digit {digit}" for digit in range(0, 10, 2)]
    tested = sum(len(indices) for task in split["tasks"].values() for indices in task["test"].values())
    assert tested == 200
    assert (
        metrics(tmp_path, "mine/tiny/parity/seed0/baseA")["test"]["count"]
        + metrics(tmp_path, "mine/tiny/parity/seed0/baseB")["test"]["count"]
        == 200
    )
    few = json.loads((tmp_path / "data/splits/mine/few.json").read_text())
    assert {len(indices) for indices in few["tasks"]["B"]["train"].values()} == {5}
    assert len(metrics(tmp_path, "mine/tiny/whole/seed0/R2A")["test"]["per_class"]) == 10


def test_the_tasks_of_a_split_may_be_two_data_sets(tmp_path):
    """Digits on one side, the letters of Omniglot on the other; layers of one fit the other."""
    archive = SHARED / "omniglot_images_background_small1.zip"
    if not archive.exists():
        pytest.skip(f"Omniglot's letters are not at {archive}")
    shutil.copy(archive, tmp_path / "letters.zip")
    write_params(
        tmp_path,
        study={"dataset": ["pair"], "split": ["digits-letters"]},
        datasets={
            "pair": {
                "images": {
                    "source": "sets",
                    "sets": {"digits": {"source": "digits"}, "letters": {"source": "folder", "path": "letters.zip"}},
                    "size": 8,
                    "channels": 1,
                },
                "parts": {"validation": 0.2, "test": 0.3, "seed": 0, "duplicates": "drop"},
                "augmentation": {"padding": 0, "flip": False},
            }
        },
        splits={"digits-letters": {"kind": "groups", "A": "digits", "B": "letters"}},
    )
    run(tmp_path)
    split = json.loads((tmp_path / "data/splits/pair/digits-letters.json").read_text())
    assert split["tasks"]["A"]["classes"] == [f"digits/{digit}" for digit in range(10)]
    assert all(name.startswith("letters/") for name in split["tasks"]["B"]["classes"])
    assert split["distance"]["a_distance"] > 1.5
    transferred = metrics(tmp_path, "pair/tiny/digits-letters/seed0/A2B")
    assert transferred["classes"] == len(split["tasks"]["B"]["classes"])


@pytest.mark.parametrize(
    ("study", "networks"),
    [("imagenet-original", 170), ("imagenet-balanced", 298)],
)
@pytest.mark.parametrize("recipe", ["", "imagenet-modern"])
def test_the_imagenet_studies_resolve_to_their_networks(tmp_path, study, networks, recipe):
    files = [str(CHECKOUT / "workflow" / "studies" / f"{name}.yaml") for name in (study, recipe) if name]
    done = start(tmp_path, "--dry-run", "--configfile", *files)
    assert done.returncode == 0, done.stdout + done.stderr
    planned = re.findall(r"^    output: (.*model\.safetensors.*)$", done.stdout, re.MULTILINE)
    assert sum(line.count("model.safetensors") for line in planned) == networks


@pytest.mark.parametrize(("study", "networks"), [("sources-tiny-coco", 30), ("sources-imagenet-voc2012", 30)])
def test_studies_of_sources_compare_those_of_one_target(tmp_path, study, networks):
    done = start(tmp_path, "--dry-run", "--configfile", str(CHECKOUT / "workflow" / "studies" / f"{study}.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr
    planned = re.findall(r"^    output: (.*model\.safetensors.*)$", done.stdout, re.MULTILINE)
    assert sum(line.count("model.safetensors") for line in planned) == networks
    assert re.search(r"^    output: results/\S+/sources\.csv$", done.stdout, re.MULTILINE)


def test_missing_images_are_told_with_the_place_they_belong(tmp_path):
    failed = start(tmp_path, "--configfile", str(CHECKOUT / "workflow" / "studies" / "tiny-imagenet.yaml"))
    assert failed.returncode != 0
    assert "images/tiny-imagenet: there is no such folder" in failed.stdout + failed.stderr


@pytest.mark.parametrize(
    ("study", "probes", "looks"),
    [
        ("decaf-caltech101", 5 * 7, 0),
        ("zeiler-caltech", 3 * 7, 2),
        ("razavian-mit67", 2 * 2, 0),
        ("domain-adaptation", 2 * 3 * 7, 0),
        ("retrieval", 7, 1),
        ("oquab-voc2012", 2 * 4, 0),
    ],
)
def test_the_studies_of_features_resolve_to_their_probes(tmp_path, study, probes, looks):
    pytest.importorskip("torchvision")
    done = start(tmp_path, "--dry-run", "--configfile", str(CHECKOUT / "workflow" / "studies" / f"{study}.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr
    outputs = re.findall(r"^    output: (.*)$", done.stdout, re.MULTILINE)
    planned = [path for line in outputs for path in line.split(", ")]
    assert sum(bool(re.fullmatch(r"results/.*/[PR]\d[AB]-\w+\.json", path)) for path in planned) == probes
    assert sum(Path(path).name in ("shows.npz", "invariance.csv", "retrieval.csv") for path in planned) == looks
    assert not any(Path(path).parent.name in ("baseA", "baseB") for path in planned)
