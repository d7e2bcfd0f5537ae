"""Probes: classifiers that read the features at a cut, while no stage above it is kept or trained.

Linear ones are fitted by scikit-learn, after an exact change of axes: a penalty on the length of weights does not tell
axes apart, so features (N, D) may be given by min(N, D) coordinates, whatever D is.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from scipy.stats import t as student
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC

from transferability.errors import InputError
from transferability.evaluation.labelled import Labelled
from transferability.evaluation.ridge import PENALTIES, RidgePath, decompose
from transferability.evaluation.views import VIEWS
from transferability.words import in_words

CLASSIFIERS = ("svm", "logreg", "ridge", "knn", "centroid")
NORMALISATIONS = ("none", "l2", "standard")
COMBINATIONS = ("sum", "max")
TEACHERS = ("target", "other", "both")
"""The tasks whose images a probe may learn from."""

CHOICES: dict[str, tuple[float, ...]] = {
    "svm": tuple(10.0**power for power in range(-5, 5)),
    "logreg": tuple(10.0**power for power in range(-5, 5)),
    "ridge": tuple(PENALTIES),
    "knn": (1, 3, 5, 10, 20),
    "centroid": (),
}
"""What is chosen among where a probe does not say: C of svm and logreg, penalties of ridge, neighbours of knn."""

COPIES = 10
"""How often each image is seen, each time with other values dropped, where features are dropped out."""

INTERCEPT = 100.0
"""LinearSVC penalises the intercept; with a constant feature of this size, a ten-thousandth as much as a weight."""

TOLERANCES = {"svm": (1e-3, 1e-6), "logreg": (1e-5, 1e-9)}
"""Of solvers, where candidates are compared and for the one that was chosen."""

STEPS = (200, 2000)
"""The most that a solver may make, in the same two cases."""


@dataclass(frozen=True)
class Probe:
    """A classifier on features, and how they are prepared.

    `classifier` of CLASSIFIERS. `normalisation`: "none", "l2" (each image to length 1) or "standard" (each value to
    mean 0 and deviation 1 in training); before it a signed `power` of each value. `dropout` is the probability that a
    value is dropped while the classifier learns (svm, logreg). `choices` are values of C, of the penalty or of k;
    `held` is the share of training images, class by class, on which they are compared (ridge leaves out one at a time).
    `images_per_class` training images are drawn `draws` times; None takes all, once. With several `views` of an image
    the classifier learns from all, and what it gives for them is combined: "sum", divided by their number, or "max".

    With `redraw` each draw divides all images of the target anew: `images_per_class` to learn from, and the rest, at
    most `test_per_class` of each, for test. `learn_from` "other" takes images of the same classes in the other task, at
    most `other_per_class`, and "both" those too; the same images of the target are tested in all three.
    """

    classifier: str
    normalisation: str = "standard"
    power: float = 1.0
    dropout: float = 0.0
    choices: tuple[float, ...] | None = None
    held: float = 1 / 6
    images_per_class: int | None = None
    draws: int = 1
    views: int = 1
    combine: str = "sum"
    redraw: bool = False
    test_per_class: int | None = None
    learn_from: str = "target"
    other_per_class: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.classifier not in CLASSIFIERS:
            raise InputError(f"probes: there is no {self.classifier!r}; take one of {', '.join(CLASSIFIERS)}")
        if self.normalisation not in NORMALISATIONS:
            raise InputError(f"probes: normalisation is one of {', '.join(NORMALISATIONS)}, not {self.normalisation!r}")
        if not (0 <= self.dropout < 1 and self.power > 0 and 0 < self.held < 1 and self.draws >= 1):
            raise InputError(
                "probes: dropout is at least 0 and below 1, power above 0, held within 0..1, draws 1 or more"
            )
        if self.dropout and self.classifier not in ("svm", "logreg"):
            raise InputError(f"probes: dropout is for svm and logreg, not {self.classifier}")
        if self.draws > 1 and self.images_per_class is None:
            raise InputError("probes: draws of all training images are the same; set images_per_class, or draws: 1")
        if self.images_per_class is not None and self.images_per_class < 2:
            raise InputError("probes: images_per_class is 2 or more, so that one can be held out")
        if self.views not in VIEWS or self.combine not in COMBINATIONS:
            raise InputError(
                f"probes: views are {in_words(VIEWS, 'or')}, combined by sum or max; not {self.views}, {self.combine!r}"
            )
        self.check_images()
        if not self.choices and self.choices is not None:
            raise InputError("probes: choices are empty; leave them out for the usual ones, or name some")
        if (least := min(self.choices or (1,))) <= 0:
            raise InputError(f"probes: choices are numbers above 0, not {least:g}")

    def check_images(self) -> None:
        """Refuse options of which images serve what that do not go together."""
        if self.learn_from not in TEACHERS:
            raise InputError(f"probes: learn_from is one of {', '.join(TEACHERS)}, not {self.learn_from!r}")
        if self.redraw and self.images_per_class is None:
            raise InputError("probes: redraw leaves nothing for test where all images are drawn; set images_per_class")
        if self.test_per_class is not None and not self.redraw:
            raise InputError("probes: test_per_class is for redraw, which takes test images anew; set redraw too")
        if self.other_per_class is not None and self.learn_from == "target":
            raise InputError("probes: other_per_class is for learn_from: other or both; set that too")

    @property
    def candidates(self) -> tuple[float, ...]:
        """The values that are compared, in ascending order."""
        return tuple(sorted(CHOICES[self.classifier] if self.choices is None else self.choices))


class Fitted(Protocol):
    """A classifier that has learnt: features (n, D) → a value a class, (n, K), the largest for the one it names."""

    def __call__(self, features: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class Linear:
    """A linear classifier: weights (K, D) and intercepts (K,)."""

    weights: np.ndarray
    intercepts: np.ndarray

    def __call__(self, features: np.ndarray) -> np.ndarray:
        return features @ self.weights.T + self.intercepts


@dataclass(frozen=True)
class Centroids:
    """The nearest of class means (K, D); its values are minus half the squared distances."""

    means: np.ndarray

    def __call__(self, features: np.ndarray) -> np.ndarray:
        own = 0.5 * np.square(features).sum(1, keepdims=True)
        return features @ self.means.T - 0.5 * np.square(self.means).sum(1) - own


@dataclass(frozen=True)
class Neighbours:
    """The share of each class among the nearest training images."""

    model: KNeighborsClassifier

    def __call__(self, features: np.ndarray) -> np.ndarray:
        return self.model.predict_proba(features)


@dataclass(frozen=True)
class Preparation:
    """Features as a classifier reads them: signed power, then normalisation with what training images gave."""

    power: float
    normalisation: str
    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def of(cls, probe: Probe, features: np.ndarray) -> "Preparation":
        """The preparation that training features (N, D) ask for; a value that never changes is left at 0."""
        plain = cls(probe.power, "none", np.zeros(1), np.ones(1))
        if probe.normalisation != "standard":
            return replace(plain, normalisation=probe.normalisation)
        raised = plain(features)
        deviation = raised.std(axis=0)
        return cls(probe.power, "standard", raised.mean(axis=0), np.where(deviation > 0, deviation, 1))

    def __call__(self, features: np.ndarray) -> np.ndarray:
        wide = features.astype(np.float64)
        raised = wide if self.power == 1 else np.sign(wide) * np.abs(wide) ** self.power
        if self.normalisation == "l2":
            raised = raised / np.maximum(np.linalg.norm(raised, axis=1, keepdims=True), 1e-12)
        return (raised - self.mean) / self.deviation


def drop(features: np.ndarray, probability: float, generator: np.random.Generator, copies: int = COPIES) -> np.ndarray:
    """Copies of features, (copies·N, D), each value dropped with a probability and the others raised in turn.

    The mean over copies is the features, so that a classifier reads whole ones as they are (halving weights at test,
    as DeCAF did at p = 0.5, is the same).
    """
    repeated = np.tile(features, (copies, 1))
    kept = generator.random(repeated.shape) >= probability
    return repeated * kept / (1 - probability)


@dataclass(frozen=True)
class Axes:
    """Fewer coordinates for centred features, that keep all their products: `basis` (D, R) has orthonormal columns."""

    mean: np.ndarray
    basis: np.ndarray | None

    @classmethod
    def of(cls, features: np.ndarray) -> "Axes":
        """Axes that hold features (N, D), without a basis where there are as many images as values."""
        mean = features.mean(axis=0)
        if len(features) > features.shape[1]:
            return cls(mean, None)
        centred = features - mean
        left, squares = decompose(centred)
        return cls(mean, centred.T @ (left / np.sqrt(squares)))

    def coordinates(self, features: np.ndarray) -> np.ndarray:
        centred = features - self.mean
        return centred if self.basis is None else centred @ self.basis

    def back(self, weights: np.ndarray, intercepts: np.ndarray) -> Linear:
        """A classifier of coordinates as one of features."""
        whole = weights if self.basis is None else weights @ self.basis.T
        return Linear(whole, intercepts - whole @ self.mean)


def both_classes(weights: np.ndarray, intercepts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A row a class; of two classes scikit-learn gives the second's alone."""
    if len(weights) > 1:
        return weights, intercepts
    return np.concatenate([-weights, weights]) / 2, np.concatenate([-intercepts, intercepts]) / 2


