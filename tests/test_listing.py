"""Whether the images are still those that were packed, told from names and sizes alone."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from transferability import files
from transferability.data.listing import changed_since_packing, is_image, is_system
from transferability.data.packing import pack


@pytest.fixture
def shades(tmp_path) -> Path:
    """A folder of two classes with two images each, in `train`, and one in `val`."""
    level = 0
    for part, count in (("train", 2), ("val", 1)):
        for name in ("a", "b"):
            for number in range(count):
                path = tmp_path / "shades" / part / name / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                noise = np.random.default_rng(level).integers(0, 256, (9, 9 + level, 3), dtype=np.uint8)
                Image.fromarray(noise).save(path)
                level += 1
    return tmp_path / "shades"


def options_of(path: Path, **options) -> dict:
    """datasets.*.images of a folder."""
    return {"source": "folder", "path": str(path), "size": 8, "channels": 3, **options}


def packed(options: dict, folder: Path) -> dict:
    """The card of what is packed."""
    pack(options, folder)
    return files.read_json(folder / "card.json")


def test_nothing_is_said_of_a_folder_that_is_as_it_was_wherever_it_lies_now(shades, tmp_path):
    folder = tmp_path / "data/packed/mine"
    card = packed(options_of(shades), folder)
    assert changed_since_packing(options_of(shades), card, folder) is None
    for path in shades.rglob("*.png"):
        os.utime(path, ns=(1, 1))
    shutil.move(shades, tmp_path / "elsewhere")
    (tmp_path / "elsewhere/train/notes.txt").write_text("no image")
    assert changed_since_packing(options_of(tmp_path / "elsewhere"), card, folder) is None
    # Nor where the images are not on this machine, or were packed before listings were.
    assert changed_since_packing(options_of(shades), card, folder) is None
    del card["listing"]
    assert changed_since_packing(options_of(tmp_path / "elsewhere"), card, folder) is None


def test_more_images_than_were_packed_are_told_with_the_command_that_packs_anew(shades, tmp_path):
    folder = Path("data/packed/mine")
    card = packed(options_of(shades), tmp_path / "packed")
    shutil.copy(shades / "train/a/0.png", shades / "train/a/new.png")
    assert changed_since_packing(options_of(shades), card, folder) == (
        f"{shades}: the folder holds 7 images, and held 6 when it was packed: to pack anew, run `rm -r "
        "data/packed/mine data/splits/mine; snakemake --cores 2 --forcerun data/packed/mine/index.csv`, "
        "or bring the images back that were packed"
    )


def renamed(shades: Path) -> None:
    (shades / "train/a/0.png").rename(shades / "train/a/9.png")


def moved(shades: Path) -> None:
    (shades / "train/a/0.png").rename(shades / "train/b/9.png")


def replaced(shades: Path) -> None:
    Image.new("L", (30, 30)).save(shades / "train/a/0.png")


@pytest.mark.parametrize("change", [renamed, moved, replaced])
def test_as_many_but_other_images_are_told(shades, tmp_path, change):
    card = packed(options_of(shades), tmp_path / "packed")
    change(shades)
    sentence = changed_since_packing(options_of(shades), card, tmp_path / "packed")
    assert sentence.startswith(
        f"{shades}: the folder holds 6 images, but not those that were packed: to pack anew, run "
    )


def test_a_folder_that_cannot_be_packed_any_more_is_told_why(shades, tmp_path):
    card = packed(options_of(shades), tmp_path / "packed")
    (shades / "val/c").mkdir()
    sentence = changed_since_packing(options_of(shades), card, tmp_path / "packed")
    assert sentence.startswith(f"{shades}/val: has the class 'c', which {shades}/train lacks; ")


def test_classes_and_parts_that_are_not_taken_may_change(shades, tmp_path):
    options = options_of(shades, classes=["a"], parts=["train"])
    card = packed(options, tmp_path / "packed")
    assert card["listing"]["images"] == 2
    shutil.rmtree(shades / "val/b")
    (shades / "train/b/0.png").unlink()
    assert changed_since_packing(options, card, tmp_path / "packed") is None
    (shades / "train/a/0.png").unlink()
    assert "the folder holds 1 image, and held 2 when" in changed_since_packing(options, card, tmp_path / "packed")


def test_a_part_with_a_list_is_compared_by_all_its_images(shades, tmp_path):
    for name in "ab":
        (shades / "val" / name / "0.png").rename(shades / f"val/{name}.png")
        (shades / "val" / name).rmdir()
    (tmp_path / "list.txt").write_text("a.png a\nb.png b\n")
    options = options_of(shades, lists={"val": str(tmp_path / "list.txt")})
    card = packed(options, tmp_path / "packed")
    assert changed_since_packing(options, card, tmp_path / "packed") is None
    (shades / "val/a.png").unlink()
    assert "holds 5 images, and held 6" in changed_since_packing(options, card, tmp_path / "packed")


def test_an_archive_is_compared_by_its_size_and_its_folder_by_what_was_in_it(shades, tmp_path):
    archive = Path(shutil.make_archive(str(tmp_path / "shades"), "tar", tmp_path, "shades"))
    card = packed(options_of(archive), tmp_path / "packed")
    assert changed_since_packing(options_of(archive), card, tmp_path / "packed") is None
    assert changed_since_packing(options_of(shades), card, tmp_path / "packed") is None
    before = archive.stat().st_size
    with open(archive, "ab") as file:
        file.write(bytes(512))
    assert changed_since_packing(options_of(archive), card, tmp_path / "packed").startswith(
        f"{archive}: the archive has {before + 512:,} bytes, and had {before:,} when it was packed: to pack anew, run "
    )


def test_each_of_several_sets_is_compared(shades, tmp_path):
    sets = {"digits": {"source": "digits"}, "shades": {"source": "folder", "path": str(shades)}}
    options = {"source": "sets", "sets": sets, "size": 8, "channels": 3}
    card = packed(options, tmp_path / "packed")
    assert changed_since_packing(options, card, tmp_path / "packed") is None
    (shades / "train/a/0.png").unlink()
    assert f"{shades}: the folder holds 5 images" in changed_since_packing(options, card, tmp_path / "packed")


def test_names_that_another_system_composes_otherwise_are_the_same(shades, tmp_path):
    (shades / "train/a/0.png").rename(shades / "train/a/e\u0301te\u0301.png")
    card = packed(options_of(shades), tmp_path / "packed")
    (shades / "train/a/e\u0301te\u0301.png").rename(shades / "train/a/\u00e9t\u00e9.png")
    assert changed_since_packing(options_of(shades), card, tmp_path / "packed") is None


def test_digits_never_change(tmp_path):
    options = {"source": "digits", "size": 8, "channels": 1}
    assert changed_since_packing(options, packed(options, tmp_path / "packed"), tmp_path / "packed") is None


@pytest.mark.parametrize("name", ["a.JPG", "b.jfif", "c.x.webp", "d.heic", "e.tiff"])
def test_an_image_is_told_by_its_suffix(name):
    assert is_image(name)


@pytest.mark.parametrize("name", ["jpg", ".png", "a.txt", "a.png.part", "a.", ""])
def test_what_has_no_suffix_of_an_image_is_none(name):
    assert not is_image(name)


@pytest.mark.parametrize("name", ["Thumbs.db", "@eaDir", "lost+found", "$Recycle.Bin", ".DS_Store", "._a.png", ".git"])
def test_what_systems_add_is_known_in_any_case(name):
    assert is_system(name)
    assert not is_system("a" + name)


def test_the_module_imports_no_library():
    code = (
        "import sys; import transferability.data.listing; print({'numpy', 'torch', 'pandas', 'PIL'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
