"""Average precision, the loss of several labels, thresholds and probes of one class against the rest."""

import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score

from transferability.data.tasks import DIFFICULT
from transferability.errors import InputError
from transferability.evaluation.guessing import guessing_loss_of_labels, prevalence, verdict
from transferability.evaluation.metrics import score_labels
from transferability.evaluation.one_vs_rest import SeveralLabels, held_out, run_one_vs_rest
from transferability.evaluation.probes import CLASSIFIERS, Probe
from transferability.evaluation.thresholds import best_threshold, mean_f1, thresholds_of
from transferability.training.losses import binary_cross_entropy
from transferability.training.precision import average_precision, mean_average_precision

MATERIAL = Path(__file__).parents[2] / "shared/material"


@pytest.fixture
def ranked() -> tuple[np.ndarray, np.ndarray]:
    """Scores (200, 5), some of them equal, and labels that they know a little of, with difficult ones."""
    generator = np.random.default_rng(0)
    labels = (generator.random((200, 5)) < [0.5, 0.2, 0.1, 0.05, 0.03]).astype(np.int8)
    labels[0] = 1
    scores = np.round(labels + generator.normal(size=labels.shape), 1)
    labels[generator.random(labels.shape) < 0.05] = DIFFICULT
    return scores, labels


def devkits_precision(scores: np.ndarray, labels: np.ndarray) -> float:
    """VOC2010's average precision as its devkit (VOCap.m) computes it: recalls and precisions with ends, a maximum
    from the right, the area under it; all images of one score at a time."""
    known = labels != DIFFICULT
    scores, labels = scores[known], labels[known]
    recalls, precisions = [0.0], [0.0]
    for value in sorted(set(scores), reverse=True):
        taken = scores >= value
        recalls.append((labels[taken] == 1).sum() / (labels == 1).sum())
        precisions.append((labels[taken] == 1).sum() / taken.sum())
    recalls, precisions = [*recalls, 1.0], [*precisions, 0.0]
    for index in reversed(range(len(precisions) - 1)):
        precisions[index] = max(precisions[index], precisions[index + 1])
    return sum((recalls[i] - recalls[i - 1]) * precisions[i] for i in range(1, len(recalls)))


def test_precision_is_scikit_learns_and_the_devkits(ranked):
    for scores, labels in zip(*(each.T for each in ranked), strict=True):
        known = labels != DIFFICULT
        own = average_precision_score(labels[known] == 1, scores[known])
        assert average_precision(scores, labels, "ap_plain") == pytest.approx(own, abs=1e-12)
        assert average_precision(scores, labels) == pytest.approx(devkits_precision(scores, labels), abs=1e-12)


def test_eleven_points_are_those_worked_by_hand():
    labels = np.array([1, 0, 1, 1, 0, 0, 0, 1, 0, DIFFICULT])
    # Precisions at the four positives: 1/1, 2/3, 3/4, 4/8; the highest from each on: 1, 3/4, 3/4, 1/2.
    # Recalls 0 .. 0.25 get 1 (three points), 0.3 .. 0.7 get 3/4 (five), 0.8 .. 1 get 1/2 (three).
    scores = -np.arange(10.0)
    assert average_precision(scores, labels, "ap11") == pytest.approx((3 * 1 + 5 * 0.75 + 3 * 0.5) / 11, abs=1e-12)
    assert average_precision(scores, labels) == pytest.approx((1 + 0.75 + 0.75 + 0.5) / 4, abs=1e-12)
    assert average_precision(scores, labels, "ap_plain") == pytest.approx((1 + 2 / 3 + 3 / 4 + 1 / 2) / 4, abs=1e-12)


@pytest.mark.parametrize("rule", ["ap", "ap11", "ap_plain"])
def test_a_ranking_without_a_fault_scores_one_and_not_a_rounding_more(rule):
    for positives in range(1, 60):
        labels = np.arange(100) < positives
        assert average_precision(-np.arange(100.0), labels.astype(np.int8), rule) == 1


def test_knowing_nothing_scores_the_prevalence(ranked):
    labels = ranked[1]
    of, shown = (labels != DIFFICULT).sum(axis=0), (labels == 1).sum(axis=0)
    assert mean_average_precision(np.zeros(labels.shape), labels) == pytest.approx(prevalence(shown, of), abs=1e-12)
    with pytest.raises(ValueError, match="no image shows the class"):
        average_precision(np.zeros(3), np.zeros(3))


def test_voc2007s_own_labels_give_its_prevalence():
    archive = MATERIAL / "voc2007-lists/voc2007-lists.tar.gz"
    if not archive.exists():
        pytest.skip("needs voc2007-lists")
    with tarfile.open(archive) as lists:
        (member,) = (each for each in lists.getmembers() if each.name.endswith("sheep_test.txt"))
        marks = np.array([int(line.split()[1]) for line in lists.extractfile(member)])
    labels = np.select([marks == 1, marks == 0], [1, DIFFICULT], 0)
    assert [(labels == value).sum() for value in (1, 0, DIFFICULT)] == [97, 4854, 1]
    assert average_precision(np.zeros(len(labels)), labels, "ap11") == pytest.approx(97 / 4951, abs=1e-12)


