import csv
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from transferability import files
from transferability.datasets import pack
from transferability.errors import InputError
from transferability.tasks import open_packed

CHECKOUT = Path(__file__).parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(CHECKOUT / "src")}
FASHION = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]


def test_the_digits_are_1797_grey_images_of_ten_classes(packed_digits):
    packed = open_packed(packed_digits)
    assert packed.images.shape == (1797, 1, 8, 8)
    assert packed.images.dtype == np.uint8
    assert list(packed.card["classes"]) == [str(digit) for digit in range(10)]
    assert packed.classes == [str(target) for target in load_digits().target]


def test_the_digits_levels_are_spread_over_0_to_255(packed_digits):
    expected = np.round(load_digits().images * 255 / 16)
    assert np.array_equal(open_packed(packed_digits).images[:, 0], expected)
    assert expected.max() == 255


@pytest.mark.parametrize(("size", "channels"), [(16, 1), (8, 3)])
def test_digits_of_another_form_are_refused(tmp_path, size, channels):
    with pytest.raises(InputError, match="give them size 8 and channels 1"):
        pack({"source": "digits", "size": size, "channels": channels}, tmp_path)


def test_the_card_counts_the_classes(packed_digits):
    card = files.read_json(packed_digits / "card.json")
    assert card["source"] == {"source": "digits", "size": 8, "channels": 1}
    assert card["images"] == 1797
    assert card["shape"] == [1, 8, 8]
    assert list(card["classes"].values()) == np.bincount(load_digits().target).tolist()


