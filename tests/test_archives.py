import gzip
import hashlib
import io
import os
import shutil
import stat
import tarfile
import warnings
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from transferability.data import archives
from transferability.data.packed import open_packed
from transferability.data.packing import pack
from transferability.errors import InputError

CHECKOUT = Path(__file__).parent.parent
FORMS = [".zip", ".tar", ".tar.gz", ".tgz"]


def png(level: int) -> bytes:
    """An image of one level."""
    file = io.BytesIO()
    Image.new("L", (4, 4), level).save(file, "PNG")
    return file.getvalue()


def archive(path: Path, content: dict[str, bytes]) -> Path:
    """An archive of files."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name, data in content.items():
                file.writestr(name, data)
    else:
        with tarfile.open(path, "w" if path.suffix == ".tar" else "w:gz") as file:
            for name, data in content.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                file.addfile(member, io.BytesIO(data))
    return path


def options_of(path: Path, **options) -> dict:
    """An archive's options."""
    return {"source": "folder", "path": str(path), "size": 4, "channels": 1, **options}


TREE = {"cat/a.png": png(1), "cat/b.png": png(2), "dog/x/c.png": png(3)}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("top", ["", "images/", "./", "./images/"])
def test_an_archive_is_packed_as_its_folder_and_nothing_of_it_is_left(tmp_path, form, top):
    content = {f"{top}{name}": data for name, data in TREE.items()}
    content |= {"__MACOSX/cat/._a.png": b"x", f"{top}.DS_Store": b"x", f"{top}cat/.hidden.png": b"x"}
    pack(options_of(archive(tmp_path / f"zoo{form}", content)), tmp_path / "packed")
    packed = open_packed(tmp_path / "packed")
    assert packed.classes == ["cat", "cat", "dog"]
    assert packed.images[:, 0, 0, 0].tolist() == [1, 2, 3]
    assert sorted(entry.name for entry in (tmp_path / "packed").iterdir()) == ["card.json", "images.npy", "index.csv"]


def test_an_archive_with_parts_keeps_them_though_its_train_folder_be_the_only_one(tmp_path):
    content = {f"train/{name}": data for name, data in TREE.items()}
    pack(options_of(archive(tmp_path / "zoo.zip", content)), tmp_path / "packed")
    assert open_packed(tmp_path / "packed").parts == ["train"] * 3


def test_an_archive_and_its_folder_give_the_same_images_and_index(tmp_path):
    path = archive(tmp_path / "zoo.tar.gz", TREE)
    archives.unpack(path, tmp_path / "zoo")
    for name, source in (("a", path), ("b", tmp_path / "zoo")):
        pack(options_of(source), tmp_path / name)
    for name in ("images.npy", "index.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def everything(folder: Path) -> list[str]:
    """All that is below a folder."""
    return sorted(str(entry.relative_to(folder)) for entry in folder.rglob("*"))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["/tmp/evil.png", "../evil.png", "cat/../../evil.png", "cat/.."])
def test_a_name_that_leads_out_of_the_folder_is_refused_and_nothing_written(tmp_path, form, name):
    path = archive(tmp_path / f"zoo{form}", {**TREE, name: png(9)})
    before = everything(tmp_path)
    with pytest.raises(InputError) as error:
        pack(options_of(path), tmp_path / "packed")
    assert str(error.value) == f"{path}: holds {name!r}, which leads out of its folder; do not trust this archive"
    assert everything(tmp_path) in (before, sorted([*before, "packed"]))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_file_are_refused(tmp_path, kind):
    path = archive(tmp_path / "zoo.tar", TREE)
    with tarfile.open(path, "a") as file:
        member = tarfile.TarInfo("cat/evil.png")
        member.type, member.linkname = kind, "/etc/passwd"
        file.addfile(member)
    with pytest.raises(InputError) as error:
        pack(options_of(path), tmp_path / "packed")
    assert str(error.value) == f"{path}: holds 'cat/evil.png', which is no plain file; pack it without that"
    assert not [entry for entry in everything(tmp_path) if "evil" in entry]


def test_a_link_in_a_zip_file_is_refused(tmp_path):
    path = archive(tmp_path / "zoo.zip", TREE)
    with zipfile.ZipFile(path, "a") as file:
        member = zipfile.ZipInfo("cat/evil.png")
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(member, "/etc/passwd")
    with pytest.raises(InputError, match=r"holds 'cat/evil\.png', which is no plain file"):
        pack(options_of(path), tmp_path / "packed")


