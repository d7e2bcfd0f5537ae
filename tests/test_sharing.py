"""Studies recorded with DVC and shared through remotes, by the commands of the README."""

import asyncio
import csv
import hashlib
import json
import os
import pickle
import random
import re
import shutil
import subprocess
import sys
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml
from PIL import Image
from planted import plant
from test_workflow import CHECKOUT, DRAWN, change, jobs_of, network_hashes, plan, run, start

from transferability.analysis.effects import effects_table
from transferability.analysis.tables import write_table
from transferability.cluster.records import recorded_files, unrecorded_files
from transferability.study.sections import described

ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    **{f"GIT_{who}_{what}": "test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}
VERSIONED = ("Snakefile", "params.yaml", "dvc.yaml", ".dvcignore", ".gitignore")
GATHERING = {"tables", "summary", *DRAWN}
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
    assert plan_of(fresh) >= {"pack", "split random0", "base random0 0 A", *DRAWN}


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
    "a figure option": (lambda place: change(place, figures={"width": 5}), DRAWN),
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
            place / "src/transferability/training/loop.py",
            "    schedule = setup.schedule\n",
            "    # That of all.\n    schedule = setup.schedule\n",
        ),
        set(),
    ),
    "an edit of the training code": (
        lambda place: edit(
            place / "src/transferability/training/loop.py",
            "    schedule = setup.schedule\n",
            "    schedule = (setup).schedule\n",
        ),
        EVERY - {"split random0", "split random1"},
    ),
    "an edit of the figures": (
        lambda place: edit(place / "src/transferability/figures/figure2.py", "s=16", "s=17"),
        DRAWN,
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
    """Nor does a change of what is read off the metrics ask for networks or images."""
    fresh = clone(producer, tmp_path / "fresh")
    shell(fresh, "dvc pull results .snakemake/metadata")
    assert sorted(path.name for path in fresh.iterdir() if path.name in ("data", "models", "results")) == ["results"]
    assert plan(fresh, "results/digits/tiny/figures/figure2.svg", checkout=fresh) == set()
    edit(fresh / "src/transferability/analysis/summary.py", "round(row.mean, 4)", "round(row.mean, 5)")
    assert plan(fresh, "results/summary/metrics.json", checkout=fresh) == {"summary"}


def test_results_without_records_stop_the_run(producer, tmp_path):
    fresh = clone(producer, tmp_path / "fresh")
    shell(fresh, "dvc pull results")
    said = refused(fresh, "snakemake --cores 1 --dry-run")
    assert re.search(r"results/\S+: there is no record of what it was made from; get the records with `dvc pull", said)
    shell(fresh, "dvc pull")
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
    metrics = json.loads(shell(second, "dvc metrics diff --json HEAD~1"))["results/summary/metrics.json"]
    assert metrics["digits.tiny.networks.trained"] == {"old": 12, "new": 6, "diff": -6}
    assert set(metrics) >= {
        f"digits.tiny.random.accuracy.{name}" for name in ("base.n=0", "transfer.n=2", "transfer.n=6")
    }
    shell(second, f"dvc plots diff HEAD~1 --out '{tmp_path}/plots'")
    page = (tmp_path / "plots/index.html").read_text()
    for words in ("Top-1 accuracy on test, by treatment", '"curve": "transfer"', '"rev": "HEAD~1"', "figure2.png"):
        assert words in page


def test_metrics_hold_means_over_networks_and_differences_of_pairs(tmp_path):
    gains = {"base": lambda n: 0, "selffer": lambda n: -0.01 * n, "transfer": lambda n: -0.03 * n}
    networks = plant(gains, splits={"random0": "random", "random1": "random", "parity": "groups"}, layers=(3,))
    # Untrained: in no pair, and the mean of its treatment would be over fewer targets than the base's.
    lost = (networks["split"] == "parity") & (networks["network"] == "A3B")
    networks = networks.assign(trained=~lost)
    (tmp_path / "tables").mkdir()
    write_table(tmp_path / "tables/networks.csv", networks)
    write_table(tmp_path / "tables/effects.csv", effects_table(networks, unbalanced=False))
    command = (
        "python -m transferability.analysis.summary --tables tables --metrics m.json --accuracy a.csv --effects e.csv"
    )
    shell(tmp_path, f"PYTHONPATH='{CHECKOUT}/src' {command}")
    assert json.loads((tmp_path / "m.json").read_text()) == {
        "digits": {
            "tiny": {
                "networks": {"trained": 17, "untrained": 1},
                "random": {
                    "accuracy": {"base": {"n=0": 0.54}, "selffer": {"n=3": 0.51}, "transfer": {"n=3": 0.45}},
                    "effect": {"co-adaptation": {"n=3": -0.03}, "specificity": {"n=3": -0.06}, "total": {"n=3": -0.09}},
                },
                "groups": {
                    "accuracy": {"base": {"n=0": 0.585}, "selffer": {"n=3": 0.555}},
                    "effect": {"co-adaptation": {"n=3": -0.03}, "specificity": {"n=3": -0.06}, "total": {"n=3": -0.09}},
                },
            }
        }
    }
    assert (tmp_path / "e.csv").read_text() == (
        "dataset,architecture,condition,curve,n,mean\n"
        "digits,tiny,groups,co-adaptation,3,-0.03\n"
        "digits,tiny,groups,specificity,3,-0.06\n"
        "digits,tiny,groups,total,3,-0.09\n"
        "digits,tiny,random,co-adaptation,3,-0.03\n"
        "digits,tiny,random,specificity,3,-0.06\n"
        "digits,tiny,random,total,3,-0.09\n"
    )


def test_variants_are_tried_and_run_only_what_follows(colleague):
    before = {path: path.stat().st_mtime_ns for path in colleague.glob("models/**/*.*")}
    said = shell(colleague, "dvc exp run --name narrow --set-param figures.width=5")
    assert "rule figures" in said
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
    packed = "data/packed/*/*.csv data/packed/*/*.json"
    shell(mine, f"mkdir ../own && cp -r --parents models results data/splits {packed} .snakemake/metadata ../own")
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


def pushed_elsewhere(producer: Path, place: Path, url: str, *options: str) -> Path:
    """A clone of the producer's that has pushed the study to another remote."""
    repository = shutil.copytree(producer, place / "producer")
    add_remote(repository, url, *options)
    shell(repository, "git commit --quiet --all --message 'Another remote' && dvc push")
    return repository


@pytest.fixture(scope="session")
def bucket() -> Iterator[str]:
    """The address of an S3 service on this machine."""
    server_of = pytest.importorskip("moto.server", reason="moto[server], which plays S3, is not installed")
    pytest.importorskip("dvc_s3", reason="dvc-s3 is not installed")
    server = server_of.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        yield "http://{}:{}".format(*server.get_host_and_port())
    finally:
        server.stop()


def test_a_study_is_shared_through_s3(producer, bucket, tmp_path):
    import boto3

    client = boto3.client(
        "s3", endpoint_url=bucket, aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1"
    )
    client.create_bucket(Bucket="studies")
    repository = pushed_elsewhere(producer, tmp_path, "s3://studies/mine", f"endpointurl {bucket}")
    fresh = clone(repository, tmp_path / "fresh")
    shell(fresh, f"dvc remote modify --local store endpointurl {bucket} && dvc pull")
    assert network_hashes(fresh) == network_hashes(producer)
    assert plan_of(fresh) == set()

    # An object that was cut off on its way is noticed, and named.
    name = hashlib.md5((producer / BASE_A).read_bytes()).hexdigest()
    key = f"mine/files/md5/{name[:2]}/{name[2:]}"
    body = client.get_object(Bucket="studies", Key=key)["Body"].read()
    client.put_object(Bucket="studies", Key=key, Body=body[:1000])
    late = clone(repository, tmp_path / "late")
    shell(late, f"dvc remote modify --local store endpointurl {bucket}")
    assert "failed to pull" in refused(late, "dvc pull")
    assert BASE_A in shell(late, "dvc data status --granular")


@pytest.fixture(scope="session")
def ssh_server(tmp_path_factory) -> Iterator[int]:
    """The port of an SSH service on this machine, whose root is a folder of its own."""
    asyncssh = pytest.importorskip("asyncssh", reason="asyncssh, which plays the server, is not installed")
    pytest.importorskip("dvc_ssh", reason="dvc-ssh is not installed")

    class Server(asyncssh.SSHServer):
        def begin_auth(self, username: str) -> bool:
            return True

        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            return (username, password) == ("colleague", "secret")

    root = tmp_path_factory.mktemp("host")
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()

    async def serve():
        return await asyncssh.create_server(
            Server,
            "127.0.0.1",
            0,
            server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
            sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=bytes(root)),
        )

    server = asyncio.run_coroutine_threadsafe(serve(), loop).result(20)
    yield server.sockets[0].getsockname()[1]
    server.close()
    loop.call_soon_threadsafe(loop.stop)


