"""Guessing: what it scores on classes of any size, and which networks do no better."""

import math

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.metrics import accuracy_score, log_loss

from transferability.evaluation.guessing import chance, guessing_loss, verdict


def row(train_loss: float, validation_loss: float) -> dict[str, float]:
    """One row of a history, as far as it matters here."""
    return {"train_loss": train_loss, "validation_loss": validation_loss}


@pytest.mark.parametrize("counts", [[10, 10, 10], [90, 5, 5], [7, 1], [3, 4, 5, 6]])
def test_guessing_scores_what_scikit_learns_dummy_does(counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    nothing = np.zeros((len(labels), 1))
    dummy = DummyClassifier(strategy="prior").fit(nothing, labels)
    assert chance(counts) == pytest.approx(accuracy_score(labels, dummy.predict(nothing)))
    assert guessing_loss(counts, counts) == pytest.approx(log_loss(labels, dummy.predict_proba(nothing)))


def test_guessing_by_the_shares_of_training_costs_more_on_others():
    labels = np.repeat([0, 1], [10, 90])
    assert guessing_loss([60, 40], [10, 90]) == pytest.approx(log_loss(labels, np.tile([0.6, 0.4], (100, 1))))
    assert guessing_loss([1, 1], [1, 99]) == pytest.approx(math.log(2))
    assert guessing_loss([5, 5, 0], [5, 5, 0]) == pytest.approx(math.log(2))
    assert guessing_loss([5, 0], [5, 5]) == math.inf


@pytest.mark.parametrize(
    ("loss", "classes", "trained"),
    [
        (6.91, 1000, False),
        (6.7, 1000, False),
        (6.5, 1000, True),
        (2.0, 1000, True),
        (math.log(5), 5, False),
        (0.96 * math.log(5), 5, False),
        (0.94 * math.log(5), 5, True),
        (40.0, 5, False),
        (math.nan, 5, False),
    ],
)
def test_a_network_whose_loss_is_that_of_guessing_did_not_train(loss, classes, trained):
    # The original's random filters from n = 3 on ended between 5.8 and 6.9 of ln 1000 = 6.9.
    balanced = [7] * classes
    found, reason = verdict([row(0.1, 0.1), row(loss, 0.1)], balanced, balanced)
    assert found is trained
    if trained:
        assert reason is None
    else:
        assert reason == f"the training loss ended at {loss:.3f}, that of guessing is {math.log(classes):.3f}"


def test_on_unbalanced_classes_guessing_is_cheaper_than_ln_classes():
    counts = [950, 50]
    entropy = guessing_loss(counts, counts)
    assert entropy == pytest.approx(0.1985, abs=1e-4)
    # Of ln 2 = 0.693 this would have passed for a network that trained.
    found, reason = verdict([row(entropy, entropy)], counts, counts)
    assert not found
    assert reason == "the training loss ended at 0.199, that of guessing is 0.199"
    assert verdict([row(0.5 * entropy, 0.5 * entropy)], counts, counts) == (True, None)


def test_a_reduced_training_part_is_guessed_by_its_own_shares():
    """20 images a class for training, validation as unbalanced as ever: guessing costs ln 2 on both."""
    training, validation = [20, 20], [950, 50]
    assert verdict([row(0.6, 0.6)], training, validation) == (True, None)
    assert verdict([row(0.6, 0.69)], training, validation)[1] is not None
    assert not verdict([row(0.69, 0.6)], training, validation)[0]


@pytest.mark.parametrize(
    ("top1", "images", "found"), [(0.7, 5, True), (0.4, 5, False), (0.6, 1, False), (0.0, 5, False)]
)
def test_a_network_of_large_logits_has_trained_if_its_accuracy_says_so_beyond_luck(top1, images, found):
    """Four classes: guessing names a quarter rightly."""
    last = row(5.0, 4.0) | {"validation_top1": top1}
    trained, reason = verdict([last], [20] * 4, [images] * 4)
    assert trained == found
    assert reason.startswith("the training loss ended at 5.000, that of guessing is 1.386")
    assert reason.endswith("though 0.700 of validation images are named rightly, by guessing 0.250") == found


def test_a_network_that_fits_but_validates_like_guessing_has_trained_and_is_noticed():
    # The original's network on one image a class: 15.64 on validation, of ln 1000, at 4 times chance.
    balanced = [50] * 1000
    assert verdict([row(0.0017, 15.6425)], balanced, balanced) == (
        True,
        "the validation loss ended at 15.643, that of guessing is 6.908, though the training loss ended at 0.002: "
        "it never was better, so training images are memorised, or batch-norm statistics have not settled",
    )


def test_one_that_was_better_has_memorised_since():
    found, reason = verdict([row(1.0, 1.25), row(0.1, 2.5)], [5, 5, 5, 5], [5, 5, 5, 5])
    assert found
    assert reason.endswith("though the training loss ended at 0.100: it had been 1.250, so training images have been "
                           "memorised since")  # fmt: skip


@pytest.mark.parametrize("validation_loss", [0.95 * math.log(4), math.log(4), 100.0, math.inf, math.nan])
def test_validation_at_guessing_or_worse_is_noticed(validation_loss):
    found, reason = verdict([row(0.5, validation_loss)], [5] * 4, [5] * 4)
    assert found
    assert reason.startswith(f"the validation loss ended at {validation_loss:.3f}, that of guessing is 1.386")


def test_an_untrained_network_is_that_whatever_its_validation():
    found, reason = verdict([row(1.6, 100.0)], [5] * 5, [5] * 5)
    assert not found
    assert reason.startswith("the training loss")
