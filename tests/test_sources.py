import csv
import hashlib
import os
import pickle
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.datasets
from PIL import Image
from scipy.io import savemat
from sklearn.datasets import load_digits

from transferability import files
from transferability.data import packing
from transferability.data.images import fit, formats
from transferability.data.lists import read_list
from transferability.data.packed import Packed, open_packed
from transferability.data.packing import pack
from transferability.errors import InputError

CHECKOUT = Path(__file__).parent.parent
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


@pytest.mark.parametrize(("kept", "why"), [(0, "the file is empty"), (20, ""), (300, "")])
@pytest.mark.parametrize("name", ["b.png", "a.JPG"])
def test_an_unreadable_image_is_named_and_nothing_is_packed(zoo, tmp_path, name, kept, why):
    file = zoo / "cat" / name
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(InputError) as error:
        pack({"source": "folder", "size": 10, "channels": 3, "path": str(zoo)}, tmp_path / "packed")
    assert str(error.value).startswith(f"{zoo}: 1 of 4 images cannot be read: cat/{name} ({why}")
    assert str(error.value).endswith("); mend or remove them, or set on_bad: skip in datasets.*.images")
    assert not [entry for entry in (tmp_path / "packed").iterdir() if not entry.name.startswith(".")]


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
    parts = {"train": {"train": True}, "test": {"train": False}}
    options = {"source": "torchvision", "name": "FashionMNIST", "path": str(root), "download": False}
    pack({**options, "size": 28, "channels": 1, "parts": parts}, tmp_path / "packed")
    packed = open_packed(tmp_path / "packed")
    assert packed.classes == [FASHION[label] for label in labels]
    assert packed.card["classes"] == dict.fromkeys(sorted(FASHION), 3)
    assert np.array_equal(packed.images[:, 0], pixels)
    with open(tmp_path / "packed/index.csv", newline="") as file:
        places = [row["file"] for row in csv.DictReader(file)]
    assert (places[0], places[20]) == ("FashionMNIST/train/0", "FashionMNIST/test/0")
    assert len(set(places)) == 30


def test_one_part_of_a_torchvision_set_can_be_packed_alone(fashion, tmp_path):
    root, pixels, _ = fashion
    options = {"source": "torchvision", "name": "FashionMNIST", "path": str(root), "download": False}
    pack({**options, "size": 28, "channels": 1, "parts": {"test": {"train": False}}}, tmp_path / "packed")
    assert np.array_equal(open_packed(tmp_path / "packed").images[:, 0], pixels[20:])


@pytest.mark.parametrize("name", ["FashionMINST", "utils"])
def test_a_name_that_torchvision_lacks_is_named(tmp_path, name):
    options = {"source": "torchvision", "name": name, "path": str(tmp_path), "download": False}
    with pytest.raises(InputError) as error:
        pack({**options, "size": 28, "channels": 1, "parts": {"train": {"train": True}}}, tmp_path / "packed")
    assert str(error.value) == f"datasets: torchvision.datasets has no {name!r}"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("FashionMNIST", {"train": True}),  # its files are not there
        ("FashionMNIST", {"trian": True}),
        ("CIFAR10", {"train": True}),  # its files are not there
        ("EMNIST", {"split": "no such split"}),
        ("VOCDetection", {"year": "1066"}),
    ],
)
def test_what_torchvision_refuses_is_said_with_the_set_and_the_arguments(tmp_path, name, arguments):
    options = {"source": "torchvision", "name": name, "path": str(tmp_path), "download": False}
    with pytest.raises(InputError) as error:
        pack({**options, "size": 28, "channels": 1, "parts": {"train": arguments}}, tmp_path / "packed")
    assert str(error.value).startswith(f"datasets: torchvision's {name} with {arguments}: ")


@pytest.fixture
def bad_zoo(zoo) -> Path:
    """The zoo with eight files that cannot be read, among them all of the class emu."""
    (zoo / "emu").mkdir()
    (zoo / "emu/empty.png").write_bytes(b"")
    (zoo / "emu/text.jpg").write_text("a picture of an emu")
    (zoo / "emu/gone.jpg").symlink_to("nowhere.jpg")
    (zoo / "emu/circle.jpg").symlink_to("circle.jpg")
    os.mkfifo(zoo / "emu/pipe.jpg")
    (zoo / "emu/archive.png").write_bytes(b"PK\x03\x04" + bytes(100))
    (zoo / "dog/cut.png").write_bytes((zoo / "dog/tall.png").read_bytes()[:900])
    (zoo / "cat/c.jpg").write_bytes((zoo / "cat/a.JPG").read_bytes()[:900])
    return zoo


BAD = {
    "cat/c.jpg": "not enough image data",
    "dog/cut.png": None,
    "emu/archive.png": f"not an image of a known form: {', '.join(formats())}",
    "emu/circle.jpg": "there is no such file, or nothing that is a plain one",
    "emu/empty.png": "the file is empty",
    "emu/gone.jpg": "there is no such file, or nothing that is a plain one",
    "emu/pipe.jpg": "there is no such file, or nothing that is a plain one",
    "emu/text.jpg": f"not an image of a known form: {', '.join(formats())}",
}


def test_all_files_are_looked_at_before_the_bad_ones_are_counted_and_the_first_named(bad_zoo, tmp_path):
    with pytest.raises(InputError) as error:
        pack({"source": "folder", "size": 10, "channels": 3, "path": str(bad_zoo)}, tmp_path / "packed")
    message = str(error.value)
    assert message.startswith(f"{bad_zoo}: 8 of 12 images cannot be read, such as cat/c.jpg (not enough image data), ")
    assert "emu/archive.png (not an image of a known form: JPEG, " in message
    assert "emu/empty.png" not in message
    assert "\n" not in message


