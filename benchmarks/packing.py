"""Time packing a folder of images against a plain pass over the same files.

    python benchmarks/packing.py FOLDER [--size 64] [--processes 2] [--repeats 5] [--profile]

FOLDER is as `source: folder` takes it: one tree of classes, or with train, val and test. In turn, so that what else
the machine does falls on both: the pack command as a job runs it, start-up and writing included, and one thread
that takes every image from torchvision's ImageFolder with Resize and CenterCrop as a uint8 array (its imports and
listing of files not counted). Prints the medians and their ratio. --profile says where one process spends its time.
"""

import argparse
import cProfile
import json
import os
import pstats
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


def plain_seconds(parts: list[ImageFolder]) -> float:
    """The wall time of reading every image once, one after another."""
    started = time.perf_counter()
    for part in parts:
        for index in range(len(part)):
            image, _ = part[index]
            assert image.dtype == np.uint8
    return time.perf_counter() - started


def packing_seconds(options: dict, processes: int) -> float:
    """The wall time of the pack command."""
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "transferability.datasets", "--source", json.dumps(options)]
        command += ["--threads", str(processes), "--into", directory]
        started = time.perf_counter()
        subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": str(CHECKOUT / "src")})
        return time.perf_counter() - started


def profile(options: dict) -> None:
    """Print the functions in which one process spends most of its time."""
    sys.path.insert(0, str(CHECKOUT / "src"))
    from transferability.datasets import pack

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
    parts = image_folders(arguments.folder, arguments.size)
    plain, packing = [], []
    for _ in range(arguments.repeats):
        plain.append(plain_seconds(parts))
        packing.append(packing_seconds(options, arguments.processes))
        print(f"plain {plain[-1]:6.2f} s   packing {packing[-1]:6.2f} s", flush=True)
    print(f"images                    {sum(map(len, parts)):8d}")
    print(f"plain pass, median        {statistics.median(plain):8.2f} s in one thread")
    print(f"packing, median           {statistics.median(packing):8.2f} s with {arguments.processes} processes")
    print(f"ratio of the medians      {statistics.median(plain) / statistics.median(packing):8.2f}")


if __name__ == "__main__":
    main()
