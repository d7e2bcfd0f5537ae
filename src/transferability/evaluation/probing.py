"""Probing: a probe at some cuts of one network, as one JSON file a cut, in the form of a network's metrics.

A probe is named after what it reads: `A5B-svm` reads stages 1 to 5 of baseA, `R5B-svm` those that were drawn, `P5B-svm`
the pretrained ones, and `A5B+-svm` the fine-tuned network's own; each for the classes of task B.
"""

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import nn

from transferability import files, provenance
from transferability.data.packed import PARTS, open_packed
from transferability.data.tasks import MULTI, SINGLE, Task, members_of, open_task
from transferability.devices import choose_device, fitting
from transferability.errors import InputError, exit_plainly
from transferability.evaluation.features import ImageSet, Source, hash_names, pass_seconds, stored_features
from transferability.evaluation.labelled import Labelled
from transferability.evaluation.metrics import SCORED, SCORERS, labels_word
from transferability.evaluation.one_vs_rest import SeveralLabels, run_one_vs_rest
from transferability.evaluation.pooling import Pooling
from transferability.evaluation.probes import Draw, Probe, accuracies, over_draws, run_probe
from transferability.evaluation.views import VIEWS
from transferability.forms.split import Split
from transferability.locks import locked
from transferability.networks.checkpoints import Card, load_network
from transferability.networks.notation import PRETRAINED, RANDOM, SIDES, Network, parse_network
from transferability.words import in_words

Record = TypeVar("Record")

PartFeatures = dict[str, list[dict[int, np.ndarray]]]
"""Of each part and view the features at each cut, (N, D)."""


def parse_probe(name: str) -> Network:
    """What a probe's name means, such as A5B-svm; one that names no probe of a cut is an InputError."""
    base, _, probe = name.rpartition("-")
    if base.startswith("base"):
        raise InputError(f"{name!r} is no probe: it says no cut; B5B-{probe} reads stages 1 to 5 of baseB")
    network = parse_network(name)
    if not network.option:
        raise InputError(f"{name!r} is no probe; names are like A5B-svm, R5B-svm or A5B+-logreg")
    return network


def check_source(probe: Network, path: Path, card: Card) -> None:
    """Refuse a checkpoint that does not hold the stages which a probe's name means."""
    read = replace(probe, option="").name
    if probe.fine_tune or probe.preserved:
        right, words = card.network == read, read
    elif probe.source == PRETRAINED:
        right, words = card.network == "pretrained", "the pretrained network"
    elif probe.source == RANDOM:
        right, words = is_random(card.network, probe.n), f"a random network with {probe.n} or more drawn stages"
    else:
        right, words = card.network == f"base{probe.source}", f"base{probe.source}"
    if not right:
        raise InputError(f"{probe.name} reads {words}, and {path} is {card.network}; name its checkpoint")


def is_random(name: str, n: int) -> bool:
    """Whether a network's first n stages stay as they were drawn."""
    identity = None if name == "pretrained" else parse_network(name)
    return identity is not None and identity.source == RANDOM and identity.n >= n


@dataclass(frozen=True)
class ProbedTask:
    """A target's task, and of each part that is read the hash of its images."""

    task: Task
    hashes: dict[str, str]

    @classmethod
    def open(cls, split: Path, side: str, packed: Path, parts: tuple[str, ...] = PARTS) -> "ProbedTask":
        """Read some parts of a split's task; a split in which one has no images is an InputError."""
        task, images = open_task(split, side, packed, parts), open_packed(packed).hashes
        chosen = files.read_json(split, Split)
        members = {part: members_of(chosen, side, part).indices for part in parts}
        return cls(task, {part: hash_names(images[index] for index in indices) for part, indices in members.items()})

    def features(self, folder: Path, source: Source, cuts: list[int], pooling: Pooling, views: int) -> PartFeatures:
        """The features of each part in each view at each cut, stored in the folder, a folder a part."""
        return {
            part: [
                stored_features(
                    folder / part, source, ImageSet(self.task.images[part], self.hashes[part], view), cuts, pooling
                )
                for view in VIEWS[views]
            ]
            for part in self.hashes
        }

    def labelled(self, features: PartFeatures, n: int, probe: Probe) -> Labelled:
        """The features at a cut that a probe draws from, with their labels: of training images, which every class must
        have, or of all that are divided anew."""
        parts = PARTS if probe.redraw else ("train",)
        views = [np.concatenate([features[part][view][n] for part in parts]) for view in range(probe.views)]
        values = views[0] if probe.views == 1 else np.concatenate(views)
        labelled = Labelled(values, np.concatenate([self.task.labels[part] for part in parts]), probe.views)
        if len(labelled.classes) < len(self.task.classes):
            missing = sorted(set(range(len(self.task.classes))) - set(labelled.classes.tolist()))
            names = ", ".join(self.task.classes[label] for label in missing)
            raise InputError(f"probes: there are no training images of {names}; change the split")
        return labelled


