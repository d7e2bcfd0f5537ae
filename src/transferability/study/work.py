"""Work: what the jobs of a study compute, and what they ask for in time and memory, from its params alone.

Arithmetic is counted in FLOPs of convolutions and linear layers, two a multiply-add: a forward pass; and backward one
for the weights and one for the input of each stage that learns, but for the input of the lowest of them. The stages
that frozen networks of one job share are passed once.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise

from transferability.errors import InputError
from transferability.networks.notation import SIDES, Network, parse_network
from transferability.networks.recipes import PLAIN, Recipe, frozen_below, shared_below, stages_learning
from transferability.networks.stages import Stage
from transferability.study.architectures import stages_of
from transferability.study.jobs import Job
from transferability.study.probes import PLACES, pooling_section, probe_patching, reads_patches
from transferability.study.recipes import network_patches, network_recipe, network_schedule, trials_of
from transferability.study.scores import score_options
from transferability.study.sizes import task_size

START = 2.2
"""Seconds of a core that a job takes before and after its work; measured where Python and torch were in memory."""

# That of `data.tasks`, whose import would take longer than all of this.
IN_MEMORY = 2 * 2**30
CACHE = 256 * 2**20
"""Bytes of what frozen stages give for training images that are kept at most; of `training.caching`."""
PROCESS_MB = 700
"""Memory of a training process before it holds images and networks, as measured."""

MARGIN = 2
"""How much more than expected a job asks of a cluster, in time and memory."""
LEAST_MINUTES, LEAST_MB = 10, 2000
UNKNOWN_MINUTES = 240
"""What a job asks where no rate of its architecture is given; as every other request it grows with each attempt."""
COPIES, GRID = 4, 9000
"""How often a probe's features of a cut are in memory at once, in double precision; values of a grid if not said."""
KEPT_PATCHES = 0.05
"""The share of patches whose features are in memory, COPIES of them: training ones that show one object, or drawn."""
UNKNOWN_MB = 4000
"""What images take in memory before they are packed, if they will be stored as pixels."""


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


def job_stages(params: dict, job: Job) -> tuple[Stage, ...]:
    """The stages of a job's networks."""
    network = job.networks[0]
    classes = task_size(params, job.dataset, job.split, network.target).classes
    stages = stages_of(params, job.architecture, job.dataset, classes)
    if stages is None:
        raise InputError(f"architectures.{job.architecture}: its stages are not known; name it in study.architecture")
    hidden = job_recipe(params, job).hidden
    return (*stages[:-1], with_hidden(stages[-1], hidden, classes)) if hidden else stages


def job_recipe(params: dict, job: Job) -> Recipe:
    """The recipe of a job's networks; a probe trains by none."""
    return network_recipe(params, job.networks[0])


def with_hidden(head: Stage, hidden: tuple[int, ...], classes: int) -> Stage:
    """A head, of one linear layer, with further ones of some widths below it."""
    features = round(head.parameters / classes) - 1
    widths = (features, *hidden, classes)
    products = sum(below * above for below, above in pairwise(widths))
    added = products - features * classes
    return replace(
        head,
        parameters=head.parameters + added + sum(hidden),
        multiply_adds=head.multiply_adds + added,
        outputs=head.outputs + 2 * sum(hidden),
    )


def learning_stages(stages: tuple[Stage, ...], network: Network, recipe: Recipe) -> tuple[list[bool], int]:
    """Which stages of a network learn at any time, and how many frozen ones lie below the lowest of them."""
    learning = stages_learning(network, recipe, tuple(stage.name for stage in stages))
    return [bool(stage.rate) for stage in learning], frozen_below(learning)


def forward_work(stages: tuple[Stage, ...], networks: Iterable[Network], recipe: Recipe = PLAIN) -> int:
    """Multiply-adds of one image's forward pass through networks of one job, whose frozen stages are passed once."""
    each = [stage.multiply_adds for stage in stages]
    names = tuple(stage.name for stage in stages)
    frozen = [shared_below(stages_learning(network, recipe, names), recipe) for network in networks]
    return sum(each[: max(frozen)]) + sum(sum(each[n:]) for n in frozen)


