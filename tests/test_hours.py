"""Hours: what networks have cost, from their records."""

import subprocess
import sys
from pathlib import Path

import pytest

from transferability import files
from transferability.cluster.hours import Spent, hours_table, spent_hours
from transferability.errors import InputError


def write_run(path: Path, treatment: str, device: str, networks: int, seconds: float) -> Path:
    """Write a record of a network: what its job was, and what any record has."""
    record = {
        "network": {"name": path.parent.name, "treatment": treatment, "source": None, "n": 0, "target": "A"},
        "job": {"networks": networks, "seconds": seconds, "training_seconds": seconds},
        "model_sha256": "0" * 64,
        "parameters": {},
        "inputs": {},
        "code": "0",
        "versions": {},
        "git": None,
        "device": device,
        "threads": 1,
        "images_seen": 1280,
    }
    files.write_json(path, record)
    return path


@pytest.fixture
def runs(tmp_path) -> list[Path]:
    return [
        write_run(tmp_path / "A1B/run.json", "transfer", "cuda", 2, 7200),
        write_run(tmp_path / "A2B/run.json", "transfer", "cuda", 2, 7200),
        write_run(tmp_path / "baseA/run.json", "base", "cuda", 1, 1800),
        write_run(tmp_path / "baseB/run.json", "base", "cpu", 1, 3600),
    ]


def test_the_hours_of_a_job_are_shared_by_its_networks(runs):
    assert spent_hours(runs) == {
        ("base", "cpu"): Spent(1, 1.0),
        ("base", "cuda"): Spent(1, 0.5),
        ("transfer", "cuda"): Spent(2, 2.0),
    }


def test_the_table_ends_with_the_sum(runs):
    assert hours_table(spent_hours(runs)).splitlines()[-1].split() == ["all", "4", "3.50"]


def test_a_foreign_record_is_named(tmp_path):
    files.write_json(tmp_path / "run.json", {"network": {}})
    with pytest.raises(InputError, match=r"run\.json: not in its form"):
        spent_hours([tmp_path / "run.json"])


def test_the_command_says_when_there_is_nothing(tmp_path, runs):
    command = [sys.executable, "-m", "transferability.cluster.hours"]
    assert "transfer" in subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, check=True).stdout
    (tmp_path / "empty").mkdir()
    done = subprocess.run([*command, str(tmp_path / "empty")], capture_output=True, text=True)
    assert done.returncode == 1
    assert "there is no run.json below it" in done.stderr
