"""Verify, and what a start holds of a study's files: on copies of a finished study, tampered with."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from test_workflow import DRAWN, change, network_hashes, plan, run, start

from transferability.cluster import verify
from transferability.cluster.records import METADATA, record_path
from transferability.errors import InputError

SEED = Path("models/digits/tiny/random0/seed0")
RESULTS = Path("results/digits/tiny")


@pytest.fixture
def study(finished, tmp_path) -> Path:
    return shutil.copytree(finished, tmp_path / "study")


@pytest.fixture
def inside(study, monkeypatch) -> Path:
    monkeypatch.chdir(study)
    return study


def keeping_time(path: Path, content: bytes) -> None:
    """Write other content with the time of the old, as `cp -p`, `rsync -a` and `tar` bring it."""
    before = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_all_is_right_in_a_finished_study_and_each_file_has_a_hash(inside):
    report = verify.verify(show=False)
    assert (report.wrong, report.missing, report.foreign, report.unfinished, report.unknown) == ({}, [], [], [], [])
    outputs = [path for folder in verify.FOLDERS for path in Path(folder).rglob("*") if path.is_file()]
    assert report.right == len(outputs) > 70


ALTERED = {
    "empty": lambda content: b"",
    "cut off": lambda content: content[: len(content) // 2],
    "longer": lambda content: content + b"\n",
    "one byte": lambda content: content[: len(content) // 2] + b"~" + content[len(content) // 2 + 1 :],
}


@pytest.mark.parametrize("how", ALTERED)
def test_each_file_of_a_study_is_named_however_it_was_altered(how, inside):
    """With the times that they had: all 70 and more of them, one folder after the other."""
    for folder in verify.FOLDERS:
        content = {str(path): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}
        assert len(content) > 3
        for path, before in content.items():
            keeping_time(Path(path), ALTERED[how](before))
        assert verify.verify(show=False).wrong.keys() == content.keys()
        for path, before in content.items():
            keeping_time(Path(path), before)


def test_each_file_of_a_study_is_missed(inside):
    for folder in verify.FOLDERS:
        content = [str(path) for path in Path(folder).rglob("*") if path.is_file()]
        Path(folder).rename("away")
        assert set(verify.verify(show=False).missing) == set(content)
        Path("away").rename(folder)


def test_what_is_altered_cut_off_swapped_empty_missing_and_foreign_is_named(inside):
    split = Path("data/splits/digits/random0.json")
    keeping_time(split, split.read_bytes().replace(b'"train"', b'"Train"', 1))
    keeping_time(RESULTS / "pairs.csv", b"")
    onnx = SEED / "AnB/model.onnx"
    keeping_time(onnx, onnx.read_bytes()[:100])
    history = SEED / "A2B/history.csv"
    keeping_time(history, history.read_bytes() + b"\n")
    one, other = SEED / "A2B/model.safetensors", SEED / "B2A/model.safetensors"
    one.rename("x")
    other.rename(one)
    Path("x").rename(other)
    (SEED / "A6B/run.json").unlink()
    (SEED / "notes.txt").write_text("my own")
    report = verify.verify(show=False)
    altered = "it was altered or cut off since it was made"
    assert report.wrong == {
        str(split): "it is not what its job has made",
        str(RESULTS / "pairs.csv"): "it is not what its job has made",
        str(onnx): "it is not what its job has made",
        str(history): altered,
        str(one): "it is a network B2A",
        str(other): "it is a network A2B",
    }
    assert report.missing == [str(SEED / "A6B/run.json")]
    assert report.foreign == [str(SEED / "notes.txt")]


def test_what_is_wrong_fails_the_command_and_is_made_anew_after_fix(study):
    before = network_hashes(study)
    second = Path("models/digits/tiny/random1/seed0")
    one, other = (study / place / "A2B/model.safetensors" for place in (SEED, second))
    content = one.read_bytes()
    keeping_time(one, other.read_bytes())
    keeping_time(other, content)
    (study / SEED / "mine.txt").write_text("my own")
    assert plan(study) == set()
    command = [sys.executable, "-m", "transferability.cluster.verify", str(study)]
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode == 1
    assert f"wrong: {SEED}/A2B/model.safetensors: it is {second}/A2B/model.safetensors" in found.stdout
    assert "--fix" in found.stdout
    assert plan(study) == set()
    subprocess.run([*command, "--fix"], check=True, capture_output=True)
    assert {job for job in plan(study) if job.startswith("curve")} == {"curve random0 0 A B", "curve random1 0 A B"}
    run(study)
    assert network_hashes(study) == before
    assert (study / SEED / "mine.txt").read_text() == "my own"
    assert plan(study) == set()


def test_a_locked_file_of_other_content_is_named(inside):
    """As DVC keeps it: dvc.lock names a folder's listing, the cache has the listing."""
    table, report = RESULTS / "pairs.csv", RESULTS / "report.html"
    lists = {
        "results": [
            {"md5": verify.digest(path, "md5"), "relpath": str(path.relative_to("results"))} for path in (table, report)
        ],
        str(METADATA): [
            {
                "md5": verify.digest(record_path(METADATA, str(path)), "md5"),
                "relpath": record_path(METADATA, str(path)).name,
            }
            for path in (table, report)
        ],
    }
    lists["results"][0]["md5"] = "0" * 32
    outs = []
    for number, (path, entries) in enumerate(lists.items()):
        listing = Path(f".dvc/cache/files/md5/0{number}/abc.dir")
        listing.parent.mkdir(parents=True)
        listing.write_text(json.dumps(entries))
        outs.append({"path": path, "md5": f"0{number}abc.dir"})
    Path("dvc.lock").write_text(yaml.safe_dump({"stages": {"study": {"outs": outs}}}))
    assert verify.verify(show=False).wrong == {str(table): "it is not what dvc.lock has of it"}
    record = record_path(METADATA, str(table))
    record.write_text(json.dumps(json.loads(record.read_text()) | {"starttime": 0}))
    assert verify.verify(show=False).wrong == {}
    Path("dvc.lock").write_text("stages: 3")
    with pytest.raises(InputError, match=r"dvc\.lock: is no file of DVC's"):
        verify.verify(show=False)