@pytest.mark.parametrize("form", FORMS)
def test_an_archive_that_unpacks_to_far_more_than_its_size_is_refused_before_it_does(tmp_path, form, monkeypatch):
    path = archive(tmp_path / f"zoo{form}", {**TREE, "cat/bomb.png": bytes(20_000_000)})
    monkeypatch.setattr(archives, "SMALL", 10_000_000)
    monkeypatch.setattr(archives, "EXPANSION", 0)
    with pytest.raises(InputError, match="unpacks to more than 10,000,000 bytes"):
        pack(options_of(path), tmp_path / "packed")
    assert not list((tmp_path / "packed").rglob("*.png"))


def test_a_real_zip_bomb_is_refused(tmp_path):
    """A GiB of zeros in a MB; its size stands in the archive, and what it holds beyond that is not read."""
    path = tmp_path / "bomb.zip"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file,
        file.open("cat/bomb.png", "w", force_zip64=True) as member,
    ):
        for _ in range(33):
            member.write(bytes(2**25))
    with pytest.raises(InputError, match="unpacks to more than 1,073,741,824 bytes"):
        pack(options_of(path), tmp_path / "packed")


def test_a_great_number_of_empty_files_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "SMALL", 1_000_000)
    path = archive(tmp_path / "zoo.tar.gz", {f"cat/{number}.png": b"" for number in range(5000)})
    with pytest.raises(InputError, match="unpacks to more than"):
        pack(options_of(path), tmp_path / "packed")


def test_an_archive_larger_than_the_disk_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 5000))
    with pytest.raises(InputError, match="unpacks to more than the 5,000 bytes that are free in "):
        archives.unpack(archive(tmp_path / "zoo.zip", TREE), tmp_path / "zoo")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.9])
def test_a_cut_off_archive_is_named(tmp_path, form, kept):
    noise = np.random.default_rng(0).bytes(100_000)
    path = archive(tmp_path / f"zoo{form}", {**TREE, "dog/noise.png": noise})
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data)) if kept < 1 else kept])
    with pytest.raises(InputError) as error:
        pack(options_of(path), tmp_path / "packed")
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
    assert not list(tmp_path.rglob(".unpacked*"))


@pytest.mark.parametrize("form", [".zip", ".tar.gz"])
def test_a_damaged_archive_is_named(tmp_path, form):
    noise = np.random.default_rng(0).bytes(100_000)
    path = archive(tmp_path / f"zoo{form}", {**TREE, "dog/noise.png": noise})
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)
    with pytest.raises(InputError, match="not a whole archive"):
        pack(options_of(path), tmp_path / "packed")


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_file_that_is_damaged_anywhere_is_read_or_refused(tmp_path, compression):
    path = tmp_path / "zoo.zip"
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("cat/a.png", 3 * png(1))
    whole = path.read_bytes()
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 255]) + whole[position + 1 :])
        with suppress(InputError):
            archives.unpack(path, tmp_path / "unpacked")
        shutil.rmtree(tmp_path / "unpacked", ignore_errors=True)


def test_a_great_number_of_folders_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "SMALL", 1_000_000)
    path = tmp_path / "zoo.zip"
    with zipfile.ZipFile(path, "w") as file:
        for number in range(300):
            file.writestr(f"cat/{number}/", "")
    monkeypatch.setattr(archives, "EXPANSION", 1)
    with pytest.raises(InputError, match="unpacks to more than"):
        archives.unpack(path, tmp_path / "unpacked")


def test_an_archive_with_a_password_is_named(tmp_path):
    path = archive(tmp_path / "zoo.zip", TREE)
    data = bytearray(path.read_bytes())
    for start, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(start)
        while at >= 0:
            data[at + flags] |= 1
            at = data.find(start, at + 4)
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"cannot be unpacked \(.*password"):
        pack(options_of(path), tmp_path / "packed")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("names", [("cat/a.png", "cat/a.png"), ("cat", "cat/a.png"), ("cat/a.png", "cat/a.png/b.png")])
def test_a_name_that_stands_for_two_things_is_refused(tmp_path, form, names):
    path = tmp_path / f"zoo{form}"
    if path.suffix == ".zip":
        with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as file:
            warnings.simplefilter("ignore")
            for name in names:
                file.writestr(name, png(1))
    else:
        with tarfile.open(path, "w" if form == ".tar" else "w:gz") as file:
            for name in names:
                member = tarfile.TarInfo(name)
                member.size = len(png(1))
                file.addfile(member, io.BytesIO(png(1)))
    with pytest.raises(InputError, match="twice; unpack it yourself"):
        pack(options_of(path), tmp_path / "packed")


@pytest.mark.parametrize("form", FORMS)
def test_the_md5_is_checked_before_anything_is_unpacked(tmp_path, form):
    path = archive(tmp_path / f"zoo{form}", TREE)
    right = hashlib.md5(path.read_bytes()).hexdigest()
    with pytest.raises(InputError) as error:
        pack(options_of(path, md5=32 * "0"), tmp_path / "packed")
    assert str(error.value) == (
        f"{path}: its md5 is {right}, not {32 * '0'} as datasets.*.images.md5 says; get the file once more"
    )
    assert not (tmp_path / "packed").exists()
    pack(options_of(path, md5=right), tmp_path / "packed")
    assert len(open_packed(tmp_path / "packed").images) == 3


