"""Kill a study again and again, at times drawn at random, and hold its files against those of a run that was let be.

    python benchmarks/kills.py [--kills 200] [--cores 2] [--seed 0]

The study is quick.yaml's, of 30 steps a network. A kill ends either all processes at once, as a power cut does, or
Snakemake alone, as the kernel does that needs its memory; then the study is started again, its lock removed where it
was left. A study that ends is compared, file by file, and begun anew until the kills are spent. Prints what was killed,
in which rule, and whether weights, histories, metrics and tables came out the same, bit for bit. Exits 1 where any
differed.
"""

import argparse
import csv
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

CHECKOUT = Path(__file__).parent.parent
SHORT = (
    "training: {base: {steps: 30, warmup: 2, validations: 3}, transferred: {steps: 30, warmup: 2, validations: 3}}\n"
)
COMPARED = ("models/**/model.safetensors", "models/**/history.csv", "results/**/random0/**/*.json", "results/*/*/*.csv")
CLOCKS = re.compile(r"seconds|images_per_second")
"""Columns that a clock decides."""


def start(directory: Path, cores: int) -> subprocess.Popen:
    """Snakemake on the study of a directory, the head of a process group."""
    study = [CHECKOUT / "params.yaml", CHECKOUT / "workflow/studies/quick.yaml", directory / "short.yaml"]
    command = [sys.executable, "-m", "snakemake", "--snakefile", CHECKOUT / "Snakefile", "--cores", str(cores)]
    command += ["--directory", directory, "--rerun-incomplete", "--configfile", *study]
    with open(directory / "said.log", "w") as log:
        return subprocess.Popen(command, cwd=directory, stdout=log, stderr=log, start_new_session=True)


def fresh(directory: Path) -> Path:
    """An empty directory with the study's own steps."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    (directory / "short.yaml").write_text(SHORT)
    return directory


def members(group: int) -> list[int]:
    """The processes of a process group that still run."""
    found = subprocess.run(["ps", "-o", "pid=,stat=", "-g", str(group)], capture_output=True, text=True).stdout
    return [int(line.split()[0]) for line in found.splitlines() if not line.split()[1].startswith("Z")]


def kill(study: subprocess.Popen, whole: bool) -> None:
    """End a study's Snakemake, with all its jobs or alone; then wait for the jobs that outlive it."""
    if whole:
        os.killpg(study.pid, signal.SIGKILL)
    else:
        study.kill()
    study.wait()
    while members(study.pid):
        time.sleep(0.1)


def running_rules(directory: Path) -> list[str]:
    """The rules of the jobs that had begun and not ended, by what Snakemake said; of a start, "start"."""
    said = (directory / "said.log").read_text()
    begun = re.findall(r"^(?:local)?rule (\w+):\n(?:.*\n)*?    jobid: (\d+)$", said, re.MULTILINE)
    ended = set(re.findall(r"^Finished jobid: (\d+)", said, re.MULTILINE))
    return [rule for rule, job in begun if job not in ended] or ["start"]


def table_without_clocks(path: Path) -> str:
    """A table's cells, without those that a clock decides."""
    rows = csv.DictReader(path.read_text().splitlines())
    return str([{name: cell for name, cell in row.items() if not CLOCKS.search(name)} for row in rows])


def contents(directory: Path) -> dict[str, bytes | str]:
    """What a study has made, by path."""
    paths = sorted({path for pattern in COMPARED for path in directory.glob(pattern)})
    return {
        str(path.relative_to(directory)): table_without_clocks(path) if path.suffix == ".csv" else path.read_bytes()
        for path in paths
    }


def finish(directory: Path, cores: int) -> tuple[bool, str]:
    """Let a study run to its end: whether it did, and the last that it said."""
    study = start(directory, cores)
    done = study.wait() == 0
    return done, "\n".join((directory / "said.log").read_text().splitlines()[-12:])


def unlock(directory: Path) -> bool:
    """Free a directory of a killed Snakemake's lock: whether there was one."""
    locked = any((directory / ".snakemake/locks").glob("*")) if (directory / ".snakemake/locks").exists() else False
    shutil.rmtree(directory / ".snakemake/locks", ignore_errors=True)
    return locked


def differences(expected: dict, found: dict) -> list[str]:
    """The files that differ or that only one of two studies has."""
    return sorted(path for path in expected | found if expected.get(path) != found.get(path))


def main() -> None:
    parser = argparse.ArgumentParser(description="Kill a study at random, and compare its files with a quiet run's.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0, help="of the times and kinds of kills")
    arguments = parser.parse_args()
    draw, counts, rules = random.Random(arguments.seed), Counter(), Counter()
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        done, said = finish(fresh(Path(folder) / "quiet"), arguments.cores)
        if not done:
            sys.exit(f"the quiet run failed:\n{said}")
        expected, seconds = contents(Path(folder) / "quiet"), time.perf_counter() - began
        directory = fresh(Path(folder) / "killed")
        while counts["kills"] < arguments.kills:
            study = start(directory, arguments.cores)
            try:
                ended = study.wait(draw.uniform(0.5, 0.25 * seconds))
            except subprocess.TimeoutExpired:
                whole = draw.random() < 0.5
                counts.update(["kills", "all processes" if whole else "Snakemake alone"])
                rules.update(running_rules(directory))
                kill(study, whole)
                counts["locks left"] += unlock(directory)
                continue
            if ended != 0:
                counts["starts that failed"] += 1
                print(f"a start failed:\n{(directory / 'said.log').read_text()[-2000:]}")
            elif wrong := differences(expected, contents(directory)):
                counts["studies that differ"] += 1
                print(f"differing after kills: {', '.join(wrong[:5])}")
            counts["studies compared"] += 1
            directory = fresh(directory)
        done, said = finish(directory, arguments.cores)
        wrong = differences(expected, contents(directory)) if done else [said]
        counts.update({"studies compared": 1, "studies that differ": int(bool(wrong))})
    print(f"{len(expected)} files of a study, {seconds:.0f} s a quiet run")
    for name, count in counts.items():
        print(f"{name:22}{count:6}")
    print("killed in: " + ", ".join(f"{rule} {count}" for rule, count in rules.most_common()))
    sys.exit(counts["studies that differ"] + counts["starts that failed"] > 0)


if __name__ == "__main__":
    main()
