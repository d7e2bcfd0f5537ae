"""Fixtures that several test files share."""

import os
import sys
from pathlib import Path

import pytest

from transferability import files
from transferability.datasets import pack
from transferability.splits import make_split
from transferability.tasks import open_packed

# What tests start runs this checkout's code too.
os.environ["PYTHONPATH"] = str(Path(__file__).parent.parent / "src")


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


@pytest.fixture(autouse=True)
def closed_figures():
    """Leave no figure open; nothing is closed where nothing draws."""
    yield
    if (pyplot := sys.modules.get("matplotlib.pyplot")) is not None:
        pyplot.close("all")
