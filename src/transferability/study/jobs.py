"""Jobs: what the training jobs of a study are, what they compute, and what they ask for, from its params alone.

Arithmetic is counted in FLOPs of convolutions and linear layers, two a multiply-add: a forward pass; and backward one
for the weights and one for the input of each layer that learns, but for the input of the lowest of them. The layers
that frozen networks of one job share are passed once. What depends on the images (classes, validation, memory) is
taken from the packed data set where it is there, and else from what the params say.
"""

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

from transferability import files
from transferability.data.groups import groups_of, read_groups
from transferability.networks.families import family_stages
from transferability.networks.notation import RANDOM, SIDES, Network, parse_network
from transferability.networks.stages import Stage, architecture_of
from transferability.study.params import expand_curve, listed, schedule_of, study_networks

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
    if images["source"] == "folder" and (found := folder_classes(files.expanded(images["path"]))):
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


def job_layers(params: dict, job: Job) -> tuple[Stage, ...]:
    """The layers of a job's networks."""
    size = task_size(params, job.dataset, job.split, job.networks[0].target)
    architecture = architecture_of(params["architectures"][job.architecture])
    return family_stages(architecture, image_shape(params["datasets"][job.dataset]), size.classes)


def forward_work(layers: tuple[Stage, ...], networks: Iterable[Network]) -> int:
    """Multiply-adds of one image's forward pass through networks of one job, whose frozen layers are passed once."""
    each = [layer.multiply_adds for layer in layers]
    frozen = [0 if network.fine_tune else network.n for network in networks]
    return sum(each[: max(frozen)]) + sum(sum(each[n:]) for n in frozen)


def backward_work(layers: tuple[Stage, ...], network: Network) -> int:
    """Multiply-adds of one image's backward pass: the layers that learn, but for the input of the lowest."""
    lowest = 0 if network.fine_tune else network.n
    learning = [layer.multiply_adds for layer in layers[lowest:]]
    return 2 * sum(learning) - learning[0]


def job_schedule(params: dict, job: Job) -> dict:
    """The schedule by which a job's networks are trained."""
    return schedule_of(params, job.split, "base" if job.networks[0].source is None else "transferred")


def training_work(params: dict, job: Job) -> Work:
    """The arithmetic of a job: its training and, where the number of images is known, its validations.

    At the end the test images are passed once.
    """
    layers, schedule = job_layers(params, job), job_schedule(params, job)
    images = schedule["steps"] * schedule["batch_size"]
    size = task_size(params, job.dataset, job.split, job.networks[0].target)
    seen = schedule["validations"] * (size.validation or 0) + (size.test or 0)
    forward = forward_work(layers, job.networks)
    backward = sum(backward_work(layers, network) for network in job.networks)
    return Work(forward * (images + seen), backward * images)


def checkpoint_bytes(layers: tuple[Stage, ...]) -> int:
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

    The process, the task's images where they are held, of each network weights, best weights, gradients and
    velocities, and what a batch leaves in the layers of one network for the way back: the outputs of each, and what
    norm, ReLU and pooling make of them.
    """
    size, layers = task_size(params, job.dataset, job.split, job.networks[0].target), job_layers(params, job)
    batch = job_schedule(params, job)["batch_size"]
    if size.pixels and size.validation is None:
        images = UNKNOWN_MB * 1e6
    else:
        parts = [size.train, size.validation, size.test]
        images = sum(min(IN_MEMORY, size.pixels * (count or 0)) for count in parts)
    networks = 4 * len(job.networks) * checkpoint_bytes(layers)
    left = 4 * 4 * batch * sum(layer.outputs for layer in layers)
    return max(LEAST_MB, PROCESS_MB + math.ceil(MARGIN * (images + networks + left) / 1e6))


NAMES = {
    "base": "base{target}",
    "curve": "{source}{n}{target}{plus}",
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