def test_bad_files_are_left_out_where_the_params_say_so_and_listed_and_counted(bad_zoo, tmp_path, capsys):
    options = {"source": "folder", "size": 10, "channels": 3, "path": str(bad_zoo), "on_bad": "skip"}
    pack(options, tmp_path / "packed")
    packed = open_packed(tmp_path / "packed")
    assert packed.classes == ["cat", "cat", "dog", "dog"]
    assert [entry["file"] for entry in packed.card["bad"]] == list(BAD)
    for entry in packed.card["bad"]:
        assert entry["reason"] == (BAD[entry["file"]] or entry["reason"]) != ""
    assert f"note: {bad_zoo}: 8 of 12 images cannot be read" in capsys.readouterr().err
    # The holes are closed: what is there is what a folder without them gives.
    for file in BAD:
        (bad_zoo / file).unlink()
    (bad_zoo / "emu").rmdir()
    pack(options, tmp_path / "clean")
    for name in ("images.npy", "index.csv"):
        assert (tmp_path / "packed" / name).read_bytes() == (tmp_path / "clean" / name).read_bytes()
    clean = files.read_json(tmp_path / "clean/card.json")
    assert clean == {**packed.card, "bad": [], "listing": clean["listing"]}
    assert (packed.card["listing"]["images"], clean["listing"]["images"]) == (12, 4)


def test_nothing_but_bad_files_is_refused(bad_zoo, tmp_path):
    for name in ("cat", "dog"):
        shutil.rmtree(bad_zoo / name)
    with pytest.raises(InputError, match="holds no images that can be read"):
        pack({"source": "folder", "size": 8, "channels": 1, "path": str(bad_zoo), "on_bad": "skip"}, tmp_path / "p")


def tree(root: Path, parts: dict[str, dict[str, int]]) -> Path:
    """A folder `part/class` of so many grey images each, every one of another level."""
    level = 0
    for part, classes in parts.items():
        for name, count in classes.items():
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                Image.new("L", (4, 4), level % 256).save(root / part / name / f"{part or 'x'}{number}.png")
                level += 1
    return root


def packed_tree(root: Path, tmp_path: Path, **options) -> tuple[list[str], list[str], list[int], dict]:
    """Classes, parts and levels of a packed folder, and its card."""
    pack({"source": "folder", "path": str(root), "size": 4, "channels": 1, **options}, tmp_path / "packed")
    packed = open_packed(tmp_path / "packed")
    return packed.classes, packed.parts, packed.images[:, 0, 0, 0].tolist(), packed.card


def test_a_folders_own_parts_are_kept(tmp_path):
    root = tree(tmp_path / "x", {"val": {"a": 1, "b": 1}, "train": {"a": 2, "b": 2}, "test": {"b": 1}})
    classes, parts, levels, card = packed_tree(root, tmp_path)
    assert parts == ["train"] * 4 + ["val"] * 2 + ["test"]
    assert classes == ["a", "a", "b", "b", "a", "b", "b"]
    assert levels == [2, 3, 4, 5, 0, 1, 6]
    assert card["parts"] == {"test": 1, "train": 4, "val": 2}
    assert card["classes"] == {"a": 3, "b": 4}


def test_a_tree_with_a_class_named_train_has_no_parts(tmp_path):
    root = tree(tmp_path / "x", {"": {"car": 2, "train": 2}})
    classes, parts, _, card = packed_tree(root, tmp_path)
    assert (classes, parts) == (["car", "car", "train", "train"], [""] * 4)
    assert card["parts"] == {"": 4}


def test_other_folders_beside_the_parts_and_loose_images_are_noted(tmp_path, capsys):
    root = tree(tmp_path / "x", {"train": {"a": 1, "b": 1}, "validation": {"a": 1}})
    Image.new("L", (4, 4)).save(root / "train/loose.png")
    (root / "train/a/notes.txt").write_text("no image")
    packed_tree(root, tmp_path)
    said = capsys.readouterr().err
    assert f"note: {root}: left out 1 (folder that is no part): validation\n" in said
    assert f"note: {root}: left out 1 (image in no class's folder): train/loose.png\n" in said
    assert f"note: {root}: left out 1 (no image by its suffix .txt): train/a/notes.txt\n" in said
    assert said.count("\n") == 3
    assert [entry["such as"] for entry in files.read_json(tmp_path / "packed/card.json")["left_out"]] == [
        ["validation"],
        ["train/loose.png"],
        ["train/a/notes.txt"],
    ]


def test_a_class_that_the_train_part_lacks_is_named(tmp_path):
    root = tree(tmp_path / "x", {"train": {"a": 1, "b": 1}, "val": {"A": 1}})
    with pytest.raises(InputError) as error:
        packed_tree(root, tmp_path)
    assert str(error.value).startswith(f"{root}/val: has the class 'A', which {root}/train lacks; ")


def vehicles(root: Path) -> Path:
    """A folder a class, of which one is named train and has its images in folders."""
    tree(root, {"": {"bus": 2, "car": 2, "plane": 2}, "train": {"steam": 1, "electric": 1}})
    return root


def test_a_class_named_train_is_not_taken_for_a_part_that_hides_its_siblings(tmp_path):
    root = vehicles(tmp_path / "x")
    with pytest.raises(InputError) as error:
        packed_tree(root, tmp_path)
    assert str(error.value) == (
        f"{root}: may have one folder a class (bus, car, plane, train), or a part `train` of the classes electric, "
        "steam; name the parts in datasets.*.images.parts, or else the classes in datasets.*.images.classes"
    )
    by_class = packed_tree(root, tmp_path, classes=["bus", "car", "plane", "train"])[3]
    assert by_class["classes"] == {"bus": 2, "car": 2, "plane": 2, "train": 2}
    by_part = packed_tree(root, tmp_path, parts=["train"])[3]
    assert by_part["classes"] == {"electric": 1, "steam": 1}
    assert [entry["such as"] for entry in by_part["left_out"]] == [["bus", "car", "plane"]]


@pytest.mark.parametrize(
    "siblings", [{"bus": {"steam": 1}}, {"bus": {"low": 1}}, {"val": {"steam": 1}, "bus": {"x": 1}}]
)
def test_a_folder_of_images_beside_train_is_never_dropped_without_a_word(tmp_path, siblings):
    root = tree(tmp_path / "x", {"train": {"steam": 1, "electric": 1}, **siblings})
    with pytest.raises(InputError, match=r"may have one folder a class \(bus, "):
        packed_tree(root, tmp_path)


