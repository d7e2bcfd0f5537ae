import csv
import os
from pathlib import Path

import numpy as np
import pytest
import torchvision.datasets
from PIL import Image

from transferability import files
from transferability.datasets import fit, pack
from transferability.errors import InputError
from transferability.tasks import open_packed

CHECKOUT = Path(__file__).parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(CHECKOUT / "src")}
FASHION = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]


@pytest.fixture
def fashion(tmp_path) -> tuple[Path, np.ndarray, np.ndarray]:
    """FashionMNIST's files as torchvision leaves them, of 20 training and 10 test images; and what they hold."""
    generator = np.random.default_rng(1)
    pixels = generator.integers(0, 256, (30, 28, 28), dtype=np.uint8)
    labels = np.concatenate([np.arange(20) % 10, np.arange(10)[::-1]]).astype(np.uint8)
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for name, part in (("train", slice(0, 20)), ("t10k", slice(20, 30))):
        count = part.stop - part.start
        header = np.array([0x803, count, 28, 28], dtype=">i4").tobytes()
        (raw / f"{name}-images-idx3-ubyte").write_bytes(header + pixels[part].tobytes())
        header = np.array([0x801, count], dtype=">i4").tobytes()
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(header + labels[part].tobytes())
    return tmp_path, pixels, labels


def test_a_folder_is_packed_in_the_order_of_names_and_leaves_other_files_out(zoo, tmp_path, noise):
    pack({"source": "folder", "size": 10, "channels": 3, "path": str(zoo)}, tmp_path / "packed")
    packed = open_packed(tmp_path / "packed")
    assert packed.classes == ["cat", "cat", "dog", "dog"]
    assert packed.card["classes"] == {"cat": 2, "dog": 2}
    with open(tmp_path / "packed/index.csv", newline="") as file:
        places = [row["file"] for row in csv.DictReader(file)]
    assert places == ["cat/a.JPG", "cat/b.png", "dog/grey.jpeg", "dog/tall.png"]
    assert np.array_equal(packed.images[1], fit(Image.fromarray(noise), 10, 3))
    assert np.array_equal(packed.images[3], fit(Image.fromarray(noise[:, :30]), 10, 3))
    assert packed.images.shape == (4, 3, 10, 10)


