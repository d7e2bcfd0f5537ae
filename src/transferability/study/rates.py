"""Rates: how fast this machine trains an architecture, measured with the training command itself on random images."""

import csv
import hashlib
import json
import math
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from transferability import files
from transferability.errors import InputError
from transferability.networks.notation import parse_network
from transferability.study.jobs import Job
from transferability.study.sizes import task_size
from transferability.study.work import job_schedule, reference_work


def write_random_task(folder: Path, shape: tuple[int, int, int], classes: int, images: int) -> None:
    """Write packed/, a data set of random images of `shape` (C, H, W), and split.json, all of it as task A."""
    # As long to import as all else here, and needed by nothing else.
    import numpy as np

    packed = folder / "packed"
    packed.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (images, *shape), dtype=np.uint8)
    np.save(packed / "images.npy", pixels)
    names = [f"class {label}" for label in range(classes)]
    with open(packed / "index.csv", "w", newline="", encoding="utf-8") as file:
        hashes = [hashlib.sha256(image.tobytes()).hexdigest() for image in pixels]
        rows = [(index, names[index % classes], "", f"{index}", hashes[index]) for index in range(images)]
        csv.writer(file, lineterminator="\n").writerows([("index", "class", "part", "file", "sha256"), *rows])
    content = files.sha256(packed / "index.csv")
    train = {name: list(range(label, images, classes)) for label, name in enumerate(names)}
    card = {"source": {}, "storage": "pixels", "images": images, "shape": shape, "content": content}
    card["classes"] = {name: len(indices) for name, indices in train.items()}
    files.write_json(packed / "card.json", card)
    few = {name: indices[:1] for name, indices in train.items()}
    task = {"classes": names, "train": train, "validation": few, "test": few}
    spread = {"mean": [0.5] * shape[0], "std": [0.289] * shape[0]}
    split = {"kind": "whole", "content": content, "normalisation": spread, "tasks": {"A": task}}
    files.write_json(folder / "split.json", split)


def timed_training(
    params: dict, architecture: str, schedule: dict, device: str, workers: int, folder: Path
) -> tuple[float, str]:
    """The mean seconds that each of `workers` base networks trained at once takes, and the device it ran on.

    On a CPU those of its processor, start-up included, which other work on the machine changes little; on a GPU those
    of the training loop by the clock.
    """
    dataset = params["datasets"][params["study"]["dataset"][0]]
    options = {
        "split": folder / "split.json",
        "packed": folder / "packed",
        "architecture": json.dumps(params["architectures"][architecture]),
        "augmentation": json.dumps(dataset["augmentation"]),
        "schedule": json.dumps(schedule),
        "seed": 0,
        "device": device,
        "threads": 1,
    }
    command = [sys.executable, "-m", "transferability.training.job"]
    command += [str(word) for name, value in options.items() for word in (f"--{name}", value)]
    models = [folder / f"{worker}" / "baseA" / "model.safetensors" for worker in range(workers)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    running = [
        subprocess.Popen(
            [*command, "--states", f"{path.parent}/states", "--models", str(path)], stderr=subprocess.PIPE, text=True
        )
        for path in models
    ]
    answers = [process.communicate()[1] for process in running]
    for process, words in zip(running, answers, strict=True):
        if process.returncode != 0:
            reason = words.strip().splitlines()[-1].removeprefix("error: ") if words.strip() else "it was ended"
            raise InputError(f"architectures.{architecture}: its rate could not be measured: {reason}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    runs = [files.read_json(path.parent / "run.json") for path in models]
    if runs[0]["device"] == "cpu":
        return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / workers, "cpu"
    return sum(run["job"]["training_seconds"] for run in runs) / workers, runs[0]["device"]


def measure_rate(params: dict, architecture: str, workers: int, least: float = 4.0) -> float:
    """An architecture's rate on this machine, in milliseconds an image, with `workers` jobs at once on a CPU.

    The training command runs on random images for a few steps, and again for at least so many seconds; the rate is
    what the further steps took. On a CPU a batch has some 200 GFLOP or 32 images, so that large networks take seconds.
    """
    study = params["study"]
    dataset = params["datasets"][study["dataset"][0]]
    side = dataset["images"]["size"]
    base = Job(study["dataset"][0], architecture, study["split"][0], study["seed"][0], (parse_network("baseA"),))
    classes = task_size(params, base.dataset, base.split, "A").classes
    schedule = {**job_schedule(params, base), "warmup": 0, "validations": 1, "learning_rate": 1e-6}
    schedule.pop("frozen_dropout", None)
    bearable = max(32, int(2e11 / reference_work(params, architecture).flops))
    device, batch = params["device"], min(schedule["batch_size"], bearable)
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        write_random_task(folder, (dataset["images"]["channels"], side, side), classes, max(512, classes))

        def timed(steps: int) -> float:
            shorter = {**schedule, "steps": steps, "batch_size": batch}
            return timed_training(params, architecture, shorter, device, workers, folder)[0]

        _, used = timed_training(params, architecture, {**schedule, "steps": 1, "batch_size": batch}, device, 1, folder)
        if used != "cpu":
            device, batch, workers = used, schedule["batch_size"], 1
        first = steps = 2
        before = seconds = timed(steps)
        while seconds - before < least:
            # What has been seen of the time of a step may be little and noisy, at first nothing.
            pace = max((seconds - before) / max(1, steps - first), least / 200 / first)
            steps = math.ceil(min(50 * steps, max(2 * steps, first + 1.3 * least / pace)))
            seconds = timed(steps)
    return 1000 * (seconds - before) / ((steps - first) * batch)
