"""Jobs: the training jobs of a study, each the networks of a curve or one network, and those that read features."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product

from transferability.networks.notation import RANDOM, SIDES, Network
from transferability.study.architectures import depth_of
from transferability.study.grid import cuts, expand_curve, study_networks
from transferability.study.probes import read_network
from transferability.study.recipes import is_trained
from transferability.study.scores import scored_networks


@dataclass(frozen=True)
class Job:
    """One training job: the networks of a curve, or one, of a seed of a split; `source` is the base network that it
    waits for, if any. Or one job of a probe, or of scores, at the cuts of a curve, or at one."""

    dataset: str
    architecture: str
    split: str
    seed: int
    networks: tuple[Network, ...]

    @property
    def source(self) -> str | None:
        source = self.networks[0].source
        return f"base{source}" if source in SIDES else None

    @property
    def name(self) -> str:
        return self.networks[0].curve if len(self.networks) > 1 else self.networks[0].name


NAMES = {
    "base": "base{target}{recipe}",
    "curve": "{source}{n}{target}{plus}{recipe}",
    "random": "R{n}{target}{recipe}",
    "preserved": "{source}{n}{target}-k{k}{recipe}",
    "evaluate": "{network}",
    "evaluate_curve": "{source}{n}{target}{plus}{recipe}",
    "probe": "{source}{n}{target}-{probe}",
    "probe_tuned": "{source}{n}{target}+-{probe}",
    "scores": "{source}{n}{target}-scores",
    "export": "baseA",
}
"""The network, or where there is no wildcard n the curve, that a job of a rule is about, from its wildcards."""


def trains_curves(params: dict) -> bool:
    """Whether a job trains a curve. Where architectures are cut at different stages, a job trains one network."""
    if params["jobs"] == "network":
        return False
    return len({tuple(cuts(params, architecture)) for architecture in params["study"]["architecture"]}) == 1


def trains_random_alone(params: dict) -> bool:
    """Whether a job trains one random network: where all are there for probes and scores, which read that cut last."""
    study = params["study"]
    random = [
        network
        for architecture, split in product(study["architecture"], study["split"])
        for network in (*study_networks(params, architecture, split), *scored_networks(params, architecture, split))
        if network.source == RANDOM
    ]
    return bool(random) and not any(is_trained(params, network) for network in random)


def own_name(rule: str) -> str:
    """The name of a rule here, whatever a workflow that takes it in has put before it, as in transferability_base."""
    return max((name for name in NAMES if f"_{rule}".endswith(f"_{name}")), key=len)


def rule_job(params: dict, rule: str, wildcards: Mapping[str, str]) -> Job:
    """The training job that made, or will make, the networks of a workflow's job."""
    values = dict(wildcards.items())
    architecture = values["architecture"]
    name = NAMES[own_name(rule)].format_map({"n": "n", **values})
    networks = expand_curve(name, cuts(params, architecture), depth_of(params, architecture))
    return Job(values["dataset"], architecture, values["split"], int(values["seed"]), tuple(networks))


def training_curves(params: dict, architecture: str, split: str) -> list[tuple[Network, ...]]:
    """The networks of each training job of a seed of a split: what the study names, and what this needs.

    That are base networks whose stages are copied, and the networks whose stages probes and scores read.
    """
    layers, depth = cuts(params, architecture), depth_of(params, architecture)
    named = [*study_networks(params, architecture, split), *scored_networks(params, architecture, split)]
    read = [network if is_trained(params, network) else read_network(network, layers) for network in named]
    networks = [network for network in read if network]
    sources = {network.source for network in networks}
    bases = [Network(None, 0, source, fine_tune=False, preserved=0) for source in SIDES if source in sources]
    together, alone = trains_curves(params), trains_random_alone(params)
    curves: dict[str, tuple[Network, ...]] = {}
    for network in dict.fromkeys([*networks, *bases]):
        shared = together and not network.preserved and not (alone and network.source == RANDOM)
        # Asked for one of its networks, a job trains a whole curve.
        members = expand_curve(network.curve, layers, depth) if shared else [network]
        curves[network.curve if shared else network.name] = tuple(members)
    return list(curves.values())


def read_together(params: dict, named: list[Network]) -> list[tuple[Network, ...]]:
    """What reads features, by job: at the cuts of a curve, which are of one network, or at one."""
    together = trains_curves(params)
    curves: dict[str, list[Network]] = {}
    for read in named:
        # Each fine-tuned network has features of its own.
        curves.setdefault(read.curve if together and not read.fine_tune else read.name, []).append(read)
    return [tuple(networks) for networks in curves.values()]


def probed_curves(params: dict, architecture: str, split: str) -> list[tuple[Network, ...]]:
    """The probes of each job of a seed of a split."""
    networks = study_networks(params, architecture, split)
    return read_together(params, [network for network in networks if not is_trained(params, network)])


def scored_curves(params: dict, architecture: str, split: str) -> list[tuple[Network, ...]]:
    """The scores of each job of a seed of a split."""
    return read_together(params, scored_networks(params, architecture, split))


def jobs_of(params: dict, curves_of: Callable[[dict, str, str], list[tuple[Network, ...]]]) -> list[Job]:
    """A study's jobs, from what gives those of a seed of a split."""
    study = params["study"]
    return [
        Job(dataset, architecture, split, seed, networks)
        for split in study["split"]
        for dataset, architecture, seed in product(study["dataset"], study["architecture"], study["seed"])
        for networks in curves_of(params, architecture, split)
    ]


def study_jobs(params: dict) -> list[Job]:
    """The training jobs of a study: what it names, and the networks that this needs."""
    return jobs_of(params, training_curves)


def probe_jobs(params: dict) -> list[Job]:
    """The jobs of a study that read features by probes and train nothing."""
    return jobs_of(params, probed_curves)


def score_jobs(params: dict) -> list[Job]:
    """The jobs of a study that score features and train nothing."""
    return jobs_of(params, scored_curves)


def critical_path(jobs: list[Job], seconds: dict[Job, float]) -> tuple[float, list[Job]]:
    """The chain of jobs, each of which waits for the one before, that takes longest, and its seconds."""
    longest: tuple[float, list[Job]] = (0.0, [])
    bases = {(job.dataset, job.architecture, job.split, job.seed, job.name): job for job in jobs}
    for job in jobs:
        source = job.source and bases[job.dataset, job.architecture, job.split, job.seed, job.source]
        chain = [source, job] if source else [job]
        longest = max(longest, (sum(seconds[each] for each in chain), chain), key=lambda entry: entry[0])
    return longest
