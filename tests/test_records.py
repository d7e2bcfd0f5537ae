"""Records: what Snakemake keeps of files, written and read by its own rules."""

import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from transferability import files
from transferability.cluster.hooks import settle_files
from transferability.cluster.origins import misfit
from transferability.cluster.records import (
    INCOMPLETE,
    METADATA,
    add_note,
    handed_over,
    handed_over_logs,
    mark_unfinished,
    note_handed_over,
    read_endings,
    record_path,
    recorded_files,
    settle_handed_over,
    unrecorded_files,
)
from transferability.errors import InputError

ARCHITECTURE, AUGMENTATION, SCHEDULE = {"family": "tiny"}, {"flip": False}, {"learning_rate": 0.03, "steps": 20}
MODEL = "models/digits/tiny/random0/seed0/baseA/model.safetensors"
SPLIT = "data/splits/digits/random0.json"
METRICS = "results/digits/tiny/random0/seed0/baseA.json"


class Output:
    """An output of a rule of Snakemake's."""

    def __init__(self, *paths: str) -> None:
        self.paths = paths

    def match(self, path: str) -> bool:
        return path in self.paths


class Rule:
    """A rule of Snakemake's."""

    def __init__(self, *paths: str) -> None:
        self.output = [Output(*paths)]


def write_record(path: str, params: list[object] = (), **rest: object) -> None:
    """A record as Snakemake writes it of a file that is there."""
    record = {"rule": "x", "params": [repr(value) for value in params], "input_checksums": {}} | rest
    place = record_path(METADATA, path)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(record | {"endtime": rest.get("endtime", Path(path).stat().st_mtime)}))