def backward_work(stages: tuple[Stage, ...], network: Network, recipe: Recipe = PLAIN) -> int:
    """Multiply-adds of one image's backward pass, for the weights of the stages that learn and for the input of all
    above the lowest of them."""
    learns, lowest = learning_stages(stages, network, recipe)
    each = [stage.multiply_adds for stage in stages]
    weights = sum(work for work, learn in zip(each, learns, strict=True) if learn)
    return weights + sum(each[lowest + 1 :])


def job_schedule(params: dict, job: Job) -> dict:
    """The schedule by which a job's networks are trained."""
    return network_schedule(params, job.split, job.networks[0])


def training_work(params: dict, job: Job) -> Work:
    """The arithmetic of a job: its training, once for each learning rate that is tried, and, where the number of images
    is known, its validations.

    At the end the test images are passed once.
    """
    stages, schedule, recipe = job_stages(params, job), job_schedule(params, job), job_recipe(params, job)
    trials, images = trials_of(params, job.networks[0]), schedule["steps"] * schedule["batch_size"]
    size = task_size(params, job.dataset, job.split, job.networks[0].target)
    patches = network_patches(params, job.networks[0])
    seen = patches * (schedule["validations"] * (size.validation or 0) + (size.test or 0))
    forward = forward_work(stages, job.networks, recipe)
    backward = sum(backward_work(stages, network, recipe) for network in job.networks)
    return Work(trials * forward * (images + seen), trials * backward * images)


def checkpoint_bytes(stages: tuple[Stage, ...]) -> int:
    """The size of a network's file, but for some kilobytes of names."""
    return sum(4 * stage.parameters + stage.buffers for stage in stages)


def reference_work(params: dict, architecture: str) -> Work:
    """The arithmetic of an image of what an architecture's rate is of: a base network of the study's first data set."""
    study = params["study"]
    base = parse_network("baseA")
    stages = job_stages(params, Job(study["dataset"][0], architecture, study["split"][0], study["seed"][0], (base,)))
    return Work(forward_work(stages, [base]), backward_work(stages, base))


def work_seconds(params: dict, architecture: str, work: Work, rates: dict[str, float]) -> float | None:
    """The time that some arithmetic takes on one core or GPU; None where there is no rate of the architecture."""
    if architecture not in rates:
        return None
    return rates[architecture] / 1000 * work.total / reference_work(params, architecture).total


def minutes_with_margin(seconds: float) -> int:
    """The minutes that work of so many seconds is given, its start among them."""
    return math.ceil(MARGIN * (START + seconds) / 60)


def training_minutes(params: dict, job: Job) -> int:
    """The minutes that a training job asks for."""
    seconds = work_seconds(params, job.architecture, training_work(params, job), params.get("rates", {}))
    return UNKNOWN_MINUTES if seconds is None else max(LEAST_MINUTES, minutes_with_margin(seconds))


def evaluation_minutes(params: dict, job: Job) -> int:
    """The minutes that evaluating a training job's networks asks for."""
    size, stages = task_size(params, job.dataset, job.split, job.networks[0].target), job_stages(params, job)
    if size.test is None:
        return UNKNOWN_MINUTES
    images = network_patches(params, job.networks[0]) * (size.test + (size.validation or 0))
    forward = len(job.networks) * sum(stage.multiply_adds for stage in stages) * images
    seconds = work_seconds(params, job.architecture, Work(forward, 0), params.get("rates", {}))
    return UNKNOWN_MINUTES if seconds is None else max(LEAST_MINUTES, minutes_with_margin(seconds))


def probe_views(params: dict, job: Job) -> int:
    """In how many views a job's probe reads each image, or how many patches of it."""
    name = job.networks[0].option
    if reads_patches(params, name):
        return probe_patching(params, name).count
    return params["probes"][name].get("views", 1)


def probe_images(params: dict, job: Job) -> int:
    """How many images a job's probe reads, those of each view and, where it learns from it, of the other task."""
    target, teacher = job.networks[0].target, params["probes"][job.networks[0].option].get("learn_from", "target")
    sides = [target] if teacher == "target" else SIDES
    sizes = (task_size(params, job.dataset, job.split, side) for side in sides)
    counts = (count or 0 for size in sizes for count in (size.train, size.validation, size.test))
    return probe_views(params, job) * sum(counts)


