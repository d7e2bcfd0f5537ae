import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from transferability import files
from transferability.errors import InputError

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent / "src")}

KILLED_IN_MID_WRITE = """
import os, signal, sys
from pathlib import Path
from transferability import files
with files.replacing(Path(sys.argv[1])) as temporary, open(temporary, "w") as file:
    file.write('{"half": ')
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""

FULL_DISK = """
import resource, sys
from pathlib import Path
from transferability import files
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    files.write_json(Path(sys.argv[1]), list(range(10_000)))
except OSError as error:
    sys.exit(f"OSError {error.errno}")
"""


def test_a_new_file_appears_with_its_folder_and_nothing_beside_it(tmp_path):
    path = tmp_path / "a" / "b" / "new.txt"
    with files.replacing(path) as temporary:
        temporary.write_text("content")
        assert not path.exists()
    assert path.read_text() == "content"
    assert [entry.name for entry in path.parent.iterdir()] == ["new.txt"]


def test_the_temporary_lies_in_the_folder_of_the_file(tmp_path):
    """A name change between file systems would be a copy, and that can be cut off."""
    with files.replacing(tmp_path / "new.txt") as temporary:
        temporary.touch()
        assert temporary.parent == tmp_path


def test_a_kill_in_mid_write_leaves_the_old_file_whole(tmp_path):
    path = tmp_path / "card.json"
    files.write_json(path, {"old": True})
    killed = subprocess.run([sys.executable, "-c", KILLED_IN_MID_WRITE, path], env=ENVIRONMENT)
    assert killed.returncode == -signal.SIGKILL
    assert files.read_json(path) == {"old": True}


def test_a_kill_in_mid_write_of_a_new_file_leaves_no_file_under_its_name(tmp_path):
    path = tmp_path / "card.json"
    killed = subprocess.run([sys.executable, "-c", KILLED_IN_MID_WRITE, path], env=ENVIRONMENT)
    assert killed.returncode == -signal.SIGKILL
    assert not path.exists()


def test_the_write_after_a_kill_succeeds_and_clears_what_the_kill_left(tmp_path):
    path = tmp_path / "card.json"
    subprocess.run([sys.executable, "-c", KILLED_IN_MID_WRITE, path], env=ENVIRONMENT)
    files.write_json(path, {"new": True})
    assert files.read_json(path) == {"new": True}
    assert [entry.name for entry in tmp_path.iterdir()] == ["card.json"]


def test_a_full_disk_leaves_the_old_file_whole_and_no_temporary(tmp_path):
    path = tmp_path / "card.json"
    files.write_json(path, {"old": True})
    full = subprocess.run([sys.executable, "-c", FULL_DISK, path], env=ENVIRONMENT, capture_output=True, text=True)
    assert full.stderr == "OSError 27\n"
    assert files.read_json(path) == {"old": True}
    assert [entry.name for entry in tmp_path.iterdir()] == ["card.json"]


@pytest.mark.parametrize("exception", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_exception_leaves_the_old_file_whole_and_no_temporary(tmp_path, exception):
    path = tmp_path / "card.json"
    files.write_json(path, {"old": True})
    with pytest.raises(exception), files.replacing(path) as temporary:  # noqa: PT012 (the block is under test)
        temporary.write_text("half")
        raise exception
    assert files.read_json(path) == {"old": True}
    assert [entry.name for entry in tmp_path.iterdir()] == ["card.json"]


def test_a_block_that_writes_nothing_is_an_error_and_leaves_the_old_file(tmp_path):
    path = tmp_path / "card.json"
    files.write_json(path, {"old": True})
    with pytest.raises(FileNotFoundError), files.replacing(path):
        pass
    assert files.read_json(path) == {"old": True}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_json_has_no_word_for_is_refused_and_the_old_file_stays(tmp_path, value):
    path = tmp_path / "card.json"
    files.write_json(path, {"old": True})
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(path, {"loss": value})
    assert files.read_json(path) == {"old": True}
    assert [entry.name for entry in tmp_path.iterdir()] == ["card.json"]


def test_json_comes_back_as_it_was_written(tmp_path):
    content = {"loss": 0.1 + 0.2, "classes": ["Käfer", "鳥"], "n": [1, 2**40], "none": None}
    files.write_json(tmp_path / "card.json", content)
    assert files.read_json(tmp_path / "card.json") == content


def test_the_same_content_gives_the_same_bytes_and_ends_its_last_line(tmp_path):
    files.write_json(tmp_path / "a.json", {"x": [1.5]})
    files.write_json(tmp_path / "b.json", {"x": [1.5]})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert (tmp_path / "a.json").read_bytes().endswith(b"}\n")


def test_a_missing_file_is_named_in_one_sentence(tmp_path):
    with pytest.raises(InputError) as error:
        files.read_json(tmp_path / "card.json")
    assert str(error.value) == f"{tmp_path / 'card.json'}: there is no such file"


@pytest.mark.parametrize("kept", [0, 1, 10, 24])
def test_a_truncated_file_is_named_in_one_sentence(tmp_path, kept):
    path = tmp_path / "card.json"
    path.write_text(json.dumps({"images": 1797, "a": "b"})[:kept])
    with pytest.raises(InputError) as error:
        files.read_json(path)
    assert str(error.value).startswith(f"{path}: not a whole JSON file (")
    assert str(error.value).endswith("); delete it and run again")
    assert "\n" not in str(error.value)


def test_a_file_that_is_no_text_is_named_in_one_sentence(tmp_path):
    path = tmp_path / "card.json"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\xff\xff")
    with pytest.raises(InputError) as error:
        files.read_json(path)
    assert str(error.value).startswith(f"{path}: not a whole JSON file (")


@pytest.mark.parametrize("text", ["[]", "3", "null", '"text"'])
def test_json_that_is_no_object_is_named_in_one_sentence(tmp_path, text):
    path = tmp_path / "card.json"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        files.read_json(path)
    assert str(error.value) == f"{path}: holds no JSON object; delete it and run again"


def test_sha256_is_that_of_the_content(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert files.sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize("path", ["~nobodyknown/images", "x" * 300])
def test_a_path_that_cannot_be_is_named(path):
    with pytest.raises(InputError) as error:
        files.expanded(path)
    assert str(error.value).startswith(f"{path}: cannot be looked up (")


@pytest.mark.parametrize("text", ["1" * 5000, "[" * 100_000, '{"a": ' + "1" * 5000 + "}", "\ud800"])
def test_json_that_python_cannot_hold_is_named_in_one_sentence(tmp_path, text):
    path = tmp_path / "card.json"
    path.write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(InputError) as error:
        files.read_json(path)
    assert str(error.value).startswith(f"{path}: not a whole JSON file (")
    assert "\n" not in str(error.value)


def test_an_argument_of_json_may_be_a_file_however_long(tmp_path):
    content = {"classes": [f"class {number}" for number in range(20_000)]}
    path = tmp_path / "classes.json"
    path.write_text(json.dumps(content))
    assert files.json_argument(str(path)) == content
    assert files.json_argument(json.dumps(content)) == content
    code = "import sys; from transferability import files; print(len(files.json_argument(sys.argv[1])['classes']))"
    command = f'{sys.executable} -c "{code}" <(cat {path})'
    assert subprocess.run(["bash", "-c", command], env=ENVIRONMENT, capture_output=True, text=True).stdout == "20000\n"
