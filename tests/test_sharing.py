"""Studies recorded with DVC and shared through remotes, by the commands of the README."""

import asyncio
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml
from test_workflow import CHECKOUT, change, jobs_of, network_hashes, plan, run, start

from transferability import files
from transferability.params import described
from transferability.records import recorded_files, unrecorded_files

ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    **{f"GIT_{who}_{what}": "test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}
VERSIONED = ("Snakefile", "params.yaml", "dvc.yaml", ".dvcignore", ".gitignore")
GATHERING = {"tables", "summary", "figure2"}
BASE_A = "models/digits/tiny/random0/seed0/baseA/model.safetensors"


def attempt(directory: Path, command: str) -> subprocess.CompletedProcess:
    """Run a line of shell in a directory; what it says is in stdout."""
    return subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", command],
        cwd=directory,
        env=ENVIRONMENT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def shell(directory: Path, command: str) -> str:
    """The same, and expect it to succeed."""
    done = attempt(directory, command)
    assert done.returncode == 0, f"{command}\n{done.stdout}"
    return done.stdout


def refused(directory: Path, command: str) -> str:
    """The same, and expect it to fail without a traceback."""
    done = attempt(directory, command)
    assert done.returncode != 0, f"{command}\n{done.stdout}"
    assert "Traceback" not in done.stdout, done.stdout
    return done.stdout


def clone(repository: Path, into: Path) -> Path:
    shell(into.parent, f"git clone --quiet '{repository}' '{into}'")
    return into


def plan_of(repository: Path) -> set[str]:
    """The jobs that a clone would run."""
    return plan(repository, checkout=repository)


def add_remote(repository: Path, url: str, *options: str) -> None:
    """As in the README; options are a remote's own, as "endpointurl http://...", and stay out of git."""
    shell(repository, f"dvc remote add --force --default store '{url}' && dvc remote modify store verify true")
    for option in options:
        shell(repository, f"dvc remote modify --local store {option}")


def objects(store: Path) -> set[Path]:
    return {path for path in store.glob("files/md5/*/*") if path.is_file()}


def object_of(store: Path, path: Path) -> Path:
    """Where a store keeps a file's content."""
    name = hashlib.md5(path.read_bytes()).hexdigest()
    return store / "files/md5" / name[:2] / name[2:]


def shuffle_times(directory: Path) -> None:
    """Times as a pull may leave them: in no order."""
    draw = random.Random(0)
    for path in sorted(directory.glob("*/**/*.*")):
        os.utime(path, (1.7e9 + draw.random() * 1e6,) * 2)


@pytest.fixture(scope="session")
def producer(finished, tmp_path_factory) -> Path:
    """A clone whose finished study is recorded, and pushed to the folder `store` beside it."""
    place = tmp_path_factory.mktemp("sharing")
    repository = place / "producer"
    (place / "store").mkdir()
    for name in ("workflow", "src", "profiles"):
        shutil.copytree(CHECKOUT / name, repository / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(
        CHECKOUT / ".dvc", repository / ".dvc", ignore=shutil.ignore_patterns("tmp", "cache", "config.local")
    )
    for name in VERSIONED:
        shutil.copy(CHECKOUT / name, repository)
    shutil.copytree(finished, repository, dirs_exist_ok=True)
    # The artifact of a study that exports other networks.
    text = (repository / "dvc.yaml").read_text()
    (repository / "dvc.yaml").write_text(text.replace("seed0/AnB+/", "seed0/AnB/"))
    shell(repository, "git init --quiet && git add --all && git commit --quiet --message 'A study'")
    add_remote(repository, f"{place}/store")
    assert "Nothing to be done" in shell(repository, "dvc repro")
    shell(repository, "git add dvc.lock .dvc/config && git commit --quiet --message Recorded && dvc push")
    return repository


@pytest.fixture(scope="session")
def pulled(producer, tmp_path_factory) -> Path:
    """Another clone, elsewhere, that has pulled the study."""
    repository = clone(producer, tmp_path_factory.mktemp("elsewhere") / "colleague")
    shell(repository, "dvc pull")
    return repository


@pytest.fixture
def colleague(pulled, tmp_path) -> Path:
    return shutil.copytree(pulled, tmp_path / "colleague", symlinks=True)


@pytest.fixture
def store(producer, tmp_path) -> Path:
    """A copy of the remote, to be damaged."""
    return shutil.copytree(producer.parent / "store", tmp_path / "store")


@pytest.fixture(scope="session")
def second(pulled, tmp_path_factory) -> Path:
    """A clone with a second recorded revision, in which the study has one split."""
    repository = tmp_path_factory.mktemp("second") / "clone"
    shutil.copytree(pulled, repository)
    change(repository, study={"split": ["random0"]})
    run(repository, checkout=repository)
    shell(repository, "dvc repro && git commit --quiet --all --message 'One split'")
    return repository


def test_git_holds_nothing_that_a_run_makes_but_the_lock(producer):
    tracked = shell(producer, "git ls-files").splitlines()
    assert "dvc.lock" in tracked
    assert not [path for path in tracked if re.match(r"data/|models/|results/|logs/|\.snakemake/", path)]
    assert shell(producer, "git status --short") == ""


def test_a_fresh_clone_runs_without_any_remote(producer, tmp_path):
    fresh = clone(producer, tmp_path / "fresh")
    assert plan_of(fresh) >= {"pack", "split random0", "base random0 0 A", "figure2"}


def test_a_clone_that_pulls_has_nothing_to_do_whatever_the_file_times(colleague, producer):
    assert network_hashes(colleague) == network_hashes(producer)
    assert plan_of(colleague) == set()
    shuffle_times(colleague)
    assert plan_of(colleague) == set()
    assert "up to date" in shell(colleague, "dvc status")


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


EVERY = jobs_of("random0") | jobs_of("random1") | GATHERING
TRANSFERRED = {job for job in EVERY if re.match("curve|evaluate_curve|export", job)} | GATHERING
CHANGES = {
    "a figure option": (lambda place: change(place, figures={"width": 5}), {"figure2"}),
    "the rate of transferred networks": (
        lambda place: change(place, training={"transferred": {"learning_rate": 0.02}}),
        TRANSFERRED,
    ),
    "the seed of a split": (
        lambda place: change(place, splits={"random1": {"kind": "random", "seed": 17}}),
        jobs_of("random1") | GATHERING,
    ),
    "one more layer": (lambda place: change(place, study={"n": [2, 4, 6]}), TRANSFERRED),
    "one more seed": (
        lambda place: change(place, study={"seed": [0, 1]}),
        {re.sub(r" 0( |$)", r" 1\1", job) for job in EVERY if not job.startswith("split")},
    ),
    "a comment in the training code": (
        lambda place: edit(
            place / "src/transferability/training.py", "    checked = 0\n", "    # None yet.\n    checked = 0\n"
        ),
        set(),
    ),
    "an edit of the training code": (
        lambda place: edit(place / "src/transferability/training.py", "    checked = 0\n", "    checked = 0 + 0\n"),
        EVERY - {"split random0", "split random1"},
    ),
    "an edit of the figures": (
        lambda place: edit(place / "src/transferability/figures.py", "s=16", "s=17"),
        {"figure2"},
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_after_a_pull_a_change_runs_what_follows_from_it_and_no_more(name, colleague):
    shuffle_times(colleague)
    make, expected = CHANGES[name]
    make(colleague)
    assert plan_of(colleague) == expected


def test_what_a_clone_makes_anew_is_what_a_clean_run_makes(colleague):
    """With the seed of the other split, a split's networks are the other's, which a clean run made."""
    change(colleague, splits={"random1": {"kind": "random", "seed": 0}})
    before = network_hashes(colleague)
    run(colleague, checkout=colleague)
    after = network_hashes(colleague)
    for path, content in after.items():
        assert content == before[path.replace("/random1/", "/random0/")], path
    assert before != after
    assert plan_of(colleague) == set()


def test_results_without_intermediates_have_nothing_to_do(producer, tmp_path):
    """Nor does a change of what is read off them ask for more."""
    fresh = clone(producer, tmp_path / "fresh")
    shell(fresh, "dvc pull results .snakemake/metadata")
    assert not (fresh / "models").exists()
    change(fresh, figures={"width": 5})
    assert plan_of(fresh) == {"figure2"}


def test_results_without_records_stop_the_run(producer, tmp_path):
    fresh = clone(producer, tmp_path / "fresh")
    shell(fresh, "dvc pull results")
    said = refused(fresh, "snakemake --cores 1 --dry-run")
    assert re.search(r"results/\S+: there is no record of what it was made from; get the records with `dvc pull", said)
    shell(fresh, "dvc pull .snakemake/metadata")
    assert plan_of(fresh) == set()


def test_an_earlier_revision_comes_back_and_runs_nothing(second, tmp_path):
    repository = shutil.copytree(second, tmp_path / "clone")
    assert plan_of(repository) == set()
    shell(repository, "git checkout --quiet HEAD~1")
    # Without `dvc checkout` the files are those of the other revision: never "nothing to be done".
    assert plan_of(repository) == GATHERING
    assert "modified:" in shell(repository, "dvc status")
    shell(repository, "dvc checkout")
    assert plan_of(repository) == set()
    assert "up to date" in shell(repository, "dvc status")


def test_what_changed_between_revisions_is_shown(second, tmp_path):
    assert re.search(r"study\.split +\['random0', 'random1'\] +\['random0'\]", shell(second, "dvc params diff HEAD~1"))
    metrics = json.loads(shell(second, "dvc metrics diff --json HEAD~1"))["diff"]["results/summary/metrics.json"]
    assert metrics["digits.tiny.networks.trained"] == {"old": 12, "new": 6, "diff": -6}
    assert set(metrics) >= {f"digits.tiny.accuracy.{name}" for name in ("base.n=0", "transfer.n=2", "transfer.n=6")}
    shell(second, f"dvc plots diff HEAD~1 --out '{tmp_path}/plots'")
    page = (tmp_path / "plots/index.html").read_text()
    for words in ("Top-1 accuracy on test, by treatment", '"curve": "transfer"', '"rev": "HEAD~1"', "figure2.png"):
        assert words in page


def test_metrics_hold_means_over_networks_and_differences_of_pairs(tmp_path):
    rows = ["dataset,architecture,split,seed,target,treatment,n,trained,test_top1"]
    for seed, base, selffer, transfer in ((0, 0.9, 0.8, 0.5), (1, 0.7, 0.5, 0.3)):
        rows += [f"d,a,s,{seed},B,base,0,True,{base}", f"d,a,s,{seed},B,selffer,3,True,{selffer}"]
        rows += [f"d,a,s,{seed},B,transfer,3,True,{transfer}"]
    # Without a partner, or untrained: in no pair, and an untrained one in no mean.
    rows += ["d,a,s,2,B,transfer,3,True,0.1", "d,a,s,3,B,transfer,3,False,0.0", "d,a,s,3,B,selffer,3,True,0.5"]
    (tmp_path / "networks.csv").write_text("\n".join(rows))
    command = (
        "python -m transferability.summary --networks networks.csv --metrics m.json --accuracy a.csv --effects e.csv"
    )
    shell(tmp_path, f"PYTHONPATH='{CHECKOUT}/src' {command}")
    assert json.loads((tmp_path / "m.json").read_text()) == {
        "d": {
            "a": {
                "networks": {"trained": 8, "untrained": 1},
                "accuracy": {"base": {"n=0": 0.8}, "selffer": {"n=3": 0.6}, "transfer": {"n=3": 0.3}},
                "effect": {"co-adaptation": {"n=3": -0.15}, "specificity": {"n=3": -0.25}},
            }
        }
    }
    assert (tmp_path / "e.csv").read_text() == (
        "dataset,architecture,curve,n,mean,networks\nd,a,co-adaptation,3,-0.150000,2\nd,a,specificity,3,-0.250000,2\n"
    )


def test_variants_are_tried_and_run_only_what_follows(colleague):
    before = {path: path.stat().st_mtime_ns for path in colleague.glob("models/**/*.*")}
    said = shell(colleague, "dvc exp run --name narrow --set-param figures.width=5")
    assert "rule figure2" in said
    assert "rule curve" not in said
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert "figures.width" in shell(colleague, "dvc params diff")
    shell(colleague, "dvc exp run --queue --name wide --set-param figures.width=7")
    shell(colleague, "dvc exp run --queue --name single --set-param 'study.split=[random0]'")
    shell(colleague, "dvc exp run --run-all")
    shown = json.loads(shell(colleague, "dvc exp show --json"))
    assert {run["name"] for base in shown for run in base.get("experiments") or []} == {"narrow", "wide", "single"}
    shell(colleague, "dvc exp apply single")
    assert yaml.safe_load((colleague / "params.yaml").read_text())["study"]["split"] == ["random0"]
    assert plan_of(colleague) == set()
    assert network_hashes(colleague).keys() == {
        str(path.relative_to(colleague)) for path in before if path.suffix == ".safetensors"
    }


def test_two_peoples_additions_are_merged_without_training_anew(second, tmp_path):
    """Each has trained something of their own; the merged study has both, and only gathers them."""
    mine, theirs = (shutil.copytree(second, tmp_path / name) for name in ("mine", "theirs"))
    (tmp_path / "store").mkdir()
    for repository, treatment in ((theirs, "selffer"), (mine, "random")):
        shell(repository, "git checkout --quiet -b additions")
        change(repository, study={"treatment": ["transfer", treatment]})
        run(repository, checkout=repository)
        shell(repository, f"dvc remote modify --local store url '{tmp_path}/store' && dvc repro && dvc push")
        shell(repository, "git commit --quiet --all --message Additions")
    hashes = network_hashes(mine) | network_hashes(theirs)

    shell(mine, f"git fetch --quiet '{theirs}' additions")
    assert attempt(mine, "git merge --quiet FETCH_HEAD").returncode != 0
    shell(mine, "mkdir ../own && cp -r --parents models results data/splits .snakemake/metadata ../own")
    shell(mine, "git checkout --theirs dvc.lock params.yaml")
    change(mine, study={"treatment": ["transfer", "selffer", "random"]})
    shell(mine, "dvc pull --force && cp -rn ../own/. .")
    assert plan_of(mine) == GATHERING
    run(mine, checkout=mine)
    shell(mine, "dvc repro && git add dvc.lock params.yaml && git commit --quiet --message Merged")
    assert network_hashes(mine) == hashes
    assert plan_of(mine) == set()


def test_one_network_is_fetched_from_elsewhere_and_says_what_it_is(producer, tmp_path):
    repository = clone(producer, tmp_path / "clone")
    path = "models/digits/tiny/random0/seed0/baseA/model.onnx"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shell(elsewhere, f"dvc get '{repository}' {path} --out base.onnx")
    assert (elsewhere / "base.onnx").read_bytes() == (producer / path).read_bytes()
    told = {entry.key: entry.value for entry in onnx.load(elsewhere / "base.onnx").metadata_props}
    assert "baseA" in told.values() or any("baseA" in value for value in told.values())

    shell(repository, "git tag --annotate --message 'To take away' random0-transferred@v1.0.0")
    shell(elsewhere, f"dvc artifacts get '{repository}' random0-transferred")
    expected = producer / "models/digits/tiny/random0/seed0/AnB/model.onnx"
    assert (elsewhere / "model.onnx").read_bytes() == expected.read_bytes()


def test_what_dvc_declares_is_what_the_default_study_makes(tmp_path):
    shutil.copy(CHECKOUT / "params.yaml", tmp_path)
    declared = yaml.safe_load((CHECKOUT / "dvc.yaml").read_text())
    paths = [artifact["path"] for artifact in declared["artifacts"].values()]
    assert all(set(artifact) == {"type", "path", "desc"} for artifact in declared["artifacts"].values())
    paths += declared["metrics"]
    for plot in declared["plots"]:
        paths += [path for name in [plot] if isinstance(name, str) for path in [name]]
        paths += [path for entry in [plot] if isinstance(entry, dict) for part in entry.values() for path in part["y"]]
    assert len(paths) >= 6
    done = start(tmp_path, "--dry-run", "--quiet", "rules")
    planned = start(tmp_path, "--dry-run", *paths)
    assert (done.returncode, planned.returncode) == (0, 0), planned.stderr
    assert set(declared["stages"]["study"]["outs"][0]) == {".snakemake/metadata"}


def test_what_no_revision_uses_is_cleaned_and_the_rest_stays(second, tmp_path):
    repository = shutil.copytree(second, tmp_path / "clone")
    cache = repository / ".dvc/cache"
    kept = objects(cache)
    change(repository, figures={"width": 3})
    run(repository, checkout=repository)
    shell(repository, "dvc repro")
    assert objects(cache) > kept
    shell(repository, "git checkout --quiet -- dvc.lock params.yaml && dvc checkout --force")
    shell(repository, "dvc gc --all-commits --force")
    assert objects(cache) == kept
    shell(repository, "git checkout --quiet HEAD~1 && dvc checkout")
    assert plan_of(repository) == set()


def test_small_results_may_be_in_git_and_are_guarded(producer, tmp_path):
    """`cache: false` keeps them there; in a clone that has not pulled they have no records."""
    repository = clone(producer, tmp_path / "clone")
    shell(repository, "dvc pull")
    edit(
        repository / "dvc.yaml",
        "      - results:\n          persist: true\n",
        "      - results:\n          persist: true\n          cache: false\n",
    )
    edit(repository / ".gitignore", "/results/\n", "")
    shell(repository, "dvc repro && git add --all && git commit --quiet --message 'Results in git' && dvc push")
    fresh = clone(repository, tmp_path / "fresh")
    assert (fresh / "results/digits/tiny/networks.csv").exists()
    assert "there is no record of what it was made from" in refused(fresh, "snakemake --cores 1 --dry-run")
    shell(fresh, "dvc pull")
    assert plan_of(fresh) == set()