@dataclass
class LinearPath:
    """Linear classifiers of one set of features (N, D) for several C; logistic ones start from the one before.

    `copies` is how many copies of each image the features hold, which together weigh as much as one.
    """

    classifier: str
    features: np.ndarray
    indices: np.ndarray
    copies: int = 1
    unsettled: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.axes = Axes.of(self.features)
        self.points = self.axes.coordinates(self.features)
        self.logistic = LogisticRegression(warm_start=True)

    def model(self, c: float, final: bool) -> LogisticRegression | LinearSVC:
        """The model of scikit-learn that is to be fitted."""
        options = {"C": c / self.copies, "tol": TOLERANCES[self.classifier][final], "max_iter": STEPS[final]}
        if self.classifier == "logreg":
            # lbfgs is the quicker one, and stops some millionths early.
            return self.logistic.set_params(solver="newton-cg" if final else "lbfgs", **options)
        return LinearSVC(dual=False, intercept_scaling=INTERCEPT, random_state=0, **options)

    def fit(self, c: float, final: bool = False) -> Linear:
        """The classifier for a C, exact if it is the final one; a C whose solver has not settled is in `unsettled`."""
        model = self.model(c, final)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ConvergenceWarning)
            model.fit(self.points, self.indices)
        if any(issubclass(warning.category, ConvergenceWarning) for warning in caught):
            self.unsettled.append(c)
        return self.axes.back(*both_classes(model.coef_, np.atleast_1d(model.intercept_)))