def test_folders_without_images_beside_the_parts_do_not_matter_and_are_counted(tmp_path):
    root = tree(tmp_path / "x", {"train": {"a": 1, "b": 1}, "val": {"a": 1}})
    for name in ("annotations/a", "devkit"):
        (root / name).mkdir(parents=True)
        (root / name / "about.xml").write_text("<x/>")
    _, parts, _, card = packed_tree(root, tmp_path)
    assert parts == ["train", "train", "val"]
    assert card["left_out"] == [{"reason": "folder that is no part", "count": 2, "such as": ["annotations", "devkit"]}]


@pytest.mark.parametrize(
    ("parts", "named"),
    [
        ({"Train": {"a": 1, "b": 1}, "Test": {"a": 1, "b": 1}}, "'Train' and 'Test'"),
        ({"training": {"a": 1, "b": 1}, "validation": {"a": 1}}, "'training' and 'validation'"),
        ({"": {"train": 2, "val": 1}}, "'train' and 'val'"),
    ],
)
def test_parts_by_other_names_or_without_classes_do_not_become_classes(tmp_path, parts, named):
    root = tree(tmp_path / "x", parts)
    with pytest.raises(InputError) as error:
        packed_tree(root, tmp_path)
    assert str(error.value).startswith(
        f"{root}: the folders {named} look like parts, which are to be named train, val "
    )
    names = sorted(path.name for path in root.iterdir())
    assert list(packed_tree(root, tmp_path, classes=names)[3]["classes"]) == names


def numbered(tmp_path: Path, labels: list[str], classes: list[str], first: str = "") -> list[str]:
    """The classes that a list gives to images v0, v1 ... of a flat part."""
    root = tree(tmp_path / "x", {"train": dict.fromkeys(classes, 1)})
    (root / "val").mkdir()
    for number in range(len(labels)):
        Image.new("L", (4, 4), 200 + number).save(root / f"val/v{number:02}.png")
    lines = [f"v{number:02}.png {label}" for number, label in enumerate(labels)]
    (tmp_path / "list.txt").write_text("\n".join([first, *lines]))
    return packed_tree(root, tmp_path, lists={"val": str(tmp_path / "list.txt")})[0][len(classes) :]


TWELVE = [str(number) for number in range(1, 13)]


def test_a_list_is_read_as_names_or_as_indices_and_never_as_both(tmp_path):
    assert numbered(tmp_path / "1", TWELVE, TWELVE) == TWELVE
    assert numbered(tmp_path / "2", ["2", "0", "1"], ["c", "a", "b"]) == ["c", "a", "b"]
    ten = [str(number) for number in range(10)]
    assert numbered(tmp_path / "3", ten, ten) == ten
    in_text_order = numbered(tmp_path / "4", ["0", "1", "4"], TWELVE, first="file index")
    assert in_text_order == ["1", "10", "2"]
    assert numbered(tmp_path / "5", ["1", "2"], TWELVE, first="file class") == ["1", "2"]


@pytest.mark.parametrize(
    ("labels", "classes", "sentence"),
    [
        (
            ["0", "1", "11"],
            TWELVE,
            "its labels are no names of classes, and as indices they may count the classes in the ",
        ),
        (["1", "2"], TWELVE, "its labels may be names of classes or their indices; say which by a first line `file "),
        (["1", "3"], ["1", "2", "3", "4"], "its labels may be "),
        (
            ["0", "cat"],
            ["cat", "dog"],
            "the label 'cat' is a class and no index, and '0' an index and no class; let all ",
        ),
        (["0", "2"], [f"class{number}" for number in (1, 2, 10)], "its labels are no names of classes, and as indices"),
    ],
)
def test_a_list_that_may_be_read_in_two_ways_or_is_written_in_two_is_refused(tmp_path, labels, classes, sentence):
    with pytest.raises(InputError) as error:
        numbered(tmp_path, labels, classes)
    assert str(error.value).startswith(f"{tmp_path}/list.txt: {sentence}")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-8"])
def test_a_list_with_a_byte_order_mark_windows_lines_and_accents_is_read(tmp_path, encoding):
    root = tree(tmp_path / "x", {"train": {"caf\u00e9": 1, "the\u0301": 1}})
    (root / "val").mkdir()
    for level, name in enumerate(("un e\u0301t\u00e9.png", "b.png"), 100):
        Image.new("L", (4, 4), level).save(root / "val" / name)
    text = "un \u00e9t\u00e9.png cafe\u0301\r\n.\\b.png th\u00e9\r\n"
    (tmp_path / "list.txt").write_bytes(text.encode(encoding))
    classes, _, levels, _ = packed_tree(root, tmp_path, lists={"val": str(tmp_path / "list.txt")})
    assert dict(zip(levels[2:], classes[2:], strict=True)) == {100: "caf\u00e9", 101: "the\u0301"}


def test_a_list_that_names_one_file_in_two_ways_with_two_classes_is_refused(tmp_path):
    root = flat(tmp_path / "x", ["images/c.png"])
    (tmp_path / "list.txt").write_text("images/c.png n01\nc.png n02\n")
    with pytest.raises(
        InputError, match=r"list.txt: gives val/images/c.png two classes, 'n01' and 'n02'; mend the list"
    ):
        packed_tree(root, tmp_path, lists={"val": str(tmp_path / "list.txt")})


def test_a_listed_file_at_the_top_of_a_part_is_told_from_one_of_the_same_name_below(tmp_path):
    root = flat(tmp_path / "x", ["c.png", "images/c.png"])
    (tmp_path / "list.txt").write_text("c.png n01\nimages/c.png n02\n")
    classes, _, levels, _ = packed_tree(root, tmp_path, lists={"val": str(tmp_path / "list.txt")})
    assert (classes[3:], levels[3:]) == (["n01", "n02"], [100, 101])


def flat(root: Path, names: list[str]) -> Path:
    """A folder with parts whose validation images lie in it without classes."""
    tree(root, {"train": {"n01": 1, "n02": 1, "n03": 1}})
    (root / "val").mkdir()
    for level, name in enumerate(names, 100):
        (root / "val" / name).parent.mkdir(exist_ok=True)
        Image.new("L", (4, 4), level).save(root / "val" / name)
    return root


