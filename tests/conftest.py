"""Fixtures that several test files share."""

import os
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from transferability import files
from transferability.data.packed import open_packed
from transferability.data.packing import pack
from transferability.data.splits import make_split

# What tests start runs this checkout's code too.
os.environ["PYTHONPATH"] = str(Path(__file__).parent.parent / "src")


class Stored:
    """Images that are read when they are asked for, at most `most` at a time; keeps what was asked for, and by whom."""

    def __init__(self, images: np.ndarray, most: int) -> None:
        self.images, self.most, self.shape = images, most, images.shape
        self.asked: list[list[int]] = []
        self.threads: set[int] = set()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        assert isinstance(indices, np.ndarray)
        assert indices.dtype == np.int64
        assert 0 < len(indices) <= self.most
        self.asked.append(indices.tolist())
        self.threads.add(threading.get_ident())
        return self.images[indices]


@pytest.fixture(scope="session")
def packed_digits(tmp_path_factory) -> Path:
    """The folder of the packed digits."""
    folder = tmp_path_factory.mktemp("packed") / "digits"
    pack({"source": "digits", "size": 8, "channels": 1}, folder)
    return folder


@pytest.fixture(scope="session")
def digits_split(packed_digits, tmp_path_factory) -> Path:
    """The file of the default study's split random0 of the digits."""
    path = tmp_path_factory.mktemp("splits") / "random0.json"
    parts = {"validation": 0.2, "test": 0.3, "seed": 0}
    files.write_json(path, make_split(open_packed(packed_digits), {"kind": "random", "seed": 0}, {}, parts))
    return path


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


@pytest.fixture(autouse=True)
def closed_figures():
    """Leave no figure open; nothing is closed where nothing draws."""
    yield
    if (pyplot := sys.modules.get("matplotlib.pyplot")) is not None:
        pyplot.close("all")


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """A small study that has been run; tests work on copies of it."""
    from test_workflow import run, write_small_params

    directory = tmp_path_factory.mktemp("study")
    write_small_params(directory)
    run(directory)
    return directory
