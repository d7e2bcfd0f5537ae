import hashlib

import numpy as np
import pytest
from sklearn.datasets import load_digits

from transferability import files
from transferability.datasets import pack
from transferability.errors import InputError
from transferability.tasks import PARTS, open_packed, open_task


@pytest.mark.parametrize("side", ["A", "B"])
def test_every_image_and_label_is_the_one_that_the_split_names(packed_digits, digits_split, side):
    packed = open_packed(packed_digits)
    named = files.read_json(digits_split)["tasks"][side]
    task = open_task(digits_split, side, packed_digits)
    assert task.classes == named["classes"]
    for part in PARTS:
        expected = [(label, index) for label, name in enumerate(task.classes) for index in named[part][name]]
        assert len(task.images[part]) == len(task.labels[part]) == len(expected)
        for image, label, (named_label, index) in zip(task.images[part], task.labels[part], expected, strict=True):
            assert label == named_label
            assert packed.classes[index] == task.classes[label]
            assert np.array_equal(image, packed.images[index])


def test_the_images_and_labels_have_the_types_that_training_expects(packed_digits, digits_split):
    task = open_task(digits_split, "A", packed_digits)
    for part in PARTS:
        assert task.images[part].dtype == np.uint8
        assert task.images[part].shape[1:] == (1, 8, 8)
        assert task.labels[part].dtype == np.int64
        assert set(task.labels[part]) == set(range(5))


def test_no_image_is_in_two_parts_or_on_two_sides(packed_digits, digits_split):
    hashes = []
    for side in "AB":
        task = open_task(digits_split, side, packed_digits)
        hashes += [{hashlib.sha256(image).digest() for image in task.images[part]} for part in PARTS]
    assert len(set.union(*hashes)) == sum(map(len, hashes)) == 1797


def test_both_sides_are_normalised_alike_as_the_split_says(packed_digits, digits_split):
    normalisation = files.read_json(digits_split)["normalisation"]
    for side in "AB":
        task = open_task(digits_split, side, packed_digits)
        assert (task.mean, task.std) == (normalisation["mean"], normalisation["std"])


def test_only_the_parts_asked_for_are_read_and_they_are_the_same(packed_digits, digits_split):
    whole = open_task(digits_split, "B", packed_digits)
    task = open_task(digits_split, "B", packed_digits, parts=("test",))
    assert list(task.images) == list(task.labels) == ["test"]
    assert np.array_equal(task.images["test"], whole.images["test"])
    assert np.array_equal(task.labels["test"], whole.labels["test"])


def test_a_split_made_from_images_one_pixel_off_is_refused(packed_digits, digits_split, tmp_path, monkeypatch):
    digits = load_digits()
    digits.images[5, 4, 4] = 16 - digits.images[5, 4, 4]
    monkeypatch.setattr("sklearn.datasets.load_digits", lambda: digits)
    pack({"source": "digits", "size": 8, "channels": 1}, tmp_path / "other")
    with pytest.raises(InputError) as error:
        open_task(digits_split, "A", tmp_path / "other")
    assert str(error.value) == (
        f"{digits_split}: made from other images than {tmp_path / 'other'} holds; "
        "make the split anew, or get the images that belong to it"
    )


def test_a_missing_split_is_named(packed_digits, tmp_path):
    with pytest.raises(InputError) as error:
        open_task(tmp_path / "none.json", "A", packed_digits)
    assert str(error.value) == f"{tmp_path / 'none.json'}: there is no such file"


def test_a_truncated_split_is_named(packed_digits, digits_split, tmp_path):
    (tmp_path / "cut.json").write_text(digits_split.read_text()[:5000])
    with pytest.raises(InputError) as error:
        open_task(tmp_path / "cut.json", "A", packed_digits)
    assert str(error.value).startswith(f"{tmp_path / 'cut.json'}: not a whole JSON file (")
