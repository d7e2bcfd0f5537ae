"""Time packing a folder of images against a plain pass over the same files.

    python benchmarks/packing.py FOLDER [--size 64] [--processes 2] [--repeats 5] [--profile]

FOLDER is as `source: folder` takes it: one tree of classes, or with train, val and test. In turn, so that what else
the machine does falls on both: the pack command as a job runs it, start-up and writing included, and one thread
that makes torchvision's ImageFolder with Resize and CenterCrop and takes every image as a uint8 array (its imports not
counted). Prints the medians and their ratio; and CPU seconds, which tell more where others use
the machine too. --profile says where one process spends its time.
"""

import argparse
import cProfile
import json
import os
import pstats
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from torchvision import transforms
from torchvision.datasets import ImageFolder

CHECKOUT = Path(__file__).parent.parent


def image_folders(folder: Path, size: int) -> list[ImageFolder]:
    """ImageFolder of each part, or of the only tree."""
    fit = transforms.Compose([transforms.Resize(size), transforms.CenterCrop(size), np.asarray])
    parts = [folder / part for part in ("train", "val", "test") if (folder / part).is_dir()]
    return [ImageFolder(part, fit) for part in parts or [folder]]


def plain_seconds(folder: Path, size: int) -> tuple[float, float]:
    """The wall and CPU time of listing the folder and reading every image once, one after another."""
    started, used = time.perf_counter(), time.process_time()
    for part in image_folders(folder, size):
        for index in range(len(part)):
            image, _ = part[index]
            assert image.dtype == np.uint8
    return time.perf_counter() - started, time.process_time() - used


def packing_seconds(options: dict, processes: int) -> tuple[float, float]:
    """The wall time of the pack command, and the CPU time of all its processes."""
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "transferability.data.packing", "--source", json.dumps(options)]
        command += ["--threads", str(processes), "--into", directory]
        started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": str(CHECKOUT / "src")})
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return time.perf_counter() - started, used


def profile(options: dict) -> None:
    """Print the functions in which one process spends most of its time."""
    sys.path.insert(0, str(CHECKOUT / "src"))
    from transferability.data.packing import pack

    with tempfile.TemporaryDirectory() as directory, cProfile.Profile() as profiler:
        pack(options, Path(directory))
    pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


def main() -> None:
    parser = argparse.ArgumentParser(description="Time packing against a plain pass over the same images.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    options = {"source": "folder", "path": str(arguments.folder), "size": arguments.size, "channels": 3}
    if arguments.profile:
        profile(options)
        return
    images = sum(map(len, image_folders(arguments.folder, arguments.size)))
    plain, packing = [], []
    for _ in range(arguments.repeats):
        plain.append(plain_seconds(arguments.folder, arguments.size))
        packing.append(packing_seconds(options, arguments.processes))
        print("plain {:6.2f} s (CPU {:6.2f} s)   packing {:6.2f} s (CPU {:6.2f} s)".format(*plain[-1], *packing[-1]))
    (plain_wall, plain_cpu), (packing_wall, packing_cpu) = (
        map(statistics.median, zip(*times, strict=True)) for times in (plain, packing)
    )
    print(f"images                    {images:8d}")
    print(f"plain pass, median        {plain_wall:8.2f} s in one thread, CPU {plain_cpu:.2f} s")
    print(
        f"packing, median           {packing_wall:8.2f} s with {arguments.processes} processes, CPU {packing_cpu:.2f} s"
    )
    print(f"ratio of wall times       {plain_wall / packing_wall:8.2f}")
    print(f"ratio of CPU times        {plain_cpu / packing_cpu:8.2f}")


if __name__ == "__main__":
    main()