def neighbour_path(features: np.ndarray, indices: np.ndarray) -> Callable[[float], Fitted]:
    """Fits nearest neighbours for a k."""
    return lambda k: Neighbours(KNeighborsClassifier(int(k), algorithm="brute").fit(features, indices))


@dataclass(frozen=True)
class Regressions:
    """Ridge regressions of features (N, D) to the classes (0 and 1), for all penalties from one decomposition."""

    features: np.ndarray
    targets: np.ndarray
    path: RidgePath

    @classmethod
    def of(cls, features: np.ndarray, indices: np.ndarray) -> "Regressions":
        return cls(features, np.eye(indices.max() + 1)[indices], RidgePath.of(features))

    def error(self, penalty: float) -> float:
        """The mean squared error on images that are left out one at a time."""
        return self.path.squared_error(self.targets, penalty)

    def __call__(self, penalty: float) -> Linear:
        mean = self.features.mean(axis=0)
        weights = self.path.weights(self.features - mean, self.targets, penalty)
        return Linear(weights, self.targets.mean(axis=0) - weights @ mean)


def centroid_path(features: np.ndarray, indices: np.ndarray) -> Callable[[float], Fitted]:
    """Fits class means, which leave nothing to choose."""
    members = np.eye(indices.max() + 1)[indices]
    return lambda _: Centroids(members.T @ features / members.sum(0)[:, None])


