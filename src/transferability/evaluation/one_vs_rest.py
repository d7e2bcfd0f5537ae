"""One versus the rest: probes of images of several labels, a classifier of two sides for each class.

All classes share a choice, that of the best mean average precision on images held out. An image of which a class is
difficult is no example of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from transferability.data.tasks import DIFFICULT
from transferability.errors import InputError
from transferability.evaluation.labelled import Labelled
from transferability.evaluation.probes import (
    Choice,
    Draw,
    Fitted,
    Preparation,
    Probe,
    Sample,
    best_choice,
    combined,
    neighbour_candidates,
)
from transferability.training.precision import mean_average_precision
from transferability.words import in_words

FEWEST = 2
"""Images that must show a class, and that must not: one may be held out."""


@dataclass(frozen=True)
class SeveralLabels:
    """Features (views·N, D) and labels (N, K) of 1, 0 or DIFFICULT, of the named classes; else an InputError.

    Rows are as those of `Labelled`: all images in the first view, then in the second, ...
    """

    features: np.ndarray
    labels: np.ndarray
    classes: list[str]
    views: int = 1

    def __post_init__(self) -> None:
        if len(self.features) != self.views * len(self.labels):
            raise InputError(f"features: {len(self.features)} rows do not fit the labels of {len(self.labels)} images")
        for value, how in ((1, "shown by"), (0, "missing in")):
            few = [name for name, own in zip(self.classes, self.labels.T, strict=True) if (own == value).sum() < FEWEST]
            if few:
                raise InputError(
                    f"labels: {in_words(few[:5])} is {how} less than {FEWEST} training images, from which nothing can "
                    "be learnt; add images, or leave the class out"
                )
        # The first class stands for all: features are checked once.
        self.side(0)

    @cached_property
    def rows(self) -> np.ndarray:
        """The labels of each row of the features."""
        return np.tile(self.labels, (self.views, 1))

    def side(self, column: int) -> Labelled:
        """The features of a class's examples, for it (1) and against it (0)."""
        known = self.labels[:, column] != DIFFICULT
        return Labelled(self.features[np.tile(known, self.views)], self.labels[known, column], self.views)


def held_out(labels: np.ndarray, share: float, generator: np.random.Generator) -> np.ndarray:
    """Which images (N,) are held out: a share of each class's, at least one and not all, that of the fewest first."""
    held, seen = np.zeros(len(labels), bool), np.zeros(len(labels), bool)
    positive = labels == 1
    for column in np.argsort(positive.sum(axis=0), kind="stable"):
        members = positive[:, column]
        free = generator.permutation(np.flatnonzero(members & ~seen))
        wanted = min(max(1, round(share * members.sum())), members.sum() - 1) - (members & held).sum()
        held[free[: max(0, wanted)]] = True
        seen |= members
    return held


def comparable(labels: np.ndarray, held: np.ndarray) -> np.ndarray:
    """The classes (K,) that held-out images show, and others both show and lack; candidates are compared by these."""
    rest = labels[~held]
    return (labels[held] == 1).any(axis=0) & (rest == 1).any(axis=0) & (rest == 0).any(axis=0)


@dataclass(frozen=True)
class Classifiers:
    """What was fitted for each class."""

    each: list[Fitted]

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Values (n, K), the larger the more an image shows the class; those of logistic regression are its logits."""
        return np.stack([np.diff(fitted(features), axis=1)[:, 0] for fitted in self.each], axis=1)


@dataclass
class Paths:
    """What fits a probe's classifiers to the examples of each class, for a choice."""

    probe: Probe
    samples: list[Sample]

    @classmethod
    def of(cls, probe: Probe, features: np.ndarray, labels: np.ndarray, generator: np.random.Generator) -> "Paths":
        """Of prepared features (n, D) and their labels (n, K)."""
        known = [(own != DIFFICULT, own) for own in labels.T]
        return cls(probe, [Sample(features[mask], own[mask].astype(np.int64), generator) for mask, own in known])

    def fit(self, choice: float, final: bool) -> tuple[Classifiers, list[float]]:
        """The classifiers for a choice, and it, if a solver had not settled."""
        everything, each, unsettled = slice(None), list[Fitted](), list[float]()
        for sample in self.samples:
            if self.probe.classifier in ("svm", "logreg"):
                path = sample.linear_path(self.probe, everything)
                each.append(path.fit(choice, final))
                unsettled += path.unsettled
            else:
                each.append(sample.path(self.probe, everything)(choice))
        return Classifiers(each), unsettled


def choose(probe: Probe, features: np.ndarray, data: SeveralLabels, generator: np.random.Generator) -> Choice:
    """The candidate with the best mean average precision on images held out; class means have no choice."""
    if probe.classifier == "centroid":
        return Choice(None)
    chosen = held_out(data.labels, probe.held, generator)
    held, asked = np.tile(chosen, data.views), comparable(data.labels, chosen)
    known = int((data.rows[~held] != DIFFICULT).sum(axis=0).min())
    candidates = neighbour_candidates(probe, known) if probe.classifier == "knn" else probe.candidates
    if len(candidates) == 1 or not asked.any():
        return Choice(candidates[0], candidates[:1])
    paths, truth = Paths.of(probe, features[~held], data.rows[~held][:, asked], generator), data.labels[chosen]
    precisions = []
    for candidate in candidates:
        values = combined(paths.fit(candidate, final=False)[0](features[held]), probe)
        precisions.append(mean_average_precision(values, truth[:, asked]))
    return best_choice(candidates, precisions)


def run_one_vs_rest(probe: Probe, data: SeveralLabels, parts: Mapping[str, np.ndarray]) -> list[Draw]:
    """Fit a probe to all training images, and read features (views·n, D) of other parts by it: one draw of (n, K)."""
    if probe.images_per_class is not None or probe.learn_from != "target":
        raise InputError(
            "probes: images_per_class, redraw and learn_from draw images of one label; where they have several, leave "
            "these out, and give the split a volume"
        )
    generator = np.random.default_rng((probe.seed, 0))
    prepare = Preparation.of(probe, data.features)
    features = prepare(data.features)
    choice = choose(probe, features, data, generator)
    classifiers, unsettled = Paths.of(probe, features, data.rows, generator).fit(choice.number, final=True)
    decisions = {part: combined(classifiers(prepare(own)), probe) for part, own in parts.items()}
    return [Draw(choice, unsettled, len(data.labels), decisions)]
