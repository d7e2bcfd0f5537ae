"""Adapting: adaptation layers at some cuts of one network, as one JSON file a cut, in the form of a network's metrics.

Frozen stages read the patches of images; layers on top learn what a patch shows, from boxes. A recipe with `patches`
trains whole networks so; this is the quick look at one cut, whose features are computed once.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from transferability import files, provenance
from transferability.data.batches import normalise
from transferability.data.patched import PatchedTask
from transferability.data.tasks import Task
from transferability.devices import choose_device, fitting
from transferability.errors import exit_plainly
from transferability.evaluation.adaptation import Adaptation, Layers, learn_layers
from transferability.evaluation.convolutional import Scorer
from transferability.evaluation.features import BATCH, Source, check_cuts, stage_features
from transferability.evaluation.metrics import SCORED
from transferability.evaluation.patch_scores import PatchScores, read_convolved
from transferability.evaluation.pooling import Pooling
from transferability.evaluation.probing import Read, parse_arguments, parse_probe, reading_metrics, section
from transferability.networks.notation import Network


@dataclass(frozen=True)
class Reader:
    """A network's stages that read patches, and how what they give is pooled."""

    source: Source
    cuts: list[int]
    pooling: Pooling

    def features(self, patches: Tensor) -> dict[int, np.ndarray]:
        """The features of patches uint8 (P, C, h, w) at each cut, {n: float32 (P, D)}."""
        card, batches = self.source.card, patches.split(BATCH)
        parts = [
            stage_features(
                self.source.network,
                normalise(batch.to(self.source.device), card.mean, card.std, card.channels),
                self.cuts,
                self.pooling,
            )
            for batch in batches
        ]
        return {n: np.concatenate([part[n] for part in parts]) for n in self.cuts}

    def read(self, patched: PatchedTask, part: str, chosen: list[np.ndarray]) -> Iterator[dict[int, np.ndarray]]:
        """The features of the chosen patches of one image after another, of those that have some."""
        for index, rows in enumerate(chosen):
            if len(rows):
                pairs = np.stack([np.full(len(rows), index), rows], axis=1)
                images = patched.images_of(part, pairs, self.source.card.shape)
                yield self.features(torch.from_numpy(images[np.arange(len(rows))]))


def learn(reader: Reader, patched: PatchedTask, adaptation: Adaptation) -> dict[int, Layers]:
    """Layers at each cut, learnt from the patches of training images."""
    patched.check_lessons()
    lessons = patched.lessons("train")
    labels = np.concatenate([own for _, own in lessons])
    read = list(reader.read(patched, "train", [rows for rows, _ in lessons]))
    return {
        n: learn_layers(adaptation, np.concatenate([each[n] for each in read]), labels, len(patched.names))
        for n in reader.cuts
    }


def patch_scores(reader: Reader, layers: dict[int, Layers], patched: PatchedTask, part: str) -> dict[int, np.ndarray]:
    """What the layers at each cut give for all patches of a part, {n: float32 (images, P, K)}, without background."""
    every = [np.arange(len(patched.grid))] * len(patched.task.labels[part])
    scores: dict[int, list[np.ndarray]] = {n: [] for n in reader.cuts}
    for features in reader.read(patched, part, every):
        for n, values in features.items():
            scores[n].append(layers[n](values)[:, :-1])
    return {n: np.stack(each) for n, each in scores.items()}


def read_one_by_one(reader: Reader, layers: dict[int, Layers], patched: PatchedTask) -> dict[int, PatchScores]:
    """Validation and test images, patch by patch."""
    scores = {part: patch_scores(reader, layers, patched, part) for part in SCORED}
    return {
        n: PatchScores.of(patched, {part: each[n] for part, each in scores.items()}, patched.corners)
        for n in reader.cuts
    }


def scores_of(reader: Reader, layers: dict[int, Layers], n: int) -> Callable[[Tensor], np.ndarray]:
    """What gives the scores (P, K) of patches uint8 (P, C, h, w) at a cut, without background."""
    return lambda patches: layers[n](replace(reader, cuts=[n]).features(patches)[n])[:, :-1]


def read_densely(reader: Reader, layers: dict[int, Layers], patched: PatchedTask) -> dict[int, PatchScores]:
    """Validation and test images, each size of patches in one pass."""
    adapted = {}
    for n in reader.cuts:
        scorer = Scorer.of(reader.source, n, reader.pooling, layers[n])
        adapted[n] = read_convolved(scorer, patched, scores_of(reader, layers, n), reader.source.device)
    return adapted


def adapt(reader: Reader, patched: PatchedTask, adaptation: Adaptation) -> dict[int, PatchScores]:
    """Adaptation layers at each cut, read on validation and test images."""
    check_cuts(reader.source.network, reader.cuts)
    layers = learn(reader, patched, adaptation)
    return (read_densely if adaptation.dense else read_one_by_one)(reader, layers, patched)


def adapted_metrics(identity: Network, checkpoint: Path, source: Source, task: Task, block: dict) -> dict:
    """The metrics of adaptation layers but for their scores, in the form of a network's."""
    return {
        **reading_metrics(identity, checkpoint, source, task),
        "images_seen": len(task.labels["train"]),
        "probe": block,
        "code": provenance.fingerprint("evaluation.adapting", f"networks.{source.card.architecture.library}"),
    }


def main() -> None:
    arguments = parse_arguments()
    adaptation = section(arguments.probe, Adaptation, "--probe")
    pooling = section(arguments.pooling, Pooling, "--pooling")
    device = choose_device(arguments.device, arguments.threads)
    named = [parse_probe(path.stem) for path in arguments.metrics]
    card, network, identities, target, cuts = Read.of(arguments.model, arguments.shape, named)
    patched = PatchedTask.open(arguments.split, target, arguments.packed, adaptation)
    with fitting("adapting: the network and its patches", "let fewer jobs share a GPU, or set device to cpu"):
        source = Source(network.to(device), card, device)
        adapted = adapt(Reader(source, cuts, pooling), patched, adaptation)
    for identity, path in zip(identities, arguments.metrics, strict=True):
        own = adapted[identity.n]
        block = {
            "name": identity.option,
            **asdict(adaptation),
            "pooling": asdict(pooling),
            "patches": {"per_image": len(own.corners), "learnt": patched.shown("train")},
            **own.block(patched),
        }
        scores = {part: own.part_scores(patched.task, part) for part in SCORED}
        files.write_json(path, adapted_metrics(identity, arguments.model, source, patched.task, block) | scores)


if __name__ == "__main__":
    exit_plainly(main)