def test_what_was_unpacked_whole_is_used_again_after_a_failure_and_then_removed(tmp_path, monkeypatch):
    path = archive(tmp_path / "zoo.zip", {**TREE, "dog/bad.png": b"bad"})
    with pytest.raises(InputError, match=r"1 of 4 images cannot be read: dog/bad\.png"):
        pack(options_of(path), tmp_path / "packed")
    assert list((tmp_path / "packed").glob(".unpacked-*"))
    monkeypatch.setattr(archives, "unpack", None)
    pack(options_of(path, on_bad="skip"), tmp_path / "packed")
    assert len(open_packed(tmp_path / "packed").images) == 3
    assert not list((tmp_path / "packed").glob(".*"))


def test_an_archive_that_changed_is_unpacked_anew(tmp_path):
    path = archive(tmp_path / "zoo.zip", {**TREE, "dog/bad.png": b"bad"})
    with pytest.raises(InputError):
        pack(options_of(path), tmp_path / "packed")
    archive(path, {**TREE, "dog/bad.png": png(7)})
    pack(options_of(path), tmp_path / "packed")
    assert open_packed(tmp_path / "packed").images[:, 0, 0, 0].tolist() == [1, 2, 7, 3]


def test_two_archives_are_packed_as_two_sets(tmp_path):
    one, two = archive(tmp_path / "one.zip", TREE), archive(tmp_path / "two.tar", {"emu/a.png": png(4)})
    sets = {path.stem: {"source": "folder", "path": str(path)} for path in (one, two)}
    pack({"source": "sets", "size": 4, "channels": 1, "sets": sets}, tmp_path / "packed")
    packed = open_packed(tmp_path / "packed")
    assert packed.card["sets"] == {"one": ["one/cat", "one/dog"], "two": ["two/emu"]}
    assert packed.images[:, 0, 0, 0].tolist() == [1, 2, 3, 4]
    assert not list((tmp_path / "packed").glob(".*"))


def test_a_real_archive_of_photographs_is_packed(tmp_path):
    path = CHECKOUT.parent / "shared/data/tiny-imagenet-80.tar.gz"
    if not path.exists():
        pytest.skip("needs tiny-imagenet-80.tar.gz in ../shared/data")
    with tarfile.open(path) as file:
        known = {os.path.normpath(name).split("/")[1] for name in file.getnames() if name.count("/") > 2}
    chosen = sorted(known)[:2]
    assert len(known) == 80
    pack({**options_of(path), "size": 64, "channels": 3, "classes": chosen, "storage": "jpeg"}, tmp_path / "packed")
    packed = open_packed(tmp_path / "packed")
    assert packed.card["classes"] == dict.fromkeys(chosen, 350)
    assert packed.card["parts"] == {"train": 600, "val": 100}
    assert packed.images[np.arange(700)].shape == (700, 3, 64, 64)


@pytest.mark.parametrize("form", FORMS)
def test_a_readme_beside_the_only_folder_of_an_archive_does_not_make_it_a_class(tmp_path, form):
    content = {f"flowers/{name}": data for name, data in TREE.items()}
    content |= {"README.txt": b"About", "labels.csv": b"a,b", "docs/licence.txt": b"Yours", "__MACOSX/x": b"x"}
    pack(options_of(archive(tmp_path / f"zoo{form}", content)), tmp_path / "packed")
    card = open_packed(tmp_path / "packed").card
    assert card["classes"] == {"cat": 2, "dog": 1}
    assert [(entry["reason"], entry["such as"]) for entry in card["left_out"]] == [
        ("added by a system", ["__MACOSX"]),
        ("folder without images", ["docs"]),
        ("no image by its suffix .csv", ["labels.csv"]),
        ("no image by its suffix .txt", ["README.txt"]),
    ]


def test_the_only_folder_of_an_archive_that_holds_images_itself_is_a_class(tmp_path):
    pack(options_of(archive(tmp_path / "zoo.zip", {"cat/a.png": png(1), "README": b""})), tmp_path / "packed")
    assert open_packed(tmp_path / "packed").card["classes"] == {"cat": 1}


def linked(path: Path, links: dict[str, str], before: bool = False) -> Path:
    """A tar file with hard links, {name: target}, before the files or after them."""
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as file:
        for step in ((0, 1), (1, 0))[before]:
            for name, data in TREE.items() if step == 0 else ():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                file.addfile(member, io.BytesIO(data))
            for name, target in links.items() if step else ():
                member = tarfile.TarInfo(name)
                member.type, member.linkname = tarfile.LNKTYPE, target
                file.addfile(member)
    return path