@dataclass(frozen=True)
class Choice:
    """What was chosen among the candidates (None where there are none), and the candidates' scores, in their order.

    A score is the accuracy on held-out images, or minus the squared error of ridge regression. `reason` says so where
    the choice lies at an end of the grid, so that a better one may lie outside.
    """

    value: float | None
    candidates: tuple[float, ...] = ()
    scores: tuple[float, ...] = ()

    @property
    def number(self) -> float:
        """The value as what fits a classifier takes it; class means, which have none, look at nothing."""
        return np.nan if self.value is None else self.value

    @property
    def reason(self) -> str | None:
        if len(self.candidates) < 2 or self.value not in (self.candidates[0], self.candidates[-1]):
            return None
        end = "smallest" if self.value == self.candidates[0] else "largest"
        return f"the {end} of the choices, {self.value:g}, was best; a better one may lie beyond"


def best_choice(candidates: tuple[float, ...], scores: list[float]) -> Choice:
    """The candidate with the highest score, of equals the first."""
    return Choice(candidates[int(np.argmax(scores))], candidates, tuple(float(score) for score in scores))


def hold_out(indices: np.ndarray, share: float, generator: np.random.Generator) -> np.ndarray:
    """Which images (N,) are held out: a share of each class, at least one, and never all."""
    held = np.zeros(len(indices), dtype=bool)
    for label in np.unique(indices):
        members = generator.permutation(np.flatnonzero(indices == label))
        held[members[: min(len(members) - 1, max(1, round(share * len(members))))]] = True
    return held


@dataclass(frozen=True)
class Draw:
    """One fit of a probe: what was chosen, for which C a solver had not settled, the images learnt from, and the values
    (n, K) of each part; the class indices (n,) of parts that the draw has made."""

    choice: Choice
    unsettled: list[float]
    images: int
    decisions: dict[str, np.ndarray]
    indices: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Sample:
    """Training images of one draw, prepared: features (N, D) and class indices (N,), and random numbers for the fit.

    Of images in several views, N counts them in each: those in the first view, then in the second, ...
    """

    features: np.ndarray
    indices: np.ndarray
    generator: np.random.Generator

    def linear_path(self, probe: Probe, chosen: np.ndarray | slice) -> LinearPath:
        """A path on some of the images, with copies of them where values are dropped out."""
        features, indices = self.features[chosen], self.indices[chosen]
        if probe.dropout == 0:
            return LinearPath(probe.classifier, features, indices, probe.views)
        dropped = drop(features, probe.dropout, self.generator)
        return LinearPath(probe.classifier, dropped, np.tile(indices, COPIES), probe.views * COPIES)

    def path(self, probe: Probe, chosen: np.ndarray | slice) -> Callable[[float], Fitted]:
        """What fits the probe's classifier to some of the images, for a choice."""
        if probe.classifier in ("svm", "logreg"):
            return self.linear_path(probe, chosen).fit
        paths: dict[str, Callable[[np.ndarray, np.ndarray], Callable[[float], Fitted]]]
        paths = {"knn": neighbour_path, "centroid": centroid_path, "ridge": Regressions.of}
        return paths[probe.classifier](self.features[chosen], self.indices[chosen])


def neighbour_candidates(probe: Probe, most: int) -> tuple[float, ...]:
    """The numbers of neighbours that so many images can give; one that was asked for and cannot be is an InputError."""
    if probe.choices is not None and max(probe.candidates) > most:
        raise InputError(
            f"probes: k = {max(probe.candidates):g} neighbours were asked for, and {most} images are there to learn "
            "from once some are held out; lower choices, or add images"
        )
    return tuple(k for k in probe.candidates if k <= most)


