import csv
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torchvision.datasets
from PIL import Image
from sklearn.datasets import load_digits
from torchvision import transforms

from transferability import files
from transferability.datasets import fit, pack
from transferability.errors import InputError
from transferability.tasks import open_packed

CHECKOUT = Path(__file__).parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(CHECKOUT / "src")}
FASHION = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]


@pytest.fixture
def noise() -> np.ndarray:
    """A colour image, 40 high and 60 wide."""
    return np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


@pytest.fixture
def zoo(tmp_path, noise) -> Path:
    """A folder of two classes with images of many forms."""
    for name in ("cat", "dog"):
        (tmp_path / "zoo" / name).mkdir(parents=True)
    Image.fromarray(noise).save(tmp_path / "zoo/cat/b.png")
    Image.fromarray(noise).save(tmp_path / "zoo/cat/a.JPG", quality=90)
    Image.fromarray(noise[:, :30]).save(tmp_path / "zoo/dog/tall.png")
    Image.fromarray(noise[:, :, 0]).save(tmp_path / "zoo/dog/grey.jpeg")
    (tmp_path / "zoo/dog/notes.txt").write_text("no image")
    return tmp_path / "zoo"


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


def test_a_square_image_of_the_right_size_keeps_its_pixels(noise):
    square = noise[:32, :32]
    assert np.array_equal(fit(Image.fromarray(square), 32, 3), square.transpose(2, 0, 1))


@pytest.mark.parametrize("size", [10, 20, 80])
@pytest.mark.parametrize(("height", "width"), [(40, 60), (40, 20), (20, 60), (30, 30)])
def test_the_shorter_side_is_resized_and_the_centre_cropped_as_torchvision_does(noise, height, width, size):
    image = Image.fromarray(noise[:height, :width])
    expected = transforms.Compose([transforms.Resize(size), transforms.CenterCrop(size), transforms.PILToTensor()])
    assert np.array_equal(fit(image, size, 3), expected(image))


@pytest.mark.parametrize(("height", "width"), [(1, 40), (39, 7), (40, 41), (17, 60)])
def test_odd_and_extreme_sides_give_the_asked_for_size(noise, height, width):
    assert fit(Image.fromarray(noise[:height, :width]), 9, 3).shape == (3, 9, 9)


def test_the_crop_is_the_middle():
    """Left third black, middle white, right third black: only white is left."""
    stripes = np.zeros((20, 60), dtype=np.uint8)
    stripes[:, 20:40] = 255
    assert (fit(Image.fromarray(stripes), 20, 1) == 255).all()


def test_a_colour_image_becomes_grey_by_its_luma(noise):
    weights = np.array([0.299, 0.587, 0.114])
    grey = fit(Image.fromarray(noise[:40, :40]), 40, 1)
    assert grey.shape == (1, 40, 40)
    assert np.abs(grey[0] - noise[:40, :40] @ weights).max() <= 1


def test_a_grey_image_becomes_three_equal_channels(noise):
    grey = noise[:40, :40, 0]
    assert np.array_equal(fit(Image.fromarray(grey), 40, 3), np.stack([grey] * 3))


def test_an_opaque_rgba_image_is_its_colours(noise):
    rgba = np.dstack([noise, np.full(noise.shape[:2], 255, dtype=np.uint8)])
    assert np.array_equal(fit(Image.fromarray(rgba), 40, 3), fit(Image.fromarray(noise), 40, 3))


def test_a_palette_image_is_its_colours_and_not_its_indices(noise):
    palette = Image.fromarray(noise[:40, :40]).quantize(16)
    assert palette.mode == "P"
    colours = np.array(palette.getpalette()).reshape(-1, 3)
    assert np.array_equal(fit(palette, 40, 3), colours[np.asarray(palette)].transpose(2, 0, 1))


def test_a_black_and_white_image_has_the_levels_0_and_255():
    board = np.indices((8, 8)).sum(axis=0) % 2 == 0
    assert np.array_equal(fit(Image.fromarray(board), 8, 1)[0], board * 255)


def test_a_sixteen_bit_image_keeps_its_levels(tmp_path):
    levels = np.arange(0, 65536, 1024, dtype=np.uint16).reshape(8, 8)
    Image.fromarray(levels).save(tmp_path / "deep.png")
    with Image.open(tmp_path / "deep.png") as image:
        pixels = fit(image, 8, 1)[0]
    assert np.abs(pixels - levels / 257).max() <= 1


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


def test_packing_a_folder_twice_gives_identical_bytes(zoo, tmp_path):
    for name in ("first", "second"):
        pack({"source": "folder", "size": 10, "channels": 3, "path": str(zoo)}, tmp_path / name)
    for name in ("card.json", "images.npy", "index.csv"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


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
