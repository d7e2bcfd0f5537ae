import csv
import hashlib
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import termios
import time
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from transferability import files
from transferability.data import folders, packing
from transferability.data.images import fit
from transferability.data.packed import open_packed
from transferability.data.packing import pack
from transferability.errors import InputError
from transferability.locks import only_writer

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
    assert card["versions"].keys() == {"pillow", "libjpeg"}
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
    place = tmp_path / "none"
    assert str(error.value).startswith(
        f"{place / 'card.json'}: there is no such file; get the packed images with `dvc "
    )
    assert str(error.value).endswith(f"`snakemake --cores 1 {place / 'card.json'}`")


@pytest.mark.parametrize("name", ["card.json", "images.npy", "index.csv"])
def test_a_packed_set_that_lacks_a_file_is_named(packed_digits, tmp_path, name):
    for other in {"card.json", "images.npy", "index.csv"} - {name}:
        (tmp_path / other).write_bytes((packed_digits / other).read_bytes())
    with pytest.raises(InputError) as error:
        open_packed(tmp_path)
    assert str(error.value).startswith(f"{tmp_path / name}: there is no such file; get the packed images with")
    assert str(error.value).endswith(f"`snakemake --cores 1 {tmp_path / name}`")


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


def test_an_index_that_is_no_table_is_named(packed_digits, tmp_path):
    shutil.copytree(packed_digits, tmp_path, dirs_exist_ok=True)
    (tmp_path / "index.csv").write_bytes(b"index,class\n0,a\rb\n")
    with pytest.raises(InputError, match="not a whole packed data set"):
        open_packed(tmp_path)


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


def command(source: dict, folder: Path, threads: int = 1) -> list[str]:
    """The command of the job that packs."""
    start = [sys.executable, "-m", "transferability.data.packing", "--source", json.dumps(source)]
    return [*start, "--threads", str(threads), "--into", str(folder)]


def test_bad_input_ends_the_command_with_one_sentence_and_status_1(tmp_path):
    source = {"source": "folder", "size": 8, "channels": 1, "path": "no/such/folder"}
    done = subprocess.run(command(source, tmp_path / "packed"), env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: no/such/folder: there is no such folder")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "packed").exists()


def test_a_second_process_that_packs_is_told_of_the_first(tmp_path):
    """As after a kill of the snakemake that started the first."""
    folder = tmp_path / "packed"
    with only_writer([tmp_path / "packed.lock"]):
        done = subprocess.run(command({"source": "digits"}, folder), env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {folder}: process {os.getpid()} on ")
    assert "is making it now; wait until it has ended, or end it" in done.stderr
    assert "Traceback" not in done.stderr
    assert not folder.exists()


def visible(folder: Path) -> list[str]:
    """The names of a folder's files but hidden ones."""
    return sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))


WHOLE = ["card.json", "images.npy", "index.csv"]


@pytest.fixture(scope="module")
def shades(tmp_path_factory) -> Path:
    """A folder of 2,600 small JPEG and PNG files in five classes."""
    root, generator = tmp_path_factory.mktemp("sources") / "shades", np.random.default_rng(5)
    for number in range(2600):
        folder = root / f"class {number % 5}"
        folder.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(generator.integers(0, 256, (24, 20 + number % 9, 3), dtype=np.uint8))
        image.save(folder / f"{number:04}.{'jpg' if number % 3 else 'png'}")
    return root


def options_of(root: Path, storage: str = "pixels", **options) -> dict:
    """A folder's options."""
    fixed = {"source": "folder", "path": str(root), "size": 20, "channels": 3, "storage": storage}
    return {**fixed, **options}


@pytest.fixture(scope="module")
def packed_shades(shades, tmp_path_factory) -> dict[str, Path]:
    """The shades as one process packs them, by storage."""
    folders = {storage: tmp_path_factory.mktemp("packed") / storage for storage in ("pixels", "jpeg")}
    for storage, folder in folders.items():
        pack(options_of(shades, storage), folder)
    return folders