def test_the_order_of_a_folder_is_that_of_names_and_not_of_the_disk(tmp_path):
    """Two machines list one folder differently; its packed set is the same."""
    for level in np.random.default_rng(0).permutation(200):
        folder = tmp_path / "shades" / f"{level // 50}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), int(level)).save(folder / f"{level:03}.png")
    pack({"source": "folder", "size": 4, "channels": 1, "path": str(tmp_path / "shades")}, tmp_path / "packed")
    packed = open_packed(tmp_path / "packed")
    assert packed.images[:, 0, 0, 0].tolist() == list(range(200))
    assert packed.classes == [str(level // 50) for level in range(200)]


def test_a_folder_can_be_packed_in_grey(zoo, tmp_path, noise):
    pack({"source": "folder", "size": 10, "channels": 1, "path": str(zoo)}, tmp_path / "packed")
    packed = open_packed(tmp_path / "packed")
    assert packed.images.shape == (4, 1, 10, 10)
    assert np.array_equal(packed.images[1], fit(Image.fromarray(noise).convert("L"), 10, 1))


def test_images_in_folders_of_a_class_belong_to_the_class(zoo, tmp_path, noise):
    (zoo / "cat/wild").mkdir()
    Image.fromarray(noise).save(zoo / "cat/wild/lynx.png")
    pack({"source": "folder", "size": 10, "channels": 3, "path": str(zoo)}, tmp_path / "packed")
    assert files.read_json(tmp_path / "packed/card.json")["classes"] == {"cat": 3, "dog": 2}


@pytest.mark.parametrize("kept", [0, 20, 300])
@pytest.mark.parametrize("name", ["b.png", "a.JPG"])
def test_an_unreadable_image_is_named_and_nothing_is_packed(zoo, tmp_path, name, kept):
    file = zoo / "cat" / name
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(InputError) as error:
        pack({"source": "folder", "size": 10, "channels": 3, "path": str(zoo)}, tmp_path / "packed")
    assert str(error.value).startswith(f"{file}: cannot be read as an image (")
    assert str(error.value).endswith("); mend or remove it")
    assert not (tmp_path / "packed").exists()


def test_an_empty_class_is_named(zoo, tmp_path):
    (zoo / "emu").mkdir()
    (zoo / "emu/notes.txt").write_text("no image")
    with pytest.raises(InputError) as error:
        pack({"source": "folder", "size": 10, "channels": 3, "path": str(zoo)}, tmp_path / "packed")
    assert str(error.value) == f"{zoo / 'emu'}: this class has no images; add some or remove the folder"


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError) as error:
        pack({"source": "folder", "size": 10, "channels": 3, "path": str(tmp_path / "none")}, tmp_path / "packed")
    assert str(error.value).startswith(f"{tmp_path / 'none'}: there is no such folder")


def test_a_folder_without_classes_is_refused(tmp_path):
    (tmp_path / "bare").mkdir()
    with pytest.raises(InputError, match="holds no images"):
        pack({"source": "folder", "size": 10, "channels": 3, "path": str(tmp_path / "bare")}, tmp_path / "packed")


def test_a_torchvision_set_is_packed_part_after_part(fashion, tmp_path):
    root, pixels, labels = fashion
    options = {"source": "torchvision", "name": "FashionMNIST", "path": str(root), "download": False}
    pack({**options, "size": 28, "channels": 1, "parts": [{"train": True}, {"train": False}]}, tmp_path / "packed")
    packed = open_packed(tmp_path / "packed")
    assert packed.classes == [FASHION[label] for label in labels]
    assert packed.card["classes"] == dict.fromkeys(sorted(FASHION), 3)
    assert np.array_equal(packed.images[:, 0], pixels)
    with open(tmp_path / "packed/index.csv", newline="") as file:
        places = [row["file"] for row in csv.DictReader(file)]
    assert (places[0], places[20]) == ("FashionMNIST/train=True/0", "FashionMNIST/train=False/0")
    assert len(set(places)) == 30


def test_one_part_of_a_torchvision_set_can_be_packed_alone(fashion, tmp_path):
    root, pixels, _ = fashion
    options = {"source": "torchvision", "name": "FashionMNIST", "path": str(root), "download": False}
    pack({**options, "size": 28, "channels": 1, "parts": [{"train": False}]}, tmp_path / "packed")
    assert np.array_equal(open_packed(tmp_path / "packed").images[:, 0], pixels[20:])


def test_a_name_that_torchvision_lacks_is_named(tmp_path):
    options = {"source": "torchvision", "name": "FashionMINST", "path": str(tmp_path), "download": False}
    with pytest.raises(InputError) as error:
        pack({**options, "size": 28, "channels": 1, "parts": [{"train": True}]}, tmp_path / "packed")
    assert str(error.value) == "datasets: torchvision.datasets has no 'FashionMINST'"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("FashionMNIST", {"train": True}),  # its files are not there
        ("FashionMNIST", {"trian": True}),
        ("CIFAR10", {"train": True}),  # its files are not there
        ("EMNIST", {"split": "no such split"}),
        ("utils", {"train": True}),  # no data set at all
    ],
)
def test_what_torchvision_refuses_is_said_with_the_set_and_the_arguments(tmp_path, name, arguments):
    options = {"source": "torchvision", "name": name, "path": str(tmp_path), "download": False}
    with pytest.raises(InputError) as error:
        pack({**options, "size": 28, "channels": 1, "parts": [arguments]}, tmp_path / "packed")
    assert str(error.value).startswith(f"datasets: torchvision's {name} with {arguments}: ")


def test_a_torchvision_set_without_named_classes_is_refused_in_one_sentence(tmp_path, monkeypatch):
    """SVHN, USPS, GTSRB and others have labels but no `classes`; their files cannot be made up here."""

    class Nameless(torchvision.datasets.FakeData):
        def __init__(self, root, download):
            super().__init__(size=4)

    monkeypatch.setattr(torchvision.datasets, "Nameless", Nameless, raising=False)
    options = {"source": "torchvision", "name": "Nameless", "path": str(tmp_path), "download": False}
    with pytest.raises(InputError, match="Nameless"):
        pack({**options, "size": 8, "channels": 3, "parts": [{}]}, tmp_path / "packed")