def probing_work(params: dict, job: Job) -> Work:
    """The arithmetic of a job of a probe but for its fits: a pass of the target's images a view, up to its last cut."""
    images, stages = probe_images(params, job), job_stages(params, job)
    return Work(images * sum(stage.multiply_adds for stage in stages[: max(probe.n for probe in job.networks)]), 0)


def scoring_work(params: dict, job: Job) -> Work:
    """The arithmetic of a job of scores but for the scores: a pass of the target's training images to the head."""
    images = task_size(params, job.dataset, job.split, job.networks[0].target).train or 0
    return Work(images * sum(stage.multiply_adds for stage in job_stages(params, job)), 0)


def reading_minutes(params: dict, job: Job, work: Work) -> int:
    """The minutes that a job asks for that reads features; what follows at each cut takes what no rate tells, and has
    some of its own."""
    size = task_size(params, job.dataset, job.split, job.networks[0].target)
    seconds = work_seconds(params, job.architecture, work, params.get("rates", {}))
    if size.train is None or seconds is None:
        return UNKNOWN_MINUTES
    return LEAST_MINUTES * len(job.networks) + minutes_with_margin(seconds)


def probing_minutes(params: dict, job: Job) -> int:
    """The minutes that a job of a probe asks for."""
    return reading_minutes(params, job, probing_work(params, job))


def scoring_minutes(params: dict, job: Job) -> int:
    """The minutes that a job of scores asks for."""
    return reading_minutes(params, job, scoring_work(params, job))


def pooled_values(stage: Stage, pooling: dict) -> int:
    """How many values a stage gives for an image when they are pooled, at most."""
    if pooling["kind"] in ("full", PLACES):
        return math.prod(stage.shape)
    if pooling["kind"] == "grid":
        return min(math.prod(stage.shape), 2 * pooling.get("values", GRID))
    return max(stage.shape)


def reading_mb(params: dict, job: Job, images: int, pooling: dict) -> int:
    """The main memory that a job asks for that reads features of so many images, in megabytes: a network's, and that of
    the features of a cut."""
    stages = job_stages(params, job)
    values = max(pooled_values(stages[read.n - 1], pooling) for read in job.networks)
    return memory_mb(params, replace(job, networks=job.networks[:1])) + math.ceil(COPIES * 8 * images * values / 1e6)


def probing_mb(params: dict, job: Job) -> int:
    """The main memory that a job of a probe asks for, in megabytes."""
    images, name = probe_images(params, job), job.networks[0].option
    if reads_patches(params, name):
        images = math.ceil(KEPT_PATCHES * images)
    return reading_mb(params, job, images, pooling_section(params, name))


def scoring_mb(params: dict, job: Job) -> int:
    """The main memory that a job of scores asks for, in megabytes."""
    images = task_size(params, job.dataset, job.split, job.networks[0].target).train or 0
    return reading_mb(params, job, images, score_options(params)["pooling"])


def memory_mb(params: dict, job: Job) -> int:
    """The main memory that a job of a training job's networks asks for, in megabytes.

    The process, the task's images where they are held, of each network weights, best weights, gradients and
    velocities, and what a batch leaves in the stages of one network for the way back: the outputs of each, and what
    norm, ReLU and pooling make of them; and what frozen stages give, where it is kept.
    """
    size, stages = task_size(params, job.dataset, job.split, job.networks[0].target), job_stages(params, job)
    batch = job_schedule(params, job)["batch_size"]
    if size.pixels and size.validation is None:
        images = UNKNOWN_MB * 1e6
    else:
        parts = [size.train, size.validation, size.test]
        images = sum(min(IN_MEMORY, size.pixels * (count or 0)) for count in parts)
    networks = 4 * len(job.networks) * trials_of(params, job.networks[0]) * checkpoint_bytes(stages)
    left = 4 * 4 * batch * sum(stage.outputs for stage in stages)
    cached = CACHE if any(network.frozen for network in job.networks) else 0
    return max(LEAST_MB, PROCESS_MB + math.ceil((MARGIN * (images + networks + left) + cached) / 1e6))