@pytest.mark.parametrize("name", ["zoo.tar", "zoo.tar.gz"])
def test_a_second_name_of_a_file_in_a_tar_file_is_that_file(tmp_path, name):
    path = linked(tmp_path / name, {"dog/again.png": "cat/a.png", "dog/third.png": "dog/again.png"})
    pack(options_of(path), tmp_path / "packed")
    packed = open_packed(tmp_path / "packed")
    assert packed.files == ["cat/a.png", "cat/b.png", "dog/again.png", "dog/third.png", "dog/x/c.png"]
    assert packed.images[:, 0, 0, 0].tolist() == [1, 2, 1, 1, 3]


@pytest.mark.parametrize("target", ["cat/none.png", "cat"])
def test_a_hard_link_to_what_is_not_in_the_archive_before_it_says_what_to_do(tmp_path, target):
    path = linked(tmp_path / "zoo.tar", {"dog/again.png": target})
    with pytest.raises(InputError) as error:
        pack(options_of(path), tmp_path / "packed")
    assert str(error.value) == (
        f"{path}: holds 'dog/again.png', a link to {target!r}, which is not in the archive before it; pack it anew "
        "with tar --hard-dereference, or unpack it yourself and name the folder"
    )
    linked(path, {"dog/again.png": "cat/a.png"}, before=True)
    with pytest.raises(InputError, match=r"a link to 'cat/a\.png', which is not in the archive before it"):
        pack(options_of(path), tmp_path / "packed")


@pytest.mark.parametrize("target", ["/etc/passwd", "../secret", "cat/../../secret"])
def test_a_hard_link_that_leads_out_of_the_folder_is_refused(tmp_path, target):
    (tmp_path / "secret").write_text("x")
    path = linked(tmp_path / "zoo.tar", {"dog/evil.png": target})
    with pytest.raises(InputError, match=r"holds 'dog/evil\.png', which is no plain file; pack it without that"):
        pack(options_of(path), tmp_path / "packed")
    assert not [entry for entry in everything(tmp_path) if "evil" in entry]


def test_many_links_to_a_large_file_count_as_so_many_files(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "SMALL", 1_000_000)
    monkeypatch.setattr(archives, "EXPANSION", 0)
    path = tmp_path / "zoo.tar"
    with tarfile.open(path, "w") as file:
        member = tarfile.TarInfo("cat/a.png")
        member.size = 200_000
        file.addfile(member, io.BytesIO(bytes(200_000)))
        for number in range(9):
            link = tarfile.TarInfo(f"cat/{number}.png")
            link.type, link.linkname = tarfile.LNKTYPE, "cat/a.png"
            file.addfile(link)
    with pytest.raises(InputError, match="unpacks to more than 1,000,000 bytes"):
        archives.unpack(path, tmp_path / "unpacked")


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_a_header_that_would_fill_the_memory_is_refused_before_it_is_read(tmp_path, kind):
    """Sixteen GB of header, of which a compressed file would have to give every byte."""
    member = tarfile.TarInfo("header")
    member.type, member.size = kind, 2**34
    with gzip.open(tmp_path / "zoo.tar.gz", "wb") as file:
        file.write(member.tobuf(tarfile.GNU_FORMAT) + bytes(10_000))
    with pytest.raises(InputError) as error:
        archives.unpack(tmp_path / "zoo.tar.gz", tmp_path / "unpacked")
    assert str(error.value) == (
        f"{tmp_path}/zoo.tar.gz: has a header of more than 4,194,304 bytes, which no archive of images has; if you "
        "trust it, unpack it yourself and name the folder"
    )


def test_a_zip_file_with_a_directory_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    path = archive(tmp_path / "zoo.zip", {f"cat/{number:0200}.png": b"" for number in range(500)})
    monkeypatch.setattr(archives, "ZIP_DIRECTORY", 70_000)
    with pytest.raises(InputError, match="has a header of more than 70,000 bytes"):
        archives.unpack(path, tmp_path / "unpacked")


def test_long_names_and_names_of_any_script_in_a_tar_file_are_kept(tmp_path):
    names = [f"cat/{'long' * 60}.png", "dog/猫.png"]
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        with tarfile.open(tmp_path / "zoo.tar", "w", format=form) as file:
            for name in names:
                member = tarfile.TarInfo(name)
                member.size = len(png(1))
                file.addfile(member, io.BytesIO(png(1)))
        pack(options_of(tmp_path / "zoo.tar"), tmp_path / f"packed{form}")
        assert open_packed(tmp_path / f"packed{form}").files == names