def short_name(name: str) -> str:
    """A class's name without the set that it is of: dog of photo/dog."""
    return name.rpartition("/")[2]


def like_classes(other: Labelled, named: list[str], classes: list[str]) -> Labelled:
    """Features of the other task's images, labelled by the target's classes of the same names."""
    order = {short_name(name): label for label, name in enumerate(classes)}
    if {short_name(name) for name in named} != order.keys():
        raise InputError(
            f"probes: learn_from needs the same classes in both tasks, and they have {in_words(named[:5])} and "
            f"{in_words(classes[:5])}; give them the same names, as SET/CLASS, or let the probe learn from target"
        )
    labels = np.array([order[short_name(name)] for name in named])
    return Labelled(other.features, labels[other.labels], other.views)


def mean_of(scores: list[dict]) -> dict:
    """Scores of several draws as those of one, each number their mean; counts are the same in all."""
    first = scores[0]
    if isinstance(first, Mapping):
        return {key: mean_of([draw[key] for draw in scores]) for key in first}
    if first is None or isinstance(first, int):
        return first
    return float(np.mean(scores))


def part_scores(draws: list[Draw], probe: Probe, part: str, task: Task) -> dict:
    """A part's scores, means over draws: those of a network's metrics.

    The loss is that of logistic regression alone; other classifiers give no probabilities.
    """
    scores = []
    for draw in draws:
        labels = torch.from_numpy(draw.indices.get(part, task.labels[part]))
        values = SCORERS[task.kind](torch.from_numpy(draw.decisions[part]), labels, task.classes)
        if probe.classifier != "logreg":
            values["loss"] = None
        scores.append(values)
    return mean_of(scores)


def probe_block(name: str, probe: Probe, pooling: Pooling, draws: list[Draw], task: Task) -> dict:
    """What is known of a probe beside its accuracy: what it is, what was chosen, and how draws differ."""
    return {
        "name": name,
        **asdict(probe),
        "choices": list(probe.candidates),
        "pooling": asdict(pooling),
        "chosen": [draw.choice.value for draw in draws],
        "reasons": sorted({draw.choice.reason for draw in draws} - {None}),
        "unsettled": sorted({value for draw in draws for value in draw.unsettled}),
        **(spread_of_draws(draws, task) if task.kind == SINGLE else {}),
    }


def spread_of_draws(draws: list[Draw], task: Task) -> dict:
    """How the accuracies of draws differ, of images that have one label; those of several are drawn once."""
    tops = {
        part: [accuracies(draw.decisions[part], draw.indices.get(part, task.labels[part])) for draw in draws]
        for part in SCORED
    }
    return {
        "draws_top1": {part: over_draws([top1 for top1, _ in pairs]) for part, pairs in tops.items()},
        "draws_mean_per_class": {part: over_draws([mean for _, mean in pairs]) for part, pairs in tops.items()},
    }


@dataclass(frozen=True)
class Reading:
    """A probe to be made at cuts of one network: its checkpoint, the network as loaded, and how features are pooled."""

    checkpoint: Path
    source: Source
    probe: Probe
    pooling: Pooling


