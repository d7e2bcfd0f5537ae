"""Small studies on a real SLURM, whose jobs are cancelled, whose nodes die and whose controller is killed.

A status is asked for ever more rarely, by the plugin's own rhythm: studies run side by side, to wait together.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from slurm import Cluster, wait_for, why_not
from test_workflow import CHECKOUT, change, network_hashes, plan, run, start, write_small_params

PLACE = "digits/tiny/random0/seed0"
BASE = f"models/{PLACE}/baseA/model.safetensors"
STATE = f"states/{PLACE}/baseA.safetensors"
LOG = f"logs/{PLACE}/baseA.log"
STEPS, VALIDATIONS = 2000, 40
"""Long enough for a base network to be met in the middle of its training."""


def control(directory: Path, target: str, *options: str) -> subprocess.Popen:
    """Start snakemake on a directory with the cluster's profile; what it says goes to control.log there."""
    command = [sys.executable, "-m", "snakemake", target, "--profile", "slurm", "--directory", str(directory)]
    haste = ["--slurm-init-seconds-before-status-checks", "10", "--latency-wait", "15"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with (directory / "control.log").open("w") as log:
        return subprocess.Popen(
            [*command, *haste, *options],
            cwd=CHECKOUT,
            env=environment,
            stdout=log,
            stderr=log,
            # What a shell starts in the background ignores interrupts, and so would all that it starts.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )


def said(directory: Path) -> str:
    """What the snakemake started last on a directory has said."""
    return (directory / "control.log").read_text()


def finish(controller: subprocess.Popen, directory: Path) -> None:
    """Wait for a snakemake and expect it to succeed."""
    controller.wait(240)
    assert controller.returncode == 0, said(directory)


def jobs_in(cluster: Cluster, directory: Path, rule: str, *states: str) -> list[str]:
    """The ids of the jobs of one study."""
    jobs = cluster.jobs_of(rule, *states)
    return [job for job, row in jobs.items() if row["StdOut"].startswith(f"{directory}/")]


def reached(directory: Path) -> int:
    """The last step that the long training's log tells of, since it was last started; 0 if none."""
    steps = re.findall(r"^step (\d+) of", log_of(directory), re.MULTILINE)
    return int(steps[-1]) if steps else 0


def resumed(directory: Path) -> int | None:
    """The step after which the long training went on, when it was last started; None if it did not."""
    found = re.search(r"^going on after step (\d+) of", log_of(directory), re.MULTILINE)
    return int(found[1]) if found else None


def log_of(directory: Path) -> str:
    path = directory / LOG
    return path.read_text() if path.exists() else ""


def trainer(directory: Path) -> int | None:
    """The process that trains the base network in a directory."""
    for path in Path("/proc").iterdir():
        try:
            if path.name.isdigit() and (path / "cwd").readlink() == directory:
                command = (path / "cmdline").read_bytes().split(b"\0")
                if b"transferability.training.job" in command and command[0].endswith(b"python"):
                    return int(path.name)
        except OSError:
            continue
    return None


def await_training(directory: Path) -> None:
    """Wait until the long training has begun, or has gone on, and is well under way."""
    wait_for(lambda: reached(directory) >= 3 * STEPS // VALIDATIONS, 60, f"{directory}: training under way")


def slow_down(process: int) -> None:
    """Let a process work for a tenth of the time until it ends."""
    try:
        while True:
            os.kill(process, signal.SIGSTOP)
            time.sleep(0.9)
            os.kill(process, signal.SIGCONT)
            time.sleep(0.1)
    except ProcessLookupError:
        return


@pytest.fixture(scope="session")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    """A running SLURM; without its packages the tests that need it are skipped."""
    if reason := why_not():
        pytest.skip(reason)
    # Sockets' paths may not be long.
    cluster = Cluster(Path(tmp_path_factory.mktemp("slurm")))
    yield cluster
    cluster.stop()


@pytest.fixture(scope="module")
def local(tmp_path_factory) -> Path:
    """A small study whose networks a local run has trained."""
    directory = tmp_path_factory.mktemp("small")
    write_small_params(directory)
    change(directory, study={"split": ["random0"]})
    run(directory, *(f"models/{PLACE}/{network}/model.safetensors" for network in ("A2B", "B2A")))
    return directory


@pytest.fixture(scope="module")
def long_study(local, tmp_path_factory) -> tuple[Path, bytes]:
    """A study with its data and one network to be trained for long; that network as a local run makes it."""
    directory = tmp_path_factory.mktemp("long")
    write_small_params(directory)
    change(directory, training={"base": {"steps": STEPS, "validations": VALIDATIONS}})
    shutil.copytree(local / "data", directory / "data")
    shutil.copytree(local / ".snakemake/metadata", directory / ".snakemake/metadata")
    reference = shutil.copytree(directory, tmp_path_factory.mktemp("reference") / "study")
    run(reference, BASE)
    return directory, (reference / BASE).read_bytes()


@pytest.fixture
def study(long_study, tmp_path) -> Path:
    """A copy of the study to be trained for long."""
    return shutil.copytree(long_study[0], tmp_path / "study")


@pytest.fixture(scope="module")
def whole(cluster, tmp_path_factory) -> Iterator[tuple[Path, subprocess.Popen]]:
    """A small study that runs on the cluster from its params to its page, and the snakemake that runs it."""
    directory = tmp_path_factory.mktemp("whole")
    write_small_params(directory)
    change(directory, study={"split": ["random0"]})
    controller = control(directory, "all", "--set-threads", "pack=2")
    yield directory, controller
    controller.kill()


@pytest.fixture(scope="module")
def limited(cluster, long_study, tmp_path_factory) -> Iterator[tuple[Path, subprocess.Popen]]:
    """A long training that slows down in its middle, and so meets its limit of a minute; the snakemake that runs it."""
    directory = shutil.copytree(long_study[0], tmp_path_factory.mktemp("limited") / "study")
    controller = control(directory, BASE, "--set-resources", "base:runtime=1", "base:gpu=0", "base:slurm_partition=cpu")
    await_training(directory)
    threading.Thread(target=slow_down, args=(trainer(directory),), daemon=True).start()
    yield directory, controller
    controller.kill()


def test_a_cancelled_job_and_one_whose_node_dies_go_on(cluster, long_study, limited, whole, study):
    controller = control(study, BASE)
    (job,) = wait_for(lambda: jobs_in(cluster, study, "base", "RUNNING"), 30, "the job runs")
    await_training(study)
    before = reached(study)
    cluster.ask("scancel", job)
    wait_for((study / STATE).exists, 20, "a saved state")

    (again,) = wait_for(lambda: set(jobs_in(cluster, study, "base", "RUNNING")) - {job}, 60, "the job runs again")
    wait_for(lambda: (resumed(study) or 0) >= before, 60, "training goes on")
    node = cluster.jobs()[again]["NodeList"]
    cluster.kill_node(node)
    wait_for(lambda: cluster.jobs()[again]["JobState"] == "RUNNING", 30, "the job runs on another node")
    assert cluster.jobs()[again]["NodeList"] != node
    cluster.revive_node(node)

    finish(controller, study)
    assert resumed(study) >= before
    assert (study / BASE).read_bytes() == long_study[1]
    assert plan(study, BASE) == set()


def test_a_killed_snakemake_is_not_followed_by_a_second_writer(cluster, long_study, study):
    controller = control(study, BASE)
    (job,) = wait_for(lambda: jobs_in(cluster, study, "base", "RUNNING"), 30, "the job runs")
    await_training(study)
    os.kill(trainer(study), signal.SIGSTOP)  # it is not to end before all has been tried
    controller.kill()
    controller.wait()
    assert start(study, "--unlock").returncode == 0

    def contents() -> dict[Path, bytes]:
        changing = (study / LOG, study / "control.log")
        files = {path for path in study.rglob("*") if path.is_file() and "/.snakemake/log" not in str(path)}
        return {path: path.read_bytes() for path in files if path not in changing and "/states/" not in str(path)}

    before = contents()
    for options in ([], ["--executor", "local", "--cores", "1"]):
        assert control(study, BASE, *options).wait(60) == 1
        assert f"{job} (rule_base_wildcards_digits_tiny_random0_0_A" in said(study)
        assert f"scancel {job}" in said(study)
    assert contents() == before
    assert jobs_in(cluster, study, "base", "RUNNING") == [job]

    reached_by_then = reached(study)
    cluster.ask("scancel", job)
    wait_for(lambda: not jobs_in(cluster, study, "base", "RUNNING", "COMPLETING"), 20, "the job has ended")
    finish(control(study, BASE), study)
    assert resumed(study) >= reached_by_then
    assert (study / BASE).read_bytes() == long_study[1]


def test_what_ended_while_no_snakemake_looked_is_run_again_and_recorded(cluster, whole, study):
    change(study, training={"base": {"steps": 400, "validations": 4}})
    controller = control(study, BASE)
    wait_for(lambda: jobs_in(cluster, study, "base", "RUNNING"), 30, "the job runs")
    controller.kill()
    controller.wait()
    wait_for(lambda: jobs_in(cluster, study, "base", "COMPLETED"), 60, "the job has ended")
    made = (study / BASE).read_bytes()
    assert start(study, "--unlock").returncode == 0
    assert plan(study, BASE) == {"base random0 0 A"}
    run(study, BASE)
    assert (study / BASE).read_bytes() == made
    assert plan(study, BASE) == set()
    change(study, training={"base": {"steps": 401}})
    assert plan(study, BASE) == {"base random0 0 A"}


def test_a_whole_study_on_the_cluster_is_that_of_a_local_run(cluster, whole, local):
    directory, controller = whole
    finish(controller, directory)
    assert network_hashes(directory) == network_hashes(local)
    for name in ("networks.csv", "report.html"):
        assert (directory / "results/digits/tiny" / name).exists()
    assert plan(directory) == set()
    # What takes seconds has not been in the queue, and each other job ended well once: one may have been on a node that
    # another test ends.
    rules = [
        re.match(r"rule_(\w+?)(?:_wildcards|$)", row["Comment"])[1]
        for row in cluster.jobs().values()
        if row["StdOut"].startswith(f"{directory}/") and row["JobState"] == "COMPLETED"
    ]
    assert sorted(rules) == sorted(["pack", "split", "export", *["base", "curve", "evaluate", "evaluate_curve"] * 2])


def test_a_partial_rerun_hands_over_what_follows_from_the_change(cluster, whole):
    directory, controller = whole
    finish(controller, directory)
    before, bases = network_hashes(directory), jobs_in(cluster, directory, "base")
    change(directory, training={"transferred": {"learning_rate": 0.02}})
    controller = control(directory, f"models/{PLACE}/A2B/model.safetensors")
    wait_for(lambda: len(jobs_in(cluster, directory, "curve", "COMPLETED")) == 3, 60, "one curve is trained again")
    controller.kill()
    assert jobs_in(cluster, directory, "base") == bases
    after = network_hashes(directory)
    assert {path for path in before if before[path] != after[path]} == {
        f"models/{PLACE}/A{n}B/model.safetensors" for n in (2, 6)
    }


def test_jobs_get_what_their_rules_ask_for(cluster, study):
    asked = start(study, BASE, "--profile", "slurm", "--dry-run", "--set-resources", "base:gpu=1").stdout
    resources = dict(re.findall(r"(\w+)=(\d+)", re.search(r"^    resources: (.*)$", asked, re.MULTILINE)[1]))
    controller = control(study, BASE, "--set-resources", "base:gpu=1")
    (job,) = wait_for(lambda: jobs_in(cluster, study, "base"), 30, "the job is in the queue")
    row = cluster.jobs()[job]
    hours, minutes, _ = (int(part) for part in row["TimeLimit"].split(":"))
    assert 60 * hours + minutes == int(resources["runtime"])
    assert row["TresPerJob"] == "gres:gpu:1"
    assert f"mem={resources['mem_mb']}M" in row["TRES"]
    assert row["NumCPUs"] == "1"
    await_training(study)
    # An interrupted snakemake takes its jobs along at once, and itself a minute later.
    controller.send_signal(signal.SIGINT)
    wait_for(lambda: jobs_in(cluster, study, "base", "CANCELLED"), 60, "the job has ended")
    controller.kill()


def test_a_job_at_its_time_limit_goes_on(cluster, long_study, limited):
    directory, controller = limited
    finish(controller, directory)
    assert jobs_in(cluster, directory, "base", "TIMEOUT")
    assert resumed(directory) >= 3 * STEPS // VALIDATIONS
    assert (directory / BASE).read_bytes() == long_study[1]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            ["--default-resources", "slurm_partition=nowhere"],
            "this cluster has no partition 'nowhere' (there are: cpu, gpu)",
        ),
        (["--set-threads", "base=16"], "base asks for 16 CPUs, and a node of 'gpu' has 2"),
        (["--default-resources", "slurm_account=physics"], "this cluster keeps no accounts"),
    ],
)
def test_what_a_cluster_cannot_do_is_said_before_any_job(cluster, study, options, sentence):
    refused = control(study, BASE, *options)
    assert refused.wait(60) == 1
    assert sentence in said(study)
    assert "Traceback" not in said(study)
    assert jobs_in(cluster, study, "base") == []