def write_network(schedule: dict = SCHEDULE, **rest: object) -> None:
    """A base network with its run.json, recorded as of SCHEDULE; `rest` replaces what its run.json says."""
    sections = {"architecture": ARCHITECTURE, "augmentation": AUGMENTATION, "schedule": schedule}
    run = {"parameters": sections | {"seed": 0}, "inputs": {SPLIT: "abc"}, "code": "c0de", "model_sha256": "0"} | rest
    files.write_json(Path(MODEL).with_name("run.json"), run)
    Path(MODEL).write_bytes(b"weights")
    params = [*(json.dumps(section, sort_keys=True) for section in (ARCHITECTURE, AUGMENTATION, SCHEDULE)), "c0de"]
    for path in (MODEL, str(Path(MODEL).with_name("run.json"))):
        write_record(path, params, input_checksums={SPLIT: "sha256:abc"}, endtime=1.0)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The working folder of a study."""
    monkeypatch.chdir(tmp_path)
    for name in (METADATA, INCOMPLETE):
        name.mkdir(parents=True)
    return tmp_path


def test_what_is_marked_as_unfinished_is_known_to_be(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = ["models/a.safetensors", f"models/{'deep/' * 60}a.safetensors"]
    for path in paths:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    assert sorted(unrecorded_files(["models"])) == sorted(paths)
    for path in paths:
        mark_unfinished(path)
    assert recorded_files(INCOMPLETE) == set(paths)
    assert list(unrecorded_files(["models"])) == []


def test_what_a_cluster_was_handed_is_known_until_it_is_settled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert handed_over() == set()
    note_handed_over(iter(["b", "a"]), tmp_path / "logs")
    assert handed_over_logs() == tmp_path / "logs"
    assert handed_over() == {"a", "b"}
    settle_handed_over()
    settle_handed_over()
    assert handed_over() == set()


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({}, None),
        ({"schedule": SCHEDULE | {"learning_rate": 0.01}}, "it was made from another schedule"),
        ({"code": "other"}, "it was made by other code"),
        ({"inputs": {SPLIT: "abd"}}, f"it was made from another {SPLIT}"),
        ({"inputs": {"elsewhere": "abd"}}, None),
    ],
)
def test_a_network_of_other_params_code_or_inputs_than_its_record_is_made_anew(folder, told, reason):
    write_network(**told)
    assert misfit(MODEL) == reason
    lines = settle_files([Rule(MODEL)])
    assert [line.partition(": ")[2] for line in lines] == ([f"{reason}; it is made anew"] * 2 if reason else [])
    assert (MODEL in recorded_files(INCOMPLETE)) == (reason is not None)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"network": "baseA"}, None),
        ({"network": "A3B"}, "it is a network A3B"),
        ({}, None),
    ],
)
def test_a_network_in_the_place_of_another_is_made_anew(folder, content, reason):
    write_network()
    Path(MODEL).write_bytes(save({"w": np.zeros(3)}, {"transferability": json.dumps(content)}))
    assert misfit(MODEL) == reason
    for damaged in (Path(MODEL).read_bytes()[:20], b"\xff" * 100, b""):
        Path(MODEL).write_bytes(damaged)
        assert misfit(MODEL) is None


def test_a_file_that_still_has_the_time_of_its_record_is_not_looked_into(folder):
    write_network(code="other")
    for path in (MODEL, str(Path(MODEL).with_name("run.json"))):
        os.utime(path, (1.0, 1.0))
    assert settle_files([Rule(MODEL)]) == []


def test_what_comes_back_after_its_job_has_failed_is_made_anew_until_its_record_does_too(folder):
    Path("results").mkdir()
    Path("results/table.csv").write_text("old")
    write_record("results/table.csv")
    before = record_path(METADATA, "results/table.csv").read_bytes()
    add_note("results/table.csv", {"failed": True})
    assert read_endings()["results/table.csv"].note == {"failed": True}
    assert misfit("results/table.csv") == "the last job that was to make it has failed"
    record_path(METADATA, "results/table.csv").write_bytes(before)
    assert settle_files([Rule("results/table.csv")]) == []
    add_note("results/table.csv", {"failed": True})
    assert settle_files([Rule("results/table.csv")])
    assert recorded_files(INCOMPLETE) == {"results/table.csv"}
    assert settle_files([Rule("results/table.csv")]) == []


def test_a_note_leaves_a_record_what_it_is_to_snakemake(folder):
    from snakemake.persistence import MetadataRecord

    Path("results").mkdir()
    Path("results/table.csv").touch()
    write_record("results/table.csv", [1, "a"])
    before = json.loads(record_path(METADATA, "results/table.csv").read_text())
    add_note("results/table.csv", {"sha256": "abc"})
    after = json.loads(record_path(METADATA, "results/table.csv").read_text())
    assert after == before | {"transferability": {"sha256": "abc"}}
    assert MetadataRecord.model_validate(after) == MetadataRecord.model_validate(before)
    # Snakemake writes what it knows: a note is of one job.
    assert "transferability" not in dict(MetadataRecord.model_validate(after).items())
    add_note("results/none.csv", {"sha256": "abc"})
    assert recorded_files(METADATA) == {"results/table.csv"}


@pytest.mark.parametrize(("content", "same"), [("as made", True), ("", False), ("as mad", False), ("other", False)])
def test_a_last_product_of_other_content_is_made_anew_and_a_network_is_not(folder, content, same):
    for path in ("results/digits/tiny/effects.csv", "results/digits/tiny/figures/figure2.svg", METRICS, MODEL):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text("as made")
        write_record(path, endtime=1.0)
        add_note(path, {"sha256": files.sha256(Path(path))})
        Path(path).write_text(content)
    lines = settle_files([])
    assert len(lines) == (0 if same else 2)
    expected = set() if same else {"results/digits/tiny/effects.csv", "results/digits/tiny/figures/figure2.svg"}
    assert recorded_files(INCOMPLETE) == expected


def test_a_split_of_another_definition_and_metrics_of_another_network_are_made_anew(folder):
    write_network(model_sha256="1")
    definition, parts = {"kind": "random", "seed": 0}, {"seed": 0, "test": 0.3}
    for path, content in ((SPLIT, {"definition": definition, "parts": parts}), (METRICS, {"model_sha256": "1"})):
        files.write_json(Path(path), content)
        write_record(path, [json.dumps(section, sort_keys=True) for section in (definition, parts)], endtime=1.0)
    assert settle_files([]) == []
    files.write_json(Path(SPLIT), {"definition": definition | {"seed": 1}, "parts": parts})
    files.write_json(Path(METRICS), {"model_sha256": "2"})
    assert set(settle_files([])) == {
        f"{SPLIT}: it was made from another definition; it is made anew",
        f"{METRICS}: it is of another network; it is made anew",
    }


@pytest.mark.parametrize("path", [SPLIT, METRICS])
def test_what_cannot_be_read_is_left_to_who_reads_it(folder, path):
    Path(path).parent.mkdir(parents=True)
    Path(path).write_text("[" * 100_000)
    write_record(path, endtime=1.0)
    assert settle_files([]) == []


def test_a_file_without_a_record_is_refused_and_one_of_a_cluster_is_made_anew(folder):
    Path("results").mkdir()
    Path("results/a.csv").touch()
    assert settle_files([Rule("results/b.csv")]) == []
    with pytest.raises(InputError, match=r"results/a\.csv: there is no record of what it was made from"):
        settle_files([Rule("results/a.csv")])
    note_handed_over(["results/a.csv"], folder / "logs")
    assert settle_files([Rule("results/a.csv")]) == []
    assert recorded_files(INCOMPLETE) == {"results/a.csv"}


def test_jobs_that_end_during_a_look_are_no_files_without_a_record(folder):
    """As Snakemake ends a job: mark, file, record, mark away."""
    Path("results").mkdir()
    paths = [f"results/{number}.csv" for number in range(20_000)]
    stop = threading.Event()

    def jobs() -> None:
        for path in paths:
            mark_unfinished(path)
            Path(path).touch()
            write_record(path)
            record_path(INCOMPLETE, path).unlink()
            if stop.is_set():
                return

    thread = threading.Thread(target=jobs)
    thread.start()
    try:
        for _ in range(30):
            assert list(unrecorded_files(["results"])) == []
            assert settle_files([Rule(*paths)]) == []
    finally:
        stop.set()
        thread.join()