def test_the_loss_sums_over_classes_and_leaves_difficult_ones_out():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(20, 4, generator=generator, dtype=torch.float64)
    labels = torch.randint(-1, 2, (20, 4), generator=generator, dtype=torch.int8)
    chances = torch.sigmoid(logits)
    costs = torch.where(labels == 1, -chances.log(), -(1 - chances).log()) * (labels != DIFFICULT)
    assert binary_cross_entropy(logits, labels).item() == pytest.approx(costs.sum().item() / 20, abs=1e-12)
    assert binary_cross_entropy(logits, labels, "sum").item() == pytest.approx(costs.sum().item(), abs=1e-12)


def test_scores_of_several_labels_say_counts_and_three_rules(ranked):
    scores, labels = ranked
    names = list("abcde")
    told = score_labels(torch.from_numpy(scores), torch.from_numpy(labels), names)
    for rule in ("ap", "ap11", "ap_plain"):
        assert told[f"m{rule}"] == pytest.approx(mean_average_precision(scores, labels, rule), abs=1e-12)
    assert told["per_class"]["b"]["count"] == (labels[:, 1] == 1).sum()
    assert told["per_class"]["b"]["of"] == (labels[:, 1] != DIFFICULT).sum()


def test_a_network_that_says_shares_has_not_trained():
    shares = [0.3, 0.1]
    loss = guessing_loss_of_labels(shares, shares)
    assert loss == pytest.approx(sum(-p * np.log(p) - (1 - p) * np.log(1 - p) for p in shares), abs=1e-12)
    row = {"train_loss": loss * 0.99, "validation_loss": loss, "validation_top1": 0.2}
    assert not verdict([row], shares, shares, guessing_loss_of_labels)[0]
    assert verdict([row | {"train_loss": loss / 2, "validation_loss": loss / 2}], shares, shares,
                   guessing_loss_of_labels) == (True, None)  # fmt: skip


def test_thresholds_are_the_best_by_f1(ranked):
    scores, labels = ranked
    for own, truth in zip(scores.T, labels.T, strict=True):
        known = truth != DIFFICULT
        every = [f1_score(truth[known] == 1, own[known] >= value) for value in np.unique(own[known])]
        chosen = f1_score(truth[known] == 1, own[known] >= best_threshold(own, truth))
        assert chosen == pytest.approx(max(every), abs=1e-12)
    thresholds = thresholds_of(scores, labels)
    mean = np.mean([
        f1_score(truth[truth != DIFFICULT] == 1, own[truth != DIFFICULT] >= value)
        for own, truth, value in zip(scores.T, labels.T, thresholds, strict=True)
    ])  # fmt: skip
    assert mean_f1(scores, labels, thresholds) == pytest.approx(mean, abs=1e-12)


@pytest.fixture
def planted() -> tuple[np.ndarray, np.ndarray]:
    """Features (120, 12) whose first values tell three labels, noisily."""
    generator = np.random.default_rng(3)
    labels = (generator.random((120, 3)) < [0.5, 0.3, 0.15]).astype(np.int8)
    features = generator.normal(size=(120, 12))
    features[:, :3] += 2.0 * labels
    return features, labels


def test_one_against_the_rest_is_scikit_learns(planted):
    features, labels = planted
    probe = Probe("logreg", normalisation="none", choices=(0.3,))
    data = SeveralLabels(features[:80], labels[:80], ["a", "b", "c"])
    (draw,) = run_one_vs_rest(probe, data, {"test": features[80:]})
    for column in range(3):
        model = LogisticRegression(C=0.3, tol=1e-10, solver="newton-cg").fit(features[:80], labels[:80, column])
        own = model.decision_function(features[80:])
        assert draw.decisions["test"][:, column] == pytest.approx(own, abs=1e-5)


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_every_probe_reads_several_labels_and_leaves_difficult_images_out(planted, classifier):
    features, labels = planted
    wrong, marked = labels.copy(), labels.copy()
    marked[:25, 0], wrong[:25, 0] = DIFFICULT, 1 - labels[:25, 0]
    precision = {}
    for name, given in (("true", labels), ("difficult", marked), ("wrong", wrong)):
        data = SeveralLabels(features[:80], given[:80], ["a", "b", "c"])
        (draw,) = run_one_vs_rest(Probe(classifier), data, {"test": features[80:]})
        precision[name] = average_precision(draw.decisions["test"][:, 0], labels[80:, 0])
    assert precision["true"] > 0.7
    assert precision["difficult"] > 0.65
    assert precision["difficult"] > precision["wrong"] - 0.02


def test_held_out_images_leave_some_of_each_class(planted):
    labels = planted[1]
    held = held_out(labels, 1 / 6, np.random.default_rng(0))
    assert all(0 < own[held].sum() < own.sum() for own in (labels == 1).T)
    assert 0.1 < held.mean() < 0.3


def test_a_class_without_enough_images_is_named(planted):
    features, labels = planted
    labels[:, 1] = 0
    labels[0, 1] = 1
    with pytest.raises(InputError, match="b is shown by less than 2 training images"):
        SeveralLabels(features, labels, ["a", "b", "c"])
    with pytest.raises(InputError, match="give the split a volume"):
        run_one_vs_rest(Probe("svm", images_per_class=5), SeveralLabels(*planted_two(features, labels)), {})


def planted_two(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[str]]:
    return features, labels[:, ::2], ["a", "c"]