def stacked(views: list[dict[int, np.ndarray]], n: int) -> np.ndarray:
    """The features of all views at a cut, (views·N, D); of a single view as they are stored."""
    return views[0][n] if len(views) == 1 else np.concatenate([view[n] for view in views])


@dataclass(frozen=True)
class Probed:
    """A task whose images a probe reads, their features, and what the passes of its training images have taken."""

    data: ProbedTask
    features: PartFeatures
    pass_seconds: float

    @classmethod
    def read(cls, data: ProbedTask, folder: Path, cuts: list[int], reading: Reading) -> "Probed":
        """Read a task's images at some cuts; features are stored in the folder."""
        pooling, views = reading.pooling, reading.probe.views
        features = data.features(folder, reading.source, cuts, pooling, views)
        return cls(data, features, sum(pass_seconds(folder / "train", cuts, pooling, view) for view in VIEWS[views]))

    def labelled(self, n: int, probe: Probe) -> Labelled:
        """The features at a cut that a probe draws from."""
        return self.data.labelled(self.features, n, probe)


def drawn_probes(n: int, probe: Probe, target: Probed, *others: Probed) -> list[Draw]:
    """The draws of a probe at a cut, which may learn from the other task's images too."""
    parts = {} if probe.redraw else {part: stacked(target.features[part], n) for part in SCORED}
    task = target.data.task
    if task.kind == MULTI:
        training = stacked(target.features["train"], n)
        return run_one_vs_rest(probe, SeveralLabels(training, task.labels["train"], task.classes, probe.views), parts)
    classes = task.classes
    elsewhere = [like_classes(other.labelled(n, probe), other.data.task.classes, classes) for other in others]
    return run_probe(probe, target.labelled(n, probe), parts, *elsewhere)


def reading_metrics(identity: Network, checkpoint: Path, source: Source, task: Task) -> dict:
    """What the metrics of whatever reads a cut have in common; what only training a network gives is null."""
    n, stages = identity.n, [stage for stage, _ in source.network.named_children()]
    return {
        "network": identity.name,
        "treatment": identity.treatment,
        **asdict(identity),
        "stage": stages[n - 1],
        "depth": len(stages),
        "model_sha256": files.sha256(checkpoint),
        "trained": True,
        "reason": None,
        **labels_word(task),
        "classes": len(task.classes),
        "train_loss": None,
        "chosen": None,
        "mean_of_ten_best": None,
        "learning": [],
    }


def probe_metrics(identity: Network, reading: Reading, probed: list[Probed]) -> dict:
    """The metrics of one probe, in the form of a network's.

    `probed` are the target's features, and those of the other task where the probe learns from it.
    """
    task, started = probed[0].data.task, time.perf_counter()
    draws = drawn_probes(identity.n, reading.probe, *probed)
    seconds = {"seconds": round(time.perf_counter() - started, 3)}
    seconds |= {"pass_seconds": round(sum(one.pass_seconds for one in probed), 3)}
    return {
        **reading_metrics(identity, reading.checkpoint, reading.source, task),
        "images_seen": draws[0].images,
        "probe": probe_block(identity.option, reading.probe, reading.pooling, draws, task) | seconds,
        "versions": provenance.versions("sklearn"),
        "code": provenance.fingerprint("evaluation.probing", f"networks.{reading.source.card.architecture.library}"),
        **{part: part_scores(draws, reading.probe, part, task) for part in SCORED},
    }


def named_cuts(probes: list[Network], network: nn.Sequential, option: str = "--metrics") -> tuple[str, list[int]]:
    """The one target of the probes that an option names, and their cuts; refuses a cut that the network lacks."""
    targets, cuts = {probe.target for probe in probes}, [probe.n for probe in probes]
    if len(targets) > 1:
        raise InputError(f"{option}: one target at a time; features are of its images")
    if deep := [n for n in cuts if n >= len(network)]:
        raise InputError(
            f"{option}: {deep[0]} is not below the last of {len(network)} stages; a cut is 1 to {len(network) - 1}"
        )
    return targets.pop(), cuts