def assert_same(folder: Path, other: Path) -> None:
    """Two packed sets are the same bytes, with nothing hidden left beside them."""
    assert sorted(entry.name for entry in folder.iterdir()) == WHOLE
    for name in WHOLE:
        assert (folder / name).read_bytes() == (other / name).read_bytes(), name


@pytest.mark.parametrize("storage", ["pixels", "jpeg"])
@pytest.mark.parametrize("threads", [2, 5])
def test_the_number_of_processes_changes_no_byte(shades, packed_shades, tmp_path, storage, threads):
    pack(options_of(shades, storage), tmp_path / "packed", threads)
    assert_same(tmp_path / "packed", packed_shades[storage])


def test_processes_that_are_not_forked_give_the_same_bytes(shades, packed_shades, tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "START_METHOD", "spawn")
    pack(options_of(shades), tmp_path / "packed", 2)
    assert_same(tmp_path / "packed", packed_shades["pixels"])


def test_several_processes_are_at_work_on_a_large_set_and_one_on_a_small_one(shades, packed_digits, tmp_path):
    """Each process but the first is a child of the command's."""
    children = {}
    for name, source in (("large", options_of(shades)), ("small", packed_digits)):
        source = source if name == "large" else {"source": "digits", "size": 8, "channels": 1}
        running, most = subprocess.Popen(command(source, tmp_path / name, 2), env=ENVIRONMENT), 0
        listing = Path(f"/proc/{running.pid}/task/{running.pid}/children")
        if not listing.exists():
            pytest.skip("needs Linux's list of a process's children")
        while running.poll() is None:
            with suppress(OSError):
                most = max(most, len(listing.read_text().split()))
        assert running.wait() == 0
        children[name] = most
    assert children == {"large": 2, "small": 0}


def journal_lines(folder: Path) -> int:
    """How many chunks a run that was cut short has left."""
    journal = folder / ".journal"
    return max(0, journal.read_text().count("\n") - 1) if journal.exists() else 0


