"""What the page says of pretrained weights."""

import pytest

from transferability import files
from transferability.errors import InputError
from transferability.figures.pretraining import pretrained_record, pretraining_facts

PREPROCESSING = {
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
    "size": 224,
    "crop": 0.875,
    "interpolation": "bicubic",
    "channels": "bgr",
}
RECORD = {"weights": "mine.pth", "sha256": "0123456789abcdef", "preprocessing": PREPROCESSING, "assumed": ["size"]}


def test_the_weights_and_the_images_that_they_expect_are_stated_and_what_is_not_known(tmp_path):
    record = tmp_path / "models/pretrained/resnet18/run.json"
    models = tmp_path / "models/photos/resnet18"
    assert pretrained_record(models) is None
    files.write_json(record, RECORD | {"folded_norms": 52})
    assert pretrained_record(models) == record
    facts = dict(pretraining_facts(record))
    assert facts["Pretrained weights"] == (
        "mine.pth (SHA-256 0123456789ab…); 52 batch norms are folded into its convolutions; fine-tuned networks have "
        "them unfolded"
    )
    assert facts["Images as they expect them"] == (
        "224 pixels, bicubic, 87.5 % of the side; blue first, mean 0.5, 0.5, 0.5, deviation 0.5, 0.5, 0.5, of values "
        "0 to 1; nothing says size: as usual for ImageNet. Mean, deviation and order of colours hold for all networks "
        "here"
    )
    assert "not known" in facts["Seen before"]


def test_a_study_without_pretrained_weights_says_nothing_of_them():
    assert pretraining_facts(None) == []


def test_a_broken_record_is_refused_by_name(tmp_path):
    files.write_json(tmp_path / "run.json", {"weights": "mine.pth"})
    with pytest.raises(InputError, match=r"run\.json: not in its form"):
        pretraining_facts(tmp_path / "run.json")
