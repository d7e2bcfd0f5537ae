"""Probes: held against scikit-learn's classifiers as one would call them, and on data whose answer is known."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import binom
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.preprocessing import StandardScaler, normalize
from sklearn.svm import LinearSVC

from transferability.errors import InputError
from transferability.evaluation.labelled import Labelled
from transferability.evaluation.probes import (
    CHOICES,
    CLASSIFIERS,
    LinearPath,
    Preparation,
    Probe,
    Sample,
    accuracies,
    choose,
    drop,
    hold_out,
    over_draws,
    run_probe,
)
from transferability.evaluation.ridge import RidgePath

SHAPES = [(120, 20), (60, 150)]
"""More images than values, and fewer."""


def clouds(count: int, width: int, distance: float = 0.5, classes: int = 3, seed: int = 0) -> Labelled:
    """Gaussian clouds of unequal scale and origin, one a class."""
    generator = np.random.default_rng(seed)
    indices = generator.permutation(np.arange(count) % classes)
    features = 3 + distance * generator.normal(size=(classes, width))[indices] + generator.normal(size=(count, width))
    return Labelled((features * np.geomspace(0.5, 2, width)).astype(np.float32), indices)


def only(classifier: str, value: float, **options: object) -> Probe:
    """A probe that leaves nothing to choose."""
    return Probe(classifier, choices=(value,), **({"normalisation": "none"} | options))


def decisions(probe: Probe, training: Labelled, points: np.ndarray) -> np.ndarray:
    (draw,) = run_probe(probe, training, {"test": points})
    assert draw.unsettled == []
    return draw.decisions["test"]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("c", [0.01, 1.0])
@pytest.mark.parametrize("classes", [2, 3])
def test_logistic_regression_is_the_plain_one_to_a_millionth(shape, c, classes):
    training, points = clouds(*shape, classes=classes), clouds(50, shape[1], classes=classes, seed=1).features
    plain = LogisticRegression(C=c, solver="newton-cholesky", tol=1e-12).fit(
        training.features.astype(float), training.labels
    )
    expected = plain.predict_proba(points.astype(float))
    for dropout in (0.0, 1e-12):
        values = decisions(only("logreg", c, dropout=dropout), training, points)
        np.testing.assert_allclose(softmax(values, axis=1), expected, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_svm_is_one_against_the_rest_and_does_not_penalise_its_intercept(shape):
    """Far from the origin a penalised intercept changes every decision."""
    training, points = clouds(*shape), clouds(50, shape[1], seed=1).features.astype(float)
    values = decisions(only("svm", 0.01), training, points)
    for label in range(3):
        sides = np.where(training.labels == label, 1, -1)
        mean = training.features.mean(0, dtype=float)
        centred = training.features - mean
        plain = LinearSVC(C=0.01, dual=False, tol=1e-10, intercept_scaling=1000, max_iter=10000).fit(centred, sides)
        np.testing.assert_allclose(values[:, label], plain.decision_function(points - mean), atol=2e-3)
    moved = Labelled(training.features + np.float32(50), training.labels)
    np.testing.assert_allclose(decisions(only("svm", 0.01), moved, points + 50), values, atol=2e-3)


@pytest.mark.parametrize("shape", SHAPES)
def test_ridge_is_that_of_scikit_learn_with_the_penalty_that_left_out_images_choose(shape):
    training, points = clouds(*shape), clouds(50, shape[1], seed=1).features.astype(float)
    (draw,) = run_probe(Probe("ridge", "none"), training, {"test": points})
    features = training.features.astype(float)
    path = RidgePath.of(features)
    errors = [path.squared_error(training.one_hot, multiple) for multiple in CHOICES["ridge"]]
    assert draw.choice.value == CHOICES["ridge"][int(np.argmin(errors))]
    plain = Ridge(alpha=path.penalty(draw.choice.value)).fit(features, training.one_hot)
    np.testing.assert_allclose(draw.decisions["test"], plain.predict(points), atol=1e-8)


def test_neighbours_and_class_means_are_those_of_scikit_learn():
    training, points = clouds(120, 20), clouds(50, 20, seed=1).features
    for k in (1, 5):
        plain = KNeighborsClassifier(k).fit(training.features, training.labels)
        assert np.array_equal(decisions(only("knn", k), training, points).argmax(1), plain.predict(points))
    plain = NearestCentroid().fit(training.features, training.labels)
    found = decisions(Probe("centroid", "none"), training, points).argmax(1)
    assert np.array_equal(found, plain.predict(points))


def test_features_are_prepared_by_what_training_gave():
    features = np.random.default_rng(0).normal(2, 3, (40, 5)).astype(np.float32)
    others = np.random.default_rng(1).normal(2, 3, (7, 5)).astype(np.float32)
    features[:, 4] = others[:, 4] = 9
    squared = np.sign(others) * others.astype(float) ** 2

    def prepared(**options: object) -> np.ndarray:
        return Preparation.of(Probe("svm", **options), features)(others)

    assert np.array_equal(prepared(normalisation="none"), others.astype(float))
    np.testing.assert_allclose(prepared(normalisation="l2"), normalize(others.astype(float)))
    np.testing.assert_allclose(prepared(normalisation="l2", power=2), normalize(squared))
    scaler = StandardScaler().fit(np.sign(features) * features.astype(float) ** 2)
    np.testing.assert_allclose(prepared(normalisation="standard", power=2), scaler.transform(squared))
    assert (prepared(normalisation="standard")[:, 4] == 0).all()


def test_dropped_features_are_whole_on_average_and_half_of_them_are_gone():
    features = np.random.default_rng(0).normal(size=(30, 8))
    copies = drop(features, 0.5, np.random.default_rng(1), copies=2000).reshape(2000, 30, 8)
    np.testing.assert_allclose(copies.mean(0), features, atol=0.25)
    assert (copies == 0).mean() == pytest.approx(0.5, abs=0.01)
    assert np.array_equal(np.unique(copies[:, 0, 0]), np.sort([0, 2 * features[0, 0]]))


def test_dropout_spreads_weights_over_what_can_be_lost():
    """One value is large and clear, nine say the same with noise: where any may drop, the one is leant on less."""
    generator = np.random.default_rng(0)
    labels = np.arange(400) % 2
    sign = 2 * labels[:, None] - 1
    clear, noisy = sign + 0.1 * generator.normal(size=(400, 1)), 0.3 * sign + 0.3 * generator.normal(size=(400, 9))
    training, ends, shares = Labelled(np.hstack([clear, noisy]), labels), np.eye(11)[:, :10], []
    for dropout in (0.0, 0.5):
        values = decisions(only("logreg", 10.0, dropout=dropout), training, ends)[:, 1]
        weights = np.abs(values[:-1] - values[-1])
        shares.append(weights[0] / weights.sum())
    assert shares[1] < 0.8 * shares[0]


def test_held_out_images_are_a_share_of_each_class_and_never_all():
    indices = np.repeat([0, 1, 2], [30, 2, 7])
    held = hold_out(indices, 1 / 6, np.random.default_rng(0))
    assert [int(held[indices == label].sum()) for label in range(3)] == [5, 1, 1]
    assert hold_out(np.array([0, 0, 1, 1]), 0.9, np.random.default_rng(0)).sum() == 2


def test_the_choice_is_the_best_on_held_out_images_and_says_when_it_lies_at_an_end():
    training = clouds(300, 20, distance=0.3)
    features = training.features.astype(float)
    wide, narrow = Probe("svm"), Probe("svm", choices=(1e-9, 1e-8))
    choice = choose(wide, Sample(features, training.indices, np.random.default_rng(0)))
    held = hold_out(training.indices, 1 / 6, np.random.default_rng(0))
    path = LinearPath("svm", features[~held], training.indices[~held])
    scores = [(path.fit(c)(features[held]).argmax(1) == training.indices[held]).mean() for c in wide.candidates]
    assert choice.scores == pytest.approx(scores)
    assert choice.value == wide.candidates[int(np.argmax(scores))]
    assert wide.candidates == CHOICES["svm"]
    assert max(wide.candidates) == 1e4
    end = choose(narrow, Sample(features, training.indices, np.random.default_rng(0)))
    assert "better one may lie beyond" in end.reason
    middle = replace(choice, value=wide.candidates[3])
    assert middle.reason is None


def test_draws_are_of_so_many_images_a_class_and_the_same_for_the_same_seed():
    training, points = clouds(300, 10), clouds(90, 10, seed=1)
    probe = Probe("centroid", images_per_class=5, draws=6)
    draws = run_probe(probe, training, {"test": points.features})
    assert len(draws) == 6
    values = [draw.decisions["test"] for draw in draws]
    assert all(not np.array_equal(one, other) for one, other in pairwise(values))
    for one, other in zip(run_probe(probe, training, {"test": points.features}), draws, strict=True):
        assert np.array_equal(one.decisions["test"], other.decisions["test"])
    more = run_probe(replace(probe, images_per_class=80), training, {"test": points.features})
    spread = [np.std([accuracies(draw.decisions["test"], points.labels)[0] for draw in some]) for some in (draws, more)]
    assert spread[1] < spread[0]


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_shuffled_labels_give_chance(classifier):
    digits = load_digits()
    generator = np.random.default_rng(0)
    labels, order = generator.permutation(digits.target), generator.permutation(len(digits.target))
    training, test = order[:300], order[300:]
    probe = Probe(classifier, choices=(1.0,) if classifier in ("svm", "logreg") else None)
    values = decisions(probe, Labelled(digits.data[training], labels[training]), digits.data[test])
    hits = (values.argmax(1) == labels[test]).sum()
    low, high = binom.interval(0.999, len(test), 0.1)
    assert low <= hits <= high


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_digits_are_told_apart(classifier):
    digits = load_digits()
    training = Labelled(digits.data[:600], digits.target[:600])
    values = decisions(Probe(classifier, "l2"), training, digits.data[600:])
    top1, mean = accuracies(values, digits.target[600:])
    assert 0.85 < top1 < 0.99
    assert mean == pytest.approx(top1, abs=0.01)


def test_the_mean_over_classes_weighs_classes_alike():
    values = np.array([[1.0, 0], [1, 0], [1, 0], [1, 0]])
    assert accuracies(values, np.array([0, 0, 0, 1])) == (0.75, 0.5)


def test_an_interval_over_draws_is_students():
    summary = over_draws([0.5, 0.6, 0.7])
    assert summary["mean"] == pytest.approx(0.6)
    assert summary["deviation"] == pytest.approx(0.1)
    assert summary["high"] - summary["mean"] == pytest.approx(4.302653 * 0.1 / np.sqrt(3), rel=1e-6)
    assert over_draws([0.5]) == {"mean": 0.5, "deviation": None, "low": None, "high": None, "draws": 1, "values": [0.5]}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"classifier": "tree"}, "there is no 'tree'; take one of svm, logreg, ridge, knn, centroid"),
        ({"classifier": "svm", "normalisation": "l1"}, "normalisation is one of none, l2, standard, not 'l1'"),
        ({"classifier": "knn", "dropout": 0.5}, "dropout is for svm and logreg, not knn"),
        ({"classifier": "svm", "dropout": 1.0}, "dropout is at least 0 and below 1"),
        ({"classifier": "svm", "draws": 3}, "draws of all training images are the same"),
        ({"classifier": "svm", "images_per_class": 1}, "images_per_class is 2 or more"),
        ({"classifier": "svm", "redraw": True}, "redraw leaves nothing for test where all images are drawn"),
        ({"classifier": "svm", "test_per_class": 5}, "test_per_class is for redraw"),
        (
            {"classifier": "svm", "learn_from": "both tasks"},
            "learn_from is one of target, other, both, not 'both tasks'",
        ),
        ({"classifier": "svm", "other_per_class": 5}, "other_per_class is for learn_from: other or both"),
        ({"classifier": "svm", "choices": ()}, "choices are empty"),
        ({"classifier": "svm", "choices": (0.0, 1.0)}, "choices are numbers above 0"),
    ],
)
def test_a_probe_that_cannot_be_is_refused_in_a_sentence(options, sentence):
    with pytest.raises(InputError, match=sentence):
        Probe(**options)


def test_more_images_or_neighbours_than_there_are_are_refused_in_a_sentence():
    training = clouds(30, 5)
    with pytest.raises(InputError, match="images_per_class is 11, and class 0, 1 and 2 has fewer training images"):
        run_probe(Probe("svm", images_per_class=11), training, {})
    with pytest.raises(InputError, match="k = 25 neighbours were asked for, and 24 images are there"):
        run_probe(Probe("knn", choices=(1, 25), held=0.2), training, {})
    assert run_probe(Probe("knn"), training, {})[0].choice.value in (1, 3, 5, 10, 20)


def test_redrawn_images_are_learnt_from_or_tested_and_never_both():
    """A nearest neighbour knows each image by itself: one that is tested after it was learnt from would be a hit."""
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 20)
    noise = Labelled(generator.normal(size=(60, 40)), labels)
    probe = Probe("knn", choices=(1,), images_per_class=12, draws=30, redraw=True, test_per_class=5)
    draws = run_probe(probe, noise, {})
    assert {draw.images for draw in draws} == {36}
    assert all(np.bincount(draw.indices["test"]).tolist() == [5, 5, 5] for draw in draws)
    assert all(np.bincount(draw.indices["validation"]).tolist() == [2, 2, 2] for draw in draws)
    hits = {
        part: [accuracies(draw.decisions[part], draw.indices[part])[0] for draw in draws] for part in draws[0].indices
    }
    assert 0.2 < np.mean(hits["test"]) < 0.47
    assert 0.2 < np.mean(hits["validation"]) < 0.5
    (whole,) = run_probe(replace(probe, draws=1, test_per_class=None), noise, {})
    assert np.bincount(whole.indices["test"]).tolist() == [8, 8, 8]
    (again,) = run_probe(replace(probe, draws=1), noise, {})
    assert np.array_equal(again.decisions["test"], draws[0].decisions["test"])
    with pytest.raises(InputError, match="images_per_class leaves no image of class 0, 1 and 2 for test; lower it"):
        run_probe(replace(probe, images_per_class=20), noise, {})


def test_a_probe_may_learn_from_the_other_task_from_the_target_or_from_both():
    """Two values tell the classes apart, one in the other task and one in the target."""
    generator = np.random.default_rng(1)
    indices = np.arange(200) % 2
    target, other = generator.normal(size=(2, 200, 2))
    target[:, 0] += 4 * indices
    other[:, 1] += 4 * indices
    target, other = Labelled(target, indices), Labelled(other, indices)
    probe = Probe("logreg", choices=(1.0,), images_per_class=10, redraw=True, learn_from="other", other_per_class=40)
    found, tested = {}, {}
    for teacher, count in (("other", 40), ("target", None), ("both", 10)):
        (draw,) = run_probe(replace(probe, learn_from=teacher, other_per_class=count), target, {}, other)
        found[teacher] = accuracies(draw.decisions["test"], draw.indices["test"])[0]
        tested[teacher] = draw.indices["test"]
    assert found["other"] < 0.65
    assert found["target"] > 0.9
    assert found["both"] > 0.9
    assert np.array_equal(tested["other"], tested["both"])
    assert run_probe(probe, target, {}, other)[0].images == 80
    assert run_probe(replace(probe, learn_from="both"), target, {}, other)[0].images == 100
    with pytest.raises(InputError, match="other_per_class is 101, and class 0 and 1 has fewer training images"):
        run_probe(replace(probe, other_per_class=101), target, {}, other)