@pytest.mark.parametrize(
    "text",
    [
        "b.png n03\na b.png n01\n\nimages/c.png n03\n",
        "b.png 2\na b.png 0\nimages/c.png 2\n",
        "b.png\tn03\t0\t0\t62\na b.png\tn01\t1\t2\t3\nc.png\tn03\t0\t0\t1\n",  # Tiny-ImageNet's
    ],
)
def test_a_flat_part_has_its_classes_from_a_list(tmp_path, text):
    root = flat(tmp_path / "x", ["b.png", "a b.png", "images/c.png"])
    (tmp_path / "list.txt").write_text(text)
    classes, parts, levels, _ = packed_tree(root, tmp_path, lists={"val": str(tmp_path / "list.txt")})
    assert (classes[3:], parts[3:], levels[3:]) == (["n01", "n03", "n03"], ["val"] * 3, [101, 100, 102])


def test_a_list_that_is_edited_while_packing_is_stopped_counts_for_what_was_packed(tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "CHUNK", 1)
    root, listed = flat(tmp_path / "x", ["a.png", "b.png"]), tmp_path / "list.txt"
    whole = (root / "val/b.png").read_bytes()
    (root / "val/b.png").write_bytes(b"")
    listed.write_text("a.png n01\nb.png n02\n")
    with pytest.raises(InputError, match="the file is empty"):
        packed_tree(root, tmp_path, lists={"val": str(listed)})
    (root / "val/b.png").write_bytes(whole)
    listed.write_text("a.png n03\nb.png n02\n")
    assert packed_tree(root, tmp_path, lists={"val": str(listed)})[0][3:] == ["n03", "n02"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a.png n01\n", "list.txt: lacks 1 of the 2 images in "),
        ("a.png n01\nb.png n04\n", "list.txt: line 2 is 'b.png n04', not FILE CLASS with one of the 3 classes "),
        ("a.png n01\nb.png 3\n", "list.txt: line 2 is 'b.png 3', not FILE CLASS with one of the 3 classes "),
        ("a.png n01\nb.png\n", "list.txt: line 2 is 'b.png', not FILE CLASS "),
        ("a.png n01\nb.png n02\na.png n02\n", "list.txt: line 3 gives 'a.png' a second class"),
        ("a.png n01\nb.png n02\nc.png n02\n", "1 of 6 images cannot be read: val/c.png (there is no such file"),
    ],
)
def test_a_list_that_does_not_fit_is_named_with_its_line(tmp_path, text, sentence):
    root = flat(tmp_path / "x", ["a.png", "b.png"])
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(InputError) as error:
        packed_tree(root, tmp_path, lists={"val": str(tmp_path / "list.txt")})
    assert sentence in str(error.value)


def test_a_flat_part_without_a_list_says_which_key_gives_one(tmp_path):
    root = flat(tmp_path / "x", ["a.png"])
    with pytest.raises(InputError) as error:
        packed_tree(root, tmp_path)
    assert str(error.value).startswith(f"{root}/val: has no folders of classes; name a list of its files in ")
    assert "datasets.*.images.lists.val" in str(error.value)
    assert packed_tree(root, tmp_path, parts=["train"])[1] == ["train"] * 3


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"lists": {"val": "none.txt"}}, "none.txt: datasets.*.images.lists names it, but it cannot be read ("),
        ({"lists": {"val": "ilsvrc2012"}}, "the list ilsvrc2012 is for the 1,000 classes of ILSVRC2012, not for 3; "),
        ({"lists": {"test": "x"}}, ": has no folder 'test', which datasets.*.images names as a part"),
        ({"parts": ["train", "test"]}, ": has no folder 'test', which datasets.*.images names as a part"),
        ({"md5": 32 * "0"}, ": datasets.*.images.md5 is that of an archive, and this is a folder; leave it out"),
    ],
)
def test_an_option_that_does_not_fit_the_folder_is_named(tmp_path, options, sentence):
    root = flat(tmp_path / "x", ["a.png"])
    with pytest.raises(InputError) as error:
        packed_tree(root, tmp_path, **options)
    assert sentence in str(error.value)


def test_the_shipped_list_is_the_published_one():
    """The MD5 of the original study's list, lines FILE INDEX."""
    rows = read_list("ilsvrc2012", [str(index) for index in range(1000)])
    assert len(rows) == 50_000
    assert set(Counter(rows.values()).values()) == {50}
    assert next(iter(rows.items())) == ("ILSVRC2012_val_00000001.JPEG", "65")
    text = "".join(f"{file} {label}\n" for file, label in rows.items())
    assert hashlib.md5(text.encode()).hexdigest() == "b6284a7c08fba47457c2c1f6049a156e"


def test_ilsvrc2012_as_people_have_it_is_packed(tmp_path):
    """A thousand synsets; of the flat validation images only the first two are there, the others are counted."""
    root = tmp_path / "ILSVRC2012"
    Image.new("L", (4, 4), 7).save(tmp_path / "x.png")
    for index in range(1000):
        (root / "train" / f"n{index:08}").mkdir(parents=True)
        (root / "train" / f"n{index:08}/n{index:08}_1.JPEG").hardlink_to(tmp_path / "x.png")
    (root / "val").mkdir()
    for number in (1, 2):
        (root / "val" / f"ILSVRC2012_val_{number:08}.JPEG").hardlink_to(tmp_path / "x.png")
    classes, parts, _, card = packed_tree(root, tmp_path, lists={"val": "ilsvrc2012"}, on_bad="skip")
    assert parts == ["train"] * 1000 + ["val"] * 2
    assert classes[1000:] == ["n00000065", "n00000970"]
    assert len(card["bad"]) == 49_998


def test_classes_that_differ_only_in_case_or_composition_are_refused(tmp_path):
    for other in ("CAT", "cát"):
        names = {"cat": 1, "CAT": 1} if other == "CAT" else {"c\u00e1t": 1, "ca\u0301t": 1}
        root = tree(tmp_path / other, {"train": names})
        with pytest.raises(InputError, match="differ only in case; rename one of them"):
            packed_tree(root, tmp_path)


def test_names_with_spaces_and_letters_of_any_script_are_kept(tmp_path):
    names = ["été 2024", "猫, и “кот”", "line\nbreak"]
    root = tree(tmp_path / "my images – ü", {"": dict.fromkeys(names, 2)})
    classes, _, levels, card = packed_tree(root, tmp_path)
    assert sorted(card["classes"]) == sorted(names)
    assert Counter(classes) == dict.fromkeys(names, 2)
    assert sorted(levels) == list(range(6))