def choose(probe: Probe, sample: Sample) -> Choice:
    """Choose among a probe's candidates on images that are held out inside training; class means have no choice."""
    if probe.classifier == "centroid":
        return Choice(None)
    images = len(sample.indices) // probe.views
    chosen = hold_out(sample.indices[:images], probe.held, sample.generator)
    held = np.tile(chosen, probe.views)
    candidates = neighbour_candidates(probe, int((~held).sum())) if probe.classifier == "knn" else probe.candidates
    if len(candidates) == 1:
        return Choice(candidates[0], candidates)
    fit, points, truth = sample.path(probe, ~held), sample.features[held], sample.indices[:images][chosen]
    values = (combined(fit(value)(points), probe) for value in candidates)
    return best_choice(candidates, [float((each.argmax(1) == truth).mean()) for each in values])


def fit_ridge(probe: Probe, sample: Sample) -> tuple[Choice, Linear]:
    """Ridge regression, its penalty chosen by images left out one at a time."""
    regressions = Regressions.of(sample.features, sample.indices)
    choice = best_choice(probe.candidates, [-regressions.error(penalty) for penalty in probe.candidates])
    return choice, regressions(choice.number)


def combined(values: np.ndarray, probe: Probe) -> np.ndarray:
    """What a classifier gives for images, (N, K), from what it gives for their views, (views·N, K)."""
    by_view = values.reshape(probe.views, -1, values.shape[1])
    return by_view.max(0) if probe.combine == "max" else by_view.mean(0)


def fit(probe: Probe, sample: Sample) -> tuple[Choice, list[float], Fitted]:
    """Choose, and fit the chosen classifier to all images of the sample; with the C that had not settled."""
    everything = slice(None)
    # Of an image that is left out other views would stay.
    if probe.classifier == "ridge" and probe.views == 1:
        choice, classifier = fit_ridge(probe, sample)
        return choice, [], classifier
    choice = choose(probe, sample)
    if probe.classifier in ("svm", "logreg"):
        path = sample.linear_path(probe, everything)
        return choice, path.unsettled, path.fit(choice.number, final=True)
    return choice, [], sample.path(probe, everything)(choice.number)


def draw_images(
    training: Labelled, per_class: int | None, generator: np.random.Generator, key: str = "images_per_class"
) -> np.ndarray:
    """So many training images of each class, in their order; a class that has fewer is an InputError."""
    if per_class is None:
        return np.arange(len(training.labels))
    if short := training.classes[training.counts < per_class].tolist():
        raise InputError(
            f"probes: {key} is {per_class}, and class {in_words(short[:5])} has fewer training images; "
            "lower it, or add images"
        )
    members = (np.flatnonzero(training.indices == label) for label in range(len(training.classes)))
    return np.sort(np.concatenate([generator.choice(images, per_class, replace=False) for images in members]))