@pytest.mark.parametrize("storage", ["pixels", "jpeg"])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_run_that_is_killed_again_and_again_gives_the_same_bytes(shades, packed_shades, tmp_path, storage, threads):
    """At random moments, from the start of the process to its end."""
    folder, generator, left = tmp_path / "packed", np.random.default_rng(threads), []
    line, started = command(options_of(shades, storage), folder, threads), time.monotonic()
    subprocess.run(line, env=ENVIRONMENT, check=True, stderr=subprocess.DEVNULL)
    whole = time.monotonic() - started
    assert_same(folder, packed_shades[storage])
    for name in WHOLE:
        (folder / name).unlink()
    for _ in range(6):
        running = subprocess.Popen(line, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
        with suppress(subprocess.TimeoutExpired):
            running.wait(generator.uniform(0.3, 0.9) * whole)
        running.kill()
        running.wait()
        if "images.npy" in visible(folder):
            # It was done. Snakemake too removes the files before a job runs again.
            for name in visible(folder):
                (folder / name).unlink()
        else:
            left.append(journal_lines(folder))
    assert any(left), "no run was killed in the middle"
    pack(options_of(shades, storage), folder, threads)
    assert_same(folder, packed_shades[storage])


def killed(shades: Path, folder: Path, storage: str) -> int:
    """Leave a run that was killed in the middle; give how many chunks it had done."""
    running = subprocess.Popen(command(options_of(shades, storage), folder), env=ENVIRONMENT)
    while journal_lines(folder) < 3 and running.poll() is None:
        time.sleep(0.002)
    running.kill()
    running.wait()
    assert 3 <= journal_lines(folder) < 13
    return journal_lines(folder)


def read_again(shades: Path, folder: Path, monkeypatch, **options) -> int:
    """Pack on, and count the images that are read."""
    count = 0

    class Counting(folders.Folder):
        def read(self, index: int):
            nonlocal count
            count += 1
            return super().read(index)

    monkeypatch.setattr(folders, "Folder", Counting)
    pack(options_of(shades, **options), folder)
    return count


@pytest.mark.parametrize("storage", ["pixels", "jpeg"])
def test_what_a_killed_run_has_done_is_not_done_again(shades, packed_shades, tmp_path, monkeypatch, storage, capsys):
    done = killed(shades, tmp_path / "packed", storage)
    assert read_again(shades, tmp_path / "packed", monkeypatch, storage=storage) == 2600 - 200 * done
    assert_same(tmp_path / "packed", packed_shades[storage])
    assert f"note: {200 * done:,} of 2,600 images are packed already\n" in capsys.readouterr().err


def test_only_chunks_with_changed_files_are_done_again(shades, packed_shades, tmp_path, monkeypatch):
    done = killed(shades, tmp_path / "packed", "pixels")
    changed = sorted((shades / "class 0").iterdir())[0]
    content = changed.read_bytes()
    try:
        os.utime(changed, ns=(1, 1))
        assert read_again(shades, tmp_path / "packed", monkeypatch) == 2600 - 200 * (done - 1)
    finally:
        changed.write_bytes(content)
    assert_same(tmp_path / "packed", packed_shades["pixels"])


@pytest.mark.parametrize("options", [{"size": 19}, {"storage": "jpeg"}, {"channels": 1}])
def test_what_was_done_with_other_options_is_done_again(shades, tmp_path, monkeypatch, options):
    killed(shades, tmp_path / "packed", "pixels")
    assert read_again(shades, tmp_path / "packed", monkeypatch, **options) == 2600
    pack(options_of(shades, **options), tmp_path / "other")
    assert_same(tmp_path / "packed", tmp_path / "other")


@pytest.mark.parametrize("storage", ["pixels", "jpeg"])
def test_what_a_power_cut_took_is_done_again(shades, packed_shades, tmp_path, storage):
    """The journal tells of images that are not on the disk, and ends in the middle of a line."""
    killed(shades, tmp_path / "packed", storage)
    with open(tmp_path / "packed/.images.npy.part", "rb+") as file:
        file.seek(128 + 200 * 1200 + 500)
        file.write(bytes(3000))
    with open(tmp_path / "packed/.journal", "rb+") as file:
        file.truncate(len(file.read()) - 50)
    pack(options_of(shades, storage), tmp_path / "packed")
    assert_same(tmp_path / "packed", packed_shades[storage])


@pytest.mark.parametrize("storage", ["pixels", "jpeg"])
def test_files_that_were_removed_meanwhile_leave_nothing_behind(shades, tmp_path, storage):
    root = tmp_path / "shades"
    shutil.copytree(shades, root)
    killed(root, tmp_path / "packed", storage)
    for name in ("class 1", "class 2", "class 3", "class 4"):
        shutil.rmtree(root / name)
    pack(options_of(root, storage), tmp_path / "packed")
    pack(options_of(root, storage), tmp_path / "fresh")
    assert_same(tmp_path / "packed", tmp_path / "fresh")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"{}\n", b"null\n[1]\n", b'{"number": 0}\n'])
def test_a_journal_that_is_none_does_no_harm(shades, packed_shades, tmp_path, content):
    killed(shades, tmp_path / "packed", "pixels")
    (tmp_path / "packed/.journal").write_bytes(content)
    pack(options_of(shades), tmp_path / "packed")
    assert_same(tmp_path / "packed", packed_shades["pixels"])


def test_the_processes_that_read_end_with_a_command_that_is_killed(shades, tmp_path):
    running = subprocess.Popen(command(options_of(shades), tmp_path / "packed", 2), env=ENVIRONMENT)
    listing, children = Path(f"/proc/{running.pid}/task/{running.pid}/children"), []
    if not listing.exists():
        pytest.skip("needs Linux's list of a process's children")
    while len(children) < 2 and running.poll() is None:
        children = listing.read_text().split()
    time.sleep(0.1)
    running.kill()
    running.wait()
    assert len(children) == 2
    for _ in range(200):
        alive = [child for child in children if is_running(child)]
        if not alive:
            break
        time.sleep(0.05)
    assert not alive


