"""Scoring: the scores of some cuts of one network, for one target, as one JSON file a cut.

They are named after the network that would copy the stages: `A5B-scores` are those of stages 1 to 5 of baseA on the
training images of task B, `R5B-scores` those of stages as they were drawn. At the head, from the source's own classes,
there are LEEP and NCE, the same in all files of a source.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from scipy.special import softmax

from transferability import files, provenance
from transferability.devices import choose_device, fitting
from transferability.errors import InputError, exit_plainly
from transferability.evaluation.features import Source, pass_seconds
from transferability.evaluation.labelled import Labelled, check_memory
from transferability.evaluation.pooling import Pooling
from transferability.evaluation.probing import (
    ProbedTask,
    Read,
    add_reading_options,
    parse_probe,
    section,
)
from transferability.evaluation.scores import HEAD_SCORES, SCORES, Score
from transferability.locks import locked
from transferability.networks import notation
from transferability.networks.notation import RANDOM, Network

PART = "train"
"""The images that are scored: what a choice made by scores may look at."""


def parse_scores(name: str) -> Network:
    """The cut that the name of scores means, such as A5B-scores; anything else is an InputError."""
    network = parse_probe(name)
    if network.option != notation.SCORES or network.fine_tune or network.preserved:
        raise InputError(f"{name!r} names no scores; names are like A5B-scores, R5B-scores or P5B-scores")
    return network


def timed(compute: Callable[[], Score]) -> dict:
    """A score, its null, and the seconds that both took; where there is none, the reason."""
    started, reason = time.perf_counter(), None
    try:
        score = asdict(compute())
    except InputError as error:
        score, reason = {"value": None, "null": None, "null_deviation": None}, str(error)
    return {**score, "seconds": round(time.perf_counter() - started, 3), "reason": reason}


@dataclass(frozen=True)
class Asked:
    """How scores are made: how features are pooled, and for the null how often labels are permuted, from which seed."""

    pooling: Pooling
    permutations: int
    seed: int

    @property
    def null(self) -> tuple[int, int]:
        return self.permutations, self.seed


@dataclass(frozen=True)
class Scored:
    """A network's features of a target's training images by cut, those after its last stage among them, and what is
    asked of them; `seconds` is what the pass took."""

    source: Source
    data: ProbedTask
    features: dict[int, np.ndarray]
    asked: Asked
    seconds: float

    @classmethod
    def read(cls, source: Source, data: ProbedTask, cuts: list[int], asked: Asked, folder: Path) -> "Scored":
        """Read the features of some cuts and of the head, which are stored in a folder, a folder a part."""
        cuts = [*cuts, len(source.network)]
        (features,) = data.features(folder, source, cuts, asked.pooling, 1)[PART]
        return cls(source, data, features, asked, pass_seconds(folder / PART, cuts, asked.pooling))

    @property
    def labels(self) -> np.ndarray:
        return self.data.task.labels[PART]

    def scores(self, n: int) -> dict[str, dict]:
        """The scores of a cut's features."""
        check_memory(self.features[n])
        return {name: timed(partial(self.score, score, n)) for name, score in SCORES.items()}

    def score(self, score: Callable[..., Score], n: int) -> Score:
        """A score of a cut's features."""
        return score(Labelled(self.features[n], self.labels), *self.asked.null)

    @cached_property
    def probabilities(self) -> np.ndarray:
        """What the network says of its own classes, (N, Z)."""
        return softmax(self.features[len(self.source.network)].astype(np.float64), axis=1)

    @cached_property
    def head(self) -> dict[str, dict]:
        """The scores of the network's own predictions; none of one that was not trained to make them."""
        card = self.source.card
        trained = card.network == "pretrained" or notation.parse_network(card.network).source != RANDOM
        if not trained or len(card.classes) < 2:
            return {}
        return {name: timed(partial(self.head_score, score)) for name, score in HEAD_SCORES.items()}

    def head_score(self, score: Callable[..., Score]) -> Score:
        """A score of the network's own predictions."""
        logits = self.features[len(self.source.network)]
        return score(self.probabilities, Labelled(logits, self.labels), *self.asked.null)


def scores_of(identity: Network, model_sha256: str, scored: Scored) -> dict:
    """What is written of one cut."""
    stages = [name for name, _ in scored.source.network.named_children()]
    features = scored.features[identity.n]
    return {
        "network": identity.name,
        "treatment": identity.treatment,
        **asdict(identity),
        "stage": stages[identity.n - 1],
        "head_stage": stages[-1],
        "depth": len(stages),
        "model_sha256": model_sha256,
        "seen": identity.has_seen_target,
        "part": PART,
        "images": len(features),
        "values": features.shape[1],
        "classes": len(scored.data.task.classes),
        "source_classes": len(scored.source.card.classes),
        "pooling": asdict(scored.asked.pooling),
        "permutations": scored.asked.permutations,
        "seed": scored.asked.seed,
        "pass_seconds": scored.seconds,
        "scores": scored.scores(identity.n),
        "head": scored.head,
        "code": provenance.fingerprint("evaluation.scoring", f"networks.{scored.source.card.architecture.library}"),
    }


def reasons(content: dict) -> Iterator[str]:
    """Why scores of a cut have no value, each reason once."""
    every = [*content["scores"].values(), *content["head"].values()]
    yield from dict.fromkeys(score["reason"] for score in every if score["reason"])


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Score the features of some cuts of one network, for one target.")
    add_reading_options(parser)
    parser.add_argument("--permutations", type=int, default=10, help="of labels, for the null (10)")
    parser.add_argument("--seed", type=int, default=0, help="of the permutations (0)")
    parser.add_argument(
        "--scores", type=Path, nargs="+", required=True, help="files to write, one a cut: .../A5B-scores.json"
    )
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    if arguments.permutations < 2:
        raise InputError(f"--permutations: {arguments.permutations} give no null with a deviation; take 2 or more")
    asked = Asked(section(arguments.pooling, Pooling, "--pooling"), arguments.permutations, arguments.seed)
    device = choose_device(arguments.device, arguments.threads)
    named = [parse_scores(path.stem) for path in arguments.scores]
    card, network, identities, target, cuts = Read.of(arguments.model, arguments.shape, named, "--scores")
    data = ProbedTask.open(arguments.split, target, arguments.packed, (PART,))
    # Who comes second finds the features that the first has made.
    with (
        locked(arguments.features.with_suffix(".lock"), wait=True),
        fitting("scoring: the network and its images", "let fewer jobs share a GPU, or set device to cpu"),
    ):
        source = Source(network.to(device), card, device)
        scored = Scored.read(source, data, cuts, asked, arguments.features)
    model_sha256 = files.sha256(arguments.model)
    for identity, path in zip(identities, arguments.scores, strict=True):
        content = scores_of(identity, model_sha256, scored)
        for reason in reasons(content):
            print(f"{identity.name}: no score: {reason}", file=sys.stderr)
        files.write_json(path, content)


if __name__ == "__main__":
    exit_plainly(main)