def test_a_name_that_is_no_utf8_is_refused_in_one_sentence(tmp_path):
    root = tree(tmp_path / "x", {"": {"a": 1, "b": 1}})
    (root / "a/x0.png").rename(root / "a" / os.fsdecode(b"\xff.png"))
    with pytest.raises(InputError, match="is not UTF-8; rename it"):
        packed_tree(root, tmp_path)


def test_a_name_with_a_carriage_return_is_refused_in_one_sentence(zoo, tmp_path):
    (zoo / "cat/b.png").rename(zoo / "cat/b\r.png")
    with pytest.raises(InputError, match=r"cat: the name 'b\\r\.png' in it has a carriage return; rename it"):
        pack({"source": "folder", "path": str(zoo), "size": 8, "channels": 1}, tmp_path / "packed")


def test_a_folder_that_may_not_be_read_is_named(tmp_path):
    """Root reads everything, so that the test takes another user's place for as long."""
    folder = Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o755)
        tree(folder / "x", {"": {"a": 1, "b": 1}})
        (folder / "x/a").chmod(0)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            with pytest.raises(InputError) as error:
                packed_tree(folder / "x", tmp_path)
        finally:
            os.seteuid(user)
        assert str(error.value) == f"{folder}/x/a: cannot be looked into (Permission denied); mend its permissions"
    finally:
        (folder / "x/a").chmod(0o755)
        shutil.rmtree(folder)


def test_hidden_files_and_what_a_mac_adds_are_no_images(zoo, tmp_path):
    for place in (".hidden", "__MACOSX", "cat/.thumbnails"):
        (zoo / place).mkdir()
        shutil.copy(zoo / "cat/b.png", zoo / place / "x.png")
    shutil.copy(zoo / "cat/b.png", zoo / "cat/._b.png")
    (zoo / "cat/Icon\r").touch()
    card = packed_tree(zoo, tmp_path)[3]
    assert card["classes"] == {"cat": 2, "dog": 2}
    hidden = "hidden folder, taken where datasets.*.images.classes names it"
    assert [(entry["reason"], entry["such as"]) for entry in card["left_out"]] == [
        ("added by a system", ["__MACOSX", "cat/._b.png", "cat/.thumbnails"]),
        (hidden, [".hidden"]),
        ("no image by its suffix .txt", ["dog/notes.txt"]),
    ]


@pytest.mark.parametrize("name", ["@eaDir", "lost+found", "$RECYCLE.BIN", "#recycle", "System Volume Information"])
def test_folders_that_systems_add_are_no_classes_and_are_counted(zoo, tmp_path, name, capsys):
    (zoo / name).mkdir()
    shutil.copy(zoo / "cat/b.png", zoo / name / "thumb.png")
    (zoo / "dog/notes.txt").unlink()
    card = packed_tree(zoo, tmp_path)[3]
    assert card["classes"] == {"cat": 2, "dog": 2}
    assert card["left_out"] == [{"reason": "added by a system", "count": 1, "such as": [name]}]
    assert capsys.readouterr().err == f"note: {zoo}: left out 1 (added by a system): {name}\n"


def test_a_class_whose_name_begins_with_a_dot_is_told_and_taken_where_the_params_name_it(zoo, tmp_path, capsys):
    shutil.copytree(zoo / "cat", zoo / ".net")
    assert list(packed_tree(zoo, tmp_path)[3]["classes"]) == ["cat", "dog"]
    assert "left out 1 (hidden folder, taken where datasets.*.images.classes names it): .net" in capsys.readouterr().err
    assert packed_tree(zoo, tmp_path, classes=["cat", "dog", ".net"])[3]["classes"] == {".net": 2, "cat": 2, "dog": 2}


@pytest.mark.parametrize(
    ("suffix", "form"), [(".jfif", "JPEG"), (".JPE", "JPEG"), (".pbm", "PPM"), (".jp2", "JPEG2000")]
)
def test_images_are_taken_whatever_suffix_of_theirs_they_have(tmp_path, noise, suffix, form):
    for name in "ab":
        (tmp_path / "x" / name).mkdir(parents=True)
        Image.fromarray(noise).convert("1" if suffix == ".pbm" else "RGB").save(tmp_path / f"x/{name}/1{suffix}", form)
    assert packed_tree(tmp_path / "x", tmp_path)[3]["classes"] == {"a": 1, "b": 1}


def test_an_avif_image_is_read_where_pil_can(tmp_path, noise):
    if "AVIF" not in formats():
        pytest.skip("this PIL reads no AVIF")
    (tmp_path / "x/a").mkdir(parents=True)
    drawn = Image.fromarray(noise[:40, :40]).resize((80, 80))
    drawn.save(tmp_path / "x/a/1.avif", quality=100, subsampling="4:4:4")
    pack({"source": "folder", "path": str(tmp_path / "x"), "size": 80, "channels": 3}, tmp_path / "packed")
    expected = np.asarray(drawn).transpose(2, 0, 1).astype(int)
    assert np.abs(open_packed(tmp_path / "packed").images[0] - expected).mean() < 3


def test_a_heic_image_that_pil_cannot_read_is_named_and_not_passed_over(zoo, tmp_path):
    (zoo / "cat/phone.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    with pytest.raises(
        InputError, match=r"1 of 5 images cannot be read: cat/phone.HEIC \(not an image of a known form"
    ):
        packed_tree(zoo, tmp_path)


def test_a_name_with_control_characters_is_shown_and_not_sent_to_the_terminal(zoo, tmp_path, capsys):
    (zoo / "cat/\x1b[31mred.png").write_bytes(b"")
    (zoo / "cat/\x07bell.txt").write_text("x")
    with pytest.raises(InputError) as error:
        packed_tree(zoo, tmp_path)
    assert r"cat/\x1b[31mred.png (the file is empty)" in str(error.value)
    packed_tree(zoo, tmp_path, on_bad="skip")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert all(line.isprintable() for line in [str(error.value), *lines])


def test_classes_are_found_however_their_accents_are_written(tmp_path):
    root = tree(tmp_path / "x", {"train": {"cafe\u0301": 1, "eau": 1}, "val": {"caf\u00e9": 1}})
    classes, parts, _, _ = packed_tree(root, tmp_path, classes=["caf\u00e9"])
    assert (classes, parts) == (["cafe\u0301"] * 2, ["train", "val"])


