"""Time what sharing costs a study of some 600 networks: recording, pushing, pulling, and finding nothing to do.

    python benchmarks/sharing.py [--networks 600] [--megabytes 1.2]

The workflow, its paths, its records and all of DVC are the real ones. The networks are not: a stand-in for each job
writes random bytes of a network's size, so that minutes suffice. Prints seconds, and the goal: a clone that has pulled
knows in less than 5 s that nothing is to be done, whatever the times of its files.
"""

import argparse
import math
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

CHECKOUT = Path(__file__).parent.parent
WORKFLOW = ("workflow", "src", "profiles", ".dvc")
FILES = ("dvc.yaml", ".dvcignore", ".gitignore", "params.yaml")
NETWORKS_A_SEED = 72  # of a split, in the default study

# At the end of the Snakefile: instead of its command, every job but those of the data writes files of the right size.
STAND_IN = """

def write_outputs(input, output, *_, **__):
    for path in output:
        heavy = path.endswith((".safetensors", ".onnx"))
        Path(path).write_bytes(os.urandom(SIZE) if heavy else os.urandom(1000).hex().encode())


for each in workflow.rules:
    if each.shellcmd and each.name not in ("pack", "split"):
        each.run_func = write_outputs
"""


@dataclass(frozen=True)
class Done:
    """What a command took, in seconds by the clock and of the processors, and what it said."""

    wall: float
    cpu: float
    said: str


def shell(directory: Path, command: str) -> Done:
    """Run a line of shell, and expect it to succeed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {f"GIT_{who}_{what}": "benchmark" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, shell=True, cwd=directory, env=environment, capture_output=True, text=True)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        sys.exit(f"{command}\n{done.stdout}\n{done.stderr}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Done(wall, cpu, done.stdout + done.stderr)


def make_checkout(place: Path, seeds: int, megabytes: float) -> None:
    """A checkout whose jobs are stood in for, and whose study has some seeds of the three splits."""
    place.mkdir()
    for name in WORKFLOW:
        shutil.copytree(
            CHECKOUT / name, place / name, ignore=shutil.ignore_patterns("__pycache__", "tmp", "cache", "config.local")
        )
    for name in FILES:
        shutil.copy(CHECKOUT / name, place)
    stand_in = STAND_IN.replace("SIZE", str(int(megabytes * 1e6)))
    (place / "Snakefile").write_text((CHECKOUT / "Snakefile").read_text() + stand_in)
    params = yaml.safe_load((place / "params.yaml").read_text())
    params["study"]["seed"] = list(range(seeds))
    (place / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def decide(clone: Path) -> Done:
    """Let Snakemake say five times that nothing is to be done; the run of median time."""
    runs = [shell(clone, "snakemake --cores 2 --dry-run") for _ in range(5)]
    for done in runs:
        if "Nothing to be done" not in done.said:
            sys.exit(f"there should be nothing to do:\n{done.said}")
    return sorted(runs, key=lambda done: done.wall)[2]


def shuffle_times(clone: Path) -> None:
    """Times as a pull may leave them: every input newer than some of its outputs, somewhere."""
    draw = random.Random(0)
    for top in ("data", "models", "results"):
        for path in (clone / top).rglob("*"):
            os.utime(path, (1.7e9 + draw.random() * 1e6,) * 2)


def main() -> None:
    parser = argparse.ArgumentParser(description="Time what sharing a study costs.")
    parser.add_argument("--networks", type=int, default=600, help="at least so many networks")
    parser.add_argument("--megabytes", type=float, default=1.2, help="size of a network's file")
    arguments = parser.parse_args()
    splits = len(yaml.safe_load((CHECKOUT / "params.yaml").read_text())["study"]["split"])
    seeds = math.ceil(arguments.networks / NETWORKS_A_SEED / splits)
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        (place / "store").mkdir()
        make_checkout(place / "one", seeds, arguments.megabytes)
        rows = [("jobs, by stand-ins", shell(place / "one", "snakemake --cores 2"))]
        shell(place / "one", "git init --quiet && git add --all && git commit --quiet --message Study")
        shell(place / "one", f"dvc remote add --default store '{place}/store' && dvc remote modify store verify true")
        rows.append(("dvc repro, which records", shell(place / "one", "dvc repro")))
        shell(place / "one", "git add dvc.lock .dvc/config && git commit --quiet --message Recorded")
        rows.append(("dvc push, to a folder", shell(place / "one", "dvc push")))
        shell(place, "git clone --quiet one other")
        rows.append(("dvc pull, verified", shell(place / "other", "dvc pull")))
        rows.append(("snakemake --dry-run, times as pulled", decide(place / "other")))
        shuffle_times(place / "other")
        rows.append(("snakemake --dry-run, times shuffled", decide(place / "other")))
        rows.append(("dvc status", shell(place / "other", "dvc status")))
        rows.append(("snakemake --help, to start it", shell(place / "other", "snakemake --help")))
        guard = (
            "from transferability.cluster.records import unrecorded_files as find; "
            "list(find(['data', 'models', 'results']))"
        )
        rows.append(("the guard alone", shell(place / "other", f'PYTHONPATH=src {sys.executable} -c "{guard}"')))
        files = [path for top in ("models", "results") for path in (place / "other" / top).rglob("*") if path.is_file()]
        records = sum(path.is_file() for path in (place / "other/.snakemake/metadata").rglob("*"))
        networks = sum(path.name == "model.safetensors" for path in files)
        print(
            f"{networks} networks, {len(files)} files of {sum(path.stat().st_size for path in files) / 1e6:.0f} MB, ",
            end="",
        )
        print(f"{records} records")
        for name, done in rows:
            print(f"{name:40} {done.wall:7.2f} s, {done.cpu:7.2f} s of processors")


if __name__ == "__main__":
    main()