def test_a_study_is_shared_through_ssh(producer, ssh_server, tmp_path):
    url = f"ssh://colleague@127.0.0.1:{ssh_server}/store"
    repository = pushed_elsewhere(producer, tmp_path, url, "password secret")
    fresh = clone(repository, tmp_path / "fresh")
    shell(fresh, "dvc remote modify --local store password secret && dvc pull")
    assert network_hashes(fresh) == network_hashes(producer)
    assert plan_of(fresh) == set()


def test_a_model_that_was_altered_is_named_and_comes_back(colleague, producer):
    model = colleague / BASE_A
    content = bytearray(model.read_bytes())
    content[-1] ^= 1
    model.write_bytes(content)
    assert "models" in shell(colleague, "dvc status")
    assert f"modified: {BASE_A}" in shell(colleague, "dvc data status --granular")
    # Snakemake sees it too where the file is newer than what was made from it.
    assert "evaluate random0 0 baseA" in plan_of(colleague)
    assert "--force" in refused(colleague, "dvc checkout")
    shell(colleague, "dvc checkout --force")
    assert network_hashes(colleague) == network_hashes(producer)
    assert plan_of(colleague) == set()


def test_an_object_that_was_cut_off_in_the_remote_is_noticed_and_can_be_mended(producer, store, tmp_path):
    owner = shutil.copytree(producer, tmp_path / "owner")
    shell(owner, f"dvc remote modify --local store url '{store}' && dvc push")
    damaged = object_of(store, producer / BASE_A)
    damaged.chmod(0o644)
    damaged.write_bytes(damaged.read_bytes()[:1000])
    fresh = clone(producer, tmp_path / "fresh")
    shell(fresh, f"dvc remote modify --local store url '{store}'")
    assert "failed to pull" in refused(fresh, "dvc pull")
    assert BASE_A in shell(fresh, "dvc data status --granular")
    assert "base random0 0 A" in plan_of(fresh)

    # DVC takes the files of a folder to be there if its listing is: so the listings go too.
    damaged.unlink()
    for listing in store.rglob("*.dir"):
        listing.unlink()
    shell(owner, "dvc push")
    shell(fresh, "dvc pull")
    assert network_hashes(fresh) == network_hashes(producer)
    assert plan_of(fresh) == set()