class Read(NamedTuple):
    """A network whose stages a command reads, and what of it: the probes or scores, of one target, and their cuts."""

    card: Card
    network: nn.Sequential
    identities: list[Network]
    target: str
    cuts: list[int]

    @classmethod
    def of(cls, model: Path, shape: list[int] | None, identities: list[Network], option: str = "--metrics") -> "Read":
        """Open a checkpoint for the files that an option names; refuses what it cannot give."""
        card, network = load_network(model, (shape[0], shape[1], shape[2]) if shape else None)
        target, cuts = named_cuts(identities, network, option)
        for identity in identities:
            check_source(identity, model, card)
        return cls(card, network, identities, target, cuts)


def check_unseen(probes: list[Network], probe: Probe) -> None:
    """Refuse a probe that divides all images anew, of a network that has learnt from some of them."""
    if probe.redraw and (learnt := [one.name for one in probes if one.has_seen_target]):
        raise InputError(
            f"{learnt[0]}: with redraw the probe tests on images that the network has learnt from; "
            "read another source's stages, or leave redraw out"
        )


def section(text: str, kind: type[Record], option: str) -> Record:
    """The record that a JSON object of an option describes."""
    try:
        content = json.loads(text)
        # A record's lists do not change.
        return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in content.items()})
    except (json.JSONDecodeError, AttributeError, TypeError) as error:
        raise InputError(f"{option}: {text} does not describe one ({error})") from None


def add_reading_options(parser: argparse.ArgumentParser) -> None:
    """The options of a command that reads cuts of one network on the images of one target."""
    parser.add_argument("--split", type=Path, required=True, help="the split's file")
    parser.add_argument("--packed", type=Path, required=True, help="folder of the packed data set")
    parser.add_argument("--model", type=Path, required=True, help="checkpoint of the network whose stages are read")
    parser.add_argument(
        "--shape",
        type=int,
        nargs=3,
        help="C H W of images as the target's networks see them; the model's own if missing",
    )
    parser.add_argument("--pooling", default='{"kind": "gap"}', help='JSON, such as {"kind": "grid", "values": 9000}')
    parser.add_argument(
        "--features", type=Path, required=True, help="folder to keep features in, of this model and target"
    )
    parser.add_argument("--device", required=True, help="auto, cpu or cuda")
    parser.add_argument("--threads", type=int, required=True)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Fit a probe at some cuts of one network, for one target.")
    add_reading_options(parser)
    parser.add_argument("--probe", required=True, help='JSON, such as {"classifier": "svm", "normalisation": "l2"}')
    parser.add_argument(
        "--metrics", type=Path, nargs="+", required=True, help="files to write, one a cut: .../A5B-svm.json"
    )
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    probe, pooling = section(arguments.probe, Probe, "--probe"), section(arguments.pooling, Pooling, "--pooling")
    device = choose_device(arguments.device, arguments.threads)
    named = [parse_probe(path.stem) for path in arguments.metrics]
    card, network, identities, target, cuts = Read.of(arguments.model, arguments.shape, named)
    check_unseen(identities, probe)
    sides = {target: arguments.features}
    if probe.learn_from != "target":
        sides[SIDES[1 - SIDES.index(target)]] = arguments.features / "other"
    tasks = {side: ProbedTask.open(arguments.split, side, arguments.packed) for side in sides}
    # Who comes second finds the features that the first has made.
    with (
        locked(arguments.features.with_suffix(".lock"), wait=True),
        fitting("probing: the network and its images", "let fewer jobs share a GPU, or set device to cpu"),
    ):
        reading = Reading(arguments.model, Source(network.to(device), card, device), probe, pooling)
        probed = [Probed.read(tasks[side], folder, cuts, reading) for side, folder in sides.items()]
    for identity, path in zip(identities, arguments.metrics, strict=True):
        files.write_json(path, probe_metrics(identity, reading, probed))


if __name__ == "__main__":
    exit_plainly(main)
