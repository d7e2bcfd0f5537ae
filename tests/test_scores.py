"""Scores: held against dense formulas, refitting, and scikit-learn."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from alike import SHARED, alike
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from sklearn.linear_model import BayesianRidge, Ridge
from sklearn.metrics import log_loss
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid

from transferability.errors import InputError
from transferability.evaluation import labelled
from transferability.evaluation.labelled import Labelled
from transferability.evaluation.ridge import PENALTIES, RidgePath, decompose
from transferability.evaluation.scores import (
    SCORES,
    best_evidence,
    cka,
    debiased_hsic,
    directions,
    leep,
    log_expected_prediction,
    logme,
    mean_accuracy,
    nce,
    negative_conditional_entropy,
    neighbour_accuracy,
    profile,
    ridge_accuracy,
    score_features,
    standardised,
)

SHAPES = [(60, 12), (40, 130)]
"""More images than values, and fewer."""


def clouds(count: int, width: int, distance: float = 1.0, classes: int = 4, seed: int = 0) -> Labelled:
    """Gaussian clouds, one a class, of unequal numbers of images, in a random order; labels that skip numbers."""
    generator = np.random.default_rng(seed)
    indices = np.concatenate([np.repeat(np.arange(classes), 3), generator.integers(0, classes, count - 3 * classes)])
    means = distance * generator.normal(size=(classes, width))
    features = 5 + means[indices] + generator.normal(size=(count, width)) * np.geomspace(1, 3, width)
    return Labelled(features.astype(np.float32), 7 + 3 * indices)


def dense_evidence(features: np.ndarray, target: np.ndarray, alpha: float, beta: float) -> float:
    """The log density of a target under its covariance, a row and column an image, or a contrast of images."""
    covariance = np.eye(len(features)) / beta + features @ features.T / alpha
    return multivariate_normal(np.zeros(len(features)), covariance).logpdf(target)


def contrasts(count: int) -> np.ndarray:
    """Orthonormal rows, all at right angles to a constant: (N - 1, N)."""
    return np.linalg.qr(np.hstack([np.ones((count, 1)), np.eye(count)[:, 1:]]))[0][:, 1:].T


@pytest.mark.parametrize("shape", SHAPES)
def test_the_evidence_is_that_of_the_dense_covariance_of_all_images(shape):
    data = clouds(*shape)
    features, targets = data.features.astype(np.float64), data.one_hot
    left, squares = decompose(features)
    projected = np.square(left.T @ targets)
    rest = np.maximum(np.square(targets).sum(0) - projected.sum(0), 0)
    for ratio in (0.3, 30, 3000):
        at = profile(squares, projected, rest, np.full(4, ratio), len(features))
        for column, target in enumerate(targets.T):
            assert at.alpha[column] == pytest.approx(ratio * at.beta[column])
            dense = dense_evidence(features, target, at.alpha[column], at.beta[column])
            assert at.value[column] == pytest.approx(dense, abs=1e-8)


@pytest.mark.parametrize("shape", SHAPES)
def test_logme_is_the_dense_evidence_of_all_contrasts_at_its_maximum(shape):
    data = clouds(*shape)
    features, targets = standardised(data.features), data.one_hot - data.one_hot.mean(0)

    evidence = best_evidence(*decompose(features), targets)

    rows = contrasts(len(features))
    for column, target in enumerate(targets.T):
        alpha, beta = evidence.alpha[column], evidence.beta[column]
        dense = dense_evidence(rows @ features, rows @ target, alpha, beta)
        assert evidence.value[column] == pytest.approx(dense, abs=1e-8)
        best = minimize(
            lambda logs, target=target: -dense_evidence(rows @ features, rows @ target, *np.exp(logs)),
            np.log([alpha, beta]) + 0.5,
            method="Nelder-Mead",
            options={"xatol": 1e-5, "fatol": 1e-9},
        )
        assert evidence.value[column] == pytest.approx(-best.fun, abs=1e-6)
    assert logme(data).value == pytest.approx(evidence.value.mean() / len(features), rel=1e-12)


@pytest.mark.parametrize(("shape", "digits"), [(SHAPES[0], 1e-9), (SHAPES[1], 1e-6)])
def test_the_evidence_is_that_of_scikit_learn_s_bayesian_ridge(shape, digits):
    """Of fewer images than values its noise goes to 0, and scikit-learn stops on the way."""
    data = clouds(*shape)
    features, targets = standardised(data.features), data.one_hot - data.one_hot.mean(0)
    rows, flat = contrasts(len(features)), dict.fromkeys(("alpha_1", "alpha_2", "lambda_1", "lambda_2"), 0.0)
    model = BayesianRidge(max_iter=10000, tol=1e-14, fit_intercept=False, compute_score=True, **flat)
    theirs = [model.fit(rows @ features, rows @ target).scores_[-1] for target in targets.T]
    assert best_evidence(*decompose(features), targets).value == pytest.approx(theirs, abs=digits)


def test_logme_knows_neither_the_scale_nor_the_origin_of_features_nor_the_names_of_classes():
    data = clouds(60, 12, distance=2)
    moved = Labelled(1000 + 40 * data.features.astype(np.float64), 99 - data.labels)
    assert logme(moved).value == pytest.approx(logme(data).value, abs=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_ridge_leaves_out_as_refitting_for_every_image_does(shape):
    data = clouds(*shape)
    features = standardised(data.features)
    path = RidgePath.of(features)
    for multiple in PENALTIES[[2, 8, 14]]:
        plain = Ridge(alpha=path.penalty(multiple))
        refitted = cross_val_predict(plain, features, data.one_hot, cv=LeaveOneOut())
        np.testing.assert_allclose(path.left_out(data.one_hot, multiple), refitted, atol=1e-7)
    predictions = [path.left_out(data.one_hot, multiple) for multiple in PENALTIES]
    best = min(predictions, key=lambda predicted: np.square(predicted - data.one_hot).sum())
    assert np.array_equal(path.best_left_out(data.one_hot), best)
    assert ridge_accuracy(data).value == (best.argmax(1) == data.indices).mean()


@pytest.mark.parametrize("shape", SHAPES)
def test_neighbours_and_means_are_those_of_scikit_learn_for_every_image_left_out(shape, monkeypatch):
    monkeypatch.setattr("transferability.evaluation.ridge.ROWS", 7)
    data = clouds(*shape, distance=0.3)
    points = directions(data.features)
    for score, model in ((neighbour_accuracy, KNeighborsClassifier(1)), (mean_accuracy, NearestCentroid())):
        predicted = cross_val_predict(model, points, data.indices, cv=LeaveOneOut())
        assert score(data).value == (predicted == data.indices).mean()
        assert 0 < score(data).value < 1


def softmax_of_clouds(data: Labelled, sources: int) -> np.ndarray:
    """What a source of so many classes says of images."""
    logits = data.features @ np.random.default_rng(1).normal(size=(data.features.shape[1], sources))
    exponents = np.exp(logits - logits.max(1, keepdims=True))
    return exponents / exponents.sum(1, keepdims=True)


def test_nce_is_leep_of_a_source_that_is_sure():
    data = clouds(200, 12, distance=3)
    predicted = softmax_of_clouds(data, 6).argmax(1)
    sure = np.eye(6)[predicted]
    assert nce(predicted, data).value == pytest.approx(leep(sure, data).value, abs=1e-12)
    assert nce(predicted, data).null == pytest.approx(leep(sure, data).null, abs=1e-12)


def test_leep_is_the_log_loss_of_the_translated_source():
    data = clouds(200, 12, distance=3)
    source = softmax_of_clouds(data, 6)
    joint = np.stack([source[data.indices == label].sum(0) for label in range(4)])
    translated = source @ (joint / joint.sum(0)).T
    assert log_expected_prediction(source, data.indices) == pytest.approx(-log_loss(data.indices, translated))
    assert negative_conditional_entropy(data.indices, data.indices) == 0
    assert leep(source, data).above > 0.1


def test_debiased_cka_is_one_on_itself_and_knows_no_rotation_scale_or_origin():
    generator = np.random.default_rng(0)
    features, other = generator.normal(size=(100, 30)), generator.normal(size=(100, 200))
    mixed = np.hstack([features, other[:, :30]])
    rotation = np.linalg.qr(generator.normal(size=(30, 30)))[0]
    assert cka(features, features) == pytest.approx(1, abs=1e-12)
    assert cka(features, 3 + 0.2 * features @ rotation) == pytest.approx(1, abs=1e-12)
    assert cka(features @ rotation, mixed) == pytest.approx(cka(features, mixed), abs=1e-12)
    assert 0.6 < cka(features, mixed) < 0.8


@pytest.mark.parametrize(
    ("size", "theirs"),
    list(zip(SHARED, (0.460704742115, 0.659717627549, 0.542343026850), strict=True)),
)
def test_debiased_cka_is_what_thingsvision_and_cka_pytorch_give(size, theirs):
    """Versions 2.7.3 and 1.1.3, as benchmarks/agreement.py prints them."""
    assert cka(*alike(*size)) == pytest.approx(theirs, abs=1e-11)


def test_debiased_cka_of_unrelated_features_is_nought_however_wide():
    values = []
    for seed in range(30):
        generator = np.random.default_rng(seed)
        values.append(cka(generator.normal(size=(50, 400)), generator.normal(size=(50, 300))))
    # Plain CKA gives 0.87 here.
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(30)
    assert np.std(values) < 0.05


@pytest.mark.parametrize("widths", [(5, 8), (90, 70), (90, 8)])
def test_hsic_is_the_unbiased_estimate_of_its_definition(widths, monkeypatch):
    """Song et al. 2012, equation 5, with Gram matrices written out."""
    monkeypatch.setattr("transferability.evaluation.ridge.ROWS", 6)
    monkeypatch.setattr("transferability.evaluation.scores.ROWS", 6)
    generator = np.random.default_rng(0)
    one, other = (generator.normal(size=(20, width)) for width in widths)
    one, other = one - one.mean(0), other - other.mean(0)
    grams = [features @ features.T for features in (one, other)]
    for gram in grams:
        np.fill_diagonal(gram, 0)
    first, second = grams
    ones, n = np.ones(20), 20
    expected = np.trace(first @ second) + ones @ first @ ones * (ones @ second @ ones) / ((n - 1) * (n - 2))
    expected = (expected - 2 * ones @ first @ second @ ones / (n - 2)) / (n * (n - 3))
    assert debiased_hsic(one, other) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("shape", [(2000, 60), (4000, 60), (100, 1500), (100, 3000)])
def test_scores_take_memory_that_grows_with_images_times_values(shape, monkeypatch):
    """No matrix of images by images, or values by values, where there are more of them: 16 MB of 2,000 images."""
    monkeypatch.setattr("transferability.evaluation.ridge.ROWS", 16)
    monkeypatch.setattr("transferability.evaluation.scores.ROWS", 16)
    data = clouds(*shape)
    computes = {name: lambda score=score: score(data, 2) for name, score in SCORES.items()}
    computes["cka"] = lambda: cka(data.features, data.features[::-1])
    for name, compute in computes.items():
        tracemalloc.start()
        compute()
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < 4 * 8 * data.features.size, name


def test_scores_rise_with_the_distance_of_classes_and_their_null_stays():
    tables = [score_features(clouds(80, 20, distance)) for distance in (0.2, 1.0, 3.0)]
    for name in ("ridge", "logme", "neighbour", "means"):
        values = [scores[name].above for scores in tables]
        assert all(low < high for low, high in pairwise(values)), name
        assert np.ptp([scores[name].null for scores in tables]) < 0.3 * values[-1]


def test_features_that_know_nothing_score_their_null():
    above = [score_features(clouds(60, 100, distance=0, seed=seed)) for seed in range(12)]
    for name in above[0]:
        errors = [(scores[name].value - scores[name].null) / scores[name].null_deviation for scores in above]
        assert abs(np.mean(errors)) < 1, name


def test_a_permutation_null_is_the_same_for_the_same_seed():
    data = clouds(60, 12)
    assert score_features(data, seed=3) == score_features(data, seed=3)
    assert score_features(data, seed=3)["means"].null != score_features(data, seed=4)["means"].null


LABELS = np.repeat([0, 1, 2], 4)
FEATURES = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)


def with_value(value: float) -> np.ndarray:
    features = FEATURES.copy()
    features[7, 2] = value
    return features


@pytest.mark.parametrize(
    ("features", "labels", "sentence"),
    [
        (FEATURES, np.zeros(12, int), "labels: 1 class; at least two"),
        (FEATURES, np.array([0] * 6 + [1] * 5 + [9]), "labels: class 9 has one image"),
        (FEATURES, np.arange(12), "labels: 12 classes of 12 images"),
        (with_value(np.nan), LABELS, "features: those of 1 of 12 images are NaN or infinite, first of image 7"),
        (with_value(np.inf), LABELS, "features: those of 1 of 12 images are NaN or infinite, first of image 7"),
        (np.ones((12, 5)), LABELS, "features: the same for every image"),
        (
            FEATURES,
            LABELS[:11],
            r"features: an array \(images, values\) with a label an image is needed, not \(12, 5\)",
        ),
        (FEATURES[0], LABELS, r"features: an array \(images, values\)"),
    ],
)
def test_data_that_no_score_can_read_are_refused_in_a_sentence(features, labels, sentence):
    with pytest.raises(InputError, match=sentence) as refused:
        Labelled(features, labels)
    assert "\n" not in str(refused.value)


def test_features_larger_than_memory_are_refused_with_their_size(tmp_path, monkeypatch):
    (tmp_path / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:    4 kB\n")
    monkeypatch.setattr(labelled, "MEMORY", tmp_path / "meminfo")
    wide = np.broadcast_to(np.float32(0), (2**20, 2**10))
    with pytest.raises(InputError, match=r"features: 1,048,576 images of 1,024 values take 24.0 GiB of memory"):
        Labelled(wide, np.zeros(2**20, int))
    assert Labelled(FEATURES, LABELS).counts.tolist() == [4, 4, 4]


def test_a_constant_value_among_others_gives_no_nan():
    features = FEATURES.copy()
    features[:, 0] = 3
    scores = score_features(Labelled(features, LABELS))
    assert all(np.isfinite([score.value, score.null, score.null_deviation]).all() for score in scores.values())


def test_what_is_no_distribution_and_features_that_cannot_be_compared_are_refused():
    data = Labelled(FEATURES, LABELS)
    with pytest.raises(InputError, match="probabilities do not add up to 1"):
        leep(np.abs(FEATURES), data)
    with pytest.raises(InputError, match=r"probabilities \(images, classes\) are needed"):
        leep(np.full((3, 2), 0.5), data)
    with pytest.raises(InputError, match="at least 4, not 12 and 11"):
        cka(FEATURES, FEATURES[1:])
    with pytest.raises(InputError, match="NaN, infinite or the same"):
        cka(FEATURES, np.ones((12, 2)))
