import hashlib
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.datasets import load_digits

from transferability import files
from transferability.data import tasks
from transferability.data.images import decode
from transferability.data.packed import PARTS, Jpegs, open_packed
from transferability.data.packing import pack
from transferability.data.splits import make_split
from transferability.data.tasks import Selection, open_task
from transferability.errors import InputError


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


@pytest.fixture(scope="module")
def packed_jpegs(tmp_path_factory) -> Path:
    """The folder of the packed digits, as JPEG files of 12×12 pixels in colour."""
    folder = tmp_path_factory.mktemp("packed") / "jpegs"
    form = {"size": 12, "channels": 3, "storage": "jpeg"}
    pack({"source": "sets", "sets": {"digits": {"source": "digits"}}, **form}, folder)
    return folder


@pytest.fixture(scope="module")
def jpegs_split(packed_jpegs, tmp_path_factory) -> Path:
    """A split's file for the packed JPEG files."""
    path = tmp_path_factory.mktemp("splits") / "random0.json"
    parts = {"validation": 0.2, "test": 0.3, "seed": 0}
    files.write_json(path, make_split(open_packed(packed_jpegs), {"kind": "random", "seed": 0}, {}, parts))
    return path


def test_a_packed_set_tells_class_part_and_hash_of_every_image(packed_digits):
    packed = open_packed(packed_digits)
    assert packed.parts == [""] * 1797
    assert packed.hashes == [hashlib.sha256(image.tobytes()).hexdigest() for image in packed.images]


def test_packed_jpeg_files_are_decoded_as_they_are_asked_for(packed_jpegs):
    """In any order, more than once, from the end, and many at a time by several threads."""
    images = open_packed(packed_jpegs).images
    assert isinstance(images, Jpegs)
    assert (len(images), images.shape) == (1797, (1797, 3, 12, 12))
    ends = [0, *images.ends.tolist()]
    one_by_one = np.stack([decode(images.data[ends[i] : ends[i + 1]].tobytes()) for i in range(1797)])
    for indices in ([5], [0, 1796, 0, 7], [-1, -1797], [], np.random.default_rng(0).integers(0, 1797, 999)):
        read = images[np.array(indices, dtype=np.int64)]
        assert read.dtype == np.uint8
        assert np.array_equal(read, one_by_one[np.array(indices, dtype=np.int64)])
    assert one_by_one.std() > 50


@pytest.mark.parametrize("index", [1797, -1798])
def test_an_index_beyond_the_packed_jpeg_files_is_an_error_as_in_an_array(packed_jpegs, index):
    with pytest.raises(IndexError):
        open_packed(packed_jpegs).images[np.array([3, index])]


def test_a_task_of_jpeg_files_reads_only_what_is_asked(packed_jpegs, jpegs_split):
    packed, split = open_packed(packed_jpegs), files.read_json(jpegs_split)
    task = open_task(jpegs_split, "B", packed_jpegs)
    for part in PARTS:
        named = [index for name in task.classes for index in split["tasks"]["B"][part][name]]
        assert isinstance(task.images[part], Selection)
        assert len(task.images[part]) == len(task.labels[part]) == len(named)
        assert task.images[part].shape == (len(named), 3, 12, 12)
        asked = np.array([4, 0, len(named) - 1])
        assert np.array_equal(task.images[part][asked], packed.images[np.array(named)[asked]])


def test_a_part_stays_on_the_disk_where_it_is_too_large_for_memory(packed_digits, digits_split, monkeypatch):
    small = open_task(digits_split, "A", packed_digits)
    test, train = small.images["test"], small.images["train"]
    assert isinstance(test, np.ndarray)
    monkeypatch.setattr(tasks, "IN_MEMORY", test.size)
    large = open_task(digits_split, "A", packed_digits)
    assert isinstance(large.images["test"], np.ndarray)
    assert isinstance(large.images["train"], Selection)
    assert large.images["train"].shape == train.shape
    everything = np.arange(len(train))[::-1]
    assert np.array_equal(large.images["train"][everything], train[everything])


@pytest.mark.parametrize("stored", ["pixels in memory", "pixels on the disk", "jpeg"])
def test_an_image_that_was_changed_after_packing_is_refused_when_it_is_first_read(
    packed_digits, digits_split, packed_jpegs, jpegs_split, tmp_path, monkeypatch, stored
):
    """A task that has no such image is opened."""
    packed, split = (packed_jpegs, jpegs_split) if stored == "jpeg" else (packed_digits, digits_split)
    if stored == "pixels on the disk":
        monkeypatch.setattr(tasks, "IN_MEMORY", 0)
    shutil.copytree(packed, tmp_path / "packed")
    task = files.read_json(split)["tasks"]["A"]
    index = task["train"][task["classes"][0]][2]
    ends = open_packed(packed).images.ends if stored == "jpeg" else np.arange(1, 1798) * 64
    with open(tmp_path / "packed/images.npy", "rb+") as file:
        file.seek(128 + int(ends[index]) - 20)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    with pytest.raises(InputError) as error:
        open_task(split, "A", tmp_path / "packed").images["train"][np.arange(20)]
    name = open_packed(packed).files[index]
    assert str(error.value) == (
        f"{tmp_path}/packed/images.npy: image {index}, {name}, is not the one that was packed: the file was changed or "
        f"is damaged; delete {tmp_path}/packed and run again"
    )
    some = np.array([0, 1, 3, 3, 4])
    other = open_task(split, "A", tmp_path / "packed", parts=("test",)).images["test"]
    assert np.array_equal(other[some], open_task(split, "A", packed).images["test"][some])


def test_an_image_is_hashed_once_however_often_it_is_read(packed_jpegs, monkeypatch):
    images, hashed = open_packed(packed_jpegs).checked, []

    def counting(data: bytes):
        hashed.append(len(data))
        return hashlib.sha256(data)

    monkeypatch.setattr("transferability.data.packed.hashlib", SimpleNamespace(sha256=counting))
    for _ in range(3):
        images[np.array([5, 7, 5, -1])]
    assert len(hashed) == 3


@pytest.mark.parametrize(
    "damage",
    [
        lambda split: split.clear(),
        lambda split: split.pop("normalisation"),
        lambda split: split["tasks"]["A"]["test"].update({"0": [10**7]}),
        lambda split: split["tasks"]["A"]["test"].update({"0": [-1]}),
        lambda split: split["tasks"]["A"]["test"].update({"0": []}),
        lambda split: split["tasks"]["A"]["test"].update({"0": "all"}),
        lambda split: split["tasks"].update({"A": 3}),
    ],
)
def test_a_split_of_other_content_is_refused_in_one_sentence(packed_digits, digits_split, tmp_path, damage):
    split = files.read_json(digits_split)
    damage(split)
    files.write_json(tmp_path / "s.json", split)
    with pytest.raises(InputError) as error:
        open_task(tmp_path / "s.json", "A", packed_digits)
    said = str(error.value).removeprefix(f"{tmp_path}/s.json: ")
    assert said.startswith(("not a whole split (", "not in its form ("))
    assert str(error.value).endswith("); delete it and run again")