def test_a_folder_named_like_an_image_and_links_to_folders_are_folders(zoo, tmp_path, noise):
    (zoo / "cat/album.png").mkdir()
    shutil.copy(zoo / "cat/b.png", zoo / "cat/album.png/x.png")
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(zoo / "cat/b.png", tmp_path / "elsewhere/x.png")
    (zoo / "emu").symlink_to(tmp_path / "elsewhere")
    assert packed_tree(zoo, tmp_path)[3]["classes"] == {"cat": 3, "dog": 2, "emu": 1}


def test_a_link_in_a_circle_is_named(zoo, tmp_path):
    (zoo / "cat/again").symlink_to(zoo / "cat")
    with pytest.raises(InputError, match="cat/again: a link to a folder that it lies in; remove it"):
        packed_tree(zoo, tmp_path)


def test_some_classes_of_a_folder_can_be_taken_and_bad_files_of_others_do_not_matter(bad_zoo, tmp_path):
    (bad_zoo / "cat/c.jpg").unlink()
    assert packed_tree(bad_zoo, tmp_path, classes=["cat"])[0] == ["cat", "cat"]
    with pytest.raises(InputError) as error:
        packed_tree(bad_zoo, tmp_path, classes=["cat", "cow"])
    assert str(error.value) == f"{bad_zoo}: has no class 'cow'; the classes are: cat, dog, emu"


# Sets as torchvision leaves them on the disk, small.


def save_cifar(root: Path, monkeypatch, kind: type, folder: str, coarse: bool) -> tuple[np.ndarray, list[int]]:
    """CIFAR's pickled batches of four images each, and what they hold; torchvision's table of sums is told theirs."""
    generator, pixels, labels = np.random.default_rng(3), [], []
    lists = {"train_list": [], "test_list": []}
    (root / folder).mkdir(parents=True)
    for name, rows in lists.items():
        for file, _ in getattr(kind, name):
            batch = generator.integers(0, 256, (4, 3072), dtype=np.uint8)
            chosen = generator.integers(0, 10, 4).tolist()
            content = pickle.dumps({"data": batch, "fine_labels" if coarse else "labels": chosen})
            (root / folder / file).write_bytes(content)
            rows.append([file, hashlib.md5(content).hexdigest()])
            pixels.append(batch)
            labels += chosen
        monkeypatch.setattr(kind, name, rows)
    content = pickle.dumps({kind.meta["key"]: [f"thing {label}" for label in range(10)]})
    (root / folder / kind.meta["filename"]).write_bytes(content)
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": hashlib.md5(content).hexdigest()})
    return np.concatenate(pixels).reshape(-1, 3, 32, 32), labels


@pytest.mark.parametrize(("name", "folder"), [("CIFAR10", "cifar-10-batches-py"), ("CIFAR100", "cifar-100-python")])
def test_cifar_is_packed(tmp_path, monkeypatch, name, folder):
    kind = getattr(torchvision.datasets, name)
    pixels, labels = save_cifar(tmp_path / "data", monkeypatch, kind, folder, name == "CIFAR100")
    packed = packed_set(tmp_path, name, {"train": {"train": True}, "test": {"train": False}}, 32, 3)
    assert np.array_equal(packed.images, pixels)
    assert packed.classes == [f"thing {label}" for label in labels]
    assert packed.parts == ["train"] * (len(labels) - 4) + ["test"] * 4
    first = kind.train_list[0][0]
    with open(tmp_path / "data" / folder / first, "ab") as file:
        file.write(b"x")
    with pytest.raises(InputError) as error:
        packed_set(tmp_path, name, {"train": {"train": True}}, 32, 3)
    assert "corrupted" in str(error.value)
    assert str(error.value).endswith(f"; set download: true, or put its files into {tmp_path / 'data'}")


def packed_set(tmp_path: Path, name: str, parts: dict, size: int, channels: int, **options) -> Packed:
    """A packed set of torchvision's below tmp_path/data."""
    fixed = {"source": "torchvision", "name": name, "path": str(tmp_path / "data"), "download": False, "parts": parts}
    pack({**fixed, "size": size, "channels": channels, **options}, tmp_path / "packed")
    return open_packed(tmp_path / "packed")


def save_colours(files_: list[Path]) -> dict[Path, int]:
    """An image of one level in each file, and the levels."""
    levels = {}
    for level, file in enumerate(files_, 10):
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (12, 9), (level, level, level)).save(file, quality=100)
        levels[file] = level
    return levels


def levels_of(packed: Packed) -> list[int]:
    """The level of every image."""
    return np.asarray(packed.images).reshape(len(packed.images), -1).max(axis=1).tolist()


def test_flowers102_is_packed(tmp_path, monkeypatch):
    root, kind = tmp_path / "data/flowers-102", torchvision.datasets.Flowers102
    save_colours([root / "jpg" / f"image_{number:05}.jpg" for number in range(1, 7)])
    savemat(root / "imagelabels.mat", {"labels": np.array([[1, 1, 2, 2, 102, 102]])})
    savemat(root / "setid.mat", {"trnid": [[5, 1]], "valid": [[2, 3]], "tstid": [[4, 6]]})
    files_ = {key: (root / name, name) for key, (name, _) in kind._file_dict.items() if key != "image"}
    table = {key: (name, hashlib.md5(path.read_bytes()).hexdigest()) for key, (path, name) in files_.items()}
    monkeypatch.setattr(kind, "_file_dict", {**kind._file_dict, **table})
    packed = packed_set(tmp_path, "Flowers102", {part: {"split": part} for part in ("train", "val", "test")}, 8, 3)
    assert levels_of(packed) == [10, 14, 11, 12, 13, 15]
    names = getattr(kind, "classes", None) or [str(label) for label in range(102)]
    assert packed.classes == [names[label] for label in (0, 101, 0, 1, 1, 101)]
    assert packed.parts == ["train"] * 2 + ["val"] * 2 + ["test"] * 2