def test_the_index_has_the_hash_of_every_images_pixels(packed_digits):
    images = np.load(packed_digits / "images.npy")
    with open(packed_digits / "index.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["index"] for row in rows] == [str(index) for index in range(1797)]
    assert [row["file"] for row in rows[:2]] == ["digits/0", "digits/1"]
    assert [row["sha256"] for row in rows] == [hashlib.sha256(image.tobytes()).hexdigest() for image in images]


def test_packing_twice_gives_identical_bytes(packed_digits, tmp_path):
    pack({"source": "digits", "size": 8, "channels": 1}, tmp_path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["card.json", "images.npy", "index.csv"]
    for name in ("card.json", "images.npy", "index.csv"):
        assert (tmp_path / name).read_bytes() == (packed_digits / name).read_bytes()


def test_the_content_hash_follows_the_pixels(zoo, tmp_path, noise):
    options = {"source": "folder", "size": 10, "channels": 3, "path": str(zoo)}
    pack(options, tmp_path / "before")
    Image.fromarray(255 - noise).save(zoo / "cat/b.png")
    pack(options, tmp_path / "after")
    before, after = (files.read_json(tmp_path / name / "card.json") for name in ("before", "after"))
    assert before["content"] != after["content"]
    assert before["classes"] == after["classes"]


def test_packing_a_folder_twice_gives_identical_bytes(zoo, tmp_path):
    for name in ("first", "second"):
        pack({"source": "folder", "size": 10, "channels": 3, "path": str(zoo)}, tmp_path / name)
    for name in ("card.json", "images.npy", "index.csv"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_a_missing_packed_set_is_named(tmp_path):
    with pytest.raises(InputError) as error:
        open_packed(tmp_path / "none")
    assert str(error.value) == f"{tmp_path / 'none' / 'card.json'}: there is no such file"


@pytest.mark.parametrize("name", ["images.npy", "index.csv"])
def test_a_packed_set_that_lacks_a_file_is_named(packed_digits, tmp_path, name):
    for other in {"card.json", "images.npy", "index.csv"} - {name}:
        (tmp_path / other).write_bytes((packed_digits / other).read_bytes())
    with pytest.raises(InputError) as error:
        open_packed(tmp_path)
    assert str(error.value).startswith(f"{tmp_path}: not a whole packed data set (")
    assert name in str(error.value)


@pytest.mark.parametrize("kept", [0, 1, 6, 60, 128, 1000, 115_000])
def test_cut_off_images_are_named(packed_digits, tmp_path, kept):
    for name in ("card.json", "index.csv"):
        (tmp_path / name).write_bytes((packed_digits / name).read_bytes())
    (tmp_path / "images.npy").write_bytes((packed_digits / "images.npy").read_bytes()[:kept])
    with pytest.raises(InputError) as error:
        open_packed(tmp_path)
    assert str(error.value).startswith(f"{tmp_path}: not a whole packed data set (")
    assert str(error.value).endswith("); delete the folder and run again")


@pytest.mark.parametrize("kept", [0, 20, 1000])
def test_a_cut_off_index_is_named(packed_digits, tmp_path, kept):
    for name in ("card.json", "images.npy"):
        (tmp_path / name).write_bytes((packed_digits / name).read_bytes())
    (tmp_path / "index.csv").write_bytes((packed_digits / "index.csv").read_bytes()[:kept])
    with pytest.raises(InputError) as error:
        open_packed(tmp_path)
    assert str(error.value).startswith(f"{tmp_path}: ")
    assert str(error.value).endswith("delete the folder and run again")


def test_a_cut_off_card_is_named(packed_digits, tmp_path):
    for name in ("images.npy", "index.csv"):
        (tmp_path / name).write_bytes((packed_digits / name).read_bytes())
    (tmp_path / "card.json").write_bytes((packed_digits / "card.json").read_bytes()[:100])
    with pytest.raises(InputError, match="not a whole JSON file"):
        open_packed(tmp_path)


def test_a_card_that_is_none_is_refused(packed_digits, tmp_path):
    for name in ("images.npy", "index.csv"):
        (tmp_path / name).write_bytes((packed_digits / name).read_bytes())
    (tmp_path / "card.json").write_text("{}")
    with pytest.raises(InputError) as error:
        open_packed(tmp_path)
    assert str(tmp_path) in str(error.value)


def test_images_of_another_run_with_fewer_images_are_told_apart(packed_digits, tmp_path):
    for name in ("card.json", "index.csv"):
        (tmp_path / name).write_bytes((packed_digits / name).read_bytes())
    np.save(tmp_path / "images.npy", np.load(packed_digits / "images.npy")[:1000])
    with pytest.raises(InputError) as error:
        open_packed(tmp_path)
    assert str(error.value) == (
        f"{tmp_path}: its files are of different runs or cut off; delete the folder and run again"
    )


def test_images_of_another_run_with_another_size_are_told_apart(zoo, tmp_path):
    for size in (10, 12):
        options = {"source": "folder", "size": size, "channels": 3, "path": str(zoo)}
        pack(options, tmp_path / f"size{size}")
    (tmp_path / "size12/images.npy").replace(tmp_path / "size10/images.npy")
    with pytest.raises(InputError) as error:
        open_packed(tmp_path / "size10")
    assert str(tmp_path / "size10") in str(error.value)


def test_an_index_of_another_run_with_as_many_images_is_told_apart(zoo, tmp_path):
    options = {"source": "folder", "size": 10, "channels": 3, "path": str(zoo)}
    pack(options, tmp_path / "before")
    (zoo / "cat/b.png").rename(zoo / "dog/b.png")
    pack(options, tmp_path / "after")
    (tmp_path / "after/index.csv").replace(tmp_path / "before/index.csv")
    with pytest.raises(InputError) as error:
        open_packed(tmp_path / "before")
    assert str(tmp_path / "before") in str(error.value)


def test_images_are_opened_without_being_read(packed_digits):
    assert isinstance(open_packed(packed_digits).images, np.memmap)


def test_bad_input_ends_the_command_with_one_sentence_and_status_1(tmp_path):
    command = [sys.executable, "-m", "transferability.datasets", "--into", tmp_path / "packed", "--source"]
    source = '{"source": "folder", "size": 8, "channels": 1, "path": "no/such/folder"}'
    done = subprocess.run([*command, source], env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: no/such/folder: there is no such folder")
    assert done.stderr.count("\n") == 1


def test_a_full_disk_ends_the_command_with_one_sentence_and_leaves_nothing(tmp_path):
    script = (
        "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000)); "
        "runpy.run_module('transferability.datasets', run_name='__main__', alter_sys=True)"
    )
    source = '{"source": "digits", "size": 8, "channels": 1}'
    command = [sys.executable, "-c", script, "--source", source, "--into", tmp_path / "packed"]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert list((tmp_path / "packed").iterdir()) == []