def learning_images(
    probe: Probe, training: Labelled, drawn: np.ndarray, other: Labelled | None, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """What a draw learns from: features (views·N, D) and class indices (N,)."""
    chosen = [(training, drawn)] if probe.learn_from != "other" else []
    if probe.learn_from != "target":
        if other is None:
            raise ValueError("learn_from names the other task, whose images are not given")
        chosen.append((other, draw_images(other, probe.other_per_class, generator, "other_per_class")))
    by_view = [data.features[data.rows(images)].reshape(data.views, len(images), -1) for data, images in chosen]
    features = np.concatenate(by_view, axis=1).reshape(-1, training.features.shape[1])
    return features, np.concatenate([data.indices[images] for data, images in chosen])


def left_images(training: Labelled, drawn: np.ndarray, most: int | None, generator: np.random.Generator) -> np.ndarray:
    """The images that a draw has left, at most so many of each class, in their order."""
    rest = np.setdiff1d(np.arange(len(training.labels)), drawn)
    by_class = [generator.permutation(rest[training.indices[rest] == at])[:most] for at in range(len(training.classes))]
    if empty := [name for name, left in zip(training.classes.tolist(), by_class, strict=True) if not len(left)]:
        raise InputError(
            f"probes: images_per_class leaves no image of class {in_words(empty[:5])} for test; lower it, or add images"
        )
    return np.sort(np.concatenate(by_class))


@dataclass(frozen=True)
class Learnt:
    """A classifier that a draw has given, how features are prepared for it, and the images it has learnt from."""

    probe: Probe
    prepare: Preparation
    sample: Sample
    choice: Choice
    unsettled: list[float]
    classifier: Fitted

    @classmethod
    def of(cls, probe: Probe, features: np.ndarray, indices: np.ndarray, generator: np.random.Generator) -> "Learnt":
        """Learn from features (views·N, D) of images with class indices (N,)."""
        prepare = Preparation.of(probe, features)
        sample = Sample(prepare(features), np.tile(indices, probe.views), generator)
        return cls(probe, prepare, sample, *fit(probe, sample))

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """What it gives for images, (n, K), from features (views·n, D)."""
        return combined(self.classifier(self.prepare(features)), self.probe)

    def held_out(self) -> tuple[np.ndarray, np.ndarray]:
        """What the same choice gives for a share of the images when it has not learnt from them, and their classes."""
        indices = self.sample.indices[: len(self.sample.indices) // self.probe.views]
        chosen = hold_out(indices, self.probe.held, self.sample.generator)
        held = np.tile(chosen, self.probe.views)
        classifier = self.sample.path(self.probe, ~held)(self.choice.number)
        return combined(classifier(self.sample.features[held]), self.probe), indices[chosen]


def run_draw(
    probe: Probe, training: Labelled, parts: Mapping[str, np.ndarray], other: Labelled | None, number: int
) -> Draw:
    """One draw of `run_probe`; one that divides all images anew validates on some that are held out of its training."""
    generator, elsewhere = (np.random.default_rng((probe.seed, number, *more)) for more in ((), (1,)))
    drawn = draw_images(training, probe.images_per_class, generator)
    features, indices = learning_images(probe, training, drawn, other, elsewhere)
    learnt = Learnt.of(probe, features, indices, generator)
    learning = (learnt.choice, learnt.unsettled, len(indices))
    if not probe.redraw:
        return Draw(*learning, {part: learnt(values) for part, values in parts.items()})
    left = left_images(training, drawn, probe.test_per_class, np.random.default_rng((probe.seed, number, 2)))
    validation, held = learnt.held_out()
    decisions = {"validation": validation, "test": learnt(training.features[training.rows(left)])}
    return Draw(*learning, decisions, {"validation": held, "test": training.indices[left]})


def run_probe(
    probe: Probe, training: Labelled, parts: Mapping[str, np.ndarray], other: Labelled | None = None
) -> list[Draw]:
    """Fit a probe to draws of training images, and read features (views·n, D) of other parts by it.

    A draw's values have a column for each of the training images' classes, in their order. `other` has images of the
    same classes in the other task, where the probe learns from them. A probe that divides all images anew gets all as
    training images, and makes its parts.
    """
    return [run_draw(probe, training, parts, other, number) for number in range(probe.draws)]


def accuracies(decisions: np.ndarray, indices: np.ndarray) -> tuple[float, float]:
    """Top-1 and the mean of each class's own accuracy, of values (n, K) and class indices (n,)."""
    hits = decisions.argmax(1) == indices
    return float(hits.mean()), float(np.mean([hits[indices == label].mean() for label in np.unique(indices)]))


def over_draws(values: list[float], confidence: float = 0.95) -> dict[str, float | int | list[float] | None]:
    """Mean, deviation and t interval over draws, which share their test images: it says nothing of other ones."""
    count, mean = len(values), float(np.mean(values))
    drawn = {"mean": mean, "deviation": None, "low": None, "high": None, "draws": count, "values": values}
    if count < 2:
        return drawn
    deviation = float(np.std(values, ddof=1))
    half = float(student.ppf((1 + confidence) / 2, count - 1)) * deviation / np.sqrt(count)
    return drawn | {"deviation": deviation, "low": mean - half, "high": mean + half}