@pytest.mark.parametrize("url", ["/proc/no/such/store", "ssh://colleague@127.0.0.1:1/store"])
def test_a_remote_that_is_away_is_said_and_changes_nothing(url, colleague, producer, tmp_path):
    fresh = clone(producer, tmp_path / "fresh")
    for repository, command in ((fresh, "pull"), (colleague, "push")):
        shell(repository, f"dvc remote modify --local store url {url}")
        assert "ERROR: " in refused(repository, f"dvc {command}")
    assert plan_of(fresh) >= {"base random0 0 A"}
    assert plan_of(colleague) == set()


def test_a_push_that_was_broken_off_is_noticed_and_can_be_taken_up(producer, tmp_path):
    store = tmp_path / "store"
    store.mkdir()
    repository = shutil.copytree(producer, tmp_path / "producer")
    shell(repository, f"dvc remote modify --local store url '{store}'")
    push = subprocess.Popen(
        [Path(sys.executable).parent / "dvc", "push"],
        cwd=repository,
        env=ENVIRONMENT,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    while len(objects(store)) < 10 and push.poll() is None:
        time.sleep(0.001)
    push.kill()
    push.wait()
    assert 10 <= len(objects(store)) < len(objects(producer.parent / "store"))

    fresh = clone(producer, tmp_path / "fresh")
    shell(fresh, f"dvc remote modify --local store url '{store}'")
    assert "failed to pull" in refused(fresh, "dvc pull")
    stopped = start(fresh, "--dry-run", checkout=fresh)
    assert "Nothing to be done" not in stopped.stdout + stopped.stderr

    shell(repository, "dvc push")
    shell(fresh, "dvc pull --force")
    assert network_hashes(fresh) == network_hashes(producer)
    assert plan_of(fresh) == set()


def test_two_pushes_at_once_leave_a_whole_store(producer, tmp_path):
    store = tmp_path / "store"
    store.mkdir()
    repositories = [shutil.copytree(producer, tmp_path / name) for name in ("one", "other")]
    for repository in repositories:
        shell(repository, f"dvc remote modify --local store url '{store}'")
    pushes = [
        subprocess.Popen([Path(sys.executable).parent / "dvc", "push", "--quiet"], cwd=repository, env=ENVIRONMENT)
        for repository in repositories
    ]
    assert [push.wait() for push in pushes] == [0, 0]
    assert {path.relative_to(store) for path in objects(store)} == {
        path.relative_to(producer.parent / "store") for path in objects(producer.parent / "store")
    }
    for path in objects(store):
        assert hashlib.md5(path.read_bytes()).hexdigest() == path.parent.name + path.name.removesuffix(".dir")


def test_a_cache_that_cannot_be_written_is_said_and_nothing_is_lost(colleague, producer, tmp_path):
    before = network_hashes(colleague)
    fresh = clone(producer, tmp_path / "fresh")
    for repository, command in ((fresh, "dvc pull"), (colleague, "dvc commit --force")):
        # Even root cannot write there.
        shell(repository, "dvc config --local cache.dir /proc/cache")
        assert "/proc/cache" in refused(repository, command)
    assert not (fresh / "results").exists()
    assert network_hashes(colleague) == before
    assert plan_of(colleague) == set()


def test_a_file_that_no_record_tells_of_stops_the_run_and_others_do_not(colleague):
    (colleague / "models/digits/tiny/random0/notes.txt").write_text("my own")
    (colleague / "models/digits/tiny/random0/seed0/baseA/resume.pt").write_text("undeclared")
    assert plan_of(colleague) == set()
    record = next(path for path in sorted((colleague / ".snakemake/metadata").glob("bW9kZWxz*")))
    content = record.read_bytes()
    record.write_bytes(content[:-20])
    assert "there is no record of what it was made from" in refused(colleague, "snakemake --cores 1 --dry-run")
    record.write_bytes(content)
    stray = colleague / "models/digits/tiny/random0/seed0/B2A-k3/model.safetensors"
    stray.parent.mkdir()
    shutil.copy(colleague / BASE_A, stray)
    said = refused(colleague, "snakemake --cores 1")
    assert f"{stray.relative_to(colleague)}: there is no record of what it was made from" in said
    # One whose job was broken off is Snakemake's own concern.
    name = urlsafe_b64encode(str(stray.relative_to(colleague)).encode()).decode()
    (colleague / ".snakemake/incomplete").mkdir(exist_ok=True)
    (colleague / ".snakemake/incomplete" / name).write_text('{"external_jobid": null}')
    assert plan_of(colleague) == set()


def test_records_are_found_as_snakemake_names_them(producer, tmp_path, monkeypatch):
    """Those of long paths too, which it keeps in chains of folders."""
    monkeypatch.chdir(tmp_path)
    path = f"models/{'d' * 90}/{'a' * 90}/{'s' * 90}/seed0/baseA/model.safetensors"
    Path(path).parent.mkdir(parents=True)
    Path("Snakefile").write_text(
        f'rule all:\n    output: "{path}", "results/x.json"\n    shell: "touch {{output:q}}"\n'
    )
    shell(tmp_path, "snakemake --cores 1")
    assert recorded_files(Path(".snakemake/metadata")) == {path, "results/x.json"}
    assert list(unrecorded_files(["models", "results"])) == []
    Path("results/y.json").touch()
    assert list(unrecorded_files(["models", "results", "none"])) == ["results/y.json"]


def without_images(repository: Path) -> None:
    """Choose not to version packed images, and record that."""
    edit(repository / ".dvcignore", "!/data/packed/digits/images.npy\n", "")
    shell(repository, "dvc repro && git commit --quiet --all --message 'Images are not shared' && dvc push")


def test_packed_images_that_are_not_shared_are_made_where_they_are_needed(producer, tmp_path):
    (tmp_path / "store").mkdir()
    repository = shutil.copytree(producer, tmp_path / "producer")
    shell(repository, f"dvc remote modify --local store url '{tmp_path}/store'")
    without_images(repository)
    fresh = clone(repository, tmp_path / "fresh")
    shell(fresh, f"dvc remote modify --local store url '{tmp_path}/store' && dvc pull")
    packed = fresh / "data/packed/digits"
    assert {path.name for path in packed.iterdir()} == {"card.json", "index.csv"}
    assert plan_of(fresh) == set()
    change(fresh, study={"treatment": ["transfer", "random"]})
    added = {
        f"{rule} {split} 0 R {target}"
        for rule in ("curve", "evaluate_curve")
        for split in ("random0", "random1")
        for target in "AB"
    }
    assert plan_of(fresh) == added | GATHERING
    said = refused(fresh, "snakemake --cores 2")
    assert "make them with `snakemake --cores 1 data/packed/digits/images.npy`" in said
    shell(fresh, "snakemake --cores 1 data/packed/digits/images.npy")
    assert (packed / "images.npy").read_bytes() == (producer / "data/packed/digits/images.npy").read_bytes()
    assert plan_of(fresh) == added | GATHERING
    # A checkout leaves what is not versioned alone.
    shell(fresh, "dvc checkout --force")
    assert (packed / "images.npy").exists()


def write_zoo(folder: Path, seed: int) -> None:
    """Two classes of small images."""
    draw = np.random.default_rng(seed)
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for number in range(10):
            Image.fromarray(draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / name / f"{number}.png")
    for name in ("emu", "fox"):
        shutil.copytree(folder / ("cat" if name == "emu" else "dog"), folder / name)
        for path in (folder / name).iterdir():
            Image.fromarray(draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)


def test_images_elsewhere_rerun_nothing_and_other_images_are_refused_before_anything_trains(tmp_path):
    write_zoo(tmp_path / "here", 0)
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    write_zoo(tmp_path / "other", 1)
    shutil.copy(CHECKOUT / "params.yaml", tmp_path)
    zoo = {
        "images": {"source": "folder", "path": "here", "size": 8, "channels": 1},
        "parts": {"validation": 0.2, "test": 0.3, "seed": 0},
        "augmentation": {"padding": 1, "flip": False},
    }
    change(tmp_path, datasets={"zoo": zoo}, study={"dataset": ["zoo"], "split": ["random0"]})
    split = "data/splits/zoo/random0.json"
    run(tmp_path, split)
    change(tmp_path, datasets={"zoo": {"images": {"path": "there"}}})
    (tmp_path / "data/packed/zoo/images.npy").unlink()
    assert plan(tmp_path, split) == set()
    before = (tmp_path / split).read_bytes()
    run(tmp_path, "data/packed/zoo/images.npy")
    assert plan(tmp_path, split) == set()

    change(tmp_path, datasets={"zoo": {"images": {"path": "other"}}})
    (tmp_path / "data/packed/zoo/images.npy").unlink()
    failed = start(tmp_path, "data/packed/zoo/images.npy")
    assert failed.returncode != 0
    said = failed.stdout + failed.stderr
    assert f"data/packed/zoo: these are not the images that {split} was made from" in said
    assert "Traceback" not in said
    assert (tmp_path / split).read_bytes() == before

    # Another size is another source, and meant.
    change(tmp_path, datasets={"zoo": {"images": {"size": 16}}})
    run(tmp_path, split)
    assert (tmp_path / split).read_bytes() != before


def test_an_edited_list_packs_anew_and_a_moved_one_does_not(tmp_path):
    write_zoo(tmp_path / "zoo/train", 0)
    (tmp_path / "zoo/val").mkdir()
    shutil.copy(tmp_path / "zoo/train/cat/0.png", tmp_path / "zoo/val")
    (tmp_path / "here.txt").write_text("0.png cat\n")
    shutil.copy(CHECKOUT / "params.yaml", tmp_path)
    zoo = {
        "images": {"source": "folder", "path": "zoo", "size": 8, "channels": 1, "lists": {"val": "here.txt"}},
        "parts": {"validation": 0.2, "test": "val", "seed": 0},
        "augmentation": {"padding": 1, "flip": False},
    }
    change(tmp_path, datasets={"zoo": zoo}, study={"dataset": ["zoo"], "split": ["random0"]})
    index = "data/packed/zoo/index.csv"
    run(tmp_path, index)
    (tmp_path / "here.txt").rename(tmp_path / "there.txt")
    change(tmp_path, datasets={"zoo": {"images": {"lists": {"val": "there.txt"}}}})
    assert plan(tmp_path, index) == set()
    (tmp_path / "there.txt").write_text("0.png dog\n")
    assert {job.split()[0] for job in plan(tmp_path, index)} == {"pack"}


def test_a_description_of_images_has_no_places_in_it(tmp_path):
    (tmp_path / "x").write_bytes(b"a.png cat")
    lists = {"val": str(tmp_path / "x"), "test": "ilsvrc2012"}
    sets = {"a": {"source": "digits"}, "b": {"source": "folder", "path": "/home/me", "lists": lists}}
    images = {"source": "sets", "size": 8, "sets": sets}
    assert described(images) == {
        "source": "sets",
        "size": 8,
        "sets": {
            "a": {"source": "digits"},
            "b": {
                "source": "folder",
                "lists": {"val": hashlib.sha256(b"a.png cat").hexdigest(), "test": "ilsvrc2012"},
            },
        },
    }
    assert described({"source": "torchvision", "name": "CIFAR10", "path": "x", "download": True}) == {
        "source": "torchvision",
        "name": "CIFAR10",
    }


@pytest.mark.xfail(reason="DVC does not check a listing against its hash, nor where its files would lie")
def test_a_remote_cannot_place_files_outside_the_project(producer, store, tmp_path):
    """The lock names a folder's listing by its hash, so one that was swapped for another could be told."""
    evil = b"import os"
    name = hashlib.md5(evil).hexdigest()
    (store / "files/md5" / name[:2]).mkdir(exist_ok=True)
    (store / "files/md5" / name[:2] / name[2:]).write_bytes(evil)
    lock = yaml.safe_load((producer / "dvc.lock").read_text())
    digest = next(out["md5"] for out in lock["stages"]["study"]["outs"] if out["path"] == "results")
    listing = store / "files/md5" / digest[:2] / digest[2:]
    listing.chmod(0o644)
    listing.write_text(json.dumps([{"md5": name, "relpath": "../../escaped.py"}]))
    (tmp_path / "deep").mkdir()
    fresh = clone(producer, tmp_path / "deep/fresh")
    shell(fresh, f"dvc remote modify --local store url '{store}'")
    attempt(fresh, "dvc pull")
    assert not list(tmp_path.rglob("escaped.py"))


class Trap:
    """Unpickling this writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.write_text, (self.path, "sprung")


HOSTILE = {
    "a pickled model": (BASE_A, BASE_A, lambda trap: pickle.dumps(trap)),
    "pickled images": ("data/packed/digits/images.npy", "data/packed/digits", lambda trap: npy_of_objects(trap)),
    "a split of nonsense": (
        "data/splits/digits/random0.json",
        "data/splits/digits/random0.json",
        lambda trap: b'{"content": {}, "tasks": "../../etc"}',
    ),
}


def npy_of_objects(trap: Trap) -> bytes:
    content = BytesIO()
    np.save(content, np.array([trap], dtype=object), allow_pickle=True)
    return content.getvalue()


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_run_no_code_and_train_nothing(name, colleague, tmp_path):
    """Whatever a remote brings in a file's place: the job that reads it fails, and says which it was."""
    path, told, make = HOSTILE[name]
    before = network_hashes(colleague)
    sprung = tmp_path / "sprung"
    (colleague / path).write_bytes(make(Trap(sprung)))
    jobs = ["results/digits/tiny/networks.csv", "results/digits/tiny/random0/seed0/baseA.json"]
    if path.endswith(".npy"):
        (colleague / jobs[1]).unlink()
    done = start(colleague, *jobs, checkout=colleague)
    assert done.returncode != 0
    assert told in done.stdout + done.stderr
    assert not sprung.exists()
    after = network_hashes(colleague)
    assert {path: after[path] for path in after if path != BASE_A} == {
        path: before[path] for path in after if path != BASE_A
    }


def test_metrics_that_never_end_count_as_missing_and_the_coverage_says_so(colleague):
    """As all metrics that cannot be read: the other networks are analysed without them."""
    (colleague / "results/digits/tiny/random0/seed0/baseA.json").write_bytes(b"[" * 100_000)
    done = start(colleague, "results/digits/tiny/coverage.csv", checkout=colleague)
    assert done.returncode == 0
    rows = list(csv.DictReader((colleague / "results/digits/tiny/coverage.csv").open()))
    (missing,) = [row for row in rows if row["state"] == "missing"]
    assert (missing["split"], missing["network"]) == ("random0", "baseA")
    assert "baseA.json: not a whole JSON file" in missing["reason"]


@pytest.mark.parametrize(
    ("section", "name"),
    [
        ("splits", "../../escaped"),
        ("datasets", "/tmp/escaped"),
        ("architectures", ".."),
        ("splits", "a/b"),
        ("splits", "a\nb"),
    ],
)
def test_a_name_in_the_params_cannot_leave_the_project(section, name, tmp_path):
    place = tmp_path / "deep" / "study"
    place.mkdir(parents=True)
    shutil.copy(CHECKOUT / "params.yaml", place)
    params = yaml.safe_load((place / "params.yaml").read_text())
    entry = next(iter(params[section].values()))
    change(place, **{section: {name: entry}}, study={section[:-1]: [name]})
    done = start(place)
    assert done.returncode != 0
    assert "A name becomes part of file names" in done.stdout + done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep"]
    assert {path.name for path in place.iterdir()} <= {"params.yaml", ".snakemake"}