def test_a_folder_without_records_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="there are no records here"):
        verify.verify(show=False)


PROMISED = [
    *(RESULTS / f"{table}.csv" for table in ("networks", "learning", "pairs", "effects", "drops", "coverage")),
    *(RESULTS / f"figures/figure2.{form}" for form in ("svg", "png")),
    RESULTS / "figures/captions.json",
    RESULTS / "report.html",
    *(Path("results/summary") / name for name in ("metrics.json", "accuracy.csv", "effects.csv")),
    SEED / "exports.json",
    SEED / "AnB/model.onnx",
]


def test_every_promised_file_that_is_missing_is_made_again(study):
    said = start(study, "--dry-run", "--forceall", "all").stdout
    wanted = said[said.index("rule all:") :]
    assert not [path for path in PROMISED if str(path) not in wanted]
    for path in PROMISED:
        (study / path).unlink()
    assert plan(study) == {"tables", "summary", "figures", "page", "export random0 0"}


def test_a_lost_file_is_made_again_with_those_that_its_job_makes_beside_it(study):
    for path in (SEED / "A2B/run.json", RESULTS / "random0/seed0/baseA.json", RESULTS / "random0/seed0/B6A.json"):
        (study / path).unlink()
    said = start(study, "--dry-run")
    assert f"{SEED}/A2B/history.csv: run.json beside it is gone; both are made anew" in said.stdout + said.stderr
    jobs = plan(study)
    assert {job for job in jobs if job.startswith(("base", "curve"))} == {"curve random0 0 A B"}
    assert jobs >= {"evaluate random0 0 baseA", "evaluate_curve random0 0 B A"}
    (study / "data/packed/digits/card.json").unlink()
    assert plan(study, "data/packed/digits/images.npy") == {"pack"}


def test_what_a_partial_pull_leaves_out_is_not_lost(study):
    for place in (SEED / "A2B", RESULTS / "random1", Path("data/packed")):
        shutil.rmtree(study / place)
    assert plan(study) == set()


def test_an_altered_split_is_refused_and_an_altered_table_made_anew_whatever_their_times(study):
    table, split = study / RESULTS / "effects.csv", study / "data/splits/digits/random0.json"
    keeping_time(table, table.read_bytes()[:-9])
    assert plan(study) == {"tables", "summary", *DRAWN}
    keeping_time(split, split.read_bytes().replace(b" 7,", b" 8,", 1))
    said = start(study, "--dry-run")
    assert said.returncode != 0
    assert (
        "data/splits/digits/random0.json: it was altered since its networks were trained" in said.stdout + said.stderr
    )


def test_the_order_of_what_params_list_makes_nothing_anew(study):
    lists = yaml.safe_load((study / "params.yaml").read_text())
    change(
        study,
        study={name: lists["study"][name][::-1] for name in ("treatment", "n", "split")},
        export=lists["export"][::-1],
    )
    assert plan(study) == set()


def test_a_damaged_last_product_is_made_again(study):
    for path in ("results/summary/metrics.json", RESULTS / "report.html", SEED / "AnB/model.onnx"):
        os.truncate(study / path, 10)
    os.truncate(study / RESULTS / "figures/figure2.svg", 0)
    said = start(study, "--dry-run")
    assert (
        f"{RESULTS}/figures/figure2.svg: it is not what its job has made; it is made anew" in said.stdout + said.stderr
    )
    assert plan(study) == {"summary", "figures", "page", "export random0 0"}


def test_networks_of_old_params_that_come_back_after_a_failure_are_trained_anew(study, tmp_path):
    """The failed job's record has the new params, and its outputs are gone; the backup's are of the old ones."""
    backup = shutil.copytree(study / "models", tmp_path / "models")
    images = study / "data/packed/digits/images.npy"
    shutil.copy2(images, tmp_path / "images.npy")
    os.truncate(images, 100)
    change(study, training={"base": {"steps": 21}})
    assert start(study, "--keep-going").returncode != 0
    assert not (study / SEED / "baseA/model.safetensors").exists()
    shutil.move(tmp_path / "images.npy", images)
    shutil.copytree(backup, study / "models", dirs_exist_ok=True)
    expected = {f"base {split} 0 {target}" for split in ("random0", "random1") for target in "AB"}
    assert {job for job in plan(study) if job.startswith("base")} == expected
