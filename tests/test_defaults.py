"""Defaults: what a file of one's own may leave out, and what it then is."""

from pathlib import Path

import pytest
import yaml

from transferability.errors import InputError
from transferability.study.defaults import completed
from transferability.study.params import check_params
from transferability.study.reading import read_study

CHECKOUT = Path(__file__).parent.parent
SHORT = """
study:
  dataset: [mine]
  architecture: [resnet18]
  split: [all]
  seed: [0, 1, 2]
  treatment: [pretrained, pretrained+]
  n: all
datasets:
  mine:
    images: {source: folder, path: images/mine, size: 256, channels: 3}
    parts: {validation: 0.15, test: 0.25, seed: 0}
    augmentation: {padding: 0, flip: true, crop: 224}
splits: {all: {kind: whole}}
architectures: {resnet18: {library: torchvision, name: resnet18, weights: IMAGENET1K_V1}}
training: {steps: 400, batch_size: 32, learning_rate: 0.01}
"""


def study(tmp_path: Path, *texts: str, params: Path | None = None) -> dict:
    """The params of files that hold these texts, on top of a params.yaml."""
    paths = [tmp_path / f"{number}.yaml" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    return read_study(params, paths)


def test_a_study_of_ones_own_is_fifteen_lines(tmp_path):
    assert len(SHORT.strip().splitlines()) == 15
    params = study(tmp_path, SHORT)
    check_params(params)
    assert params["training"]["base"] == {
        "steps": 400,
        "batch_size": 32,
        "learning_rate": 0.01,
        "warmup": 40,
        "decay": "cosine",
        "momentum": 0.9,
        "nesterov": True,
        "weight_decay": 0.0005,
        "bias_rate": 1,
        "validations": 20,
        "precision": "fp32",
    }
    assert params["training"]["transferred"] == params["training"]["base"] | {"frozen_dropout": True}
    assert "reduced" not in params["training"]
    assert (params["export"], params["jobs"], params["device"]) == ([], "curve", "auto")


def test_what_the_default_study_says_beside_its_numbers_is_usual():
    params = yaml.safe_load((CHECKOUT / "params.yaml").read_text())
    short = {"steps": 150, "batch_size": 64, "learning_rate": 0.03, "validations": 15}
    left_out = {key: params[key] for key in ("study", "datasets", "splits", "architectures", "export")}
    made = completed(left_out | {"training": short})
    assert {key: made[key] for key in params if key != "training"} == {
        key: value for key, value in params.items() if key != "training"
    }
    assert {kind: made["training"][kind] for kind in ("base", "transferred")} == params["training"]


def test_a_whole_study_is_left_as_it_is():
    params = yaml.safe_load((CHECKOUT / "params.yaml").read_text())
    assert completed(params) == params
    assert completed(completed(params)) == params


def test_a_section_says_what_differs_from_all(tmp_path):
    text = (
        "training: {steps: 90, base: {steps: 900, warmup: 5}, reduced: {learning_rate: 0.5}, frozen_dropout: false}\n"
    )
    training = study(tmp_path, text, params=CHECKOUT / "params.yaml")["training"]
    assert [training[kind]["steps"] for kind in ("base", "transferred", "reduced")] == [900, 90, 90]
    assert [training[kind]["learning_rate"] for kind in ("base", "reduced")] == [0.03, 0.5]
    assert "frozen_dropout" not in training["base"]
    assert [training[kind]["frozen_dropout"] for kind in ("transferred", "reduced")] == [False, False]


def test_what_a_later_file_says_of_all_holds_for_all(tmp_path):
    """Whatever a file below it says of some; what the last file says of some holds for them."""
    below = "training: {base: {steps: 1, warmup: 0}, transferred: {steps: 2}, reduced: {steps: 3}}\n"
    above = "training: {steps: 50, reduced: {batch_size: 8}}\n"
    training = study(tmp_path, below, above, params=CHECKOUT / "params.yaml")["training"]
    assert [training[kind]["steps"] for kind in ("base", "transferred", "reduced")] == [50, 50, 50]
    assert [training[kind]["warmup"] for kind in ("base", "transferred", "reduced")] == [0, 15, 5]
    assert training["reduced"]["batch_size"] == 8


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("training: {steps: many}", "params: training.steps: 'many'"),
        ("training: {colour: red}", "params: training: unknown key 'colour'"),
        ("training: [1]", "params: training: [1]"),
        ("training: {base: 3}", "params: training.base: 3"),
        ("training: {steps: 5, warmup: 6}", "params: training.base.warmup is 6, more than its 5 steps"),
        ("analysis: 3", "params: analysis: 3"),
        ("training:", "params: training: None"),
    ],
)
def test_a_slip_is_named_where_it_was_made(tmp_path, text, sentence):
    with pytest.raises(InputError) as error:
        check_params(study(tmp_path, text, params=CHECKOUT / "params.yaml"))
    assert str(error.value).startswith(sentence)