def test_dtd_is_packed(tmp_path):
    root = tmp_path / "data/dtd/dtd"
    names = ["banded/banded_1.jpg", "banded/banded_2.jpg", "dotted/dotted_1.jpg", "dotted/dotted_2.jpg"]
    save_colours([root / "images" / name for name in names])
    (root / "labels").mkdir()
    for part, chosen in (("train", names[::2]), ("val", names[1::2]), ("test", names[:1])):
        (root / "labels" / f"{part}1.txt").write_text("".join(f"{name}\n" for name in chosen))
    packed = packed_set(tmp_path, "DTD", {part: {"split": part} for part in ("train", "val", "test")}, 8, 1)
    assert levels_of(packed) == [10, 12, 11, 13, 10]
    assert packed.classes == ["banded", "dotted", "banded", "dotted", "banded"]


def test_what_was_packed_of_a_torchvision_set_whose_files_changed_is_done_again(tmp_path):
    root = tmp_path / "data/dtd/dtd"
    names = [f"banded/banded_{number}.jpg" for number in range(4)]
    save_colours([root / "images" / name for name in names])
    (root / "labels").mkdir()
    (root / "labels/train1.txt").write_text("".join(f"{name}\n" for name in names))
    (root / "images" / names[3]).write_bytes(b"bad")
    with pytest.raises(InputError, match="1 of 4 images cannot be read"):
        packed_set(tmp_path, "DTD", {"train": {"split": "train"}}, 8, 1)
    Image.new("L", (9, 9), 77).save(root / "images" / names[0], quality=100)
    packed = packed_set(tmp_path, "DTD", {"train": {"split": "train"}}, 8, 1, on_bad="skip")
    assert levels_of(packed) == [77, 11, 12]


def test_caltech101_is_packed(tmp_path):
    root = tmp_path / "data/caltech101/101_ObjectCategories"
    names = ["BACKGROUND_Google", "Faces", "Faces_easy", "anchor"]
    save_colours([root / name / f"image_{number:04}.jpg" for name in names for number in (1, 2)])
    packed = packed_set(tmp_path, "Caltech101", {"all": {}}, 8, 3)
    assert packed.classes == ["Faces", "Faces", "Faces_easy", "Faces_easy", "anchor", "anchor"]
    assert levels_of(packed) == [12, 13, 14, 15, 16, 17]
    (root / "Faces/image_0002.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"1 of 6 images cannot be read: Caltech101/all/1 \(not an image of a known"):
        packed_set(tmp_path, "Caltech101", {"all": {}}, 8, 3)


def test_sun397_is_packed_in_an_order_that_is_not_the_disks(tmp_path, monkeypatch):
    root = tmp_path / "data/SUN397"
    names = ["a/abbey", "b/bar/indoor", "b/bar/outdoor"]
    levels = save_colours([root / name / f"sun_{number}.jpg" for name in names for number in "cab"])
    (root / "ClassName.txt").write_text("".join(f"/{name}\n" for name in names))
    once = packed_set(tmp_path, "SUN397", {"all": {}}, 8, 3)
    assert once.classes == [name[2:] for name in names for _ in range(3)]
    assert levels_of(once) == [levels[file] for file in sorted(levels)]
    content = once.card["content"]
    rglob = Path.rglob
    monkeypatch.setattr(Path, "rglob", lambda path, pattern: reversed(list(rglob(path, pattern))))
    assert packed_set(tmp_path, "SUN397", {"all": {}}, 8, 3).card["content"] == content


def test_some_classes_of_a_torchvision_set_can_be_taken(fashion, tmp_path):
    root, pixels, labels = fashion
    root.rename(tmp_path.parent / f"{tmp_path.name}-data")
    tmp_path.mkdir()
    (tmp_path.parent / f"{tmp_path.name}-data").rename(tmp_path / "data")
    parts = {"train": {"train": True}, "test": {"train": False}}
    packed = packed_set(tmp_path, "FashionMNIST", parts, 28, 1, classes=["Bag", "Coat"])
    kept = [index for index, label in enumerate(labels) if FASHION[label] in ("Bag", "Coat")]
    assert packed.classes == [FASHION[labels[index]] for index in kept]
    assert np.array_equal(packed.images[:, 0], pixels[kept])
    with pytest.raises(InputError, match="has no class 'Hat'; the classes are: Ankle boot, Bag, Coat"):
        packed_set(tmp_path, "FashionMNIST", parts, 28, 1, classes=["Bag", "Hat"])


def test_stl10s_labels_have_names_and_its_unlabelled_images_are_refused(tmp_path, monkeypatch):
    root, kind = tmp_path / "data/stl10_binary", torchvision.datasets.STL10
    root.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3, 96, 96), dtype=np.uint8)
    contents = {
        "train_X.bin": pixels.tobytes(),
        "train_y.bin": bytes([1, 10, 2]),
        "unlabeled_X.bin": pixels.tobytes(),
        "test_X.bin": pixels.tobytes(),
        "test_y.bin": bytes([1, 1, 1]),
        "class_names.txt": b"airplane\nbird\ncar\ncat\ndeer\ndog\nhorse\nmonkey\nship\ntruck\n",
        "fold_indices.txt": b"0 1\n",
    }
    sums = {}
    for name, content in contents.items():
        (root / name).write_bytes(content)
        sums[name] = hashlib.md5(content).hexdigest()
    for table in ("train_list", "test_list"):
        monkeypatch.setattr(kind, table, [[name, sums[name]] for name, _ in getattr(kind, table)])
    packed = packed_set(tmp_path, "STL10", {"train": {"split": "train"}}, 96, 3)
    assert packed.classes == ["airplane", "truck", "bird"]
    with pytest.raises(InputError) as error:
        packed_set(tmp_path, "STL10", {"train": {"split": "train"}, "more": {"split": "unlabeled"}}, 96, 3)
    assert str(error.value).endswith(
        "the part 'more' has images without a label; leave it out of datasets.*.images.parts"
    )


