"""Costs: what a study will take, from its params alone: networks, images seen, arithmetic, disk, memory and time.

    python -m transferability.costs --params params.yaml --study workflow/studies/tiny-imagenet.yaml --measure

Arithmetic is counted in FLOPs of convolutions and linear layers, two a multiply-add: a forward pass; and backward one
for the weights and one for the input of each layer that learns, but for the input of the lowest of them. The layers
that frozen networks of one job share are passed once. What depends on the images (classes, validation, memory) is
taken from the packed data set where it is there, and else from what the params say.

Time follows from the arithmetic and a rate of the architecture (`rates` of the params), which --measure finds with the
training command itself, on random images; without torch nothing here takes longer than reading the params.
"""

import argparse
import csv
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

import yaml

from transferability import files
from transferability.errors import InputError, exit_plainly
from transferability.families import Architecture, Layer, layer_sizes
from transferability.groups import groups_of, read_groups
from transferability.notation import RANDOM, Network, parse_network
from transferability.params import (
    SIDES,
    check_params,
    expand_curve,
    listed,
    members_of,
    schedule_of,
    study_networks,
)

SCHEMA = Path(__file__).parents[2] / "workflow" / "schemas" / "params.schema.yaml"

ASSUMED_CLASSES = 100
"""Classes of a data set of which neither packed images nor params tell the number."""

START = 2.2
"""Seconds of a core that a job takes before and after its work; measured where Python and torch were in memory."""

# That of `tasks`, whose import would take longer than all of this.
IN_MEMORY = 2 * 2**30
PROCESS_MB = 700
"""Memory of a training process before it holds images and networks, as measured."""

MARGIN = 2
"""How much more than expected a job asks of a cluster, in time and memory."""
LEAST_MINUTES, LEAST_MB = 10, 2000
UNKNOWN_MINUTES = 240
"""What a job asks where no rate of its architecture is given; as every other request it grows with each attempt."""
UNKNOWN_MB = 4000
"""What images take in memory before they are packed, if they will be stored as pixels."""


@dataclass(frozen=True)
class Size:
    """A task as far as it is known before it is made: classes, and images of each part, None where not known.

    `pixels` is the number of bytes of an image in memory, 0 where images are decoded as they are asked for.
    """

    classes: int
    train: int | None
    validation: int | None
    test: int | None
    pixels: int


@dataclass(frozen=True)
class Work:
    """Arithmetic, in multiply-adds: of forward passes, and of backward ones."""

    forward: int
    backward: int

    @property
    def total(self) -> int:
        return self.forward + self.backward

    @property
    def flops(self) -> int:
        return 2 * self.total


@dataclass(frozen=True)
class Job:
    """One training job: the networks of a curve, or one, of a seed of a split; `source` is the base network that it
    waits for, if any."""

    dataset: str
    architecture: str
    split: str
    seed: int
    networks: tuple[Network, ...]

    @property
    def source(self) -> str | None:
        source = self.networks[0].source
        return None if source in (None, RANDOM) else f"base{source}"

    @property
    def name(self) -> str:
        return self.networks[0].curve if len(self.networks) > 1 else self.networks[0].name


def image_shape(dataset: dict) -> tuple[int, int, int]:
    """The shape (C, H, W) of a data set's images as networks see them."""
    side = dataset["augmentation"].get("crop", dataset["images"]["size"])
    return dataset["images"]["channels"], side, side


# A study's plan asks for the same table for every job.
table_groups = cache(read_groups)


@cache
def packed_card(dataset: str) -> dict | None:
    """The card of a packed data set; None before it is packed."""
    path = Path("data/packed") / dataset / "card.json"
    return files.read_json(path) if path.exists() else None


@cache
def folder_classes(path: Path) -> int | None:
    """The number of classes in a folder of images, None if it is no folder."""
    folder = path / "train" if (path / "train").is_dir() else path
    return sum(entry.is_dir() for entry in os.scandir(folder)) if folder.is_dir() else None


def all_classes(dataset: dict, card: dict | None) -> int:
    """The number of classes of a data set, as far as card, params, a table of groups or a folder tell it."""
    images = dataset["images"]
    if card is not None:
        return len(card["classes"])
    if "classes" in images:
        return len(images["classes"])
    if images["source"] == "digits":
        return 10
    if images["source"] == "folder" and (found := folder_classes(Path(images["path"]).expanduser())):
        return found
    if isinstance(dataset.get("groups"), str):
        return sum(map(len, table_groups(dataset["groups"]).values()))
    return ASSUMED_CLASSES


