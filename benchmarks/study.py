"""Time the default study: how much of it is training, and how much is starting up.

    python benchmarks/study.py [--cores 2]

Runs the study of params.yaml in a temporary directory, and prints its wall time, the CPU time of all its processes,
the time in training loops, the number of processes and what one costs to start, and images per second and core.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CHECKOUT = Path(__file__).parent.parent


def startup_seconds(repeats: int = 5) -> float:
    """The median wall time of a process that imports what a training job imports, and ends."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import transferability.training.job"], check=True, env=environment())
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def environment() -> dict[str, str]:
    """The environment of a job."""
    return os.environ | {"PYTHONPATH": str(CHECKOUT / "src")}


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the default study.")
    parser.add_argument("--cores", type=int, default=2)
    cores = parser.parse_args().cores
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "snakemake", "--cores", str(cores), "--directory", directory, "--quiet", "all"]
        started = time.perf_counter()
        subprocess.run(command, check=True, cwd=CHECKOUT)
        wall = time.perf_counter() - started
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        runs = [json.loads(path.read_text()) for path in Path(directory).glob("models/**/run.json")]
        processes = sum(1 for _ in Path(directory).glob("logs/**/*.log"))
    # Every network of a job carries the job's times.
    training = sum(run["job"]["training_seconds"] / run["job"]["networks"] for run in runs)
    images = sum(run["images_seen"] for run in runs)
    startup = startup_seconds()
    print(f"networks                        {len(runs):8d}")
    print(f"wall time                       {wall:8.0f} s on {cores} cores")
    print(f"CPU time                        {used.ru_utime + used.ru_stime:8.0f} s")
    print(f"in training loops               {training:8.0f} s ({training / cores / wall:.0%} of the wall time)")
    print(f"processes                       {processes:8d}, each about {startup:.1f} s to start")
    print(f"images trained on per core-s    {images / training:8.0f}")


if __name__ == "__main__":
    main()