def test_a_set_without_names_has_its_labels_for_classes(tmp_path):
    """SEMEION is a table of 256 pixels and ten columns for the label."""
    (tmp_path / "data").mkdir()
    rows = np.zeros((4, 266), dtype=int)
    rows[range(4), [256, 259, 265, 259]] = 1
    rows[1, :256] = 1
    text = "\n".join(" ".join(map(str, row)) for row in rows) + "\n"
    (tmp_path / "data/semeion.data").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torchvision.datasets.SEMEION, "md5_checksum", hashlib.md5(text.encode()).hexdigest())
        packed = packed_set(tmp_path, "SEMEION", {"all": {}}, 16, 1)
        assert packed.classes == ["0", "3", "9", "3"]
        assert levels_of(packed) == [0, 255, 0, 0]
        with pytest.raises(InputError, match="has no image of the class '7'; take it out of classes"):
            packed_set(tmp_path, "SEMEION", {"all": {}}, 16, 1, classes=["3", "7"])


def test_a_set_that_is_none_for_classification_is_refused(tmp_path):
    root = tmp_path / "data/VOCdevkit/VOC2012"
    for name in ("JPEGImages/a.jpg", "Annotations/a.xml", "ImageSets/Main/train.txt"):
        (root / name).parent.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(root / "JPEGImages/a.jpg")
    (root / "Annotations/a.xml").write_text("<annotation><folder>x</folder></annotation>")
    (root / "ImageSets/Main/train.txt").write_text("a\n")
    with pytest.raises(InputError, match="it is no set for classification"):
        packed_set(tmp_path, "VOCDetection", {"train": {"image_set": "train"}}, 8, 3)


def test_imagenet_by_torchvision_says_which_archives_go_where(tmp_path):
    (tmp_path / "data").mkdir()
    with pytest.raises(InputError) as error:
        packed_set(tmp_path, "ImageNet", {"val": {"split": "val"}}, 8, 3)
    assert "ILSVRC2012_devkit_t12.tar.gz" in str(error.value)
    assert str(tmp_path / "data") in str(error.value)


def test_imagenets_classes_are_its_synsets_and_not_its_words(tmp_path):
    """Two synsets are called crane."""
    root = tmp_path / "data"
    save_colours([root / "val" / synset / "x.JPEG" for synset in ("n02012849", "n03126707")])
    torch.save(({"n02012849": ("crane",), "n03126707": ("crane",)}, []), root / "meta.bin")
    assert packed_set(tmp_path, "ImageNet", {"val": {"split": "val"}}, 8, 3).classes == ["n02012849", "n03126707"]


@pytest.fixture
def omniglot(tmp_path, monkeypatch) -> Path:
    """Real drawings, as torchvision leaves its background set; its table of sums is told theirs."""
    archive = CHECKOUT.parent / "shared/data/omniglot_images_background_small1.zip"
    if not archive.exists():
        pytest.skip("needs omniglot_images_background_small1.zip in ../shared/data")
    root = tmp_path / "data/omniglot-py"
    root.mkdir(parents=True)
    shutil.copy(archive, root / "images_background.zip")
    shutil.unpack_archive(archive, root)
    (root / "images_background_small1").rename(root / "images_background")
    sums = {"images_background": hashlib.md5(archive.read_bytes()).hexdigest()}
    monkeypatch.setattr(torchvision.datasets.Omniglot, "zips_md5", sums)
    return tmp_path / "data"


def test_omniglots_characters_are_classes(omniglot, tmp_path):
    packed = packed_set(tmp_path, "Omniglot", {"background": {"background": True}}, 28, 1)
    assert len(packed.card["classes"]) == 136
    assert set(packed.card["classes"].values()) == {20}
    assert next(iter(packed.card["classes"])) == "Balinese/character01"
    with open(tmp_path / "packed/index.csv", newline="") as file:
        row = next(csv.DictReader(file))
    assert row["file"] == "Omniglot/background/Balinese/character01/0108_01.png"
    with Image.open(omniglot / "omniglot-py/images_background/Balinese/character01/0108_01.png") as image:
        assert np.array_equal(packed.images[0], fit(image, 28, 1))


def test_digits_and_letters_become_one_set_of_one_form(omniglot, tmp_path):
    letters = ["Latin/character01", "Latin/character02"]
    options = {
        "source": "sets",
        "size": 20,
        "channels": 3,
        "sets": {
            "digits": {"source": "digits", "classes": ["3", "4"]},
            "omniglot": {
                "source": "torchvision",
                "name": "Omniglot",
                "path": str(omniglot),
                "download": False,
                "parts": {"background": {"background": True}},
                "classes": letters,
            },
        },
    }
    pack(options, tmp_path / "packed")
    packed = open_packed(tmp_path / "packed")
    card = packed.card
    assert card["sets"] == {
        "digits": ["digits/3", "digits/4"],
        "omniglot": ["omniglot/Latin/character01", "omniglot/Latin/character02"],
    }
    assert card["classes"] == {
        "digits/3": 183,
        "digits/4": 181,
        "omniglot/Latin/character01": 20,
        "omniglot/Latin/character02": 20,
    }
    assert card["parts"] == {"": 364, "background": 40}
    assert packed.images.shape == (404, 3, 20, 20)
    assert (packed.images[:, 0] == packed.images[:, 2]).all()
    pixels = np.rint(load_digits().images[3] * (255 / 16)).astype(np.uint8)
    assert np.array_equal(packed.images[0], fit(Image.fromarray(pixels), 20, 3))
    with open(tmp_path / "packed/index.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["file"] == "digits/digits/3"
    assert rows[-1]["file"] == "omniglot/Omniglot/background/Latin/character02/0684_20.png"


def test_a_member_of_several_sets_is_named_when_it_is_at_fault(zoo, tmp_path):
    options = {"source": "sets", "size": 8, "channels": 1, "sets": {"one": {"source": "digits", "classes": ["10"]}}}
    with pytest.raises(InputError, match="digits: has no class '10'; the classes are: 0, 1, 2"):
        pack(options, tmp_path / "packed")
    options["sets"] = {"digits": {"source": "digits"}, "zoo": {"source": "folder", "path": str(zoo)}}
    (zoo / "dog/tall.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"1 of 1,801 images cannot be read: zoo/dog/tall.png \(the file is empty\)"):
        pack(options, tmp_path / "packed")


def test_digits_can_be_restricted(tmp_path):
    pack({"source": "digits", "size": 8, "channels": 1, "classes": ["7", "1"]}, tmp_path / "packed")
    assert open_packed(tmp_path / "packed").card["classes"] == {"1": 182, "7": 179}