def task_classes(params: dict, dataset: str, split: str) -> dict[str, int]:
    """The number of classes of A and of B of a split."""
    description, definition, card = params["datasets"][dataset], params["splits"][split], packed_card(dataset)
    total = all_classes(description, card)
    if definition["kind"] == "random":
        return {"A": total // 2, "B": total - total // 2}
    if definition["kind"] == "whole":
        return {"A": total}
    if definition["kind"] == "classes":
        return {side: len(definition[side]) for side in SIDES}
    groups = description.get("groups", {})
    if isinstance(groups, str):
        groups = groups_of(table_groups(groups), list(card["classes"])) if card else table_groups(groups)
    groups = {**(card or {}).get("sets", {}), **groups}
    # A group that only the packed set can tell, one of several sets, is assumed to be half of it.
    counts = {
        side: sum(len(groups[name]) if name in groups else total // 2 for name in listed(definition[side]))
        for side in SIDES
    }
    if definition["kind"] == "graded":
        return dict.fromkeys(SIDES, min(counts["A"] // 2, counts["B"]))
    return counts


def task_size(params: dict, dataset: str, split: str, side: str) -> Size:
    """What is known of a task before it is made; parts are counted as if all classes were alike."""
    description, card = params["datasets"][dataset], packed_card(dataset)
    images = description["images"]
    pixels = 0 if images.get("storage") == "jpeg" else images["channels"] * images["size"] ** 2
    classes = max(2, task_classes(params, dataset, split)[side])
    volume = params["splits"][split].get("volume", {}).get(side)
    # The only set whose number of images is known beforehand.
    total = card["images"] if card else 1797 if images["source"] == "digits" and "classes" not in images else None
    if total is None:
        return Size(classes, volume and volume * classes, None, None, pixels)
    share = min(1, classes / all_classes(description, card))
    own = {part: description["parts"][part] for part in ("validation", "test")}
    counts = {part: card["parts"].get(name, 0) for part, name in own.items() if isinstance(name, str)} if card else {}
    rest = total - sum(counts.values())
    counts |= {part: round(rest * portion) for part, portion in own.items() if part not in counts}
    counts = {part: round(share * count) for part, count in counts.items()}
    train = round(share * total) - sum(counts.values())
    return Size(classes, min(train, volume * classes) if volume else train, **counts, pixels=pixels)


def job_layers(params: dict, job: Job) -> tuple[Layer, ...]:
    """The layers of a job's networks."""
    size = task_size(params, job.dataset, job.split, job.networks[0].target)
    architecture = Architecture(**params["architectures"][job.architecture])
    return layer_sizes(architecture, image_shape(params["datasets"][job.dataset]), size.classes)


def forward_work(layers: tuple[Layer, ...], networks: Iterable[Network]) -> int:
    """Multiply-adds of one image's forward pass through networks of one job, whose frozen layers are passed once."""
    each = [layer.multiply_adds for layer in layers]
    frozen = [0 if network.fine_tune else network.n for network in networks]
    return sum(each[: max(frozen)]) + sum(sum(each[n:]) for n in frozen)


def backward_work(layers: tuple[Layer, ...], network: Network) -> int:
    """Multiply-adds of one image's backward pass: the layers that learn, but for the input of the lowest."""
    lowest = 0 if network.fine_tune else network.n
    learning = [layer.multiply_adds for layer in layers[lowest:]]
    return 2 * sum(learning) - learning[0]


def job_schedule(params: dict, job: Job) -> dict:
    """The schedule by which a job's networks are trained."""
    return schedule_of(params, job.split, "base" if job.networks[0].source is None else "transferred")


def training_work(params: dict, job: Job) -> Work:
    """The arithmetic of a job: its training and, where the number of images is known, its validations.

    These are of validation and of test images.
    """
    layers, schedule = job_layers(params, job), job_schedule(params, job)
    images = schedule["steps"] * schedule["batch_size"]
    size = task_size(params, job.dataset, job.split, job.networks[0].target)
    seen = (size.validation or 0) + (size.test or 0)
    forward = forward_work(layers, job.networks)
    backward = sum(backward_work(layers, network) for network in job.networks)
    return Work(forward * (images + schedule["validations"] * seen), backward * images)


def checkpoint_bytes(layers: tuple[Layer, ...]) -> int:
    """The size of a network's file, but for some kilobytes of names."""
    return sum(4 * layer.parameters + layer.buffers for layer in layers)


def reference_work(params: dict, architecture: str) -> Work:
    """The arithmetic of an image of what an architecture's rate is of: a base network of the study's first data set."""
    study = params["study"]
    base = parse_network("baseA")
    layers = job_layers(params, Job(study["dataset"][0], architecture, study["split"][0], study["seed"][0], (base,)))
    return Work(forward_work(layers, [base]), backward_work(layers, base))


def work_seconds(params: dict, architecture: str, work: Work, rates: dict[str, float]) -> float | None:
    """The time that some arithmetic takes on one core or GPU; None where there is no rate of the architecture."""
    if architecture not in rates:
        return None
    return rates[architecture] / 1000 * work.total / reference_work(params, architecture).total


def training_minutes(params: dict, job: Job) -> int:
    """The minutes that a training job asks for."""
    seconds = work_seconds(params, job.architecture, training_work(params, job), params.get("rates", {}))
    return UNKNOWN_MINUTES if seconds is None else max(LEAST_MINUTES, math.ceil(MARGIN * (START + seconds) / 60))


def evaluation_minutes(params: dict, job: Job) -> int:
    """The minutes that evaluating a training job's networks asks for."""
    size, layers = task_size(params, job.dataset, job.split, job.networks[0].target), job_layers(params, job)
    if size.test is None or job.architecture not in params.get("rates", {}):
        return UNKNOWN_MINUTES
    forward = len(job.networks) * sum(layer.multiply_adds for layer in layers) * (size.validation + size.test)
    seconds = work_seconds(params, job.architecture, Work(forward, 0), params["rates"])
    return max(LEAST_MINUTES, math.ceil(MARGIN * (START + seconds) / 60))


def memory_mb(params: dict, job: Job) -> int:
    """The main memory that a job of a training job's networks asks for, in megabytes.

    The process, the task's images where they are held, of each network weights, gradients and velocities, and what a
    batch leaves in the layers of one network for the way back: the outputs of each, and what norm, ReLU and pooling
    make of them.
    """
    size, layers = task_size(params, job.dataset, job.split, job.networks[0].target), job_layers(params, job)
    batch = job_schedule(params, job)["batch_size"]
    if size.pixels and size.validation is None:
        images = UNKNOWN_MB * 1e6
    else:
        parts = [size.train, size.validation, size.test]
        images = sum(min(IN_MEMORY, size.pixels * (count or 0)) for count in parts)
    networks = 3 * len(job.networks) * checkpoint_bytes(layers)
    left = 4 * 4 * batch * sum(layer.outputs for layer in layers)
    return max(LEAST_MB, PROCESS_MB + math.ceil(MARGIN * (images + networks + left) / 1e6))


NAMES = {
    "base": "base{target}",
    "curve": "{source}{n}{target}{plus}",
    "random": "R{n}{target}",
    "preserved": "{source}{n}{target}-k{k}",
    "evaluate": "{network}",
    "evaluate_curve": "{source}{n}{target}{plus}",
    "export": "baseA",
}
"""The network, or where there is no wildcard n the curve, that a job of a rule is about, from its wildcards."""


def rule_job(params: dict, rule: str, wildcards: Mapping[str, str]) -> Job:
    """The training job that made, or will make, the networks of a workflow's job."""
    values = dict(wildcards.items())
    networks = expand_curve(NAMES[rule].format_map({"n": "n", **values}), params["study"]["n"])
    seed = int(values["seed"])
    return Job(values["dataset"], values["architecture"], values["split"], seed, tuple(networks))


def study_jobs(params: dict) -> list[Job]:
    """The training jobs of a study: what it names, and the base networks that this needs."""
    study, jobs = params["study"], []
    by_curve = params["jobs"] == "curve"
    for split in study["split"]:
        names = study_networks(params, split)
        sources = {f"base{network.source}" for network in map(parse_network, names) if network.source in SIDES}
        curves: dict[str, list[Network]] = {}
        for name in sorted({*names, *sources}, key=[*names, *sorted(sources)].index):
            network = parse_network(name)
            together = by_curve and not network.preserved
            curves[network.curve if together else name] = (
                # Asked for one of its networks, a job trains a whole curve.
                expand_curve(network.curve, study["n"]) if together else [network]
            )
        for dataset, architecture, seed in product(study["dataset"], study["architecture"], study["seed"]):
            jobs += [Job(dataset, architecture, split, seed, tuple(networks)) for networks in curves.values()]
    return jobs


def critical_path(jobs: list[Job], seconds: dict[Job, float]) -> tuple[float, list[Job]]:
    """The chain of jobs, each of which waits for the one before, that takes longest, and its seconds."""
    longest: tuple[float, list[Job]] = (0.0, [])
    bases = {(job.dataset, job.architecture, job.split, job.seed, job.name): job for job in jobs}
    for job in jobs:
        place = (job.dataset, job.architecture, job.split, job.seed, job.source)
        chain = [bases[place], job] if job.source else [job]
        longest = max(longest, (sum(seconds[each] for each in chain), chain), key=lambda entry: entry[0])
    return longest


def merge(params: dict, study: dict) -> dict:
    """Params with what a study file states in their place, as Snakemake merges them: mappings key by key."""
    merged = dict(params)
    for key, value in study.items():
        below = merged.get(key)
        merged[key] = merge(below if isinstance(below, dict) else {}, value) if isinstance(value, dict) else value
    return merged


def read_params(params: Path, studies: list[Path]) -> dict:
    """The params of a study, checked: params.yaml, and the study files that change it, in their order."""
    merged: dict = {}
    for path in (params, *studies):
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(f"{path}: there is no such file") from None
        except (UnicodeDecodeError, yaml.YAMLError) as error:
            raise InputError(f"{path}: not a YAML file ({' '.join(str(error).split())})") from None
        if not isinstance(content, dict):
            raise InputError(f"{path}: holds no params; it must be a mapping such as params.yaml")
        merged = merge(merged, content)
    check_params(merged, SCHEMA)
    return merged


def write_random_task(folder: Path, shape: tuple[int, int, int], classes: int, images: int) -> None:
    """Write packed/, a data set of random images of `shape` (C, H, W), and split.json, all of it as task A."""
    # As long to import as all else here, and needed by nothing else.
    import numpy as np

    packed = folder / "packed"
    packed.mkdir()
    np.save(packed / "images.npy", np.random.default_rng(0).integers(0, 256, (images, *shape), dtype=np.uint8))
    names = [f"class {label}" for label in range(classes)]
    with open(packed / "index.csv", "w", newline="", encoding="utf-8") as file:
        rows = [(index, names[index % classes], "", f"{index}", f"{index}") for index in range(images)]
        csv.writer(file, lineterminator="\n").writerows([("index", "class", "part", "file", "sha256"), *rows])
    content = files.sha256(packed / "index.csv")
    card = {"storage": "pixels", "images": images, "shape": shape, "content": content}
    files.write_json(packed / "card.json", card)
    train = {name: list(range(label, images, classes)) for label, name in enumerate(names)}
    one = {name: [0] if label == 0 else [] for label, name in enumerate(names)}
    task = {"classes": names, "train": train, "validation": one, "test": one}
    spread = {"mean": [0.5] * shape[0], "std": [0.289] * shape[0]}
    files.write_json(folder / "split.json", {"content": content, "normalisation": spread, "tasks": {"A": task}})


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
    command = [sys.executable, "-m", "transferability.training"]
    command += [str(word) for name, value in options.items() for word in (f"--{name}", value)]
    models = [folder / f"{worker}" / "baseA" / "model.safetensors" for worker in range(workers)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    running = [
        subprocess.Popen(
            [*command, "--states", f"{path.parent}/states", "--models", str(path)], stderr=subprocess.PIPE, text=True
        )
        for path in models
    ]
    said = [process.communicate()[1] for process in running]
    for process, words in zip(running, said, strict=True):
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
        write_random_task(folder, (dataset["images"]["channels"], side, side), classes, 512)

        def timed(steps: int) -> float:
            shorter = {**schedule, "steps": steps, "batch_size": batch}
            return timed_training(params, architecture, shorter, device, workers, folder)[0]

        _, found = timed_training(
            params, architecture, {**schedule, "steps": 1, "batch_size": batch}, device, 1, folder
        )
        if found != "cpu":
            device, batch, workers = found, schedule["batch_size"], 1
        first = steps = 2
        before = seconds = timed(steps)
        while seconds - before < least:
            # What has been seen of the time of a step may be little and noisy, at first nothing.
            pace = max((seconds - before) / max(1, steps - first), least / 200 / first)
            steps = math.ceil(min(50 * steps, max(2 * steps, first + 1.3 * least / pace)))
            seconds = timed(steps)
    return 1000 * (seconds - before) / ((steps - first) * batch)


def in_words(seconds: float) -> str:
    """A time in the unit that suits it."""
    for unit, name in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.0f} s"


def in_units(value: float, unit: str) -> str:
    """A count with a prefix, three digits: 1.23e12 of FLOP as 1.23 TFLOP."""
    power = min(6, max(0, int(math.log10(value)) // 3)) if value >= 1 else 0
    return f"{value / 1000**power:.3g} {['', 'k', 'M', 'G', 'T', 'P', 'E'][power]}{unit}"


def table_lines(params: dict, jobs: list[Job], rates: dict[str, float]) -> list[str]:
    """A table of a study's training, a row a treatment, and their sum."""
    rows: dict[str, list[float]] = {}
    for job in jobs:
        layers, schedule = job_layers(params, job), job_schedule(params, job)
        work, count = training_work(params, job), len(job.networks)
        seconds = work_seconds(params, job.architecture, work, rates)
        values = [
            count,
            1,
            count * schedule["steps"] * schedule["batch_size"],
            2 * work.forward,
            2 * work.backward,
            count * checkpoint_bytes(layers),
            math.nan if seconds is None else seconds + START,
        ]
        for row in (job.networks[0].treatment, "all"):
            rows[row] = [a + b for a, b in zip(rows.get(row, [0] * len(values)), values, strict=True)]
    lines = [("treatment", "networks", "jobs", "images seen", "forward", "backward", "disk", "one core")]
    for name, (networks, count, images, forward, backward, disk, seconds) in rows.items():
        if name != "all":
            lines.append((name, networks, count, images, forward, backward, disk, seconds))
    lines.append(("all", *rows["all"]))
    written = [
        "{:<13}{:>9}{:>7}{:>14}{:>14}{:>14}{:>10}{:>12}".format(
            name,
            networks,
            count,
            in_units(images, ""),
            in_units(forward, "FLOP"),
            in_units(backward, "FLOP"),
            in_units(disk, "B"),
            "?" if math.isnan(seconds) else in_words(seconds),
        )
        for name, networks, count, images, forward, backward, disk, seconds in lines[1:]
    ]
    return ["{:<13}{:>9}{:>7}{:>14}{:>14}{:>14}{:>10}{:>12}".format(*lines[0]), *written]


def notes(params: dict, jobs: list[Job], rates: dict[str, float], cores: int) -> list[str]:
    """What the table does not say: further disk, what is not known, and the time on some cores."""
    study, lines = params["study"], []
    exported = sum(
        checkpoint_bytes(job_layers(params, job))
        for job in jobs
        for network in job.networks
        if members_of(params["export"], [network.name])
    )
    lines.append(f"ONNX files: at most {in_units(exported, 'B')} (a curve's name exports one network of it)")
    for dataset in study["dataset"]:
        stored = Path("data/packed") / dataset / "images.npy"
        lines.append(
            f"images of {dataset}: "
            + (
                in_units(stored.stat().st_size, "B")
                if stored.exists()
                else "not packed; classes and counts are assumed"
            )
        )
    unknown = [name for name in study["architecture"] if name not in rates]
    if unknown:
        return [
            *lines,
            f"time: no rate of {', '.join(unknown)}; --measure finds it, and `rates` of the params keeps it",
        ]
    seconds = {
        job: START + work_seconds(params, job.architecture, training_work(params, job), rates) for job in set(jobs)
    }
    path, chain = critical_path(jobs, seconds)
    total = sum(seconds[job] for job in jobs)
    names = ", then ".join(f"{job.name} ({in_words(seconds[job])})" for job in chain)
    return [
        *lines,
        f"training: {in_words(total)} on one core or GPU, at least {in_words(max(total / cores, path))} on {cores}; "
        f"never less than its longest chain, {in_words(path)}: {names}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="Tell what a study will cost, before anything is run.")
    parser.add_argument("--params", type=Path, required=True, help="params.yaml")
    parser.add_argument("--study", type=Path, nargs="*", default=[], help="files of workflow/studies on top of it")
    parser.add_argument("--measure", action="store_true", help="measure the rates on this machine first")
    parser.add_argument("--cores", type=int, default=1, help="jobs at once: cores, or GPUs")
    arguments = parser.parse_args()
    if arguments.cores < 1:
        raise InputError(f"--cores is {arguments.cores}; it must be at least 1")
    params = read_params(arguments.params, arguments.study)
    rates = dict(params.get("rates", {}))
    if arguments.measure:
        rates |= {name: measure_rate(params, name, arguments.cores) for name in params["study"]["architecture"]}
    jobs = study_jobs(params)
    print("\n".join([*table_lines(params, jobs, rates), "", *notes(params, jobs, rates, arguments.cores)]))
    if arguments.measure:
        measured = {name: rates[name] for name in params["study"]["architecture"]}
        for name, rate in measured.items():
            speed = in_units(1000 * reference_work(params, name).flops / rate, "FLOP/s")
            print(f"{name}: {rate:.3g} ms an image of a base network, {speed} in each of {arguments.cores} at once")
        print("for params.yaml, or the study's file:")
        print(f"rates: {{{', '.join(f'{name}: {rate:.3g}' for name, rate in measured.items())}}}")


if __name__ == "__main__":
    exit_plainly(main)