def is_running(process: str) -> bool:
    """Whether a process is there and no zombie that only waits to be counted."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_process_that_is_killed_while_it_reads_ends_the_command_with_one_sentence(shades, packed_shades, tmp_path):
    folder = tmp_path / "packed"
    running = subprocess.Popen(
        command(options_of(shades), folder, 2), env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
    )
    listing = Path(f"/proc/{running.pid}/task/{running.pid}/children")
    if not listing.exists():
        pytest.skip("needs Linux's list of a process's children")
    while journal_lines(folder) < 1:
        time.sleep(0.002)
    os.kill(int(listing.read_text().split()[0]), signal.SIGKILL)
    _, said = running.communicate()
    assert running.returncode == 1
    assert said.startswith(f"error: {folder}: a process that read images was killed")
    assert said.count("\n") == 1
    pack(options_of(shades), folder)
    assert_same(folder, packed_shades["pixels"])


LIMITED = (
    "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT)); "
    "runpy.run_module('transferability.data.packing', run_name='__main__', alter_sys=True)"
)


@pytest.mark.parametrize(
    ("storage", "limit"), [("pixels", 900_000), ("pixels", 100), ("jpeg", 900_000), ("jpeg", 9000)]
)
def test_a_disk_that_fills_ends_the_command_with_one_sentence_and_the_next_run_goes_on(
    shades, packed_shades, tmp_path, storage, limit
):
    folder = tmp_path / "packed"
    line = [sys.executable, "-c", LIMITED.replace("LIMIT,", f"{limit},").replace("LIMIT)", f"{limit})")]
    line += command(options_of(shades, storage), folder, 2)[3:]
    done = subprocess.run(line, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {folder}: the disk is full (")
    assert done.stderr.count("\n") == 1
    assert visible(folder) == []
    assert (journal_lines(folder) > 0) == (storage == "jpeg" and limit > 200_000)
    pack(options_of(shades, storage), folder, 2)
    assert_same(folder, packed_shades[storage])


def test_a_real_small_disk_that_fills_is_told_with_what_is_needed(shades, packed_shades, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    (tmp_path / "disk").mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(tmp_path / "disk")]
    if not shutil.which("mount") or subprocess.run(mounted, capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        folder = tmp_path / "disk/packed"
        with pytest.raises(InputError) as error:
            pack(options_of(shades), folder, 2)
        assert str(error.value) == (
            f"{folder}: the packed images need 3 MB of the disk, where 2 MB are free; make room, or choose a "
            "smaller size or storage: jpeg"
        )
        with pytest.raises(InputError, match="the disk is full"):
            pack(options_of(shades, "jpeg"), folder, 2)
        assert journal_lines(folder) > 0
        assert visible(folder) == []
        subprocess.run(["mount", "-o", "remount,size=20m", str(tmp_path / "disk")], check=True)
        pack(options_of(shades, "jpeg"), folder, 2)
        assert_same(folder, packed_shades["jpeg"])
    finally:
        subprocess.run(["umount", str(tmp_path / "disk")], check=True)


def test_the_index_of_jpeg_files_says_where_each_ends_and_what_it_holds(shades, packed_shades):
    data = (packed_shades["jpeg"] / "images.npy").read_bytes()[128:]
    assert np.array_equal(np.load(packed_shades["jpeg"] / "images.npy"), np.frombuffer(data, np.uint8))
    with open(packed_shades["jpeg"] / "index.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    start, kept = 0, 0
    for row in rows[:300]:
        stored, original = data[start : int(row["end"])], (shades / row["file"]).read_bytes()
        start = int(row["end"])
        assert hashlib.sha256(stored).hexdigest() == row["sha256"]
        with Image.open(BytesIO(stored)) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (20, 20))
        kept += stored == original
    assert int(rows[-1]["end"]) == len(data)
    assert kept == 0


def test_a_jpeg_file_of_the_stored_form_keeps_its_bytes_and_any_other_is_fitted(tmp_path, noise):
    (tmp_path / "x/a").mkdir(parents=True)
    square, turned = Image.fromarray(noise[:20, :20]), Image.Exif()
    turned[0x0112] = 6
    square.save(tmp_path / "x/a/1.jpg", quality=30, comment="kept as it is")
    square.save(tmp_path / "x/a/2.jpg", quality=30, exif=turned)
    square.convert("L").save(tmp_path / "x/a/3.jpg")
    square.save(tmp_path / "x/a/4.png")
    Image.fromarray(noise).save(tmp_path / "x/a/5.jpg")
    pack(options_of(tmp_path / "x", "jpeg"), tmp_path / "packed")
    packed = open_packed(tmp_path / "packed")
    ends = packed.images.ends
    assert packed.images.data[: ends[0]].tobytes() == (tmp_path / "x/a/1.jpg").read_bytes()
    for row in range(1, 5):
        file = sorted((tmp_path / "x/a").iterdir())[row]
        with Image.open(file) as image:
            expected = fit(image, 20, 3)
        assert packed.images.data[ends[row - 1] : ends[row]].tobytes() != file.read_bytes()
        assert np.abs(packed.images[np.array([row])][0].astype(int) - expected).mean() < 4


@pytest.mark.parametrize("storage", ["pixels", "jpeg"])
def test_mean_and_deviation_are_those_of_all_images_as_they_are_read(packed_shades, storage):
    packed = open_packed(packed_shades[storage])
    images = packed.images[np.arange(len(packed.images))] / 255
    assert packed.card["mean"] == pytest.approx(images.mean(axis=(0, 2, 3)).tolist(), abs=1e-6)
    assert packed.card["std"] == pytest.approx(images.std(axis=(0, 2, 3)).tolist(), abs=1e-6)
    assert packed.card["storage"] == storage
    assert packed.card["shape"] == [3, 20, 20]


def test_sums_of_white_images_of_any_size_do_not_overflow(tmp_path):
    for size in (256, 300):
        (tmp_path / f"{size}/a").mkdir(parents=True)
        for number in range(3):
            Image.new("L", (size, size), 255).save(tmp_path / f"{size}/a/{number}.png")
        pack(options_of(tmp_path / str(size), size=size, channels=1), tmp_path / "packed")
        card = files.read_json(tmp_path / "packed/card.json")
        assert (card["mean"], card["std"]) == ([1.0], [0.0])


def test_holes_are_closed_and_a_run_that_is_killed_meanwhile_is_mended(shades, tmp_path):
    """Bad files in the first chunk, a whole one that is bad, and after it."""
    root = tmp_path / "shades"
    shutil.copytree(shades, root)
    listed = sorted(root.rglob("*.*"))
    for index in [3, 7, *range(200, 400), 2599]:
        listed[index].write_bytes(b"bad")
    options = options_of(root, on_bad="skip")
    with pytest.raises(InputError, match="203 of 2,600 images cannot be read"):
        pack(options_of(root), tmp_path / "packed", 2)
    assert journal_lines(tmp_path / "packed") == 13
    # Killed when some rows were moved: what the journal says is no longer there.
    with open(tmp_path / "packed/.images.npy.part", "rb+") as file:
        rows = file.read()[128:]
        file.seek(128 + 3 * 1200)
        file.write(rows[4 * 1200 : 7 * 1200])
    pack(options, tmp_path / "packed", 2)
    for index in [3, 7, *range(200, 400), 2599]:
        listed[index].unlink()
    pack(options, tmp_path / "clean")
    for name in ("images.npy", "index.csv"):
        assert (tmp_path / "packed" / name).read_bytes() == (tmp_path / "clean" / name).read_bytes()


def test_a_log_has_no_bar_and_a_terminal_has_one(shades, tmp_path):
    done = subprocess.run(
        command(options_of(shades), tmp_path / "log", 2), env=ENVIRONMENT, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    done = subprocess.run(command(options_of(shades), tmp_path / "terminal", 2), env=ENVIRONMENT, stderr=theirs)
    os.close(theirs)
    said = os.read(ours, 100_000).decode()
    os.close(ours)
    assert done.returncode == 0
    assert "2600/2600" in said


@pytest.mark.parametrize("change", ["cut images", "cut index", "swap ends"])
def test_packed_jpeg_files_that_do_not_fit_their_index_are_refused(packed_shades, tmp_path, change):
    shutil.copytree(packed_shades["jpeg"], tmp_path / "packed")
    if change == "cut images":
        np.save(tmp_path / "packed/images.npy", np.load(tmp_path / "packed/images.npy")[:-1])
    else:
        lines = (tmp_path / "packed/index.csv").read_text().splitlines()
        lines = lines[:-1] if change == "cut index" else [lines[0], lines[2], lines[1], *lines[3:]]
        (tmp_path / "packed/index.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError) as error:
        open_packed(tmp_path / "packed")
    assert str(error.value).startswith(f"{tmp_path / 'packed'}: ")
    assert str(error.value).endswith("delete the folder and run again")


def test_bicubic_images_are_recorded_and_bilinear_is_what_is_done_unasked(shades, packed_shades, tmp_path):
    pack(options_of(shades, interpolation="bilinear"), tmp_path / "bilinear")
    assert (tmp_path / "bilinear/images.npy").read_bytes() == (packed_shades["pixels"] / "images.npy").read_bytes()
    pack(options_of(shades, interpolation="bicubic"), tmp_path / "bicubic")
    packed, plain = open_packed(tmp_path / "bicubic"), open_packed(packed_shades["pixels"])
    assert (packed.card["interpolation"], plain.card["interpolation"]) == ("bicubic", "bilinear")
    with Image.open(shades / packed.files[1]) as image:
        assert min(image.size) != 20
        assert np.array_equal(packed.images[1], fit(image, 20, 3, "bicubic"))
    assert not np.array_equal(packed.images[1], plain.images[1])


def test_the_digits_are_packed_to_the_bytes_that_they_always_were(packed_digits):
    assert files.sha256(packed_digits / "images.npy") == (
        "16e0fa511054dddcfede4bdb9c4916dcd5a89b9ae401b18a5f6934a10c76a96b"
    )
    card = files.read_json(packed_digits / "card.json")
    assert card["content"] == "3f22fb3644e324e48256f78c3d9efe33d6a67111f33f7df7aab08efe3ffa2b1c"
    assert (card["left_out"], card["bad"], card["interpolation"]) == ([], [], "bilinear")


def test_more_classes_than_an_argument_may_name_are_given_in_a_file(tmp_path):
    names = [f"{number:05} {'of a long name ' * 6}".strip() for number in range(2000)]
    for name in names[:3]:
        (tmp_path / "x" / name).mkdir(parents=True)
        Image.new("L", (4, 4), names.index(name)).save(tmp_path / "x" / name / "1.png")
    files.write_json(tmp_path / "s.json", options_of(tmp_path / "x", classes=names[:3], sets_of_names=names))
    done = subprocess.run(command_with(str(tmp_path / "s.json"), tmp_path / "packed"), env=ENVIRONMENT)
    assert done.returncode == 0
    assert open_packed(tmp_path / "packed").classes == names[:3]


def command_with(source: str, folder: Path) -> list[str]:
    """The command of the job that packs, its source as it stands."""
    line = command({}, folder)
    line[line.index("--source") + 1] = source
    return line
